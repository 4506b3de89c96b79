//! Records in, changes out, and back: what the workers use.

use super::framing::Framing;
use super::read::{Parts, Unread};
use super::wire::Malformed;
use super::write::{EncodeError, is_consistent, write_change};
use crate::{Change, Draft, Fingerprint, Origin, Profile, RejectCode, Rejection, Tenant, UserId, Version};
use std::sync::Arc;

/// Reads changes of every kept schema and writes them with the present one.
#[derive(Clone, Debug)]
pub struct Codec {
    profile: Arc<Profile>,
}

/// A record that is no change to us.
///
/// On the topics that outsiders write, each is a rejection ([`DecodeError::rejection`]). On our own, only
/// [`DecodeError::Malformed`] is: the others say that this release is older than the record, and are faults of the
/// partition, because the data is right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No schema of `schemas/avro/history/` has this fingerprint.
    #[error("no kept schema has the fingerprint {0}; deploy the release that has it: migrate, sink, enrich, validate")]
    UnknownSchema(Fingerprint),
    /// Framed for a schema registry, and none is configured.
    #[error("the record names schema {0} of a registry, and none is configured; write single-object encoding")]
    UnknownRegistryId(u32),
    /// The writer's schema has a field that the profile lacks. `field` comes from the schema, not from the record; it
    /// is `unset` if the name stands there.
    #[error("the profile lacks {field}, which schema {schema} has; deploy: migrate, sink, enrich, validate")]
    UnknownField { schema: Fingerprint, field: Box<str> },
    /// The writer's schema has an enum symbol that `field` of the profile lacks.
    #[error("{field} lacks a symbol that schema {schema} has; deploy: migrate, sink, enrich, validate")]
    UnknownSymbol { schema: Fingerprint, field: Box<str> },
    /// The bytes are not what their schema says.
    #[error("the record does not decode")]
    Malformed(#[from] Malformed),
}

impl DecodeError {
    /// What this is where outsiders write.
    #[must_use]
    pub fn rejection(&self) -> Rejection {
        match self {
            Self::UnknownSchema(_) | Self::UnknownRegistryId(_) => Rejection::new(RejectCode::SchemaUnknown),
            Self::UnknownField { field, .. } => Rejection::at(RejectCode::FieldUnknown, field.clone()),
            Self::UnknownSymbol { field, .. } => Rejection::at(RejectCode::FieldType, field.clone()),
            Self::Malformed(_) => Rejection::new(RejectCode::Undecodable),
        }
    }
}

impl Codec {
    /// A codec of the profile's schema and of all that were kept when it was loaded.
    #[must_use]
    pub fn new(profile: Arc<Profile>) -> Self {
        Self { profile }
    }

    /// Whose positions the rows of every change have.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.profile
    }

    /// Puts `change` at the end of `out` as a single object of the present schema; on an error `out` is as before.
    ///
    /// The origin is not part of it: it travels as a header.
    pub fn encode(&self, change: &Change, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let before = out.len();
        Framing::SingleObject(self.profile.fingerprint()).write(out);
        write_change(change, self.profile.fields(), out).inspect_err(|_| out.truncate(before))
    }

    /// Reads a record of our own topics: one that [`Codec::encode`] of this or another release wrote.
    pub fn decode(&self, record: &[u8], origin: Origin) -> Result<Change, DecodeError> {
        let parts = self.read(record)?;
        let set = parts.set.unwrap_or_default();
        if !is_consistent(parts.op, set.named(), parts.unset) {
            return Err(Malformed::Shape.into());
        }
        let tenant = parts.tenant.map_or_else(|| Some(Tenant::default()), Tenant::new);
        Ok(Change {
            id: parts.id.ok_or(Malformed::Envelope)?,
            tenant: tenant.ok_or(Malformed::Envelope)?,
            user_id: UserId::new(parts.user_id).ok_or(Malformed::Envelope)?,
            op: parts.op,
            set,
            unset: parts.unset,
            occurred_at: parts.occurred_at,
            source: parts.source.map(Into::into),
            version: parts.version.and_then(Version::new).ok_or(Malformed::Envelope)?,
            origin,
        })
    }

    /// Reads a record that an outsider wrote, with any kept schema.
    pub fn decode_draft(&self, record: &[u8]) -> Result<Draft, DecodeError> {
        self.read(record).map(Draft::from)
    }

    fn read<'a>(&self, record: &'a [u8]) -> Result<Parts<'a>, DecodeError> {
        let unframed = Framing::read(record)?;
        let schema = match unframed.framing {
            Framing::SingleObject(fingerprint) => fingerprint,
            Framing::Registry(id) => return Err(DecodeError::UnknownRegistryId(id)),
        };
        let plan = self.profile.read_plan(schema).ok_or(DecodeError::UnknownSchema(schema))?;
        if let Some(field) = plan.unknown_fields().first() {
            return Err(DecodeError::UnknownField { schema, field: field.clone() });
        }
        plan.read(unframed.body, &self.profile).map_err(|unread| match unread {
            Unread::Malformed(malformed) => DecodeError::Malformed(malformed),
            Unread::UnknownName => DecodeError::UnknownField { schema, field: "unset".into() },
            Unread::UnknownSymbol(position) => {
                let name = self.profile.fields().get(position).map(|field| field.name.clone()).unwrap_or_default();
                DecodeError::UnknownSymbol { schema, field: format!("set.{name}").into() }
            }
        })
    }
}
