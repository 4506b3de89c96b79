//! What Redis hands back under a user's key, whoever wrote it.

use crate::engine::Target;
use schemas::Version;
use store::cache::Value;
use tests::history::Random;

/// Entries of the cache.
pub(crate) struct Cache;

impl Target for Cache {
    const NAME: &'static str = "cache";
    const MEMORY: (u64, u64) = (1 << 14, 8);

    fn fresh(&self, random: &mut Random) -> Vec<u8> {
        let version = Version::new(8 + i64::try_from(random.number() >> 12).unwrap() * 2).unwrap();
        let receipt = (random.below(3) > 0).then(|| (i32::try_from(random.below(99_999)).unwrap(), 42));
        let payload = ["", "{}", r#"{"name":"Ada"}"#, "{\u{e9}}"][random.below(4)];
        Value { version, receipt, payload }.encode().unwrap_or_else(|| b"L17000000000000123456789abcdef".to_vec())
    }

    fn words(&self) -> Vec<&[u8]> {
        let words = [
            "V",
            "L",
            "{",
            "}",
            "{}",
            "99999",
            "99998",
            "9223372036854775807",
            "9999999999999999",
            "0",
            "+1",
            "-1",
            " ",
        ];
        words.iter().map(|word| word.as_bytes()).collect()
    }

    fn run(&self, input: &[u8]) -> String {
        let Some(value) = Value::parse(input) else {
            let tag = input.first().map(|byte| char::from(*byte)).filter(|tag| "VL".contains(*tag));
            return format!("no answer {tag:?} {}", input.len().min(42));
        };
        assert_eq!(value.encode().as_deref(), Some(input), "garbage that looks like a value");
        assert!(value.payload.is_empty() || !format!("{value:?}").contains(value.payload), "a print shows the user");
        format!("value {} {}", value.receipt.is_some(), value.payload.is_empty())
    }
}
