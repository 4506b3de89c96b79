//! Where a rewind goes to.

use jiff::Timestamp;
use runtime::offsets::Watermarks;
use std::str::FromStr;

/// A place that each partition has one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The first record the partition still holds.
    Start,
    /// The first record appended at or after this, in milliseconds since 1970-01-01.
    Time(i64),
    Offset(i64),
}

impl Target {
    /// The offset this means in a partition; `since` is that of the first record at the time, for [`Target::Time`].
    ///
    /// # Errors
    /// What to ask for instead, if the partition does not hold that offset.
    pub(super) fn in_partition(self, held: &Watermarks, since: Option<i64>) -> Result<i64, String> {
        match self {
            Self::Start => Ok(held.low),
            Self::Time(_) => Ok(since.unwrap_or(held.high)),
            Self::Offset(offset) if (held.low..=held.high).contains(&offset) => Ok(offset),
            Self::Offset(_) => Err(format!(
                "partition {} holds offsets {} to {}; name one of them",
                held.partition, held.low, held.high
            )),
        }
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "START" {
            return Ok(Self::Start);
        }
        if let Some(offset) = text.parse::<i64>().ok().filter(|offset| *offset >= 0) {
            return Ok(Self::Offset(offset));
        }
        let time = text.parse::<Timestamp>();
        time.map(|time| Self::Time(time.as_millisecond()))
            .map_err(|_| "give START, a time as 2026-05-04T03:02:01Z, or an offset".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELD: Watermarks = Watermarks { partition: 3, low: 10, high: 20 };

    #[test]
    fn a_target_is_the_start_a_time_or_an_offset() {
        assert_eq!("START".parse(), Ok(Target::Start));
        assert_eq!("17".parse(), Ok(Target::Offset(17)));
        assert_eq!("1970-01-01T00:00:02Z".parse(), Ok(Target::Time(2_000)));
        for wrong in ["start", "-1", "END", "2026-05-04", ""] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_offset_that_the_partition_does_not_hold_is_refused_with_those_it_does() {
        assert_eq!(Target::Offset(20).in_partition(&HELD, None), Ok(20));
        let refused = Target::Offset(21).in_partition(&HELD, None).unwrap_err();
        assert_eq!(refused, "partition 3 holds offsets 10 to 20; name one of them");
    }

    #[test]
    fn a_time_after_the_last_record_is_the_end() {
        assert_eq!(Target::Time(5).in_partition(&HELD, Some(12)), Ok(12));
        assert_eq!(Target::Time(5).in_partition(&HELD, None), Ok(20));
    }
}
