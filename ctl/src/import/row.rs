//! From one line of a file to the record that carries it. Pure: the same line gives the same bytes.

use super::columns::Columns;
use bytes::Bytes;
use clap::ValueEnum;
use jiff::Timestamp;
use runtime::record::{Headers, Outgoing};
use schemas::json::{self, Written};
use schemas::topics::{PINNED, partition_for};
use schemas::{Backfill, Change, Draft, Kind, Op, Origin, Profile, RejectCode, Rejection, accept, headers, rules};
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// Everything that decides what becomes of a line.
#[derive(Debug)]
pub(super) struct Rows {
    pub(super) profile: Arc<Profile>,
    pub(super) backfill: Backfill,
    /// Of rows without a time.
    pub(super) run: Option<u32>,
    pub(super) columns: Columns,
    /// Of times that are numbers.
    pub(super) unit: Option<Unit>,
    /// What rows say of who sent them.
    pub(super) source: Option<String>,
    pub(super) partitions: i32,
}

/// What a number since 1970-01-01 counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    Seconds,
    Millis,
    Micros,
}

/// A record of the pinned topic.
#[derive(Debug, PartialEq)]
pub(super) struct Ready {
    pub(super) record: Outgoing,
    /// It was changed too late to keep its place, and is put right below the floor.
    pub(super) is_clamped: bool,
}

impl Rows {
    /// Reads an object: a change if it has the key `op`, else a row.
    ///
    /// # Errors
    /// What `validate` would reject it with; `version-invalid` for a row without a time where no run is named, or with
    /// one before 1970; `format-invalid` for a time in another form.
    pub(super) fn of_json(&self, line: &[u8]) -> Result<Ready, Rejection> {
        let pairs = json::pairs(line).ok_or_else(|| Rejection::new(RejectCode::Undecodable))?;
        if pairs.iter().any(|(name, _)| name == "op") {
            let draft = json::decode(&self.profile, line.trim_ascii_start())?;
            return self.ready(draft, "version");
        }
        self.row(pairs)
    }

    /// Reads the cells of a table's row; an empty one is absent.
    ///
    /// # Errors
    /// As [`Self::of_json`]; `undecodable` for a row with more or fewer cells than the header, or not in UTF-8.
    pub(super) fn of_cells<'a>(
        &self,
        header: &[String],
        cells: impl ExactSizeIterator<Item = &'a [u8]>,
    ) -> Result<Ready, Rejection> {
        let undecodable = || Rejection::new(RejectCode::Undecodable);
        if cells.len() != header.len() {
            return Err(undecodable());
        }
        let mut pairs = Vec::with_capacity(header.len());
        for (name, cell) in header.iter().zip(cells) {
            let text = std::str::from_utf8(cell).map_err(|_| undecodable())?;
            if !text.is_empty() {
                pairs.push((name.clone(), self.value_of(name, text)));
            }
        }
        self.row(pairs)
    }

    /// A cell as the JSON value of its field's kind. What does not look like one stays text, and is refused as that.
    fn value_of(&self, name: &str, text: &str) -> Value {
        let as_text = || Value::String(text.to_owned());
        let field = self.profile.position(name).and_then(|at| self.profile.fields().get(at));
        match field.map(|field| &field.kind) {
            Some(Kind::Boolean) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "1" => Value::Bool(true),
                "false" | "f" | "0" => Value::Bool(false),
                _ => as_text(),
            },
            Some(Kind::Int | Kind::Long | Kind::Float | Kind::Double) => match serde_json::from_str(text) {
                Ok(number @ Value::Number(_)) => number,
                _ => as_text(),
            },
            Some(Kind::String | Kind::Enum(_) | Kind::Bytes | Kind::Date | Kind::TimestampMicros | Kind::Uuid)
            | None => as_text(),
        }
    }

    /// A row is an upsert of its user.
    fn row(&self, pairs: Vec<(String, Value)>) -> Result<Ready, Rejection> {
        let columns = &self.columns;
        let (mut user_id, mut tenant, mut time) = (None, None, None);
        // Written by hand, because a field that stands twice has to be found by the reader.
        let mut set = String::from("{");
        for (name, value) in pairs {
            let slot = match &name {
                name if columns.ignored.contains(name) => continue,
                name if *name == columns.key => &mut user_id,
                name if *name == columns.tenant => &mut tenant,
                name if *name == columns.time => &mut time,
                name => {
                    push(&mut set, name, &value);
                    continue;
                }
            };
            if slot.is_some() {
                return Err(Rejection::at_key(RejectCode::FieldDuplicate, "", &name));
            }
            if name == columns.time && self.profile.position(&name).is_some() {
                push(&mut set, &name, &value);
            }
            *slot = Some(value);
        }
        set.push('}');
        let changed_at = match time {
            None | Some(Value::Null) => None,
            Some(time) => {
                let micros = self.micros_of(&time);
                Some(micros.ok_or_else(|| Rejection::at_key(RejectCode::FormatInvalid, "", &columns.time))?)
            }
        };
        let mut text = String::from("{\"op\":\"upsert\"");
        let source = self.source.clone().map(Value::String);
        for (name, value) in [("user_id", user_id.map(text_of_key)), ("tenant", tenant), ("source", source)] {
            if let Some(value) = value {
                push(&mut text, name, &value);
            }
        }
        text.push_str(&format!(",\"set\":{set}}}"));
        let mut draft = json::decode(&self.profile, text.as_bytes())?;
        draft.version = changed_at;
        draft.occurred_at = changed_at;
        self.ready(draft, &columns.time)
    }

    fn micros_of(&self, time: &Value) -> Option<i64> {
        let number = match time {
            Value::Number(number) => number.as_i64(),
            Value::String(text) => text.parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        match (number, self.unit) {
            (Some(number), Some(Unit::Seconds)) => number.checked_mul(1_000_000),
            (Some(number), Some(Unit::Millis)) => number.checked_mul(1_000),
            (Some(number), Some(Unit::Micros)) => Some(number),
            (Some(_), None) => None,
            (None, _) => time.as_str()?.parse().ok().map(Timestamp::as_microsecond),
        }
    }

    /// The record of a draft whose `version` is what the line says of its place; `blamed` is where it says so.
    fn ready(&self, mut draft: Draft, blamed: &str) -> Result<Ready, Rejection> {
        let said = draft.version.take();
        let version = match said {
            Some(micros) => self.backfill.at(micros),
            None => self.run.and_then(|run| self.backfill.of_run(run)),
        };
        let version = version.ok_or_else(|| Rejection::at_key(RejectCode::VersionInvalid, "", blamed))?;
        let key = Bytes::copy_from_slice(draft.user_id.as_bytes());
        let partition = partition_for(&key, self.partitions);
        let origin = Origin::new(PINNED, partition, 0).ok_or_else(|| Rejection::new(RejectCode::Undecodable))?;
        let own_id = draft.id;
        let place = accept::Place { key: Some(&key), origin, version };
        let change = rules::check(&self.profile, accept::accept(&self.profile, draft, place)?)?;
        let value = self.value(change)?;
        // Of what the line says and nothing else, so that the same line is the same change again.
        let id = own_id.unwrap_or_else(|| {
            let name = [b"tidewater:import:", version.to_string().as_bytes(), b":", &value].concat();
            Uuid::new_v5(&Uuid::NAMESPACE_URL, &name)
        });
        let mut kept = Headers::with_capacity(2);
        kept.push_text(headers::VERSION, version.to_string());
        kept.push_text(headers::ID, id.hyphenated().to_string());
        let record = Outgoing { partition, key: Some(key), value: Some(value.into()), headers: kept };
        accept::check_size(record.bytes(), accept::RECORD_BYTES_MAX)?;
        Ok(Ready { record, is_clamped: said.is_some_and(|micros| self.backfill.clamps(micros)) })
    }

    /// The change as JSON, without the id and version that travel beside it.
    fn value(&self, change: Change) -> Result<Vec<u8>, Rejection> {
        let draft = Draft {
            id: None,
            tenant: Some(change.tenant.as_str().to_owned()),
            user_id: change.user_id.as_str().to_owned(),
            op: change.op,
            set: (change.op != Op::Delete).then_some(change.set),
            unset: change.unset,
            occurred_at: change.occurred_at,
            source: change.source,
            version: None,
        };
        let written = serde_json::to_vec(&Written { profile: &self.profile, draft: &draft });
        written.map_err(|_| Rejection::new(RejectCode::Undecodable))
    }
}

/// Keys of old tables are often integers; user ids are text.
fn text_of_key(value: Value) -> Value {
    if value.is_i64() || value.is_u64() { Value::String(value.to_string()) } else { value }
}

/// Adds an entry to an object that is open.
fn push(object: &mut String, name: &str, value: &Value) {
    if object.len() > 1 {
        object.push(',');
    }
    object.push_str(&format!("{}:{value}", Value::from(name)));
}
