//! How far an import has come, kept on disk behind the acknowledgements.

use super::lines::Place;
use crate::Error;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use uuid::Uuid;

/// Everything before `place` is acknowledged by Kafka or told in the rejects file.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Progress {
    /// What decides which bytes a line becomes.
    options: Value,
    /// Tells the file from another; `None` while none was looked at.
    head: Option<Uuid>,
    /// Names of the columns of a table.
    pub(super) header: Option<Vec<String>>,
    pub(super) place: Place,
    /// Length of the rejects file that belongs to the place.
    pub(super) rejects_bytes: u64,
    pub(super) totals: Totals,
    pub(super) is_done: bool,
}

/// What became of the lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Rows, not counting empty lines.
    pub(super) lines: u64,
    pub(super) sent: u64,
    /// Of those sent, changed too late to keep their place.
    pub(super) clamped: u64,
    /// Refused lines by code.
    pub(super) by_code: BTreeMap<String, u64>,
}

impl Totals {
    pub(super) fn rejected(&self) -> u64 {
        self.by_code.values().sum()
    }

    pub(super) fn to_json(&self) -> Value {
        let Self { lines, sent, clamped, by_code } = self;
        json!({"lines": lines, "sent": sent, "clamped": clamped, "refused": self.rejected(), "by_code": by_code})
    }
}

impl Progress {
    pub(super) fn new(options: Value) -> Self {
        let (place, totals) = (Place::default(), Totals::default());
        Self { options, head: None, header: None, place, rejects_bytes: 0, totals, is_done: false }
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// If there is none, it was made with other `options`, or all of its file is imported.
    pub(super) fn load(path: &Path, options: &Value) -> Result<Self, Error> {
        let shown = path.display();
        let text = fs::read(path).map_err(|error| {
            Error::Usage(format!("{shown} cannot be read ({error}); leave --resume out to start from the first line"))
        })?;
        let progress = serde_json::from_slice(&text).ok().and_then(|value| Self::of_json(&value));
        let progress = progress.ok_or_else(|| Error::Usage(format!("{shown} is no progress of an import")))?;
        if progress.options != *options {
            return Err(Error::Usage(format!(
                "{shown} is of an import with other options; give the same, or leave --resume out to start again"
            )));
        }
        if progress.is_done {
            return Err(Error::Usage(format!("{shown} says that all is imported; leave --resume out to do it again")));
        }
        Ok(progress)
    }

    /// Whether `head`, the first bytes of a file, is of the file that this is about. The first time it is.
    pub(super) fn is_of(&mut self, head: &[u8]) -> bool {
        let found = Uuid::new_v5(&Uuid::NAMESPACE_OID, head);
        *self.head.get_or_insert(found) == found
    }

    /// Keeps it, so that neither a crash nor the loss of power leaves half of it.
    ///
    /// # Errors
    /// Of the disk.
    pub(super) fn save(&self, path: &Path) -> io::Result<()> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let beside = path.with_file_name(name);
        let mut file = File::create(&beside)?;
        writeln!(file, "{}", self.to_json())?;
        file.sync_all()?;
        fs::rename(beside, path)
    }

    fn to_json(&self) -> Value {
        json!({
            "options": self.options,
            "head": self.head.map(|head| head.to_string()),
            "header": self.header,
            "bytes": self.place.bytes,
            "lines": self.place.lines,
            "rejects_bytes": self.rejects_bytes,
            "totals": self.totals.to_json(),
            "is_done": self.is_done,
        })
    }

    fn of_json(value: &Value) -> Option<Self> {
        let number = |name: &str| value.get(name)?.as_u64();
        let totals = value.get("totals")?.as_object()?;
        let header = match value.get("header")? {
            Value::Array(names) => {
                Some(names.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => None,
        };
        Some(Self {
            options: value.get("options")?.clone(),
            head: value.get("head")?.as_str().and_then(|head| Uuid::try_parse(head).ok()),
            header,
            place: Place { bytes: number("bytes")?, lines: number("lines")? },
            rejects_bytes: number("rejects_bytes")?,
            totals: totals_of(totals)?,
            is_done: value.get("is_done")?.as_bool()?,
        })
    }
}

fn totals_of(object: &Map<String, Value>) -> Option<Totals> {
    let number = |name: &str| object.get(name)?.as_u64();
    let mut by_code = BTreeMap::new();
    for (code, count) in object.get("by_code")?.as_object()? {
        by_code.insert(code.clone(), count.as_u64()?);
    }
    Some(Totals { lines: number("lines")?, sent: number("sent")?, clamped: number("clamped")?, by_code })
}
