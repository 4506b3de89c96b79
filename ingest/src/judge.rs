//! From what a client sent to a raw record, or to why there is none.
//!
//! The rules are those of `validate`, so what is accepted here is rejected there only if the schemas of the two differ.
//! What goes to the log is the client's own text, byte for byte but for the tenant and the source, which a token decides.

use bytes::Bytes;
use runtime::auth::{self, Identity};
use runtime::record::{Headers, Outgoing};
use schemas::{FieldSet, Op, Origin, Profile, RejectCode, Rejection, Tenant, UserId, Version};
use schemas::{accept, json, rules, topics};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// On whose behalf changes come in, as far as it decides what is written.
#[derive(Clone, Default)]
pub struct Sender {
    /// Put in the place of what a change says; `None` believes the change.
    pub tenant: Option<Tenant>,
    /// Put in the place of what a change says; `None` believes the change.
    pub source: Option<Arc<str>>,
    /// The fields that may be named; `None` if all of them.
    pub fields: Option<FieldSet>,
}

impl Sender {
    /// Whom a token speaks for; whoever is not checked is believed. `None` if the token's tenant is no tenant's name.
    #[must_use]
    pub fn of(identity: &Identity, profile: &Profile) -> Option<Self> {
        if identity.is_anonymous() {
            return Some(Self::default());
        }
        let fields = identity.mask().map(|mask| {
            let mut fields = FieldSet::EMPTY;
            let allowed = profile.fields().iter().enumerate().filter(|(_, field)| mask.allows(&field.name));
            allowed.for_each(|(position, _)| fields.insert(position));
            fields
        });
        Some(Self { tenant: Some(Tenant::new(&identity.tenant)?), source: Some(identity.client.clone()), fields })
    }
}

/// A mask names a field that no profile has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("auth.issuers: a mask names {0}, and a profile has no such field")]
pub struct MaskUnknown(Box<str>);

/// Whether every field that a mask names is one of `profile`.
///
/// # Errors
/// With the first that is not.
pub fn check_masks(auth: &auth::Config, profile: &Profile) -> Result<(), MaskUnknown> {
    match auth.masked_fields().find(|name| profile.position(name).is_none()) {
        Some(name) => Err(MaskUnknown(name.into())),
        None => Ok(()),
    }
}

/// Why a change is not written. Data of the client's, never an error of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// `validate` would reject it.
    Rejected(Rejection),
    /// It names a field that its sender may not.
    Forbidden { field: Box<str> },
}

/// A change that is ready to be written.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) outgoing: Outgoing,
    /// The one that it brought.
    pub(crate) id: Option<Uuid>,
}

/// Judges changes, and makes records of them.
#[derive(Debug)]
pub struct Judge {
    profile: Arc<Profile>,
    partitions: i32,
}

impl Judge {
    /// `partitions` is that of the raw topic.
    #[must_use]
    pub fn new(profile: Arc<Profile>, partitions: i32) -> Self {
        Self { profile, partitions }
    }

    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// The record of one change, written as on the raw topic.
    pub(crate) fn change(&self, sender: &Sender, text: &[u8]) -> Result<Ready, Refusal> {
        accept::check_size(text.len(), accept::RECORD_BYTES_MAX)?;
        let text = text.trim_ascii();
        let mut draft = json::decode(&self.profile, text)?;
        if let Some(tenant) = &sender.tenant {
            draft.tenant = Some(tenant.as_str().to_owned());
        }
        let (id, key) = (draft.id, Bytes::copy_from_slice(draft.user_id.as_bytes()));
        let change = accept::accept(&self.profile, draft, place(&key))?;
        self.check_mask(sender, &change)?;
        rules::check(&self.profile, change)?;
        let value = match (&sender.tenant, &sender.source) {
            (None, None) => text.to_vec(),
            (tenant, source) => signed(text, tenant.as_ref(), source.as_deref())?,
        };
        let partition = topics::partition_for(&key, self.partitions);
        let headers = Headers::default();
        let outgoing = Outgoing { partition, key: Some(key), value: Some(value.into()), headers };
        accept::check_size(outgoing.bytes(), accept::RECORD_BYTES_MAX)?;
        Ok(Ready { outgoing, id })
    }

    /// The record of a change that is a request on a user: `body` holds the fields, none of a delete.
    pub(crate) fn user(&self, sender: &Sender, op: Op, user_id: &UserId, body: &[u8]) -> Result<Ready, Refusal> {
        accept::check_size(body.len(), accept::RECORD_BYTES_MAX)?;
        let undecodable = || Rejection::new(RejectCode::Undecodable);
        let user_id = serde_json::to_string(user_id.as_str()).map_err(|_| undecodable())?;
        let text = match op {
            Op::Delete => format!("{{\"user_id\":{user_id},\"op\":\"delete\"}}"),
            // One whole value and nothing behind it: a body cannot end `set` and go on.
            Op::Upsert | Op::Patch => {
                let set: &RawValue = serde_json::from_slice(body).map_err(|_| undecodable())?;
                let op = if op == Op::Upsert { "upsert" } else { "patch" };
                format!("{{\"user_id\":{user_id},\"op\":\"{op}\",\"set\":{}}}", set.get())
            }
        };
        self.change(sender, text.as_bytes())
    }

    fn check_mask(&self, sender: &Sender, change: &schemas::Change) -> Result<(), Refusal> {
        let Some(allowed) = sender.fields else { return Ok(()) };
        let foreign = change.named().iter().find(|position| !allowed.contains(*position));
        let name = |position: usize| self.profile.fields().get(position).map(|field| field.name.to_string());
        match foreign.map(|position| name(position).unwrap_or_default()) {
            Some(name) => Err(Refusal::Forbidden { field: name.into() }),
            None => Ok(()),
        }
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// What the rules need of a place in history, and do not look at.
fn place(key: &[u8]) -> accept::Place<'_> {
    accept::Place { key: Some(key), origin: Origin::FIRST, version: Version::FIRST }
}

/// The same change, with what its sender decides in the place of what it says.
fn signed(text: &[u8], tenant: Option<&Tenant>, source: Option<&str>) -> Result<Vec<u8>, Rejection> {
    let undecodable = || Rejection::new(RejectCode::Undecodable);
    let Members(members) = serde_json::from_slice(text).map_err(|_| undecodable())?;
    let ours = [("tenant", tenant.map(Tenant::as_str)), ("source", source)];
    let mut value = Vec::with_capacity(text.len() + 128);
    let mut put = |name: &str, text: &str| {
        value.push(if value.is_empty() { b'{' } else { b',' });
        value.push(b'"');
        value.extend_from_slice(name.as_bytes());
        value.extend_from_slice(b"\":");
        value.extend_from_slice(text.as_bytes());
    };
    for (name, given) in &members {
        if !ours.iter().any(|(own, decided)| name == own && decided.is_some()) {
            put(name, given.get());
        }
    }
    for (name, decided) in ours {
        if let Some(decided) = decided {
            put(name, &serde_json::to_string(decided).map_err(|_| undecodable())?);
        }
    }
    value.push(b'}');
    Ok(value)
}

/// The members of an object of known keys, in order, unread.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a change")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Members<'de>, M::Error> {
                let mut members = Vec::with_capacity(8);
                while let Some(entry) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
                    members.push(entry);
                }
                Ok(Members(members))
            }
        }
        json.deserialize_map(Object)
    }
}

/// Never the tenant or the source: they are a customer's.
impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("fields", &self.fields).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
