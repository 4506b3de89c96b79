//! For tests: a profile with a field of every kind, format and limit. Field `x` was formerly `old_x`.

use crate::profile::{CHANGE, ChangeSchema, Profile};
use crate::{FieldValue, Row};
use std::sync::LazyLock;

const FIELDS: &str = r#"[
 ["flag", "boolean", {}],
 ["int", "int", {"min": -10, "max": 10}],
 ["long", "long", {}],
 ["float", "float", {}],
 ["double", "double", {"min": 0.0, "max": 1.5}],
 ["text", "string", {"max_length": 20}],
 ["code", "string", {"pattern": "[a-z]{2}|[0-9]{3}"}],
 ["plan", {"type": "enum", "name": "SamplePlan", "symbols": ["free", "pro"]}, {}],
 ["bytes", "bytes", {"max_length": 4}],
 ["day", {"type": "int", "logicalType": "date"}, {}],
 ["time", {"type": "long", "logicalType": "timestamp-micros"}, {}],
 ["device", {"type": "string", "logicalType": "uuid"}, {}],
 ["email", "string", {"format": "email"}],
 ["phone", "string", {"format": "phone"}],
 ["country", "string", {"format": "country"}],
 ["locale", "string", {"format": "locale"}],
 ["time_zone", "string", {"format": "time_zone"}],
 ["currency", "string", {"format": "currency"}],
 ["url", "string", {"format": "url"}],
 ["date_text", "string", {"format": "date"}],
 ["uuid_text", "string", {"format": "uuid"}],
 ["domain", "string", {"derive": {"function": "domain", "from": "email"}}],
 ["region", "string", {"lookup": {"table": "countries", "column": "region", "from": "country"}}]
]"#;

static PROFILE: LazyLock<Profile> = LazyLock::new(|| {
    let fields: Vec<(String, serde_json::Value, serde_json::Value)> = serde_json::from_str(FIELDS).unwrap();
    let fields: Vec<serde_json::Value> = fields
        .into_iter()
        .map(|(name, kind, rules)| {
            let aliases = [format!("old_{name}")];
            serde_json::json!({
                "name": name, "aliases": aliases, "type": ["null", kind], "default": null, "tidewater": rules,
            })
        })
        .collect();
    let text = serde_json::json!({
        "type": "record", "name": "Profile", "namespace": "tidewater.v1", "fields": fields,
    });
    let text = text.to_string();
    let kept = ChangeSchema::splice(CHANGE, &text).unwrap();
    let name = format!("{}.avsc", kept.fingerprint);
    Profile::load(CHANGE, &text, [(&*name, &*kept.text)]).unwrap()
});

/// The sample profile; the same one on every call.
pub(crate) fn profile() -> &'static Profile {
    &PROFILE
}

/// The position of a field of the sample profile.
pub(crate) fn position(name: &str) -> usize {
    PROFILE.position(name).unwrap()
}

/// A row of the sample profile.
pub(crate) fn row(values: impl IntoIterator<Item = (&'static str, FieldValue)>) -> Row {
    let mut row = Row::with_width(PROFILE.fields().len());
    for (name, value) in values {
        row.set(position(name), value);
    }
    row
}

/// The text as a value.
pub(crate) fn text(text: &str) -> FieldValue {
    FieldValue::Text(text.to_owned())
}
