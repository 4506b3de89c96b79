//! The vocabulary of Tidewater: what a change is, where it stands in history, and why one is refused.
//!
//! Everything here is pure: no I/O, no async, no clock. The same input gives the same output on every machine, which
//! is what makes the final state a function of the log.

pub mod accept;
pub mod avro;
pub mod backfill;
pub mod calendar;
pub mod change;
pub mod describe;
pub mod draft;
pub mod enrich;
pub mod facts;
pub mod headers;
pub mod json;
pub mod origin;
pub mod pinned;
pub mod profile;
pub mod reference;
pub mod reject;
pub mod row;
pub mod rules;
#[cfg(test)]
mod sample;
pub mod topics;
pub mod version;

pub use avro::{Codec, DecodeError, EncodeError};
pub use backfill::Backfill;
pub use change::{Change, Op, Tenant, UserId};
pub use draft::Draft;
pub use origin::Origin;
pub use profile::{Derivation, Derived, Field, Fingerprint, Format, Kind, Limit, Profile};
pub use reject::{RejectCode, Rejection};
pub use row::{FieldSet, FieldValue, Row};
pub use version::{Lane, Version};
