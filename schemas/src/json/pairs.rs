//! A flat object as what stood in it: rows of old tables come like this, their columns any names.

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use std::fmt;

/// Names and values of one object in their order, names that stand twice among them; `None` for anything else than one
/// object with nothing behind it but white space.
#[must_use]
pub fn pairs(bytes: &[u8]) -> Option<Vec<(String, Value)>> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let pairs = json.deserialize_map(PairsVisitor).ok()?;
    json.end().ok().map(|()| pairs)
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = map.next_entry()? {
            pairs.push(pair);
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_stands_in_an_object_is_lost() {
        let found = pairs(br#" {"b": 1, "a": [null], "b": "x"} "#).unwrap();
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["b", "a", "b"]);
        assert_eq!(found[2].1, "x");
    }

    #[test]
    fn only_one_whole_object_is_one() {
        let nested = "[".repeat(100_000);
        for other in ["", "1", "[]", "null", "{", "{}{}", r#"{"a":}"#, "{\"a\":\"\u{1}\"}", &nested] {
            assert_eq!(pairs(other.as_bytes()), None, "{other:.9}");
        }
        assert_eq!(pairs(b"{\"a\":\"\xff\"}"), None);
    }
}
