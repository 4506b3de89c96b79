//! The workshop: the two stateless processors of the path.
//!
//! [`validate`] gives each raw change its place in history and lets pass what is well formed; [`enrich`] fills in what
//! the pipeline derives. Both are functions of (record, version, schemas, reference tables).

pub mod enrich;
mod outgoing;
mod path;
pub mod validate;
