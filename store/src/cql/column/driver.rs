//! The same types as the driver knows them.

use super::{Columns, Encoding, unshifted};
use schemas::{FieldValue, Row};
use scylla::cluster::metadata::NativeType;
use scylla::value::{CqlDate, CqlValue};

impl Encoding {
    /// The type as the driver reports it of a prepared statement.
    pub(in crate::cql) fn native(self) -> NativeType {
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

    /// A value as read back; `None` if the driver decoded another type than ours.
    pub(in crate::cql) fn decode(self, value: CqlValue) -> Option<FieldValue> {
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
}

impl Columns {
    /// The fields of a row as read, in the order of the columns; takes so many cells and no more.
    pub(in crate::cql) fn decode(&self, cells: &mut impl Iterator<Item = Option<CqlValue>>) -> Option<Row> {
        let mut row = Row::with_width(self.0.len());
        for (field, column) in self.0.iter().enumerate() {
            if let Some(value) = cells.next()? {
                row.set(field, column.encoding.decode(value)?);
            }
        }
        Some(row)
    }
}
