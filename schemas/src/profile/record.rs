//! The fields of `profile.avsc`, read from its JSON and checked.

use super::annotation::{Annotation, Recipe};
use super::problem::Problems;
use super::{Derivation, Derived, Field, Format, Kind};
use crate::FieldSet;
use foldhash::fast::FixedState;
use serde_json::Value;
use std::collections::HashMap;

/// Position by name and former name.
pub(super) type Positions = HashMap<Box<str>, usize, FixedState>;

/// Key columns of the table; a field of that name would shadow them.
const RESERVED: [&str; 2] = ["tenant", "user_id"];

/// One field whose source, if it is derived, is still a name.
struct Parsed {
    field: Field,
    recipe: Option<Recipe>,
}

/// The fields of the record `schema`, as far as they can be read; everything that is wrong goes to `problems`.
pub(super) fn fields(schema: &Value, problems: &mut Problems) -> (Vec<Field>, Positions) {
    let list = schema.get("fields").and_then(Value::as_array);
    let (Some("record"), Some(list)) = (schema.get("type").and_then(Value::as_str), list) else {
        problems.add("profile.avsc", "must be an Avro record with fields");
        return (Vec::new(), Positions::default());
    };
    if list.len() < 2 || list.len() > FieldSet::CAPACITY {
        problems.add("fields", format!("a profile has 2 to {} fields, not {}", FieldSet::CAPACITY, list.len()));
    }
    let parsed: Vec<_> =
        list.iter().enumerate().map(|(i, json)| field(&format!("fields[{i}]"), json, problems)).collect();
    let positions = positions(&parsed, problems);
    let derived: Vec<_> = parsed.iter().enumerate().map(|(i, _)| derived(i, &parsed, problems)).collect();
    let fields = parsed.into_iter().zip(derived).map(|(parsed, derived)| Field { derived, ..parsed.field }).collect();
    (fields, positions)
}

fn field(at: &str, json: &Value, problems: &mut Problems) -> Parsed {
    let name = json.get("name").and_then(Value::as_str).unwrap_or_default();
    check_name(&format!("{at}.name"), name, problems);
    check_keys(at, json, problems);
    let kind = match nullable(json) {
        Ok(schema) => kind(&format!("{at}.type[1]"), schema, problems),
        Err(message) => {
            problems.add(format!("{at}.type"), message);
            None
        }
    };
    let annotation = match (json.get("tidewater"), &kind) {
        (Some(annotation), Some(kind)) => Annotation::read(&format!("{at}.tidewater"), annotation, kind, problems),
        _ => Annotation::default(),
    };
    let field = Field {
        name: name.into(),
        aliases: aliases(at, json, problems),
        kind: kind.unwrap_or(Kind::String),
        format: annotation.format,
        max_length: annotation.max_length,
        min: annotation.min,
        max: annotation.max,
        pattern: annotation.pattern,
        pii: annotation.pii,
        index: annotation.index,
        derived: None,
    };
    Parsed { field, recipe: annotation.recipe }
}

fn check_name(at: &str, name: &str, problems: &mut Problems) {
    let bytes = name.as_bytes();
    let well_formed = bytes.len() <= 48
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
    if !well_formed {
        problems.add(at, "must be [a-z][a-z0-9_]{0,47}");
    } else if name.starts_with("tw_") {
        problems.add(at, "names that start with tw_ are the pipeline's own");
    } else if RESERVED.contains(&name) {
        problems.add(at, format!("{name} is a key column of the table"));
    }
}

/// A misspelt attribute would be without effect, in silence.
fn check_keys(at: &str, json: &Value, problems: &mut Problems) {
    const KNOWN: [&str; 6] = ["name", "aliases", "type", "default", "doc", "tidewater"];
    for key in json.as_object().into_iter().flat_map(|members| members.keys()) {
        if !KNOWN.contains(&key.as_str()) {
            problems.add(format!("{at}.{key}"), format!("no such attribute; there are {}", KNOWN.join(", ")));
        }
    }
}

/// `X` of `"type": ["null", X], "default": null`.
fn nullable(field: &Value) -> Result<&Value, &'static str> {
    const WANTED: &str = "must be [\"null\", X] with \"default\": null";
    let Some([null, schema]) = field.get("type").and_then(Value::as_array).map(Vec::as_slice) else {
        return Err(WANTED);
    };
    (null == "null" && field.get("default") == Some(&Value::Null)).then_some(schema).ok_or(WANTED)
}

fn kind(at: &str, schema: &Value, problems: &mut Problems) -> Option<Kind> {
    let (name, logical) = match schema.as_str() {
        Some(name) => (Some(name), None),
        None => (schema.get("type").and_then(Value::as_str), schema.get("logicalType")),
    };
    if schema.get("tidewater").is_some() {
        problems.add(format!("{at}.tidewater"), "annotations stand on the field, not on its type");
    }
    Some(match (name, logical.map(|logical| logical.as_str().unwrap_or_default())) {
        (Some("boolean"), None) => Kind::Boolean,
        (Some("int"), None) => Kind::Int,
        (Some("long"), None) => Kind::Long,
        (Some("float"), None) => Kind::Float,
        (Some("double"), None) => Kind::Double,
        (Some("string"), None) => Kind::String,
        (Some("bytes"), None) => Kind::Bytes,
        (Some("enum"), None) => Kind::Enum(symbols(at, schema, problems)),
        (Some("int"), Some("date")) => Kind::Date,
        (Some("long"), Some("timestamp-micros")) => Kind::TimestampMicros,
        (Some("string"), Some("uuid")) => Kind::Uuid,
        _ => {
            problems.add(
                at,
                "must be boolean, int, long, float, double, string, bytes, an enum, or one of the logical types \
                 date (int), timestamp-micros (long) and uuid (string)",
            );
            return None;
        }
    })
}

fn symbols(at: &str, schema: &Value, problems: &mut Problems) -> Vec<Box<str>> {
    if schema.get("default").is_some() {
        problems.add(format!("{at}.default"), "would turn a symbol that is not known here into another: take it out");
    }
    let symbols = schema.get("symbols").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if symbols.is_empty() {
        problems.add(format!("{at}.symbols"), "must be a list of at least one name");
    }
    symbols.iter().filter_map(Value::as_str).map(Into::into).collect()
}

fn aliases(at: &str, json: &Value, problems: &mut Problems) -> Vec<Box<str>> {
    let Some(aliases) = json.get("aliases") else { return Vec::new() };
    let Some(aliases) = aliases.as_array() else {
        problems.add(format!("{at}.aliases"), "must be a list of names");
        return Vec::new();
    };
    let mut names = Vec::with_capacity(aliases.len());
    for (i, alias) in aliases.iter().enumerate() {
        let alias = alias.as_str().unwrap_or_default();
        check_name(&format!("{at}.aliases[{i}]"), alias, problems);
        names.push(alias.into());
    }
    names
}

fn positions(parsed: &[Parsed], problems: &mut Problems) -> Positions {
    let mut positions = Positions::default();
    for (i, Parsed { field, .. }) in parsed.iter().enumerate() {
        for name in std::iter::once(&field.name).chain(&field.aliases).filter(|name| !name.is_empty()) {
            if let Some(taken) = positions.insert(name.clone(), i) {
                problems.add(format!("fields[{i}]"), format!("the name {name} is taken by fields[{taken}]"));
            }
        }
    }
    positions
}

fn derived(position: usize, parsed: &[Parsed], problems: &mut Problems) -> Option<Derived> {
    let recipe = parsed.get(position)?.recipe.as_ref()?;
    let at = format!("fields[{position}].tidewater.{}.from", recipe.key());
    let Some(from) = parsed.iter().position(|other| *other.field.name == *recipe.from()) else {
        problems.add(at, "no such field");
        return None;
    };
    let source = parsed.get(from)?;
    if source.recipe.is_some() {
        problems.add(&at, "is derived itself: a derived field has one source that producers set");
    }
    match recipe {
        Recipe::Derive { function, .. } => {
            let Derivation::Domain = function;
            if source.field.format != Some(Format::Email) {
                problems.add(at, "a domain is derived from a field of format email");
            }
            Some(Derived::Derive { function: *function, from })
        }
        Recipe::Lookup { table, column, .. } => {
            if !matches!(source.field.kind, Kind::String | Kind::Enum(_) | Kind::Uuid) {
                problems.add(at, "a table is looked up by a string, an enum or a uuid");
            }
            Some(Derived::Lookup { table: table.clone(), column: column.clone(), from })
        }
    }
}
