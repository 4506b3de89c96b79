//! One dead letter, read from its headers.

use runtime::record::Record;
use schemas::headers;

use serde_json::{Map, Value, json};

/// What the headers say of a refused record, as text: a letter that somebody else wrote is shown as far as it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// Where the letter itself is, as `show` takes it.
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// `tw-at`, else when the letter was appended; milliseconds since 1970-01-01.
    pub(super) at_ms: i64,
    pub(super) stage: String,
    pub(super) code: String,
    pub(super) field: String,
    pub(super) reason: String,
    /// The record that was refused, as `topic/partition/offset`.
    pub(super) place: String,
    /// The raw record it came from, likewise.
    pub(super) origin: String,
    pub(super) version: String,
    pub(super) id: String,
}

impl Letter {
    pub(super) fn of(record: &Record) -> Self {
        let text = |name: &str| text_of(record, name);
        let at = record.headers.last(headers::AT).and_then(|at| headers::instant(at)).map(|micros| micros / 1_000);
        Self {
            partition: record.place.partition,
            offset: record.offset.0,
            at_ms: at.or_else(|| record.timestamp.millis()).unwrap_or_default(),
            stage: text(headers::STAGE),
            code: text(headers::CODE),
            field: text(headers::FIELD),
            reason: text(headers::REASON),
            place: format!("{}/{}/{}", text(headers::TOPIC), text(headers::PARTITION), text(headers::OFFSET)),
            origin: text(headers::ORIGIN),
            version: text(headers::VERSION),
            id: text(headers::ID),
        }
    }

    /// What the letters of one change have in common: where it came from.
    pub(super) fn change(&self) -> &str {
        if self.origin.is_empty() { &self.place } else { &self.origin }
    }

    /// The same names as the headers, without `tw-`; what is missing is left out.
    pub(super) fn to_json(&self) -> Map<String, Value> {
        let mut object = Map::new();
        object.insert("letter".to_owned(), json!(format!("{}/{}", self.partition, self.offset)));
        object.insert("at".to_owned(), json!(crate::instant::rfc3339(self.at_ms)));
        let texts = [
            ("stage", &self.stage),
            ("code", &self.code),
            ("field", &self.field),
            ("reason", &self.reason),
            ("place", &self.place),
            ("origin", &self.origin),
            ("version", &self.version),
            ("id", &self.id),
        ];
        for (name, text) in texts {
            if !text.is_empty() {
                object.insert(name.to_owned(), json!(text));
            }
        }
        object
    }
}

/// A header's value; empty if it is missing, null or no text.
fn text_of(record: &Record, name: &str) -> String {
    let value = record.headers.last(name).map(|value| String::from_utf8_lossy(value).into_owned());
    value.unwrap_or_default()
}

/// Bytes as people read them: text if they are text, else `0x…`.
pub(super) fn shown(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    if let Ok(text) = std::str::from_utf8(bytes) {
        return json!(text);
    }
    let mut hex = String::with_capacity(2 + 2 * bytes.len());
    hex.push_str("0x");
    for byte in bytes {
        hex.push_str(&format!("{byte:02x}"));
    }
    json!(hex)
}
