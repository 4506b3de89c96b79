//! The versions of raw records, worked out from when the broker appended them and nothing else.

use std::collections::BTreeMap;

/// Versions of neighbours are at least so far apart, and a multiple of it before the lane is added.
const STEP: i64 = 8;

/// The lane of changes that `validate` gave their version: 2, above the phase bit.
const LIVE: i64 = 2 * 2;

/// Records of each partition come in order; partitions may be mixed.
#[derive(Debug)]
pub(super) struct Places {
    floor: i64,
    last: BTreeMap<i32, i64>,
}

impl Places {
    /// `floor_micros` stands before the first record of every partition.
    pub(super) fn new(floor_micros: i64) -> Self {
        Self { floor: down_to_step(floor_micros), last: BTreeMap::new() }
    }

    /// The version of the next record of `partition`.
    pub(super) fn next(&mut self, partition: i32, append_ms: i64) -> i64 {
        let last = self.last.entry(partition).or_insert(self.floor);
        *last = last.saturating_add(STEP).max(down_to_step(append_ms.saturating_mul(1000)));
        *last + LIVE
    }
}

fn down_to_step(micros: i64) -> i64 {
    micros - micros.rem_euclid(STEP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_leads_and_one_that_stands_or_steps_back_is_stepped_past() {
        let mut places = Places::new(1_000_003);
        let given = [(0, 5_000), (0, 5_000), (0, 4_000), (0, 5_001), (1, 5_000), (1, 6_000)];
        let versions = given.map(|(partition, append_ms)| places.next(partition, append_ms));
        assert_eq!(versions, [5_000_004, 5_000_012, 5_000_020, 5_001_004, 5_000_004, 6_000_004]);
    }

    #[test]
    fn every_version_lies_above_the_floor() {
        let mut places = Places::new(9_000_001);
        assert_eq!([places.next(3, 0), places.next(3, 0)], [9_000_012, 9_000_020]);
    }
}
