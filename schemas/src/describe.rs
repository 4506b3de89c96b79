//! Changes and profiles as JSON Schema (draft 2020-12), for producers and for what is generated from it.
//!
//! A schema can say less than the rules do: what it refuses `validate` rejects, and not the other way round. Formats that
//! JSON Schema has no name for are told in words.

use crate::profile::{Field, Format, Kind, Limit, Profile};
use serde_json::{Map, Value, json};

/// The dialect of every schema here.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// A change as its producer writes it on the raw topic.
#[must_use]
pub fn change(profile: &Profile) -> Value {
    let set = fields(profile, "The fields to be set; in a patch null clears one.", |field| field.derived.is_none());
    let names: Vec<&str> = written(profile).map(|field| &*field.name).collect();
    let delete = json!({
        "if": {"properties": {"op": {"const": "delete"}}, "required": ["op"]},
        "then": {"properties": {"set": {"type": "null"}, "unset": {"type": ["array", "null"], "maxItems": 0}}},
    });
    let upsert = json!({
        "if": {"properties": {"op": {"const": "upsert"}}, "required": ["op"]},
        "then": {"properties": {"unset": {"type": ["array", "null"], "maxItems": 0}}},
    });
    json!({
        "title": "Change",
        "description": "One event about one user.",
        "type": "object",
        "additionalProperties": false,
        "required": ["user_id", "op"],
        "properties": {
            "id": {
                "type": ["string", "null"],
                "format": "uuid",
                "description": "Of the change; made from its place in the log if absent.",
            },
            "tenant": {
                "type": ["string", "null"],
                "pattern": "^[a-z0-9][a-z0-9-]{0,62}$",
                "description": "main if absent; what a token says goes before it.",
            },
            "user_id": user_id(),
            "op": {
                "enum": ["upsert", "patch", "delete"],
                "description": "upsert replaces the whole profile, patch touches what it names, delete removes it.",
            },
            "set": nullable(set),
            "unset": {
                "type": ["array", "null"],
                "items": {"enum": names},
                "uniqueItems": true,
                "description": "Fields that a patch clears.",
            },
            "occurred_at": {
                "type": ["string", "null"],
                "format": "date-time",
                "description": "Information only: it orders nothing.",
            },
            "source": {
                "type": ["string", "null"],
                "description": "Who changed it; what a token says goes before it.",
            },
            "version": {"type": "null", "description": "Given by the pipeline, brought by nobody."},
        },
        "allOf": [delete, upsert],
    })
}

/// The fields of a user as a client writes them: those that nobody derives.
#[must_use]
pub fn profile_written(profile: &Profile) -> Value {
    fields(profile, "The fields of a user; one that is absent or null has no value.", |field| field.derived.is_none())
}

/// The fields of a user as readers see them: all that have a value.
#[must_use]
pub fn profile_read(profile: &Profile) -> Value {
    fields(profile, "The fields of a user that have a value.", |_| true)
}

/// A user id in JSON.
#[must_use]
pub fn user_id() -> Value {
    json!({
        "type": "string",
        "minLength": 1,
        "maxLength": 128,
        "description": "1 to 128 bytes of UTF-8 without control characters, compared byte for byte.",
    })
}

fn written(profile: &Profile) -> impl Iterator<Item = &Field> {
    profile.fields().iter().filter(|field| field.derived.is_none())
}

fn fields(profile: &Profile, description: &str, is_named: impl Fn(&Field) -> bool) -> Value {
    let named = profile.fields().iter().filter(|field| is_named(field));
    // A former name is still read.
    let names =
        named.flat_map(|field| std::iter::once(&field.name).chain(&field.aliases).map(move |name| (name, field)));
    let properties: Map<String, Value> = names.map(|(name, field)| (name.to_string(), value_of(field))).collect();
    json!({
        "type": "object",
        "description": description,
        "additionalProperties": false,
        "properties": properties,
    })
}

fn nullable(schema: Value) -> Value {
    with(schema, "type", Some(json!(["object", "null"])))
}

/// A schema with a further keyword, if there is one to be said.
fn with(mut schema: Value, keyword: &str, value: Option<Value>) -> Value {
    if let (Value::Object(members), Some(value)) = (&mut schema, value) {
        members.insert(keyword.to_owned(), value);
    }
    schema
}

/// The schema of one field's value.
fn value_of(field: &Field) -> Value {
    let schema = match &field.kind {
        Kind::Boolean => json!({"type": ["boolean", "null"]}),
        Kind::Int => json!({"type": ["integer", "null"], "minimum": i32::MIN, "maximum": i32::MAX}),
        Kind::Long => json!({"type": ["integer", "null"], "minimum": i64::MIN, "maximum": i64::MAX}),
        Kind::Float | Kind::Double => json!({"type": ["number", "null"]}),
        Kind::String => json!({"type": ["string", "null"]}),
        Kind::Enum(symbols) => {
            let symbols = symbols.iter().map(|symbol| json!(symbol)).chain([Value::Null]);
            json!({"enum": symbols.collect::<Vec<_>>()})
        }
        Kind::Bytes => json!({"type": ["string", "null"], "contentEncoding": "base64"}),
        Kind::Date => json!({"type": ["string", "null"], "format": "date"}),
        Kind::TimestampMicros => json!({"type": ["string", "null"], "format": "date-time"}),
        Kind::Uuid => json!({"type": ["string", "null"], "format": "uuid"}),
    };
    let number = |limit: Limit| match limit {
        Limit::Integer(number) => json!(number),
        Limit::Real(number) => json!(number),
    };
    let is_text = field.kind == Kind::String;
    let pattern = field.pattern.as_ref().filter(|_| is_text).map(|pattern| json!(pattern.as_str()));
    let said = [
        ("minimum", field.min.map(number)),
        ("maximum", field.max.map(number)),
        ("maxLength", field.max_length.filter(|_| is_text).map(|most| json!(most))),
        ("pattern", pattern),
        ("description", field.format.map(|format| json!(words(format)))),
        ("readOnly", field.derived.is_some().then_some(json!(true))),
        ("x-pii", field.pii.then_some(json!(true))),
    ];
    said.into_iter().fold(schema, |schema, (keyword, value)| with(schema, keyword, value))
}

/// What a text must be, in words.
fn words(format: Format) -> &'static str {
    match format {
        Format::Email => "An e-mail address; its domain is kept in lower case.",
        Format::Phone => "A phone number that begins with + and its country code; kept as E.164.",
        Format::Country => "ISO 3166-1 alpha-2; kept in upper case.",
        Format::Locale => "A BCP 47 language tag; kept in canonical form.",
        Format::TimeZone => "A name of the IANA time zone database.",
        Format::Currency => "ISO 4217.",
        Format::Url => "An http or https address without user information.",
        Format::Date => "A date as YYYY-MM-DD.",
        Format::Uuid => "A UUID.",
    }
}
