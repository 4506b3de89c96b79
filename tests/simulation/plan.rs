//! What producers write, and what must come of it: the oracle folds the plan itself, in the order of the log, and
//! shares no code with the pipeline.

use crate::dice::Dice;
use schemas::{FieldValue, Origin, Profile, Row, Version};
use serde_json::{Map, Value, json};
use std::sync::{Arc, LazyLock};
use store::cql::ProfileRow;
use uuid::Uuid;

/// When a run begins, milliseconds since 1970-01-01: 2026-03-01T00:00:00Z.
pub(crate) const START_MS: i64 = 1_772_323_200_000;

/// Start of operation: an hour before.
pub(crate) const FLOOR_MICROS: i64 = (START_MS - 3_600_000) * 1000;

/// The second edition of the reference table is in force from here on, microseconds since 1970-01-01.
const SECOND_EDITION: i64 = (START_MS + 2_000) * 1000;

pub(crate) const EDITIONS: [(&str, &str); 2] = [
    ("countries@20260101T000000Z.csv", "country,region\nDE,Europe\nFR,Europe\nJP,Asia\nUS,Americas\n"),
    ("countries@20260301T000002Z.csv", "country,region\nDE,Core\nFR,Core\nJP,Asia\n"),
];

pub(crate) static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::embedded().unwrap()));

/// A name that the store refuses; only patches that name nothing else bear it.
pub(crate) const POISON: &str = "poison";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    Upsert(Vec<(&'static str, Value)>),
    /// Null clears.
    Patch(Vec<(&'static str, Value)>),
    Delete,
    /// The store refuses it.
    Poison,
    /// `validate` rejects it with this code.
    Wrong(&'static str),
}

/// One record of raw.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) user: String,
    pub(crate) deed: Deed,
    pub(crate) value: Option<String>,
}

/// A planned record that was appended.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) planned: Planned,
    /// The place that the fold must give it.
    pub(crate) mark: i64,
}

impl Entry {
    pub(crate) fn version(&self) -> i64 {
        self.mark | 4
    }
}

/// The fold, written down once more.
pub(crate) fn place_behind(previous: i64, append_ms: i64) -> i64 {
    (previous + 8).max(append_ms * 1000 / 8 * 8)
}

/// The floor as a mark.
pub(crate) fn floor_mark() -> i64 {
    FLOOR_MICROS / 8 * 8
}

/// Makes up what producers write; every text is written once, so that each shows whence it came.
#[derive(Debug)]
pub(crate) struct Producer {
    dice: Dice,
    serial: u32,
}

impl Producer {
    pub(crate) fn new(dice: Dice) -> Self {
        Self { dice, serial: 0 }
    }

    pub(crate) fn next(&mut self, user: &str) -> Planned {
        self.serial += 1;
        let deed = match self.dice.roll(20) {
            0..=4 => Deed::Upsert(self.fields(false)),
            5..=13 => Deed::Patch(self.fields(true)),
            14..=16 => Deed::Delete,
            17 | 18 => Deed::Poison,
            _ => Deed::Wrong(["version-not-allowed", "derived-field", "key-mismatch"][self.dice.index(3)]),
        };
        let is_null = deed == Deed::Delete && self.dice.one_in(2);
        let value = (!is_null).then(|| self.json(user, &deed).to_string());
        Planned { user: user.into(), deed, value }
    }

    fn fields(&self, clears: bool) -> Vec<(&'static str, Value)> {
        let serial = self.serial;
        let all = [
            ("name", json!(format!("n{serial}"))),
            ("email", json!(format!("m{serial}@d{}.example", serial % 3))),
            ("country", json!(self.dice.pick(&["DE", "FR", "JP", "US", "AQ"]))),
            ("marketing_opt_in", json!(serial.is_multiple_of(2))),
        ];
        let clear = |value| if clears && self.dice.one_in(4) { Value::Null } else { value };
        all.into_iter().filter(|_| self.dice.one_in(2)).map(|(name, value)| (name, clear(value))).collect()
    }

    fn json(&self, user: &str, deed: &Deed) -> Value {
        let object = |op: &str, fields: &[(&str, Value)]| {
            let set: Map<String, Value> = fields.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
            json!({"user_id": user, "op": op, "set": set})
        };
        match deed {
            Deed::Upsert(fields) => object("upsert", fields),
            Deed::Patch(fields) => object("patch", fields),
            Deed::Delete => json!({"user_id": user, "op": "delete"}),
            Deed::Poison => object("patch", &[("name", json!(format!("{POISON}{}", self.serial)))]),
            Deed::Wrong("version-not-allowed") => json!({"user_id": user, "op": "delete", "version": 1}),
            Deed::Wrong("derived-field") => object("patch", &[("region", json!("Mars"))]),
            Deed::Wrong(_) => json!({"user_id": format!("{user}x"), "op": "delete"}),
        }
    }
}

/// The row that a user must have once every entry of the user's partition is settled.
pub(crate) fn row_of(user: &str, partition: i32, entries: &[Entry]) -> Option<ProfileRow> {
    let mut row: Option<ProfileRow> = None;
    for (offset, entry) in (0_i64..).zip(entries).filter(|(_, entry)| entry.planned.user == user) {
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
        let origin = Origin::new(schemas::topics::RAW, partition, offset).unwrap();
        state.version = Some(version);
        state.change = Some(Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("tidewater:{origin}").as_bytes()));
        (state.partition, state.offset) = (Some(partition), Some(offset));
    }
    row
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
