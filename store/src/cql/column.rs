//! A profile's columns: how each kind of field is stored, byte for byte.

use schemas::profile::{Kind, Profile};
use schemas::{FieldValue, Row};
use scylla::cluster::metadata::NativeType;
use scylla::value::{CqlDate, CqlValue};
use uuid::Uuid;

/// How the values of a column are encoded; each stands for exactly one CQL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
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
pub(super) struct Mismatch;

impl Encoding {
    /// A timestamp is a `bigint` of microseconds: CQL's own `timestamp` has milliseconds and would lose digits.
    pub(super) fn of(kind: &Kind) -> Self {
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
    pub(super) fn cql(self) -> &'static str {
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

    /// The type as the driver reports it of a prepared statement.
    pub(super) fn native(self) -> NativeType {
        match self {
            Self::Boolean => NativeType::Boolean,
            Self::Int => NativeType::Int,
            Self::BigInt => NativeType::BigInt,
            Self::Float => NativeType::Float,
            Self::Double => NativeType::Double,
            Self::Text => NativeType::Text,
            Self::Blob => NativeType::Blob,
            Self::Date => NativeType::Date,
            Self::Uuid => NativeType::Uuid,
        }
    }

    /// Hands the bytes of `value` to `put`; those Cassandra stores, and compares on a tie.
    pub(super) fn encode<R>(self, value: &FieldValue, put: impl FnOnce(&[u8]) -> R) -> Result<R, Mismatch> {
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

    /// A value as read back; `None` if the driver decoded another type than ours.
    pub(super) fn decode(self, value: CqlValue) -> Option<FieldValue> {
        Some(match (self, value) {
            (Self::Boolean, CqlValue::Boolean(v)) => FieldValue::Bool(v),
            (Self::Int, CqlValue::Int(v)) => FieldValue::Int(v),
            (Self::BigInt, CqlValue::BigInt(v)) => FieldValue::Long(v),
            (Self::Float, CqlValue::Float(v)) => FieldValue::Float(v),
            (Self::Double, CqlValue::Double(v)) => FieldValue::Double(v),
            (Self::Text, CqlValue::Text(v)) => FieldValue::Text(v),
            (Self::Blob, CqlValue::Blob(v)) => FieldValue::Bytes(v),
            (Self::Date, CqlValue::Date(CqlDate(v))) => FieldValue::Int(unshifted(v)),
            (Self::Uuid, CqlValue::Uuid(v)) => FieldValue::Text(v.hyphenated().to_string()),
            _ => return None,
        })
    }

    /// The shortest value a column of this type takes.
    pub(super) fn shortest(self) -> FieldValue {
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
pub(super) struct Column {
    pub(super) name: Box<str>,
    pub(super) encoding: Encoding,
}

/// The profile's columns by field position.
#[derive(Clone, Debug)]
pub(super) struct Columns(Box<[Column]>);

impl Columns {
    pub(super) fn of(profile: &Profile) -> Self {
        let columns = profile
            .fields()
            .iter()
            .map(|field| Column { name: field.name.clone(), encoding: Encoding::of(&field.kind) });
        Self(columns.collect())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Column> {
        self.0.iter()
    }

    pub(super) fn encoding(&self, field: usize) -> Option<Encoding> {
        self.0.get(field).map(|column| column.encoding)
    }

    pub(super) fn position(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| &*column.name == name)
    }

    /// The fields of a row as read, in the order of the columns; takes so many cells and no more.
    pub(super) fn decode(&self, cells: &mut impl Iterator<Item = Option<CqlValue>>) -> Option<Row> {
        let mut row = Row::with_width(self.0.len());
        for (field, column) in self.0.iter().enumerate() {
            if let Some(value) = cells.next()? {
                row.set(field, column.encoding.decode(value)?);
            }
        }
        Some(row)
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
            assert!(encoding.encode(&encoding.shortest(), |_| ()).is_ok(), "{encoding:?}");
        }
    }
}
