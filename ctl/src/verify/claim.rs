//! What a record of `raw` or `pinned` asks for: of whom, what is done, and to which fields. Not which values.
//!
//! A look, not a check: of a record that was let through it must come out as the same change.

use runtime::record::Record;
use schemas::{Change, Codec, Derived, FieldSet, Op, Profile, Tenant};
use serde_json::{Map, Value};
use uuid::Uuid;

/// Holds user data, so it has no `Debug`.
pub(super) struct Claim {
    pub(super) id: Option<Uuid>,
    /// Which only `pinned` may name.
    pub(super) version: Option<i64>,
    tenant: String,
    user_id: String,
    op: Op,
    set: FieldSet,
    unset: FieldSet,
    source: Option<String>,
}

impl Claim {
    /// `None` of a record that should never have been let through.
    pub(super) fn of(codec: &Codec, record: &Record) -> Option<Self> {
        let key = std::str::from_utf8(record.key.as_ref()?).ok()?;
        let claim = match record.value.as_deref() {
            None => Self::delete_of(key),
            Some(value) if value.starts_with(b"{") => Self::of_json(codec.profile(), value)?,
            Some(value) => Self::of_avro(codec, value)?,
        };
        (claim.user_id == key).then_some(claim)
    }

    fn delete_of(key: &str) -> Self {
        Self {
            id: None,
            version: None,
            tenant: Tenant::default().as_str().to_owned(),
            user_id: key.to_owned(),
            op: Op::Delete,
            set: FieldSet::EMPTY,
            unset: FieldSet::EMPTY,
            source: None,
        }
    }

    fn of_json(profile: &Profile, value: &[u8]) -> Option<Self> {
        let json: Map<String, Value> = serde_json::from_slice(value).ok()?;
        let op = match json.get("op")?.as_str()? {
            "upsert" => Op::Upsert,
            "patch" => Op::Patch,
            "delete" => Op::Delete,
            _ => return None,
        };
        let (mut set, mut unset) = (FieldSet::EMPTY, FieldSet::EMPTY);
        if let Some(given) = present(&json, "set") {
            for (name, value) in given.as_object()? {
                match (value, op) {
                    (Value::Null, Op::Patch) => unset.insert(profile.position(name)?),
                    (Value::Null, Op::Upsert | Op::Delete) => {}
                    _ => set.insert(profile.position(name)?),
                }
            }
        }
        if let Some(given) = present(&json, "unset") {
            for name in given.as_array()? {
                unset.insert(profile.position(name.as_str()?)?);
            }
        }
        let text = |name: &str| present(&json, name).and_then(Value::as_str);
        Some(Self {
            id: text("id").and_then(|id| Uuid::try_parse(id).ok()),
            version: present(&json, "version").and_then(Value::as_i64),
            tenant: text("tenant").map_or_else(|| Tenant::default().as_str().to_owned(), str::to_owned),
            user_id: text("user_id")?.to_owned(),
            op,
            set,
            unset,
            source: text("source").map(str::to_owned),
        })
    }

    /// The codec is the only one who reads Avro; it is held against another reader by a fuzz of its own.
    fn of_avro(codec: &Codec, value: &[u8]) -> Option<Self> {
        let draft = codec.decode_draft(value).ok()?;
        Some(Self {
            id: draft.id,
            version: draft.version,
            tenant: draft.tenant.unwrap_or_else(|| Tenant::default().as_str().to_owned()),
            user_id: draft.user_id,
            op: draft.op,
            set: draft.set.map_or(FieldSet::EMPTY, |set| set.named()),
            unset: draft.unset,
            source: draft.source,
        })
    }

    /// In what `change` differs from what was asked for.
    pub(super) fn differences(&self, change: &Change, profile: &Profile) -> Vec<&'static str> {
        let named_id = format!("tidewater:{}", change.origin);
        let id = self.id.unwrap_or_else(|| Uuid::new_v5(&Uuid::NAMESPACE_URL, named_id.as_bytes()));
        let derived: FieldSet = positions(profile, |field| field.derived.is_some());
        let checks = [
            ("id", change.id == id),
            ("tenant", change.tenant.as_str() == self.tenant),
            ("user_id", change.user_id.as_str() == self.user_id),
            ("op", change.op == self.op),
            ("source", change.source == self.source),
            ("the fields it sets", change.set.named().minus(derived) == self.set),
            ("the fields it clears", change.unset.minus(derived) == self.unset),
            ("the fields it derives", derives_what_is_due(profile, change)),
        ];
        checks.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
    }
}

/// The value of a key; null is as if it were not there.
fn present<'j>(json: &'j Map<String, Value>, name: &str) -> Option<&'j Value> {
    json.get(name).filter(|value| !value.is_null())
}

fn positions(profile: &Profile, is_in: impl Fn(&schemas::Field) -> bool) -> FieldSet {
    profile.fields().iter().enumerate().filter(|(_, field)| is_in(field)).map(|(position, _)| position).collect()
}

/// A derived field is written by exactly the changes that write its source; a miss clears it.
fn derives_what_is_due(profile: &Profile, change: &Change) -> bool {
    profile.fields().iter().enumerate().all(|(position, field)| {
        let Some(Derived::Derive { from, .. } | Derived::Lookup { from, .. }) = &field.derived else { return true };
        let (is_set, is_cleared) = (change.set.get(position).is_some(), change.unset.contains(position));
        match (change.set.get(*from).is_some(), change.unset.contains(*from), change.op) {
            (true, _, Op::Patch) => is_set != is_cleared,
            (true, _, Op::Upsert | Op::Delete) => !is_cleared,
            (false, true, _) => !is_set && is_cleared,
            (false, false, _) => !is_set && !is_cleared,
        }
    })
}
