//! A row as a JSON object, in the forms that [`super::decode`] reads.

use crate::profile::{Kind, Profile};
use crate::{FieldValue, Row, calendar};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Error, Serialize, SerializeMap, Serializer};

/// The named fields of a row, by name, in the profile's order.
///
/// A value out of reach of its form (a date after the year 9999), which a checked change never has, is an error.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    pub profile: &'a Profile,
    pub row: &'a Row,
}

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let mut object = json.serialize_map(Some(self.row.named().len()))?;
        for (position, value) in self.row.iter() {
            if let Some(field) = self.profile.fields().get(position) {
                object.serialize_entry(&*field.name, &FieldForm { kind: &field.kind, value })?;
            }
        }
        object.end()
    }
}

struct FieldForm<'a> {
    kind: &'a Kind,
    value: &'a FieldValue,
}

impl Serialize for FieldForm<'_> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let beyond = || S::Error::custom("the value has no JSON form");
        match (self.kind, self.value) {
            (Kind::Date, FieldValue::Int(days)) => json.serialize_str(&calendar::date_of(*days).ok_or_else(beyond)?),
            (Kind::TimestampMicros, FieldValue::Long(micros)) => {
                json.serialize_str(&calendar::time_of(*micros).ok_or_else(beyond)?)
            }
            (_, FieldValue::Bool(value)) => json.serialize_bool(*value),
            (_, FieldValue::Int(number)) => json.serialize_i32(*number),
            (_, FieldValue::Long(number)) => json.serialize_i64(*number),
            (_, FieldValue::Float(number)) if number.is_finite() => json.serialize_f32(*number),
            (_, FieldValue::Double(number)) if number.is_finite() => json.serialize_f64(*number),
            (_, FieldValue::Float(_) | FieldValue::Double(_)) => Err(beyond()),
            (_, FieldValue::Text(text)) => json.serialize_str(text),
            (_, FieldValue::Bytes(bytes)) => json.serialize_str(&STANDARD.encode(bytes)),
        }
    }
}
