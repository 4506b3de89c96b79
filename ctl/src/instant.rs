//! Points in time as people write and read them.

use jiff::{SignedDuration, Timestamp};
use std::str::FromStr;

/// A point in time, given as RFC 3339 (`2026-05-04T03:02:01Z`) or as how long ago (`90s`, `15m`, `36h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    At(Timestamp),
    Ago(SignedDuration),
}

impl Since {
    /// Milliseconds since 1970-01-01, seen from `now_ms`.
    pub(crate) fn millis(self, now_ms: i64) -> i64 {
        match self {
            Self::At(instant) => instant.as_millisecond(),
            Self::Ago(span) => now_ms.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(instant) = text.parse::<Timestamp>() {
            return Ok(Self::At(instant));
        }
        match text.parse::<SignedDuration>() {
            Ok(span) if !span.is_negative() => Ok(Self::Ago(span)),
            _ => Err("give a time as 2026-05-04T03:02:01Z, or how long ago as 90s, 15m or 36h".to_owned()),
        }
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(crate) fn rfc3339(millis: i64) -> String {
    Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |instant| format!("{instant:.3}"))
}

/// How long, in the two units that say most: `850 ms`, `12.3 s`, `3 min 20 s`, `2 h 5 min`, `4 d 1 h`.
pub(crate) fn age(millis: i64) -> String {
    let seconds = millis / 1000;
    match seconds {
        ..1 => format!("{millis} ms"),
        1..60 => format!("{seconds}.{} s", millis % 1000 / 100),
        60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        86_400.. => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_as_such_or_as_how_long_ago() {
        let now = 1_000_000_000;
        assert_eq!("1970-01-01T00:00:01.5Z".parse::<Since>().unwrap().millis(now), 1_500);
        assert_eq!("90s".parse::<Since>().unwrap().millis(now), now - 90_000);
        assert_eq!("36h".parse::<Since>().unwrap().millis(now), now - 36 * 3_600_000);
        assert!("yesterday".parse::<Since>().unwrap_err().contains("15m"));
        assert!("-5m".parse::<Since>().is_err());
    }

    #[test]
    fn an_age_is_told_in_the_units_that_matter() {
        let told = [0, 850, 12_345, 200_000, 7_500_000, 349_200_000].map(age);
        assert_eq!(told, ["0 ms", "850 ms", "12.3 s", "3 min 20 s", "2 h 5 min", "4 d 1 h"]);
    }

    #[test]
    fn a_time_is_shown_in_utc_to_the_millisecond() {
        assert_eq!(rfc3339(1_777_863_721_042), "2026-05-04T03:02:01.042Z");
    }
}
