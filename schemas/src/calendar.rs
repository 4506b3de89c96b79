//! Dates and times between text and the numbers of the wire.
//!
//! Stricter than the library: one spelling of a date (`2026-11-22`), RFC 3339 of a time, years 1 to 9999, which is what
//! Cassandra's `date` and `timestamp`, JavaScript, Java and Python all take. And as wide: the library's own instants
//! end a day before `9999-12-31T23:59:59Z`, which data has for "never", so times are counted from civil ones here.

use jiff::SignedDuration;
use jiff::civil::{self, Date, DateTime};
use std::ops::RangeInclusive;

/// Days since 1970-01-01 of the years 1 to 9999.
pub const DAYS: RangeInclusive<i32> = -719_162..=2_932_896;

/// Microseconds since 1970-01-01T00:00:00Z of the years 1 to 9999.
pub const MICROS: RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_300_799_999_999;

const EPOCH: Date = civil::date(1970, 1, 1);
const SECONDS_A_DAY: i64 = 86_400;
const MICROS_A_SECOND: i64 = 1_000_000;

/// Days since 1970-01-01 of `YYYY-MM-DD`; `None` for any other spelling, and for days that no calendar has.
#[must_use]
pub fn days_of(text: &str) -> Option<i32> {
    let spelled = matches!(text.as_bytes(), [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2]
        if [y1, y2, y3, y4, m1, m2, d1, d2].iter().all(|digit| digit.is_ascii_digit()));
    let days = days_since_epoch(spelled.then(|| text.parse().ok())??)?;
    DAYS.contains(&days).then_some(days)
}

fn days_since_epoch(date: Date) -> Option<i32> {
    i32::try_from(date.duration_since(EPOCH).as_secs() / SECONDS_A_DAY).ok()
}

/// The date `days` after 1970-01-01 as `YYYY-MM-DD`; `None` outside [`DAYS`].
#[must_use]
pub fn date_of(days: i32) -> Option<String> {
    let days = DAYS.contains(&days).then(|| i64::from(days))?;
    let date = EPOCH.checked_add(SignedDuration::from_secs(days * SECONDS_A_DAY)).ok()?;
    Some(date.to_string())
}

/// Microseconds since 1970-01-01T00:00:00Z of an RFC 3339 time; what is finer than that is cut off.
///
/// `None` for other ISO 8601 spellings (no seconds, no offset, a space, a zone name) and more than nine decimals. A leap
/// second is the second before it.
#[must_use]
pub fn micros_of(text: &str) -> Option<i64> {
    let (local, offset_seconds) = split_offset(text)?;
    let local: DateTime = spelled_as_local(local.as_bytes()).then(|| local.parse().ok())??;
    let time = local.time();
    let [hour, minute, second] = [time.hour(), time.minute(), time.second()].map(i64::from);
    let days = i64::from(days_since_epoch(local.date())?);
    let seconds = days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second - offset_seconds;
    let micros = seconds * MICROS_A_SECOND + i64::from(time.subsec_nanosecond()) / 1000;
    MICROS.contains(&micros).then_some(micros)
}

/// The time `micros` after 1970-01-01T00:00:00Z as RFC 3339 in UTC; `None` outside [`MICROS`].
#[must_use]
pub fn time_of(micros: i64) -> Option<String> {
    let micros = MICROS.contains(&micros).then_some(micros)?;
    let local = DateTime::from_parts(EPOCH, civil::Time::midnight());
    Some(format!("{}Z", local.checked_add(SignedDuration::from_micros(micros)).ok()?))
}

/// What stands before the offset, and the offset in seconds east of UTC.
fn split_offset(text: &str) -> Option<(&str, i64)> {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return Some((local, 0));
    }
    let (local, offset) = text.split_at_checked(text.len().checked_sub("+00:00".len())?)?;
    let [sign @ (b'+' | b'-'), h1 @ b'0'..=b'2', h2 @ b'0'..=b'9', b':', m1 @ b'0'..=b'5', m2 @ b'0'..=b'9'] =
        *offset.as_bytes()
    else {
        return None;
    };
    let [h1, h2, m1, m2] = [h1, h2, m1, m2].map(|digit| i64::from(digit - b'0'));
    let hours = 10 * h1 + h2;
    let seconds = 3600 * hours + 60 * (10 * m1 + m2);
    (hours < 24).then_some((local, if sign == b'-' { -seconds } else { seconds }))
}

/// `2026-11-22T10:00:00` and decimals, if any; the library checks that the rest are digits and in range.
fn spelled_as_local(text: &[u8]) -> bool {
    let [_, _, _, _, b'-', _, _, b'-', _, _, b'T' | b't', _, _, b':', _, _, b':', _, _, rest @ ..] = text else {
        return false;
    };
    match rest {
        [] => true,
        [b'.', decimals @ ..] => !decimals.is_empty() && decimals.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_spelling_of_a_date_is_taken() {
        assert_eq!(days_of("1970-01-01"), Some(0));
        assert_eq!(days_of("0001-01-01"), Some(*DAYS.start()));
        assert_eq!(days_of("9999-12-31"), Some(*DAYS.end()));
        for bad in ["", "0000-12-31", "1990-02-29", "1990-2-28", "19900228", "22.11.2026", "2026-11-22T10:00:00Z"] {
            assert_eq!(days_of(bad), None, "{bad}");
        }
        assert_eq!(date_of(DAYS.end() + 1), None);
    }

    #[test]
    fn a_time_is_rfc_3339_with_an_offset() {
        assert_eq!(micros_of("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(micros_of("1970-01-01t01:00:00.0000019+01:00"), Some(1));
        assert_eq!(micros_of("1969-12-31T23:59:59.9999999Z"), Some(-1), "cut off, not rounded");
        assert_eq!(micros_of("0001-01-01T00:00:00Z"), Some(*MICROS.start()));
        assert_eq!(micros_of("9999-12-31T23:59:59.999999Z"), Some(*MICROS.end()));
        assert_eq!(micros_of("2016-12-31T23:59:60Z"), micros_of("2016-12-31T23:59:59Z"), "a leap second");
        for bad in [
            "2026-11-22",
            "2026-11-22T10:00Z",
            "2026-11-22 10:00:00Z",
            "2026-11-22T10:00:00",
            "2026-11-22T10:00:00.Z",
            "2026-11-22T10:00:00+0100",
            "2026-11-22T10:00:00+24:00",
            "2026-11-22T10:00:00+01:60",
            "2026-11-22T10:00:00,5Z",
            "2026-11-22T10:00:00.0000000001Z",
            "2026-11-22T10:0\u{e4}:00Z",
            "+2026-1-22T10:00:00Z",
            "Z",
            "2026-11-22T10:00:00+01:00[Europe/Berlin]",
            "2026-11-22T24:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert_eq!(micros_of(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(days in DAYS, micros in MICROS) {
            prop_assert_eq!(days_of(&date_of(days).unwrap()), Some(days));
            prop_assert_eq!(micros_of(&time_of(micros).unwrap()), Some(micros));
        }
    }
}
