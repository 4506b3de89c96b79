//! From a writer's type to a field of ours: Avro's schema resolution, decided before the first record.

use super::wire::{Input, Malformed};
use crate::{FieldValue, Kind};
use apache_avro::Schema;
use apache_avro::schema::UuidSchema;
use uuid::Uuid;

/// How to read one value that is not null. Where the types differ, the name says from what to what.
#[derive(Debug)]
pub(super) enum Conversion {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Text,
    Bytes,
    Uuid,
    /// By the writer's position: the symbol, if we have it.
    Symbol(Box<[Option<Box<str>>]>),
    IntToLong,
    IntToFloat,
    IntToDouble,
    LongToFloat,
    LongToDouble,
    FloatToDouble,
    BytesToText,
    TextToBytes,
}

/// A value that could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    Malformed(Malformed),
    /// A symbol of the writer's that we do not have.
    UnknownSymbol,
}

impl From<Malformed> for Missed {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl Conversion {
    /// `None` if `ours` cannot be read from what `writer` writes.
    ///
    /// A logical type of the writer's must be ours: the same number in other units is another value.
    pub(super) fn between(writer: &Schema, ours: &Kind) -> Option<Self> {
        Some(match (writer, ours) {
            (Schema::Boolean, Kind::Boolean) => Self::Boolean,
            (Schema::Int, Kind::Int) | (Schema::Int | Schema::Date, Kind::Date) => Self::Int,
            (Schema::Long, Kind::Long) | (Schema::Long | Schema::TimestampMicros, Kind::TimestampMicros) => Self::Long,
            (Schema::Float, Kind::Float) => Self::Float,
            (Schema::Double, Kind::Double) => Self::Double,
            (Schema::String, Kind::String) => Self::Text,
            (Schema::Bytes, Kind::Bytes) => Self::Bytes,
            (Schema::String | Schema::Uuid(UuidSchema::String), Kind::Uuid) => Self::Uuid,
            (Schema::Enum(writer), Kind::Enum(ours)) => Self::Symbol(
                writer.symbols.iter().map(|symbol| ours.iter().find(|ours| ***ours == **symbol).cloned()).collect(),
            ),
            (Schema::Int, Kind::Long) => Self::IntToLong,
            (Schema::Int, Kind::Float) => Self::IntToFloat,
            (Schema::Int, Kind::Double) => Self::IntToDouble,
            (Schema::Long, Kind::Float) => Self::LongToFloat,
            (Schema::Long, Kind::Double) => Self::LongToDouble,
            (Schema::Float, Kind::Double) => Self::FloatToDouble,
            (Schema::Bytes, Kind::String) => Self::BytesToText,
            (Schema::String, Kind::Bytes) => Self::TextToBytes,
            _ => return None,
        })
    }

    /// Takes one value off `input`.
    #[inline]
    pub(super) fn read(&self, input: &mut Input<'_>) -> Result<FieldValue, Missed> {
        Ok(match self {
            Self::Boolean => FieldValue::Bool(input.boolean()?),
            Self::Int => FieldValue::Int(input.int()?),
            Self::Long => FieldValue::Long(input.long()?),
            Self::Float => FieldValue::Float(input.float()?),
            Self::Double => FieldValue::Double(input.double()?),
            Self::Text | Self::BytesToText => FieldValue::Text(input.text()?.to_owned()),
            Self::Bytes => FieldValue::Bytes(input.bytes()?.to_vec()),
            Self::Uuid => FieldValue::Text(uuid_text(input.uuid()?)),
            Self::Symbol(symbols) => {
                let symbol = symbols.get(input.position(Malformed::Symbol)?).ok_or(Malformed::Symbol)?;
                FieldValue::Text(symbol.as_deref().ok_or(Missed::UnknownSymbol)?.to_owned())
            }
            Self::IntToLong => FieldValue::Long(input.int()?.into()),
            Self::IntToFloat => FieldValue::Float(input.int()? as f32),
            Self::IntToDouble => FieldValue::Double(input.int()?.into()),
            Self::LongToFloat => FieldValue::Float(input.long()? as f32),
            Self::LongToDouble => FieldValue::Double(input.long()? as f64),
            Self::FloatToDouble => FieldValue::Double(input.float()?.into()),
            Self::TextToBytes => FieldValue::Bytes(input.text()?.as_bytes().to_vec()),
        })
    }
}

fn uuid_text(uuid: Uuid) -> String {
    uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}
