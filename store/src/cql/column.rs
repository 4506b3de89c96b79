//! A profile's columns: how each kind of field is stored, byte for byte.

#[cfg(feature = "servers")]
mod driver;

use schemas::FieldValue;
use schemas::profile::{Kind, Profile};
use uuid::Uuid;

/// How the values of a column are encoded; each stands for exactly one CQL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Boolean,
    Int,
    BigInt,
    Float,
    Double,
    Text,
    Blob,
    /// Days since 1970-01-01 as an `i32`, shifted by 2^31 on the wire.
    Date,
    /// Hyphenated text with us, 16 bytes in the table.
    Uuid,
}

/// A value that is not of its column's encoding: a bug or a row of another profile. Says nothing of the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a value does not have its field's type")]
pub struct Mismatch;

impl Encoding {
    /// A timestamp is a `bigint` of microseconds: CQL's own `timestamp` has milliseconds and would lose digits.
    #[must_use]
    pub fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean,
            Kind::Int => Self::Int,
            Kind::Long | Kind::TimestampMicros => Self::BigInt,
            Kind::Float => Self::Float,
            Kind::Double => Self::Double,
            Kind::String | Kind::Enum(_) => Self::Text,
            Kind::Bytes => Self::Blob,
            Kind::Date => Self::Date,
            Kind::Uuid => Self::Uuid,
        }
    }

    /// The type's name in CQL and in `system_schema.columns`.
    #[must_use]
    pub fn cql(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::BigInt => "bigint",
            Self::Float => "float",
            Self::Double => "double",
            Self::Text => "text",
            Self::Blob => "blob",
            Self::Date => "date",
            Self::Uuid => "uuid",
        }
    }

    /// Hands the bytes of `value` to `put`; those Cassandra stores, and compares on a tie.
    ///
    /// # Errors
    /// If the value is not of this encoding's type.
    pub fn encode<R>(self, value: &FieldValue, put: impl FnOnce(&[u8]) -> R) -> Result<R, Mismatch> {
        Ok(match (self, value) {
            (Self::Boolean, FieldValue::Bool(v)) => put(&[u8::from(*v)]),
            (Self::Int, FieldValue::Int(v)) => put(&v.to_be_bytes()),
            (Self::BigInt, FieldValue::Long(v)) => put(&v.to_be_bytes()),
            (Self::Float, FieldValue::Float(v)) => put(&v.to_be_bytes()),
            (Self::Double, FieldValue::Double(v)) => put(&v.to_be_bytes()),
            (Self::Text, FieldValue::Text(v)) => put(v.as_bytes()),
            (Self::Blob, FieldValue::Bytes(v)) => put(v),
            (Self::Date, FieldValue::Int(days)) => put(&shifted(*days).to_be_bytes()),
            (Self::Uuid, FieldValue::Text(v)) => put(Uuid::try_parse(v).map_err(|_| Mismatch)?.as_bytes()),
            _ => return Err(Mismatch),
        })
    }

    /// The value that [`Self::encode`] made these bytes of; `None` if it cannot have made them.
    #[must_use]
    pub fn read(self, bytes: &[u8]) -> Option<FieldValue> {
        Some(match self {
            Self::Boolean => match bytes {
                [0] => FieldValue::Bool(false),
                [1] => FieldValue::Bool(true),
                _ => return None,
            },
            Self::Int => FieldValue::Int(i32::from_be_bytes(bytes.try_into().ok()?)),
            Self::BigInt => FieldValue::Long(i64::from_be_bytes(bytes.try_into().ok()?)),
            Self::Float => FieldValue::Float(f32::from_be_bytes(bytes.try_into().ok()?)),
            Self::Double => FieldValue::Double(f64::from_be_bytes(bytes.try_into().ok()?)),
            Self::Text => FieldValue::Text(std::str::from_utf8(bytes).ok()?.to_owned()),
            Self::Blob => FieldValue::Bytes(bytes.to_vec()),
            Self::Date => FieldValue::Int(unshifted(u32::from_be_bytes(bytes.try_into().ok()?))),
            Self::Uuid => FieldValue::Text(Uuid::from_slice(bytes).ok()?.hyphenated().to_string()),
        })
    }

    /// The shortest value a column of this type takes.
    #[must_use]
    pub fn shortest(self) -> FieldValue {
        match self {
            Self::Boolean => FieldValue::Bool(false),
            Self::Int | Self::Date => FieldValue::Int(0),
            Self::BigInt => FieldValue::Long(0),
            Self::Float => FieldValue::Float(0.0),
            Self::Double => FieldValue::Double(0.0),
            Self::Text => FieldValue::Text(String::new()),
            Self::Blob => FieldValue::Bytes(Vec::new()),
            Self::Uuid => FieldValue::Text(Uuid::nil().hyphenated().to_string()),
        }
    }
}

/// CQL counts days from 2^31 before 1970-01-01, unsigned.
fn shifted(days: i32) -> u32 {
    days.cast_unsigned() ^ (1 << 31)
}

fn unshifted(days: u32) -> i32 {
    (days ^ (1 << 31)).cast_signed()
}

/// One column that a field of the profile lives in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: Box<str>,
    pub encoding: Encoding,
}

/// The profile's columns by field position.
#[derive(Clone, Debug)]
pub struct Columns(Box<[Column]>);

impl Columns {
    /// Of all fields of `profile`, in its order.
    #[must_use]
    pub fn of(profile: &Profile) -> Self {
        let columns = profile
            .fields()
            .iter()
            .map(|field| Column { name: field.name.clone(), encoding: Encoding::of(&field.kind) });
        Self(columns.collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Column> {
        self.0.iter()
    }

    /// How the field at a position is stored; `None` if there is no such field.
    #[must_use]
    pub fn encoding(&self, field: usize) -> Option<Encoding> {
        self.0.get(field).map(|column| column.encoding)
    }

    /// The position of the field of a name.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| &*column.name == name)
    }
}

#[cfg(test)]
impl<const N: usize> From<[(&str, Encoding); N]> for Columns {
    fn from(columns: [(&str, Encoding); N]) -> Self {
        Self(columns.into_iter().map(|(name, encoding)| Column { name: name.into(), encoding }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_stored_shifted_so_that_bytes_sort_as_days() {
        let bytes = |days| Encoding::Date.encode(&FieldValue::Int(days), <[u8]>::to_vec).unwrap();
        assert_eq!(bytes(0), [0x80, 0, 0, 0]);
        assert_eq!(bytes(-1), [0x7f, 0xff, 0xff, 0xff]);
        for days in [i32::MIN, -719_162, -1, 0, 1, 20_000, i32::MAX] {
            assert_eq!(unshifted(shifted(days)), days);
            let next = days.saturating_add(1);
            assert!(bytes(days) <= bytes(next));
        }
    }

    #[test]
    fn a_value_of_another_type_is_refused_before_it_is_sent() {
        let wrong = [
            (Encoding::Boolean, FieldValue::Int(1)),
            (Encoding::Int, FieldValue::Long(1)),
            (Encoding::Date, FieldValue::Text("2026-01-01".into())),
            (Encoding::Uuid, FieldValue::Text("not a uuid".into())),
        ];
        for (encoding, value) in wrong {
            assert_eq!(encoding.encode(&value, |_| ()), Err(Mismatch), "{encoding:?}");
        }
    }

    #[test]
    fn the_shortest_value_is_legal_for_its_column() {
        let all = [
            Encoding::Boolean,
            Encoding::Int,
            Encoding::BigInt,
            Encoding::Float,
            Encoding::Double,
            Encoding::Text,
            Encoding::Blob,
            Encoding::Date,
            Encoding::Uuid,
        ];
        for encoding in all {
            let bytes = encoding.encode(&encoding.shortest(), <[u8]>::to_vec).unwrap();
            assert_eq!(encoding.read(&bytes), Some(encoding.shortest()), "{encoding:?}");
        }
    }
}
