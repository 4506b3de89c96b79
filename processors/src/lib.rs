//! The workshop: the two stateless processors of the path.
//!
//! [`validate`] gives each raw change its place in history and lets pass what is well formed; [`enrich`] fills in what
//! the pipeline derives. Both are functions of (record, version, schemas, reference tables).

pub mod enrich;
mod fused;
mod outgoing;
#[cfg(feature = "servers")]
mod path;
pub mod validate;

pub use fused::Fused;
