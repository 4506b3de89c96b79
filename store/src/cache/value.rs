//! A cached profile as bytes: `V<version:16><partition:5><offset:19><JSON of the non-null fields>`.

use schemas::Version;

/// One entry that answers readers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'a> {
    /// Of the newest change in it.
    pub version: Version,
    /// Partition and offset in the raw topic of the newest change that came from there.
    pub receipt: Option<(i32, i64)>,
    /// A JSON object of the non-null fields, or empty: there is no such user.
    pub payload: &'a str,
}

const TAG: u8 = b'V';
const VERSION_DIGITS: usize = 16;
const PARTITION_DIGITS: usize = 5;
const OFFSET_DIGITS: usize = 19;
/// Stands for "no raw offset"; no topic has so many partitions.
const NO_PARTITION: i64 = 99_999;

impl<'a> Value<'a> {
    /// `None` if a number does not fit its digits: versions after the year 2286, partitions from 99999 on.
    #[must_use]
    pub fn encode(&self) -> Option<Vec<u8>> {
        let version = self.version.get();
        let (partition, offset) =
            self.receipt.map_or((NO_PARTITION, 0), |(partition, offset)| (partition.into(), offset));
        let fits = version < 10_i64.pow(16)
            && offset >= 0
            && match self.receipt {
                Some(_) => (0..NO_PARTITION).contains(&partition),
                None => true,
            };
        fits.then(|| format!("V{version:016}{partition:05}{offset:019}{}", self.payload).into_bytes())
    }

    /// `None` for anything that [`Value::encode`] cannot have made: garbage is never an answer.
    #[must_use]
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        let (version, rest) = number(rest, VERSION_DIGITS)?;
        let (partition, rest) = number(rest, PARTITION_DIGITS)?;
        let (offset, rest) = number(rest, OFFSET_DIGITS)?;
        let payload = std::str::from_utf8(rest).ok()?;
        let is_object = payload.starts_with('{') && payload.ends_with('}');
        if *tag != TAG || !(payload.is_empty() || is_object) || (partition == NO_PARTITION && offset != 0) {
            return None;
        }
        let receipt = if partition == NO_PARTITION { None } else { Some((i32::try_from(partition).ok()?, offset)) };
        Some(Self { version: Version::new(version)?, receipt, payload })
    }
}

/// Shows the version alone: the payload is user data.
impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Exactly `digits` decimal digits, no sign.
fn number(bytes: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = bytes.split_at_checked(digits)?;
    if !head.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(head).ok()?.parse().ok()?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value(version: i64, receipt: Option<(i32, i64)>, payload: &str) -> Value<'_> {
        Value { version: Version::new(version).unwrap(), receipt, payload }
    }

    #[test]
    fn the_bytes_are_the_ones_readers_of_the_cache_expect() {
        let entry = value(1_795_331_234_567_892, Some((7, 42)), r#"{"plan":"pro"}"#);
        let bytes = entry.encode().unwrap();
        assert_eq!(bytes, br#"V1795331234567892000070000000000000000042{"plan":"pro"}"#);
        let nobody = value(8, None, "").encode().unwrap();
        assert_eq!(nobody, b"V0000000000000008999990000000000000000000");
    }

    #[test]
    fn garbage_is_never_an_answer() {
        let good = value(8, Some((7, 42)), "{}").encode().unwrap();
        assert!(Value::parse(&good).is_some());
        let spoiled: &[&[u8]] = &[
            b"",
            b"V",
            &good[..40],
            b"L0000000000000008000070000000000000000042{}",
            b"V+000000000000008000070000000000000000042{}",
            b"V000000000000000900007000000000000000004 {}",
            b"V0000000000000009000070000000000000000042{}",
            b"V0000000000000000000070000000000000000042{}",
            b"V0000000000000008000079999999999999999999{}",
            b"V0000000000000008999990000000000000000001{}",
            b"V0000000000000008000070000000000000000042[]",
            b"V0000000000000008000070000000000000000042\xff",
        ];
        for bytes in spoiled {
            assert_eq!(Value::parse(bytes), None, "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn numbers_that_do_not_fit_are_not_encoded() {
        assert_eq!(value(10_i64.pow(16), None, "").encode(), None);
        assert_eq!(value(8, Some((99_999, 1)), "").encode(), None);
        assert_eq!(value(8, Some((-1, 1)), "").encode(), None);
        assert_eq!(value(8, Some((0, -1)), "").encode(), None);
    }

    proptest! {
        #[test]
        fn what_is_encoded_parses_to_itself(
            version in 1..10_i64.pow(16) / 2,
            receipt in proptest::option::of((0..99_999, 0..=i64::MAX)),
            payload in prop_oneof![Just(String::new()), "\\{.{0,20}\\}"],
        ) {
            let entry = value(version * 2, receipt, &payload);
            let bytes = entry.encode().unwrap();
            prop_assert_eq!(Value::parse(&bytes), Some(entry));
        }

        #[test]
        fn what_parses_is_exactly_what_its_value_encodes_to(bytes in "V[0-9]{39,41}(\\{\\})?") {
            if let Some(entry) = Value::parse(bytes.as_bytes()) {
                prop_assert_eq!(entry.encode().unwrap(), bytes.into_bytes());
            }
        }
    }
}
