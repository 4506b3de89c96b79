//! JSON read so that it can be read in one way only: a name that stands twice in an object is refused, at any depth.
//!
//! Two readers of one token may each take another of the two values (RFC 8725, 2.4 and 3.3; RFC 8259, 4).

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// Why a text is no object for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    NoObject,
    Duplicate,
}

/// The object that `bytes` are, all of them.
pub(super) fn object(bytes: &[u8]) -> Result<Map<String, Value>, Flaw> {
    match serde_json::from_slice(bytes) {
        Ok(Strict(Value::Object(object))) => Ok(object),
        Ok(Strict(_)) => Err(Flaw::NoObject),
        // Any value is welcome as such: the only fault of data there is, is ours below.
        Err(error) if error.is_data() => Err(Flaw::Duplicate),
        Err(_) => Err(Flaw::NoObject),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Any).map(Self)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(flag.into())
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value, E> {
        Ok(number.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            let Strict(value) = members.next_value()?;
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a name stands twice"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,3.5,true,null,"\u00e9",{"b":{}}],"c":18446744073709551615}"#;
        assert_eq!(object(text.as_bytes()).map(Value::Object), Ok(serde_json::from_str::<Value>(text).unwrap()));
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_at_any_depth_and_however_it_is_escaped() {
        for text in [r#"{"a":1,"a":1}"#, r#"{"b":[{"a":1,"a":2}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert_eq!(object(text.as_bytes()), Err(Flaw::Duplicate), "{text}");
        }
        assert!(object(br#"{"a":{"a":1},"b":{"a":1}}"#).is_ok(), "in two objects it is two names");
    }

    #[test]
    fn only_a_whole_object_is_one() {
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(200), "]".repeat(200));
        for text in ["", "[]", "1", r#"{"a":1}x"#, r#"{"a":1"#, "{\"a\":\"\u{1}\"}", r#"{a:1}"#, &deep] {
            assert_eq!(object(text.as_bytes()), Err(Flaw::NoObject), "{text}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(Flaw::NoObject));
    }
}
