//! Writing a change with the schema of this release, and the check that it is the schema this code writes.

use super::read::Branches;
use super::wire::{put_bytes, put_long, put_position};
use crate::profile::Problems;
use crate::{Change, Field, FieldSet, FieldValue, Kind, Op, Row};
use apache_avro::Schema;
use apache_avro::schema::UuidSchema;
use uuid::Uuid;

/// The parts of a change in the order they are written in.
const PARTS: [&str; 9] = ["id", "tenant", "user_id", "op", "set", "unset", "occurred_at", "source", "version"];

/// A branch number of `["null", X]` as it stands on the wire.
const NULL: u8 = 0;
const VALUE: u8 = 2;

/// A change that the schema has no place for: a bug of whoever made it, never the data's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum EncodeError {
    #[error("a value is not of its field's type")]
    Type,
    #[error("the change names a field beyond the last of the profile")]
    Field,
    #[error("the parts of the change contradict each other")]
    Shape,
}

/// Reports where `schema` is not what [`write_change`] writes.
pub(crate) fn check_schema(schema: &Schema, problems: &mut Problems) {
    let Schema::Record(record) = schema else {
        problems.add("change.avsc", "a change is a record");
        return;
    };
    if !record.fields.iter().map(|field| field.name.as_str()).eq(PARTS) {
        problems.add("change.avsc", format!("this release writes the fields {}, in this order", PARTS.join(", ")));
    }
    for field in &record.fields {
        let sound = match (field.name.as_str(), Branches::of(&field.schema)) {
            ("id", (Branches::NullFirst, Schema::Uuid(UuidSchema::String)))
            | ("tenant" | "user_id", (Branches::None, Schema::String))
            | ("set", (Branches::NullFirst, Schema::Record(_)))
            | ("occurred_at", (Branches::NullFirst, Schema::TimestampMicros))
            | ("source", (Branches::NullFirst, Schema::String))
            | ("version", (Branches::NullFirst, Schema::Long)) => true,
            ("op", (Branches::None, Schema::Enum(op))) => op.symbols == ["upsert", "patch", "delete"],
            ("unset", (Branches::None, Schema::Array(array))) => matches!(*array.items, Schema::String),
            _ => false,
        };
        if !sound {
            problems.add(format!("change.avsc {}", field.name), "has another type than this release writes");
        }
    }
}

/// Whether the parts of a change agree: no field both set and unset, an upsert without `unset`, a delete without both.
pub(super) fn is_consistent(op: Op, set: FieldSet, unset: FieldSet) -> bool {
    match op {
        Op::Upsert => unset.is_empty(),
        Op::Patch => set.intersection(unset).is_empty(),
        Op::Delete => set.is_empty() && unset.is_empty(),
    }
}

/// Puts `change` at the end of `out`. On an error, what was put there so far is left.
pub(super) fn write_change(change: &Change, fields: &[Field], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if !is_consistent(change.op, change.set.named(), change.unset) {
        return Err(EncodeError::Shape);
    }
    if change.named().iter().any(|field| field >= fields.len()) {
        return Err(EncodeError::Field);
    }
    out.push(VALUE);
    put_bytes(out, change.id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
    put_bytes(out, change.tenant.as_str().as_bytes());
    put_bytes(out, change.user_id.as_str().as_bytes());
    put_position(
        out,
        match change.op {
            Op::Upsert => 0,
            Op::Patch => 1,
            Op::Delete => 2,
        },
    );
    write_set(&change.set, fields, out)?;
    write_unset(change.unset, fields, out);
    write_long(change.occurred_at, out);
    match &change.source {
        None => out.push(NULL),
        Some(source) => {
            out.push(VALUE);
            put_bytes(out, source.as_bytes());
        }
    }
    write_long(Some(change.version.get()), out);
    Ok(())
}

fn write_set(set: &Row, fields: &[Field], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if set.named().is_empty() {
        out.push(NULL);
        return Ok(());
    }
    out.push(VALUE);
    for (i, field) in fields.iter().enumerate() {
        match set.get(i) {
            None => out.push(NULL),
            Some(value) => {
                out.push(VALUE);
                write_value(value, &field.kind, out)?;
            }
        }
    }
    Ok(())
}

fn write_value(value: &FieldValue, kind: &Kind, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match (value, kind) {
        (FieldValue::Bool(value), Kind::Boolean) => out.push(u8::from(*value)),
        (FieldValue::Int(value), Kind::Int | Kind::Date) => put_long(out, i64::from(*value)),
        (FieldValue::Long(value), Kind::Long | Kind::TimestampMicros) => put_long(out, *value),
        (FieldValue::Float(value), Kind::Float) => out.extend_from_slice(&value.to_le_bytes()),
        (FieldValue::Double(value), Kind::Double) => out.extend_from_slice(&value.to_le_bytes()),
        (FieldValue::Text(text), Kind::String) => put_bytes(out, text.as_bytes()),
        (FieldValue::Text(text), Kind::Enum(symbols)) => {
            let symbol = symbols.iter().position(|symbol| **symbol == **text).ok_or(EncodeError::Type)?;
            put_position(out, symbol);
        }
        (FieldValue::Text(text), Kind::Uuid) => {
            let uuid = Uuid::try_parse(text).map_err(|_| EncodeError::Type)?;
            put_bytes(out, uuid.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        }
        (FieldValue::Bytes(bytes), Kind::Bytes) => put_bytes(out, bytes),
        _ => return Err(EncodeError::Type),
    }
    Ok(())
}

fn write_unset(unset: FieldSet, fields: &[Field], out: &mut Vec<u8>) {
    if !unset.is_empty() {
        put_position(out, unset.len());
        for field in unset.iter().filter_map(|field| fields.get(field)) {
            put_bytes(out, field.name.as_bytes());
        }
    }
    put_position(out, 0);
}

fn write_long(value: Option<i64>, out: &mut Vec<u8>) {
    match value {
        None => out.push(NULL),
        Some(value) => {
            out.push(VALUE);
            put_long(out, value);
        }
    }
}
