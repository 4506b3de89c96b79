//! Users drawn by how much they change.

use crate::history::Random;

/// User `i` of `n` is drawn with a probability in proportion to `1 / (i + 1)^skew`; skew 0 draws all alike.
#[derive(Debug)]
pub struct Zipf {
    /// Sums of the probabilities so far; empty where all are alike.
    sums: Vec<f64>,
    users: usize,
}

impl Zipf {
    #[must_use]
    pub fn new(users: usize, skew: f64) -> Self {
        if skew == 0.0 {
            return Self { sums: Vec::new(), users };
        }
        let mut sum = 0.0;
        let weights = (1..=users).map(|rank| (rank as f64).powf(-skew));
        let mut sums: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        sums.iter_mut().for_each(|part| *part /= sum);
        Self { sums, users }
    }

    pub fn draw(&self, random: &mut Random) -> usize {
        if self.sums.is_empty() {
            return random.below(self.users);
        }
        let share = (random.number() >> 11) as f64 / (1_u64 << 53) as f64;
        self.sums.partition_point(|sum| *sum < share).min(self.users - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_as_often_as_their_skew_says() {
        for (skew, share) in [(0.0, 0.01), (0.99, 0.19), (2.0, 0.61)] {
            let (zipf, mut random) = (Zipf::new(100, skew), Random::new(1));
            let first = (0..20_000).filter(|_| zipf.draw(&mut random) == 0).count();
            let found = first as f64 / 20_000.0;
            assert!((found - share).abs() < 0.015, "skew {skew}: the first user has {found} and not {share}");
        }
    }
}
