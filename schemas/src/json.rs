//! A change as JSON on the raw topic, read strictly.
//!
//! One streaming pass driven by the profile, no tree of values. What JSON leaves open is closed here, the same for
//! every producer: a key stands once; only known keys stand; a number for an integer has neither fraction nor
//! exponent; nothing is nested where a single value must be. `null` for an optional key of the change is its absence.
//! A field may go by a former name (an alias of the profile), and is told by its present one.
//!
//! | kind | JSON |
//! |---|---|
//! | boolean | `true`, `false` |
//! | int, long | a number without fraction or exponent, within 32 or 64 bits |
//! | float, double | any number the type can hold |
//! | string, enum, uuid | text; of an enum one of its symbols |
//! | bytes | base64, standard alphabet, padded |
//! | date | `"2026-11-22"` |
//! | timestamp-micros | RFC 3339, `"2026-11-22T10:00:00.123456Z"`; what is finer than a microsecond is cut off |

mod blame;
mod draft;
mod fields;
mod pairs;
mod value;

pub use draft::Written;
pub use fields::Fields;
pub use pairs::pairs;

use crate::profile::{Kind, Profile};
use crate::reject::{RejectCode, Rejection};
use crate::{Draft, FieldSet, FieldValue, Op, Row};
use blame::{At, Blame};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use uuid::Uuid;
use value::ValueSeed;

/// Reads one change. `bytes` is the whole value of a record; JSON's white space may follow it, nothing else.
///
/// In a patch `null` for a field of `set` clears it and is returned in `unset`; in an upsert it is absence.
///
/// # Errors
/// `undecodable` for what is no JSON object in UTF-8 from its first byte on; `field-unknown`, `field-duplicate`,
/// `field-missing`, `field-type`, `too-deep`, `format-invalid` (an id, date or time), `derived-field` and `shape` (a
/// field named in `set` and in `unset`) with the path of the field.
pub fn decode(profile: &Profile, bytes: &[u8]) -> Result<Draft, Rejection> {
    let undecodable = || Rejection::new(RejectCode::Undecodable);
    if bytes.first() != Some(&b'{') {
        return Err(undecodable());
    }
    let text = std::str::from_utf8(bytes).map_err(|_| undecodable())?;
    let blame = Blame::new(profile);
    let mut json = serde_json::Deserializer::from_str(text);
    let parts = ChangeSeed { profile, blame: &blame }
        .deserialize(&mut json)
        .and_then(|parts| json.end().map(|()| parts))
        .map_err(|error| blame.rejection(&error))?;
    parts.draft(profile)
}

/// The keys of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Id,
    Tenant,
    UserId,
    Op,
    Set,
    Unset,
    OccurredAt,
    Source,
    Version,
}

impl Key {
    const ALL: [(Self, &'static str); 9] = [
        (Self::Id, "id"),
        (Self::Tenant, "tenant"),
        (Self::UserId, "user_id"),
        (Self::Op, "op"),
        (Self::Set, "set"),
        (Self::Unset, "unset"),
        (Self::OccurredAt, "occurred_at"),
        (Self::Source, "source"),
        (Self::Version, "version"),
    ];

    fn of(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| *known == name).map(|(key, _)| *key)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(key, _)| *key == self).map_or("", |(_, name)| name)
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// What stood in the text, before `op` says what a null means.
#[derive(Default)]
struct Parts {
    id: Option<Uuid>,
    tenant: Option<String>,
    user_id: Option<String>,
    op: Option<Op>,
    set: Option<Named>,
    unset: FieldSet,
    occurred_at: Option<i64>,
    source: Option<String>,
    version: Option<i64>,
}

/// The object `set`.
struct Named {
    row: Row,
    nulls: FieldSet,
}

impl Parts {
    fn draft(self, profile: &Profile) -> Result<Draft, Rejection> {
        let op = self.op.ok_or_else(|| Rejection::at(RejectCode::FieldMissing, "op"))?;
        let user_id = self.user_id.ok_or_else(|| Rejection::at(RejectCode::FieldMissing, "user_id"))?;
        let (set, nulls) = match self.set {
            Some(Named { row, nulls }) => (Some(row), nulls),
            None => (None, FieldSet::EMPTY),
        };
        if let Some(position) = nulls.intersection(self.unset).iter().next() {
            return Err(Rejection::at(RejectCode::Shape, At::UnsetField(position).path(profile)));
        }
        let unset = match op {
            Op::Patch => self.unset.union(nulls),
            Op::Upsert | Op::Delete => self.unset,
        };
        let Self { id, tenant, occurred_at, source, version, .. } = self;
        Ok(Draft { id, tenant, user_id, op, set, unset, occurred_at, source, version })
    }
}

struct ChangeSeed<'a> {
    profile: &'a Profile,
    blame: &'a Blame<'a>,
}

impl<'de> DeserializeSeed<'de> for ChangeSeed<'_> {
    type Value = Parts;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Parts, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for ChangeSeed<'_> {
    type Value = Parts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a change")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Parts, M::Error> {
        let mut parts = Parts::default();
        let mut seen = 0;
        while let Some(key) = map.next_key_seed(KeySeed { blame: self.blame })? {
            self.blame.enter(At::Key(key));
            if seen & key.bit() != 0 {
                return Err(self.blame.refuse(RejectCode::FieldDuplicate));
            }
            seen |= key.bit();
            self.read(key, &mut parts, &mut map)?;
        }
        Ok(parts)
    }
}

impl ChangeSeed<'_> {
    fn read<'de, M: MapAccess<'de>>(&self, key: Key, parts: &mut Parts, map: &mut M) -> Result<(), M::Error> {
        let Self { profile, blame } = *self;
        match key {
            Key::Tenant => parts.tenant = self.text(map)?,
            Key::Source => parts.source = self.text(map)?,
            Key::UserId => {
                parts.user_id = Some(self.text(map)?.ok_or_else(|| blame.refuse(RejectCode::FieldType))?);
            }
            Key::Id => {
                parts.id = match self.text(map)? {
                    Some(text) => {
                        Some(crate::rules::parse_uuid(&text).ok_or_else(|| blame.refuse(RejectCode::FormatInvalid))?)
                    }
                    None => None,
                };
            }
            Key::Op => {
                let op = match self.text(map)?.as_deref() {
                    Some("upsert") => Op::Upsert,
                    Some("patch") => Op::Patch,
                    Some("delete") => Op::Delete,
                    _ => return Err(blame.refuse(RejectCode::FieldType)),
                };
                parts.op = Some(op);
            }
            Key::OccurredAt => parts.occurred_at = self.long(map, &Kind::TimestampMicros)?,
            Key::Version => parts.version = self.long(map, &Kind::Long)?,
            Key::Set => parts.set = map.next_value_seed(SetSeed { profile, blame })?,
            Key::Unset => parts.unset = map.next_value_seed(UnsetSeed { profile, blame })?,
        }
        Ok(())
    }

    fn text<'de, M: MapAccess<'de>>(&self, map: &mut M) -> Result<Option<String>, M::Error> {
        match map.next_value_seed(ValueSeed { kind: &Kind::String, blame: self.blame })? {
            Some(FieldValue::Text(text)) => Ok(Some(text)),
            _ => Ok(None),
        }
    }

    fn long<'de, M: MapAccess<'de>>(&self, map: &mut M, kind: &Kind) -> Result<Option<i64>, M::Error> {
        match map.next_value_seed(ValueSeed { kind, blame: self.blame })? {
            Some(FieldValue::Long(number)) => Ok(Some(number)),
            _ => Ok(None),
        }
    }
}

struct KeySeed<'a> {
    blame: &'a Blame<'a>,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Key, D::Error> {
        json.deserialize_identifier(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of a change")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Key, E> {
        Key::of(name).ok_or_else(|| self.blame.refuse_key("", name))
    }
}

/// The object `set`; `None` for null.
struct SetSeed<'a> {
    profile: &'a Profile,
    blame: &'a Blame<'a>,
}

impl<'de> DeserializeSeed<'de> for SetSeed<'_> {
    type Value = Option<Named>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Named>, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SetSeed<'_> {
    type Value = Option<Named>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of profile fields")
    }

    fn visit_unit<E>(self) -> Result<Option<Named>, E> {
        Ok(None)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Option<Named>, M::Error> {
        let mut row = Row::with_width(self.profile.fields().len());
        let (mut nulls, mut seen) = (FieldSet::EMPTY, FieldSet::EMPTY);
        let field = FieldSeed { profile: self.profile, blame: self.blame, parent: Key::Set };
        while let Some(position) = map.next_key_seed(field)? {
            self.blame.enter(At::SetField(position));
            if seen.contains(position) {
                return Err(self.blame.refuse(RejectCode::FieldDuplicate));
            }
            seen.insert(position);
            let Some(field) = self.profile.fields().get(position) else { continue };
            match map.next_value_seed(ValueSeed { kind: &field.kind, blame: self.blame })? {
                Some(value) => row.set(position, value),
                None => nulls.insert(position),
            }
        }
        Ok(Some(Named { row, nulls }))
    }
}

/// The list `unset`; empty for null.
struct UnsetSeed<'a> {
    profile: &'a Profile,
    blame: &'a Blame<'a>,
}

impl<'de> DeserializeSeed<'de> for UnsetSeed<'_> {
    type Value = FieldSet;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<FieldSet, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for UnsetSeed<'_> {
    type Value = FieldSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of profile fields")
    }

    fn visit_unit<E>(self) -> Result<FieldSet, E> {
        Ok(FieldSet::EMPTY)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<FieldSet, S::Error> {
        let mut unset = FieldSet::EMPTY;
        let field = FieldSeed { profile: self.profile, blame: self.blame, parent: Key::Unset };
        self.blame.enter(At::UnsetItem(0));
        while let Some(position) = list.next_element_seed(field)? {
            if unset.contains(position) {
                self.blame.enter(At::UnsetField(position));
                return Err(self.blame.refuse(RejectCode::FieldDuplicate));
            }
            unset.insert(position);
            self.blame.enter(At::UnsetItem(unset.len()));
        }
        Ok(unset)
    }
}

/// The name of a field that a producer may name, as its position.
#[derive(Clone, Copy)]
struct FieldSeed<'a> {
    profile: &'a Profile,
    blame: &'a Blame<'a>,
    parent: Key,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<usize, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a profile field")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<usize, E> {
        let Some(position) = self.profile.position(name) else {
            return Err(self.blame.refuse_key(self.parent.name(), name));
        };
        if self.profile.fields().get(position).is_some_and(|field| field.derived.is_some()) {
            self.blame.enter(if self.parent == Key::Set { At::SetField(position) } else { At::UnsetField(position) });
            return Err(self.blame.refuse(RejectCode::DerivedField));
        }
        Ok(position)
    }

    fn visit_map<M: MapAccess<'de>>(self, _: M) -> Result<usize, M::Error> {
        Err(self.blame.refuse(RejectCode::TooDeep))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, _: S) -> Result<usize, S::Error> {
        Err(self.blame.refuse(RejectCode::TooDeep))
    }
}

#[cfg(test)]
mod tests;
