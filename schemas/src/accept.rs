//! From what a producer wrote to a change with its place in history.
//!
//! JSON and Avro meet here: what the parts of a change must be to each other, and to the record that carried them.

use crate::profile::Profile;
use crate::reject::{RejectCode, Rejection};
use crate::topics::partition_for;
use crate::{Change, Codec, Draft, FieldSet, Op, Origin, Row, Tenant, UserId, Version, json};
use sha1::{Digest as _, Sha1};
use std::io::Write as _;
use uuid::{Builder, Uuid};

/// Largest record `validate` takes: key, value and headers.
pub const RECORD_BYTES_MAX: usize = 1 << 20;

/// Largest record a stage puts out: key, value and headers. More than came in, because composing can treble a text.
pub const OUTPUT_BYTES_MAX: usize = 3 << 19;

/// Where a record stood, and the place in history it was given.
#[derive(Clone, Debug, PartialEq)]
pub struct Place<'a> {
    pub key: Option<&'a [u8]>,
    pub origin: Origin,
    pub version: Version,
}

/// `too-large` if a record of `bytes` (key, value and headers) is over `limit`; one of exactly the limit is not.
///
/// # Errors
/// `too-large`.
pub fn check_size(bytes: usize, limit: usize) -> Result<(), Rejection> {
    if bytes > limit { Err(Rejection::new(RejectCode::TooLarge)) } else { Ok(()) }
}

/// `misplaced` if the key belongs to another partition of a topic with `partitions` of them.
///
/// A record without a key is nowhere out of place; [`accept`] refuses it.
///
/// # Errors
/// `misplaced`.
pub fn check_partition(key: Option<&[u8]>, partition: i32, partitions: i32) -> Result<(), Rejection> {
    if key.is_some_and(|key| partition_for(key, partitions) != partition) {
        return Err(Rejection::new(RejectCode::Misplaced));
    }
    Ok(())
}

/// Reads the value of a record that an outsider wrote: JSON from `{` on, else Avro.
///
/// # Errors
/// Those of [`json::decode`], and of [`crate::DecodeError::rejection`].
pub fn read(codec: &Codec, value: &[u8]) -> Result<Draft, Rejection> {
    if value.first() == Some(&b'{') {
        return json::decode(codec.profile(), value);
    }
    codec.decode_draft(value).map_err(|error| error.rejection())
}

/// The change that a draft stands for, its values not yet checked ([`crate::rules::check`]).
///
/// A draft of `pinned` brings its version: take it out first, and put it into `place`. A patch that names nothing is a
/// change, too: it says that the user was seen. So is an upsert: it empties the profile.
///
/// # Errors
/// `version-not-allowed`, `key-missing`, `user-id-invalid`, `key-mismatch`, `tenant-invalid`; `shape` for `set` in a
/// delete, `unset` in a delete or an upsert, or a field in both; `derived-field`.
pub fn accept(profile: &Profile, mut draft: Draft, place: Place<'_>) -> Result<Change, Rejection> {
    if draft.version.is_some() {
        return Err(Rejection::at(RejectCode::VersionNotAllowed, "version"));
    }
    let key = place.key.ok_or_else(|| Rejection::new(RejectCode::KeyMissing))?;
    let user_id = UserId::of(std::mem::take(&mut draft.user_id));
    let user_id = user_id.ok_or_else(|| Rejection::at(RejectCode::UserIdInvalid, "user_id"))?;
    if key != user_id.as_str().as_bytes() {
        return Err(Rejection::at(RejectCode::KeyMismatch, "user_id"));
    }
    let tenant = match &draft.tenant {
        Some(name) => Tenant::new(name).ok_or_else(|| Rejection::at(RejectCode::TenantInvalid, "tenant"))?,
        None => Tenant::default(),
    };
    check_shape(profile, &draft)?;
    let set = draft.set.unwrap_or_default();
    check_derived(profile, set.named(), "set")?;
    check_derived(profile, draft.unset, "unset")?;
    Ok(Change {
        id: draft.id.unwrap_or_else(|| id_of(&place.origin)),
        tenant,
        user_id,
        op: draft.op,
        set,
        unset: draft.unset,
        occurred_at: draft.occurred_at,
        source: draft.source,
        version: place.version,
        origin: place.origin,
    })
}

/// The change that a record without a value stands for: the delete of its key's user, of the tenant `main`.
///
/// # Errors
/// `key-missing`, and `user-id-invalid` for a key that is no user id.
pub fn accept_null(place: Place<'_>) -> Result<Change, Rejection> {
    let key = place.key.ok_or_else(|| Rejection::new(RejectCode::KeyMissing))?;
    let user_id = std::str::from_utf8(key)
        .ok()
        .and_then(UserId::new)
        .ok_or_else(|| Rejection::at(RejectCode::UserIdInvalid, "user_id"))?;
    Ok(Change {
        id: id_of(&place.origin),
        tenant: Tenant::default(),
        user_id,
        op: Op::Delete,
        set: Row::default(),
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: place.version,
        origin: place.origin,
    })
}

/// The id of a change that brought none: the same on every reading of its record.
#[must_use]
pub fn id_of(origin: &Origin) -> Uuid {
    // Longer than any origin: a topic's name has 249 bytes at most.
    let mut text = [0; 320];
    let mut left = &mut text[..];
    let is_whole = write!(left, "tidewater:{origin}").is_ok();
    debug_assert!(is_whole, "an origin has a greatest length");
    let len = 320 - left.len();
    // By a digest that uses what processors have for it: that of `uuid` itself took twelve times as long.
    let digest = Sha1::new().chain_update(Uuid::NAMESPACE_URL).chain_update(text.get(..len).unwrap_or_default());
    let mut id = [0; 16];
    id.iter_mut().zip(digest.finalize()).for_each(|(byte, from)| *byte = from);
    Builder::from_sha1_bytes(id).into_uuid()
}

fn check_shape(profile: &Profile, draft: &Draft) -> Result<(), Rejection> {
    let shape = |field: &str| Err(Rejection::at(RejectCode::Shape, field));
    match draft.op {
        Op::Delete if draft.set.is_some() => return shape("set"),
        Op::Delete | Op::Upsert if !draft.unset.is_empty() => return shape("unset"),
        Op::Delete | Op::Upsert | Op::Patch => {}
    }
    let both = draft.set.as_ref().map_or(FieldSet::EMPTY, Row::named).intersection(draft.unset);
    match both.iter().next() {
        Some(position) => shape(&path_of(profile, "unset", position)),
        None => Ok(()),
    }
}

fn check_derived(profile: &Profile, named: FieldSet, parent: &str) -> Result<(), Rejection> {
    for position in named.iter() {
        if profile.fields().get(position).is_some_and(|field| field.derived.is_some()) {
            return Err(Rejection::at(RejectCode::DerivedField, path_of(profile, parent, position)));
        }
    }
    Ok(())
}

fn path_of(profile: &Profile, parent: &str, position: usize) -> String {
    let name = profile.fields().get(position).map_or("", |field| &*field.name);
    format!("{parent}.{name}")
}

#[cfg(test)]
mod tests;
