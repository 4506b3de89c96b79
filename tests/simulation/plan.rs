//! What is written to raw and to pinned: every text once, so that each shows whence it came.

use crate::dice::Dice;
use schemas::{Lane, Origin, Profile, headers, topics};
use serde_json::{Map, Value, json};
use std::fmt;
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

/// When a run begins, milliseconds since 1970-01-01: 2026-03-01T00:00:00Z.
pub(crate) const START_MS: i64 = 1_772_323_200_000;

/// Start of operation: a minute before, so that backfill is still taken while a run lasts.
pub(crate) const FLOOR_MICROS: i64 = (START_MS - 60_000) * 1000;

pub(crate) static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::embedded().unwrap()));

/// A name that the store refuses; only patches that name nothing else bear it.
pub(crate) const POISON: &str = "poison";

/// Where a record stands on raw or on pinned. It names a change from end to end.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    pub(crate) is_pinned: bool,
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl Place {
    pub(crate) fn raw(partition: i32, offset: i64) -> Self {
        Self { is_pinned: false, partition, offset }
    }

    /// `None` for an origin elsewhere.
    pub(crate) fn of(origin: &Origin) -> Option<Self> {
        let is_pinned = origin.topic() == topics::PINNED;
        let is_ours = is_pinned || origin.raw().is_some();
        is_ours.then(|| Self { is_pinned, partition: origin.partition(), offset: origin.offset() })
    }

    pub(crate) fn topic(self) -> &'static str {
        if self.is_pinned { topics::PINNED } else { topics::RAW }
    }

    pub(crate) fn origin(self) -> Origin {
        Origin::new(self.topic(), self.partition, self.offset).unwrap()
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topic = if self.is_pinned { "pinned" } else { "raw" };
        write!(f, "{topic}/{}/{}", self.partition, self.offset)
    }
}

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

/// One record of raw or pinned, before it is appended.
#[derive(Clone, Debug)]
pub(crate) struct Planned {
    pub(crate) user: String,
    pub(crate) deed: Deed,
    pub(crate) value: Option<String>,
    /// Bytes of a header that travels from end to end.
    pub(crate) ballast: usize,
    /// Set on pinned.
    pub(crate) brought: Option<Brought>,
}

/// The place in history that a pinned record brings.
#[derive(Clone, Debug)]
pub(crate) struct Brought {
    /// As the header says it.
    pub(crate) version: i64,
    /// As it must come out.
    pub(crate) right: i64,
    /// A replay names the raw record it once was.
    pub(crate) origin: Option<Place>,
    pub(crate) id: Option<Uuid>,
}

/// A planned record that was appended.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) planned: Planned,
    /// The fold's state behind it; on pinned nothing.
    pub(crate) mark: i64,
    /// What its change is named by: its own place, or of a replay the raw one.
    pub(crate) name: Place,
}

impl Entry {
    pub(crate) fn version(&self) -> i64 {
        self.planned.brought.as_ref().map_or(self.mark | 4, |brought| brought.right)
    }

    pub(crate) fn is_backfill(&self) -> bool {
        self.planned.brought.is_some() && self.version() & 6 == (Lane::Backfill as i64) << 1
    }

    /// Whether it must end as a dead letter.
    pub(crate) fn is_wrong(&self) -> bool {
        matches!(self.planned.deed, Deed::Wrong(_) | Deed::Poison)
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

/// Makes up what producers write.
#[derive(Debug, Default)]
pub(crate) struct Producer {
    serial: u32,
}

impl Producer {
    /// A record of raw.
    pub(crate) fn next(&mut self, user: &str, dice: &Dice) -> Planned {
        self.serial += 1;
        let deed = match dice.roll(20) {
            0..=4 => Deed::Upsert(self.fields(dice, false)),
            5..=13 => Deed::Patch(self.fields(dice, true)),
            14..=16 => Deed::Delete,
            17 | 18 => Deed::Poison,
            _ => Deed::Wrong(["version-not-allowed", "derived-field", "key-mismatch"][dice.index(3)]),
        };
        let ballast = if dice.one_in(6) { dice.index(3_000) } else { 0 };
        let is_null = deed == Deed::Delete && dice.one_in(2);
        let value = (!is_null).then(|| self.json(user, &deed).to_string());
        Planned { user: user.into(), deed, value, ballast, brought: None }
    }

    /// A row of the old system, which was still written to after the start of operation; `as_it_is` sends its own time.
    pub(crate) fn backfill(&mut self, user: &str, now_ms: i64, as_it_is: bool, dice: &Dice) -> Planned {
        self.serial += 1;
        let deed = if dice.one_in(6) { Deed::Delete } else { Deed::Upsert(self.fields(dice, false)) };
        let behind_ms = i64::try_from(dice.roll(120_000)).unwrap();
        let updated_at = self.apart(now_ms - behind_ms);
        // What the import promises: below the floor, and no two rows of a user at one place.
        let right = if updated_at < FLOOR_MICROS - 8 * 20_000 {
            updated_at
        } else {
            floor_mark() - 8 * i64::from(10_000 - self.serial)
        };
        let version = if as_it_is { updated_at } else { right };
        let id = Some(Uuid::from_u128(self.serial.into()));
        let brought = Brought { version, right, origin: None, id };
        let value = Some(self.json(user, &deed).to_string());
        Planned { user: user.into(), deed, value, ballast: 0, brought: Some(brought) }
    }

    /// A change of a source that brings its own history.
    pub(crate) fn sourced(&mut self, user: &str, now_ms: i64, dice: &Dice) -> Planned {
        let planned = self.next(user, dice);
        let behind_ms = i64::try_from(dice.roll(3_000)).unwrap();
        let version = self.apart(now_ms - behind_ms) | (Lane::SourcePinned as i64) << 1;
        let deed = match planned.deed {
            // Of what is rejected there are enough on raw.
            Deed::Wrong(_) | Deed::Poison => Deed::Delete,
            right => right,
        };
        let value = Some(self.json(user, &deed).to_string());
        Planned { deed, value, brought: Some(Brought { version, right: version, origin: None, id: None }), ..planned }
    }

    /// A rejected record, mended, for its old place.
    pub(crate) fn replay(&mut self, entry: &Entry, dice: &Dice) -> Planned {
        self.serial += 1;
        let user = entry.planned.user.clone();
        let deed = if dice.one_in(4) { Deed::Delete } else { Deed::Patch(self.fields(dice, true)) };
        let value = Some(self.json(&user, &deed).to_string());
        let version = entry.version();
        let brought = Brought { version, right: version, origin: Some(entry.name), id: None };
        Planned { user, deed, value, ballast: 0, brought: Some(brought) }
    }

    /// A place near an instant that no other record of this producer has.
    fn apart(&self, at_ms: i64) -> i64 {
        at_ms * 1000 / 8_192 * 8_192 + i64::from(self.serial % 1_024) * 8
    }

    fn fields(&self, dice: &Dice, clears: bool) -> Vec<(&'static str, Value)> {
        let serial = self.serial;
        let all = [
            ("name", json!(format!("n{serial}"))),
            ("email", json!(format!("m{serial}@d{}.example", serial % 3))),
            ("country", json!(dice.pick(&["DE", "FR", "JP", "US", "AQ"]))),
            ("marketing_opt_in", json!(serial.is_multiple_of(2))),
        ];
        let clear = |value| if clears && dice.one_in(4) { Value::Null } else { value };
        all.into_iter().filter(|_| dice.one_in(2)).map(|(name, value)| (name, clear(value))).collect()
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

impl Planned {
    /// The headers that it is appended with.
    pub(crate) fn headers(&self) -> runtime::record::Headers {
        let mut all = runtime::record::Headers::default();
        if self.ballast > 0 {
            all.push_text("tracestate", "b=".to_owned() + &"x".repeat(self.ballast));
        }
        if let Some(Brought { version, origin, id, .. }) = &self.brought {
            all.push_text(headers::VERSION, version.to_string());
            if let Some(origin) = origin {
                all.push_text(headers::ORIGIN, origin.origin().to_string());
            }
            if let Some(id) = id {
                all.push_text(headers::ID, id.to_string());
            }
        }
        all
    }
}
