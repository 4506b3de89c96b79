//! How long to wait before the next try: full jitter under an interval that doubles. It never gives up.
//!
//! The only file that touches the `backoff` crate, which supplies the intervals; the jitter is ours, so that a seed
//! gives the same waits again.

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use std::hash::{BuildHasher as _, DefaultHasher, Hash, Hasher as _, RandomState};
use std::time::Duration;

/// No wait is shorter: full jitter may draw zero, and a loop must not spin on it.
const WAIT_MIN: Duration = Duration::from_millis(1);

/// How long the pauses between two tries of the same work are, and where their jitter comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    pub min: Duration,
    pub max: Duration,
    /// The same seed gives the same pauses again; `None` takes the system's randomness.
    pub seed: Option<u64>,
}

impl Pauses {
    /// The pauses of one piece of work. `salt` tells it from others, so that one seed does not make all pause alike,
    /// in whatever order they come to fail.
    #[must_use]
    pub fn schedule(&self, salt: impl Hash) -> Schedule {
        let Some(seed) = self.seed else { return Schedule::new(self.min, self.max) };
        let mut hasher = DefaultHasher::new();
        (seed, salt).hash(&mut hasher);
        Schedule::seeded(self.min, self.max, hasher.finish())
    }
}

/// Waits for the tries of one operation: each between 1 ms and an interval that starts at `initial` and doubles up
/// to `max`. Spread like that, clients that failed together do not come back together.
#[derive(Debug)]
pub struct Schedule {
    intervals: ExponentialBackoff,
    max: Duration,
    seed: u64,
    state: u64,
}

impl Schedule {
    /// A schedule with a seed of its own. An `initial` over `max` counts as `max`.
    #[must_use]
    pub fn new(initial: Duration, max: Duration) -> Self {
        // The standard library's hasher is keyed from the system's randomness, once per process and then stepped.
        Self::seeded(initial, max, RandomState::new().hash_one(0_u8))
    }

    /// The same schedule for the same seed.
    #[must_use]
    pub fn seeded(initial: Duration, max: Duration, seed: u64) -> Self {
        let initial = initial.min(max);
        let intervals = ExponentialBackoff {
            current_interval: initial,
            initial_interval: initial,
            randomization_factor: 0.0,
            multiplier: 2.0,
            max_interval: max,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { intervals, max, seed, state: seed }
    }

    /// The seed, to print where a run is to be repeated.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How long to wait before the next try; there always is one.
    pub fn next_wait(&mut self) -> Duration {
        let interval = self.intervals.next_backoff().unwrap_or(self.max).min(self.max);
        let nanos = u64::try_from(interval.as_nanos()).unwrap_or(u64::MAX);
        let jittered = Duration::from_nanos(self.random() % nanos.saturating_add(1));
        jittered.max(WAIT_MIN.min(self.max))
    }

    /// Starts over after a success: the next wait is under `initial` again.
    pub fn reset(&mut self) {
        self.intervals.reset();
    }

    /// SplitMix64: enough to spread tries, and every seed is a good one.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INITIAL: Duration = Duration::from_millis(100);
    const MAX: Duration = Duration::from_secs(5);

    #[test]
    fn a_seed_gives_the_same_waits_again() {
        let waits = |seed| {
            let mut schedule = Schedule::seeded(INITIAL, MAX, seed);
            (0..20).map(|_| schedule.next_wait()).collect::<Vec<_>>()
        };
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }

    #[test]
    fn one_seed_gives_each_piece_of_work_pauses_of_its_own() {
        let waits = |seed, salt: u8| {
            let mut schedule = Pauses { min: INITIAL, max: MAX, seed: Some(seed) }.schedule(salt);
            (0..20).map(|_| schedule.next_wait()).collect::<Vec<_>>()
        };
        assert_eq!(waits(7, 1), waits(7, 1));
        assert_ne!(waits(7, 1), waits(7, 2));
        assert_ne!(waits(7, 1), waits(8, 1));
    }

    #[test]
    fn waits_spread_over_the_whole_interval() {
        let mut schedule = Schedule::seeded(MAX, MAX, 1);
        let waits: Vec<Duration> = (0..1_000).map(|_| schedule.next_wait()).collect();
        assert!(waits.iter().any(|wait| *wait < MAX / 10), "none is short");
        assert!(waits.iter().any(|wait| *wait > MAX * 9 / 10), "none is long");
    }

    proptest! {
        #[test]
        fn every_wait_stays_under_its_doubled_interval(seed: u64, resets in 0_usize..10) {
            let mut schedule = Schedule::seeded(INITIAL, MAX, seed);
            for _ in 0..resets {
                schedule.next_wait();
            }
            schedule.reset();
            for step in 0_u32..200 {
                let interval = INITIAL.saturating_mul(1_u32.checked_shl(step).unwrap_or(u32::MAX)).min(MAX);
                let wait = schedule.next_wait();
                prop_assert!(wait >= WAIT_MIN && wait <= interval, "step {}: {:?}", step, wait);
            }
        }
    }
}
