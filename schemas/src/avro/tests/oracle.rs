//! `apache-avro` as the judge: its values of random content, and what they mean as changes of ours.

#![expect(clippy::cast_possible_truncation, reason = "random numbers may be cut, and positions here are small")]
#![expect(clippy::wildcard_enum_match_arm, reason = "a value of a type that no schema here has ends the test")]

use crate::{Change, Draft, FieldSet, FieldValue, Kind, Op, Profile, Row};
use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use uuid::Uuid;

const TEXTS: [&str; 8] = [
    "",
    "a",
    "Grüße, 世界 \u{1F30A}",
    "7c9e6679-7425-40de-944b-e07fc1f90ae7",
    "7C9E6679-7425-40DE-944B-E07FC1F90AE7",
    "7c9e6679-7425-40de-944b-e07fc1f90aex",
    "main",
    "a text that is longer than what fits a length of one byte, which is sixty-three bytes, and so needs a second one",
];

/// Numbers that follow from a seed.
pub(super) struct Seeds(u64);

impl Seeds {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        let mut hash = DefaultHasher::new();
        self.0.hash(&mut hash);
        self.0 = hash.finish();
        self.0
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn long(&mut self) -> i64 {
        match self.below(6) {
            0 => [0, 1, -1, 63, 64, -64, -65, 1 << 53][self.below(8)],
            1 => i64::MAX,
            2 => i64::MIN,
            3 => i64::from(self.next() as u16),
            _ => self.next().cast_signed(),
        }
    }

    fn int(&mut self) -> i32 {
        i32::try_from(self.long()).unwrap_or_else(|_| self.next() as i32)
    }

    fn text(&mut self) -> String {
        TEXTS[self.below(TEXTS.len())].into()
    }

    fn bytes(&mut self) -> Vec<u8> {
        if self.below(2) == 0 { self.text().into() } else { self.next().to_le_bytes().to_vec() }
    }

    fn double(&mut self) -> f64 {
        [0.0, -0.0, f64::NAN, f64::INFINITY, 1.5e300, f64::from_bits(self.next())][self.below(6)]
    }

    /// A value of `schema`; arrays are of `names`.
    pub(super) fn value(&mut self, schema: &Schema, names: &[String]) -> Value {
        match schema {
            Schema::Null => Value::Null,
            Schema::Boolean => Value::Boolean(self.below(2) == 0),
            Schema::Int => Value::Int(self.int()),
            Schema::Date => Value::Date(self.int()),
            Schema::Long => Value::Long(self.long()),
            Schema::TimestampMicros => Value::TimestampMicros(self.long()),
            Schema::Float => Value::Float(self.double() as f32),
            Schema::Double => Value::Double(self.double()),
            Schema::String => Value::String(self.text()),
            Schema::Bytes => Value::Bytes(self.bytes()),
            Schema::Uuid(_) => Value::Uuid(Uuid::from_u64_pair(self.next(), self.next())),
            Schema::Enum(schema) => {
                let symbol = self.below(schema.symbols.len());
                Value::Enum(symbol as u32, schema.symbols[symbol].clone())
            }
            Schema::Union(union) => {
                let branch = self.below(union.variants().len());
                Value::Union(branch as u32, Box::new(self.value(&union.variants()[branch], names)))
            }
            Schema::Array(_) => {
                let some = (0..self.below(4)).map(|_| Value::String(names[self.below(names.len())].clone()));
                Value::Array(some.collect())
            }
            Schema::Record(record) => Value::Record(
                record.fields.iter().map(|field| (field.name.clone(), self.value(&field.schema, names))).collect(),
            ),
            other => panic!("no such type is written here: {other:?}"),
        }
    }

    /// A value of a field of ours.
    pub(super) fn field(&mut self, kind: &Kind) -> FieldValue {
        match kind {
            Kind::Boolean => FieldValue::Bool(self.below(2) == 0),
            Kind::Int | Kind::Date => FieldValue::Int(self.int()),
            Kind::Long | Kind::TimestampMicros => FieldValue::Long(self.long()),
            Kind::Float => FieldValue::Float(self.double() as f32),
            Kind::Double => FieldValue::Double(self.double()),
            Kind::String => FieldValue::Text(self.text()),
            Kind::Bytes => FieldValue::Bytes(self.bytes()),
            Kind::Enum(symbols) => FieldValue::Text(symbols[self.below(symbols.len())].to_string()),
            Kind::Uuid => FieldValue::Text(Uuid::from_u64_pair(self.next(), self.next()).to_string()),
        }
    }
}

/// `value` as `apache-avro` writes it.
pub(super) fn write(schema: &Schema, value: Value) -> Vec<u8> {
    GenericDatumWriter::builder(schema).build().unwrap().write_value_to_vec(value).unwrap()
}

/// What `apache-avro` makes of `bytes` for a reader of `ours`.
pub(super) fn read(writer: &Schema, ours: &Schema, bytes: &[u8]) -> Option<Value> {
    let reader = GenericDatumReader::builder(writer).reader_schema(ours).build().unwrap();
    reader.read_value(&mut &*bytes).ok()
}

/// A value of our own change schema as a draft.
pub(super) fn draft(value: Value, profile: &Profile) -> Draft {
    let mut parts: HashMap<_, _> = fields(value).into_iter().map(|(name, value)| (name, bare(value))).collect();
    let mut part = |name: &str| parts.remove(name).unwrap();
    let text = |value| if let Value::String(text) = value { Some(text) } else { None };
    let long = |value| match value {
        Value::Long(number) | Value::TimestampMicros(number) => Some(number),
        _ => None,
    };
    let Value::Array(unset) = part("unset") else { panic!("unset is an array") };
    let Value::Enum(_, op) = part("op") else { panic!("op is an enum") };
    Draft {
        id: if let Value::Uuid(id) = part("id") { Some(id) } else { None },
        tenant: text(part("tenant")),
        user_id: text(part("user_id")).unwrap(),
        op: match op.as_str() {
            "upsert" => Op::Upsert,
            "patch" => Op::Patch,
            _ => Op::Delete,
        },
        set: match part("set") {
            Value::Null => None,
            set => Some(row(fields(set))),
        },
        unset: unset.into_iter().map(|name| profile.position(&text(name).unwrap()).unwrap()).collect::<FieldSet>(),
        occurred_at: long(part("occurred_at")),
        source: text(part("source")),
        version: long(part("version")),
    }
}

/// A change of ours as a value of its schema.
pub(super) fn value(change: &Change, profile: &Profile) -> Value {
    let some = |value| Value::Union(1, Box::new(value));
    let null = || Value::Union(0, Box::new(Value::Null));
    let set = profile.fields().iter().enumerate().map(|(i, field)| {
        let value = change.set.get(i).map_or_else(null, |value| some(cell(value, &field.kind)));
        (field.name.to_string(), value)
    });
    let (symbol, op) = match change.op {
        Op::Upsert => (0, "upsert"),
        Op::Patch => (1, "patch"),
        Op::Delete => (2, "delete"),
    };
    let unset = change.unset.iter().map(|field| Value::String(profile.fields()[field].name.to_string()));
    let parts = [
        ("id", some(Value::Uuid(change.id))),
        ("tenant", Value::String(change.tenant.as_str().into())),
        ("user_id", Value::String(change.user_id.as_str().into())),
        ("op", Value::Enum(symbol, op.into())),
        ("set", if change.set.named().is_empty() { null() } else { some(Value::Record(set.collect())) }),
        ("unset", Value::Array(unset.collect())),
        ("occurred_at", change.occurred_at.map_or_else(null, |micros| some(Value::TimestampMicros(micros)))),
        ("source", change.source.clone().map_or_else(null, |source| some(Value::String(source)))),
        ("version", some(Value::Long(change.version.get()))),
    ];
    Value::Record(parts.map(|(name, value)| (name.to_string(), value)).into())
}

/// Whether two rows hold the same bits: a NaN is itself here.
pub(super) fn is_same(a: &Row, b: &Row) -> bool {
    let bits = |value: &FieldValue| match value {
        FieldValue::Float(number) => FieldValue::Int(number.to_bits().cast_signed()),
        FieldValue::Double(number) => FieldValue::Long(number.to_bits().cast_signed()),
        other => other.clone(),
    };
    a.iter().map(|(field, value)| (field, bits(value))).eq(b.iter().map(|(field, value)| (field, bits(value))))
}

fn fields(value: Value) -> Vec<(String, Value)> {
    if let Value::Record(fields) = value { fields } else { panic!("a record") }
}

fn bare(value: Value) -> Value {
    if let Value::Union(_, value) = value { *value } else { value }
}

fn row(fields: Vec<(String, Value)>) -> Row {
    let mut row = Row::default();
    for (i, (_, value)) in fields.into_iter().enumerate() {
        let value = match bare(value) {
            Value::Null => continue,
            Value::Boolean(value) => FieldValue::Bool(value),
            Value::Int(value) | Value::Date(value) => FieldValue::Int(value),
            Value::Long(value) | Value::TimestampMicros(value) => FieldValue::Long(value),
            Value::Float(value) => FieldValue::Float(value),
            Value::Double(value) => FieldValue::Double(value),
            Value::String(value) | Value::Enum(_, value) => FieldValue::Text(value),
            Value::Uuid(value) => FieldValue::Text(value.to_string()),
            Value::Bytes(value) => FieldValue::Bytes(value),
            other => panic!("no field is of this type: {other:?}"),
        };
        row.set(i, value);
    }
    row
}

fn cell(value: &FieldValue, kind: &Kind) -> Value {
    match (value, kind) {
        (FieldValue::Bool(value), _) => Value::Boolean(*value),
        (FieldValue::Int(value), Kind::Date) => Value::Date(*value),
        (FieldValue::Int(value), _) => Value::Int(*value),
        (FieldValue::Long(value), Kind::TimestampMicros) => Value::TimestampMicros(*value),
        (FieldValue::Long(value), _) => Value::Long(*value),
        (FieldValue::Float(value), _) => Value::Float(*value),
        (FieldValue::Double(value), _) => Value::Double(*value),
        (FieldValue::Bytes(value), _) => Value::Bytes(value.clone()),
        (FieldValue::Text(value), Kind::Uuid) => Value::Uuid(Uuid::parse_str(value).unwrap()),
        (FieldValue::Text(value), Kind::Enum(symbols)) => {
            let symbol = symbols.iter().position(|symbol| **symbol == **value).unwrap();
            Value::Enum(symbol as u32, value.clone())
        }
        (FieldValue::Text(value), _) => Value::String(value.clone()),
    }
}
