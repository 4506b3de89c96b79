//! Record headers: their names, and their values as text.
//!
//! Names are lower case, values ASCII: integers in decimal, instants in RFC 3339 and UTC. Outsiders read them, and
//! write them on the pinned topic, so that what is read here is held to the same form.

use jiff::Timestamp;
use std::borrow::Cow;

/// W3C trace context; the one foreign header that is honoured.
pub const TRACEPARENT: &str = "traceparent";

/// The change's version, an integer.
pub const VERSION: &str = "tw-version";
/// The raw record it came from: topic without prefix, partition and offset.
pub const ORIGIN: &str = "tw-origin";
/// The change's id.
pub const ID: &str = "tw-id";
/// Who sent it.
pub const SOURCE: &str = "tw-source";
/// Why it is dead: a [`crate::RejectCode`].
pub const CODE: &str = "tw-code";
/// The field that is to blame.
pub const FIELD: &str = "tw-field";
/// The sentence of the code.
pub const REASON: &str = "tw-reason";
/// The worker that rejected it.
pub const STAGE: &str = "tw-stage";
/// The topic it was read from, with [`PARTITION`] and [`OFFSET`]: the identity of a dead letter.
pub const TOPIC: &str = "tw-topic";
/// The partition it was read from, an integer.
pub const PARTITION: &str = "tw-partition";
/// The offset it was read at, an integer.
pub const OFFSET: &str = "tw-offset";
/// When it was rejected, an instant.
pub const AT: &str = "tw-at";
/// Bytes of the value that no topic would take.
pub const DROPPED_BYTES: &str = "tw-dropped-bytes";

/// Longest value made of text that outsiders chose.
pub const TEXT_LEN_MAX: usize = 256;

/// Whether a header is the pipeline's: outsiders' own are dropped on input.
#[must_use]
pub fn is_ours(name: &str) -> bool {
    name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("tw-"))
}

/// Reads an integer: decimal, as it is written here; no plus sign, no leading zeros.
#[must_use]
pub fn integer(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// Reads an instant: microseconds since 1970-01-01. Must end in `Z`.
#[must_use]
pub fn instant(value: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?;
    let utc = text.ends_with('Z') && text.get(10..11) == Some("T");
    text.parse::<Timestamp>().ok().filter(|_| utc).map(Timestamp::as_microsecond)
}

/// Writes an instant, to be read by [`instant`]. What lies beyond the year 9999 becomes its end.
#[must_use]
pub fn format_instant(micros: i64) -> String {
    let end = if micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(micros).unwrap_or(end).to_string()
}

/// `text` as a header can have it: what is not printable ASCII is escaped (`\u{e9}`), and no more than
/// [`TEXT_LEN_MAX`] bytes are kept.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c == ' ' || c.is_ascii_graphic() && c != '\\';
    if text.len() <= TEXT_LEN_MAX && text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::new();
    for c in text.chars() {
        let before = kept.len();
        if plain(c) {
            kept.push(c);
        } else {
            kept.extend(c.escape_default());
        }
        if kept.len() > TEXT_LEN_MAX {
            kept.truncate(before);
            break;
        }
    }
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        assert_eq!(integer(b"-12"), Some(-12));
        assert_eq!(integer(i64::MIN.to_string().as_bytes()), Some(i64::MIN));
        for other in ["", "+1", "01", "-0", "1 ", "1e3", "9223372036854775808", "\u{0661}"] {
            assert_eq!(integer(other.as_bytes()), None, "{other}");
        }
        assert_eq!(integer(&[0xff]), None);
    }

    #[test]
    fn instants_come_back_to_the_microsecond() {
        for micros in [0, 1, -1, 1_763_805_600_123_456, 253_402_207_200_999_999] {
            assert_eq!(instant(format_instant(micros).as_bytes()), Some(micros));
        }
        assert_eq!(format_instant(1_763_805_600_123_456), "2025-11-22T10:00:00.123456Z");
    }

    #[test]
    fn an_instant_beyond_the_calendar_is_its_end() {
        assert!(format_instant(i64::MAX).starts_with("9999-12-"));
        assert!(format_instant(i64::MIN).starts_with("-009999-01-"));
    }

    #[test]
    fn only_utc_is_an_instant() {
        for other in ["2025-11-22T10:00:00+00:00", "2025-11-22T10:00:00", "2025-11-22", "2025-11-22 10:00:00Z", "Z", ""]
        {
            assert_eq!(instant(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn text_of_outsiders_is_escaped_and_cut() {
        assert!(matches!(text("set.email"), Cow::Borrowed("set.email")));
        assert_eq!(text("set.é\n\\"), "set.\\u{e9}\\n\\\\");
        assert_eq!(text(&"x".repeat(1000)).len(), TEXT_LEN_MAX);
        let escaped = text(&"é".repeat(1000)).into_owned();
        assert!(escaped.len() <= TEXT_LEN_MAX && escaped.ends_with('}') && escaped.is_ascii());
    }

    #[test]
    fn headers_of_ours_are_known_in_any_case() {
        assert!(is_ours(VERSION) && is_ours("TW-Version"));
        assert!(!is_ours(TRACEPARENT) && !is_ours("tw") && !is_ours("ét-"));
    }
}
