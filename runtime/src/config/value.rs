//! The kinds of values an option can have, each with one way to write it.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A kind of value: how it is written, and how it is printed so that reading it again gives the same value.
pub trait Value: Clone {
    /// What may be written, to follow "must be": `a duration, a number and a unit: "250ms"`.
    fn expected() -> String;
    /// The bounds that the type itself has, for an option that sets none.
    fn range() -> Option<String> {
        None
    }
    /// From the environment; `None` if `text` is no such value.
    fn from_text(text: &str) -> Option<Self>;
    /// From the file; `None` if `value` is no such value.
    fn from_toml(value: &toml::Value) -> Option<Self> {
        value.as_str().and_then(Self::from_text)
    }
    /// As the file would have it.
    fn to_toml(&self) -> toml::Value;
    /// Stands in for a value that is missing or wrong until all problems are told; never used.
    fn stand_in() -> Self;
}

/// Text that is not empty.
impl Value for String {
    fn expected() -> String {
        "text that is not empty".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| text.to_owned())
    }
    fn to_toml(&self) -> toml::Value {
        self.as_str().into()
    }
    fn stand_in() -> Self {
        Self::new()
    }
}

/// A list of texts, none of them empty; in the environment separated by commas.
impl Value for Vec<String> {
    fn expected() -> String {
        "a list of texts: [\"a\", \"b\"], in the environment a,b".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.split(',').map(|part| String::from_text(part.trim())).collect()
    }
    fn from_toml(value: &toml::Value) -> Option<Self> {
        value.as_array()?.iter().map(String::from_toml).collect()
    }
    fn to_toml(&self) -> toml::Value {
        self.iter().map(String::to_toml).collect::<Vec<_>>().into()
    }
    fn stand_in() -> Self {
        Self::new()
    }
}

impl Value for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn from_toml(value: &toml::Value) -> Option<Self> {
        value.as_bool()
    }
    fn to_toml(&self) -> toml::Value {
        (*self).into()
    }
    fn stand_in() -> Self {
        false
    }
}

impl Value for PathBuf {
    fn expected() -> String {
        "a path".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self::from(text))
    }
    fn to_toml(&self) -> toml::Value {
        self.to_string_lossy().as_ref().into()
    }
    fn stand_in() -> Self {
        Self::new()
    }
}

impl Value for SocketAddr {
    fn expected() -> String {
        "an address and a port: \"127.0.0.1:7103\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn to_toml(&self) -> toml::Value {
        self.to_string().into()
    }
    fn stand_in() -> Self {
        Self::from(([127, 0, 0, 1], 0))
    }
}

/// A point in time, in the file also as TOML's own offset date-time. Finer than a nanosecond is cut.
impl Value for jiff::Timestamp {
    fn expected() -> String {
        "a time as RFC 3339 has it, with its offset: \"2026-01-31T00:00:00Z\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        // jiff also takes what RFC 9557 adds (a zone in brackets); RFC 3339 ends at the offset.
        (!text.contains('[')).then(|| text.parse().ok()).flatten()
    }
    fn from_toml(value: &toml::Value) -> Option<Self> {
        match value.as_datetime() {
            Some(datetime) => Self::from_text(&datetime.to_string()),
            None => value.as_str().and_then(Self::from_text),
        }
    }
    fn to_toml(&self) -> toml::Value {
        self.to_string().into()
    }
    fn stand_in() -> Self {
        Self::UNIX_EPOCH
    }
}

/// Whole microseconds at the finest; printed in the largest unit that leaves no rest.
impl Value for Duration {
    fn expected() -> String {
        "a duration, a whole number and one of the units us, ms, s, m, h, d: \"250ms\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text, &DURATION_UNITS)?;
        number.checked_mul(unit).map(Self::from_micros)
    }
    fn to_toml(&self) -> toml::Value {
        join_unit(u64::try_from(self.as_micros()).unwrap_or(u64::MAX), &DURATION_UNITS).into()
    }
    fn stand_in() -> Self {
        Self::ZERO
    }
}

const DURATION_UNITS: [(&str, u64); 6] =
    [("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1_000), ("us", 1)];

/// A number of bytes, written with its unit: `16MiB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(u64);

const SIZE_UNITS: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl ByteSize {
    #[must_use]
    pub const fn bytes(count: u64) -> Self {
        Self(count)
    }

    /// `count` × 1,024 bytes, at most what a `u64` holds.
    #[must_use]
    pub const fn kib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 10))
    }

    /// `count` × 1,048,576 bytes, at most what a `u64` holds.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes, at most what this machine can address.
    #[must_use]
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join_unit(self.0, &SIZE_UNITS))
    }
}

impl Value for ByteSize {
    fn expected() -> String {
        "a size, a whole number and one of the units B, KiB, MiB, GiB: \"16MiB\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        let (number, unit) = split_unit(text, &SIZE_UNITS)?;
        number.checked_mul(unit).map(Self)
    }
    fn to_toml(&self) -> toml::Value {
        self.to_string().into()
    }
    fn stand_in() -> Self {
        Self(0)
    }
}

/// `"16MiB"` as 16 and the unit's worth. No sign, no fraction, no space: one way to write a value.
fn split_unit(text: &str, units: &[(&str, u64)]) -> Option<(u64, u64)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, worth) = units.iter().find(|(name, _)| *name == unit)?;
    Some((number.parse().ok()?, *worth))
}

fn join_unit(amount: u64, units: &[(&str, u64)]) -> String {
    let (name, worth) =
        units.iter().find(|(_, worth)| amount.is_multiple_of(*worth) && amount >= *worth).unwrap_or(&("", 1));
    match units.last() {
        Some((smallest, _)) if amount == 0 => format!("0{smallest}"),
        _ => format!("{}{name}", amount / worth),
    }
}

/// A whole number that counts things: never negative, whatever integer holds it.
pub trait Count: Value + PartialOrd {}

macro_rules! counts {
    ($($integer:ty)*) => {$(
        impl Count for $integer {}

        impl Value for $integer {
            fn expected() -> String {
                "a whole number".to_owned()
            }
            fn range() -> Option<String> {
                Some(format!("from 0 to {}", i64::try_from(<$integer>::MAX).unwrap_or(i64::MAX)))
            }
            fn from_text(text: &str) -> Option<Self> {
                Self::from_toml(&toml::Value::Integer(text.parse().ok()?))
            }
            fn from_toml(value: &toml::Value) -> Option<Self> {
                value.as_integer().filter(|number| *number >= 0)?.try_into().ok()
            }
            fn to_toml(&self) -> toml::Value {
                i64::try_from(*self).unwrap_or(i64::MAX).into()
            }
            fn stand_in() -> Self {
                0
            }
        }
    )*};
}

counts!(u16 u32 u64 usize i32);

/// One of a few words.
pub trait Choice: Copy + PartialEq + Default + 'static {
    /// Every word that may be written, and what it means.
    const WORDS: &'static [(&'static str, Self)];
}

/// How an option is read and printed: a [`Value`]'s way, or a [`Choice`]'s.
pub(super) struct Kind<T> {
    pub(super) expected: String,
    pub(super) range: Option<String>,
    pub(super) from_text: fn(&str) -> Option<T>,
    pub(super) from_toml: fn(&toml::Value) -> Option<T>,
    pub(super) to_toml: fn(&T) -> toml::Value,
    pub(super) stand_in: fn() -> T,
}

impl<T: Value> Kind<T> {
    pub(super) fn of_value() -> Self {
        Self {
            expected: T::expected(),
            range: T::range(),
            from_text: T::from_text,
            from_toml: T::from_toml,
            to_toml: T::to_toml,
            stand_in: T::stand_in,
        }
    }
}

impl<T: Choice> Kind<T> {
    pub(super) fn of_choice() -> Self {
        let words: Vec<String> = T::WORDS.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        Self {
            expected: format!("one of {}", words.join(", ")),
            range: None,
            from_text: choice_from,
            from_toml: |value| value.as_str().and_then(choice_from),
            to_toml: |choice| word_of(*choice).into(),
            stand_in: T::default,
        }
    }
}

fn choice_from<T: Choice>(text: &str) -> Option<T> {
    T::WORDS.iter().find(|(word, _)| *word == text).map(|(_, choice)| *choice)
}

/// The word for `choice`; empty if its author left it out of [`Choice::WORDS`].
fn word_of<T: Choice>(choice: T) -> &'static str {
    T::WORDS.iter().find(|(_, value)| *value == choice).map_or("", |(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn prints_what_it_reads<V: Value + PartialEq + fmt::Debug>(value: &V) {
        assert_eq!(V::from_toml(&value.to_toml()).as_ref(), Some(value));
    }

    proptest! {
        #[test]
        fn a_printed_duration_reads_as_itself(micros in 0..=u64::MAX) {
            prints_what_it_reads(&Duration::from_micros(micros));
        }

        #[test]
        fn a_printed_size_reads_as_itself(bytes in 0..=u64::MAX) {
            prints_what_it_reads(&ByteSize::bytes(bytes));
        }

        #[test]
        fn a_printed_time_reads_as_itself(second in -377_705_023_201_i64..=253_402_207_200) {
            prints_what_it_reads(&jiff::Timestamp::from_second(second).unwrap());
        }

        #[test]
        fn no_text_makes_a_value_panic(text in ".*") {
            let _: Option<Duration> = Value::from_text(&text);
            let _: Option<ByteSize> = Value::from_text(&text);
            let _: Option<jiff::Timestamp> = Value::from_text(&text);
            let _: Option<SocketAddr> = Value::from_text(&text);
            let _: Option<u16> = Value::from_text(&text);
        }
    }

    #[test]
    fn a_duration_needs_its_unit() {
        assert_eq!(Duration::from_text("250ms"), Some(Duration::from_millis(250)));
        for wrong in ["3", "s", "", "3 s", "-3s", "1.5s", "3S", "99999999999999999999s", "18446744073709551615d"] {
            assert_eq!(Duration::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_size_needs_its_unit_in_powers_of_two() {
        assert_eq!(ByteSize::from_text("16MiB"), Some(ByteSize::mib(16)));
        for wrong in ["16", "16MB", "16 MiB", "16mib", "-1B"] {
            assert_eq!(ByteSize::from_text(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_value_prints_in_its_largest_whole_unit() {
        assert_eq!(ByteSize::kib(3072).to_string(), "3MiB");
        assert_eq!(ByteSize::kib(1).to_string(), "1KiB");
        assert_eq!(ByteSize::bytes(1025).to_string(), "1025B");
        assert_eq!(Duration::from_secs(90).to_toml().as_str(), Some("90s"));
        assert_eq!(Duration::ZERO.to_toml().as_str(), Some("0us"));
    }

    #[test]
    fn a_count_is_never_negative_and_fits_its_integer() {
        assert_eq!(i32::from_toml(&toml::Value::Integer(12)), Some(12));
        assert_eq!(i32::from_toml(&toml::Value::Integer(-1)), None);
        assert_eq!(u16::from_toml(&toml::Value::Integer(65_536)), None);
        assert_eq!(u16::from_toml(&toml::Value::from("12")), None, "the file has integers for numbers");
        assert_eq!(u16::from_text("12"), Some(12));
    }

    #[test]
    fn a_time_needs_its_offset() {
        assert!(jiff::Timestamp::from_text("2026-01-31T00:00:00Z").is_some());
        assert!(jiff::Timestamp::from_text("2026-01-31T00:00:00+01:00").is_some());
        for wrong in ["2026-01-31", "2026-01-31T00:00:00", "2026-01-31T00:00:00[Europe/Paris]", "yesterday"] {
            assert_eq!(jiff::Timestamp::from_text(wrong), None, "{wrong}");
        }
    }
}
