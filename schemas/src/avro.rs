//! Avro as it stands on the wire: framing, and records read and written by plans made once per schema.
//!
//! `apache-avro` parses schemas and fingerprints them, and is the oracle of this module's tests. Records do not pass
//! through it: its reader cannot resolve a schema on the fast path, allocates whatever a length claims and accepts
//! trailing bytes. A read plan has resolution worked out before the first record, checks every length against what
//! is left of the input, and knows no recursion: a change is flat.

mod codec;
mod conversion;
mod framing;
mod own;
mod read;
mod wire;
mod write;

#[cfg(test)]
mod tests;

pub use codec::{Codec, DecodeError};
pub use framing::{Framing, Unframed};
pub use own::Unreadable;
pub use wire::Malformed;
pub use write::EncodeError;

pub(crate) use read::ReadPlan;
pub(crate) use write::check_schema;
