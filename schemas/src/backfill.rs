//! The place in history of what an old system held: below the floor, so that every live change beats it.
//!
//! `docs/architecture.md`, "Version"; I3.

use crate::{Lane, Version};

/// Gives backfill its versions. They depend on the row and the floor alone, so that importing twice is once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backfill {
    floor: i64,
}

impl Backfill {
    /// So many runs can be told apart; their versions are the last 8.4 s below the floor.
    pub const RUNS: u32 = 1 << 20;

    /// `floor_micros` is the start of operation, microseconds since 1970-01-01.
    #[must_use]
    pub fn new(floor_micros: i64) -> Self {
        Self { floor: floor_micros & !(Version::STEP - 1) }
    }

    /// The version of a row last changed at `micros`, or of an older version taken over; what does not lie below the
    /// floor is put right there. `None` at or before 1970-01-01.
    #[must_use]
    pub fn at(self, micros: i64) -> Option<Version> {
        Version::at(micros.min(self.last()), Lane::Backfill)
    }

    /// The version of the rows without a time that run `run` brings: a later run beats an earlier one. `None` from
    /// [`Self::RUNS`] on.
    #[must_use]
    pub fn of_run(self, run: u32) -> Option<Version> {
        let before = Self::RUNS.checked_sub(run).filter(|before| *before > 0)?;
        Version::at(self.floor - Version::STEP * i64::from(before), Lane::Backfill)
    }

    /// Whether [`Self::at`] does not keep the place of `micros`: what was changed that late keeps no order among
    /// itself.
    #[must_use]
    pub fn clamps(self, micros: i64) -> bool {
        micros & !(Version::STEP - 1) > self.last()
    }

    /// The largest place of backfill.
    fn last(self) -> i64 {
        self.floor - Version::STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: i64 = 1_700_000_000_000_003;
    const LAST: i64 = 1_699_999_999_999_992;

    fn at(micros: i64) -> Option<i64> {
        Backfill::new(FLOOR).at(micros).map(Version::get)
    }

    /// I3.
    #[test]
    fn no_time_lifts_backfill_to_the_floor() {
        for micros in [FLOOR - 8, FLOOR, FLOOR + 1, 2 * FLOOR, i64::MAX] {
            assert_eq!(at(micros), Some(LAST), "{micros}");
        }
        let backfill = Backfill::new(FLOOR);
        assert!(backfill.of_run(Backfill::RUNS - 1).unwrap() <= backfill.at(LAST).unwrap());
        assert!(backfill.at(i64::MAX).unwrap().place() < FLOOR & !7);
        assert_eq!(
            [LAST - 1, LAST, LAST + 7, LAST + 8].map(|micros| backfill.clamps(micros)),
            [false, false, false, true]
        );
    }

    #[test]
    fn a_time_below_the_floor_keeps_its_place_in_lane_0() {
        assert_eq!(at(1_600_000_000_000_007), Some(1_600_000_000_000_000));
        // A live version taken over from another installation.
        assert_eq!(at(1_600_000_000_000_004), Some(1_600_000_000_000_000));
        assert_eq!(Backfill::new(FLOOR).at(1_600_000_000_000_004).unwrap().lane(), Lane::Backfill);
    }

    #[test]
    fn before_1970_there_is_no_place() {
        assert_eq!([at(i64::MIN), at(-8), at(0), at(7), at(8)], [None, None, None, None, Some(8)]);
    }

    #[test]
    fn a_later_run_beats_an_earlier_one() {
        let backfill = Backfill::new(FLOOR);
        let runs = [0, 1, 2, Backfill::RUNS - 1].map(|run| backfill.of_run(run).unwrap().get());
        assert_eq!(runs, [LAST - 8 * 1_048_575, LAST - 8 * 1_048_574, LAST - 8 * 1_048_573, LAST]);
        assert_eq!(backfill.of_run(Backfill::RUNS), None);
        assert_eq!(Backfill::new(8).of_run(0), None, "a floor right after 1970 has no room");
    }
}
