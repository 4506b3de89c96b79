//! What must come of what was written: the oracle applies it change by change in the order of the versions, and shares
//! no code with the pipeline.

use crate::plan::{Deed, Entry, PROFILE, START_MS};
use schemas::{FieldValue, Row, Version};
use serde_json::Value;
use store::cql::ProfileRow;
use uuid::Uuid;

/// The second edition of the reference table is in force from here on, microseconds since 1970-01-01.
const SECOND_EDITION: i64 = (START_MS + 2_000) * 1000;

pub(crate) const EDITIONS: [(&str, &str); 2] = [
    ("countries@20260101T000000Z.csv", "country,region\nDE,Europe\nFR,Europe\nJP,Asia\nUS,Americas\n"),
    ("countries@20260301T000002Z.csv", "country,region\nDE,Core\nFR,Core\nJP,Asia\n"),
];

/// The row that a user must have once all of `entries`, which are theirs, are settled.
pub(crate) fn row_of(mut entries: Vec<Entry>) -> Option<ProfileRow> {
    entries.retain(|entry| !entry.is_wrong());
    entries.sort_by_key(Entry::version);
    let mut row: Option<ProfileRow> = None;
    for entry in &entries {
        let version = Version::new(entry.version()).unwrap();
        let state = match &entry.planned.deed {
            Deed::Wrong(_) | Deed::Poison => continue,
            Deed::Upsert(fields) => {
                let state = row.insert(ProfileRow { live: Some(version), ..ProfileRow::default() });
                write(&mut state.row, fields, version);
                state
            }
            Deed::Patch(fields) => {
                let state = row.get_or_insert_default();
                write(&mut state.row, fields, version);
                state
            }
            Deed::Delete => row.insert(ProfileRow { dead: Some(version), ..ProfileRow::default() }),
        };
        let id = || Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("tidewater:{}", entry.name.origin()).as_bytes());
        state.version = Some(version);
        state.change = Some(entry.planned.brought.as_ref().and_then(|brought| brought.id).unwrap_or_else(id));
        if !entry.name.is_pinned {
            (state.partition, state.offset) = (Some(entry.name.partition), Some(entry.name.offset));
        }
    }
    row
}

/// Where a raw change stands that the store refuses by itself.
pub(crate) fn receipt_of_poison(entry: &Entry) -> Option<(i32, i64)> {
    let is_poison = entry.planned.deed == Deed::Poison && !entry.name.is_pinned;
    is_poison.then_some((entry.name.partition, entry.name.offset))
}

/// Whether a row is the wanted one. What the store refuses depends on what is merged with it: of a refused change whose
/// field a newer one took over in the same merge the receipt is left, and is as true as any.
pub(crate) fn agrees(row: &ProfileRow, want: &ProfileRow, poisons: &[(i32, i64)]) -> bool {
    let receipt = row.partition.zip(row.offset);
    let is_of_poison = receipt.is_some_and(|receipt| poisons.contains(&receipt));
    row == want
        || (is_of_poison && ProfileRow { partition: want.partition, offset: want.offset, ..row.clone() } == *want)
}

fn write(row: &mut Row, fields: &[(&'static str, Value)], version: Version) {
    for (name, value) in fields {
        put(row, name, value.clone());
        match *name {
            "email" => put(row, "email_domain", value.as_str().and_then(|email| email.split('@').nth(1)).into()),
            "country" => put(row, "region", region(value.as_str(), version).into()),
            _ => {}
        }
    }
}

fn put(row: &mut Row, name: &str, value: Value) {
    let field = PROFILE.position(name).unwrap();
    row.take(field);
    match value {
        Value::String(text) => row.set(field, FieldValue::Text(text)),
        Value::Bool(flag) => row.set(field, FieldValue::Bool(flag)),
        _ => {}
    }
}

fn region(country: Option<&str>, version: Version) -> Option<&'static str> {
    let is_second = version.get() >= SECOND_EDITION;
    match country? {
        "DE" | "FR" => Some(if is_second { "Core" } else { "Europe" }),
        "JP" => Some("Asia"),
        "US" if !is_second => Some("Americas"),
        _ => None,
    }
}
