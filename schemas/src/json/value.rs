//! One value of a change: from JSON to the kind that its field has.

use super::blame::Blame;
use crate::profile::Kind;
use crate::reject::RejectCode;
use crate::{FieldValue, calendar};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};
use std::fmt;

/// Reads a value of `kind`; `None` for null.
pub(super) struct ValueSeed<'a> {
    pub(super) kind: &'a Kind,
    pub(super) blame: &'a Blame<'a>,
}

impl<'de> DeserializeSeed<'de> for ValueSeed<'_> {
    type Value = Option<FieldValue>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed<'_> {
    type Value = Option<FieldValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of kind {:?}", self.kind)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        if *self.kind == Kind::Boolean {
            return Ok(Some(FieldValue::Bool(value)));
        }
        Err(E::invalid_type(Unexpected::Bool(value), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        let value = match self.kind {
            Kind::Int => i32::try_from(number).ok().map(FieldValue::Int),
            Kind::Long => Some(FieldValue::Long(number)),
            Kind::Float | Kind::Double => real(self.kind, number as f64),
            Kind::Boolean | Kind::String | Kind::Enum(_) | Kind::Bytes => None,
            Kind::Date | Kind::TimestampMicros | Kind::Uuid => None,
        };
        value.map(Some).ok_or_else(|| E::invalid_type(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => self.visit_f64(number as f64),
        }
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        real(self.kind, number).map(Some).ok_or_else(|| E::invalid_type(Unexpected::Float(number), &self))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        self.visit_string(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<Self::Value, E> {
        let malformed = || self.blame.refuse(RejectCode::FormatInvalid);
        let value = match self.kind {
            // Whether it is a UUID is checked with the rules, as it is for a change in Avro.
            Kind::String | Kind::Uuid => FieldValue::Text(text),
            Kind::Enum(symbols) if symbols.iter().any(|symbol| **symbol == *text) => FieldValue::Text(text),
            Kind::Date => FieldValue::Int(calendar::days_of(&text).ok_or_else(malformed)?),
            Kind::TimestampMicros => FieldValue::Long(calendar::micros_of(&text).ok_or_else(malformed)?),
            Kind::Bytes => FieldValue::Bytes(STANDARD.decode(&text).map_err(|_| malformed())?),
            Kind::Enum(_) | Kind::Boolean | Kind::Int | Kind::Long | Kind::Float | Kind::Double => {
                return Err(self.blame.refuse(RejectCode::FieldType));
            }
        };
        Ok(Some(value))
    }

    fn visit_map<M: MapAccess<'de>>(self, _: M) -> Result<Self::Value, M::Error> {
        Err(self.blame.refuse(RejectCode::TooDeep))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, _: S) -> Result<Self::Value, S::Error> {
        Err(self.blame.refuse(RejectCode::TooDeep))
    }
}

/// The number as a float or double; `None` for other kinds, and for what a float cannot hold.
fn real(kind: &Kind, number: f64) -> Option<FieldValue> {
    match kind {
        Kind::Double => Some(FieldValue::Double(number)),
        Kind::Float => {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "rounding to the nearest float is what a float field means"
            )]
            let number = number as f32;
            number.is_finite().then_some(FieldValue::Float(number))
        }
        Kind::Boolean | Kind::Int | Kind::Long | Kind::String | Kind::Enum(_) | Kind::Bytes => None,
        Kind::Date | Kind::TimestampMicros | Kind::Uuid => None,
    }
}
