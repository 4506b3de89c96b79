//! The twin: the same contracts as Kafka, Cassandra and Redis keep, on one disk and in one process.
//!
//! A [`Home`] is one directory: a log of segment files ([`log`]), profiles, commits and idempotency keys in one store
//! ([`table`], [`TableKeys`]), and a cache in memory ([`Cache`]). What survives what is told in `docs/standalone.md`.
//!
//! Two rules hold it together. A record is shown to readers only when it is as safe as the directory's [`Durability`] promises, so
//! that nothing derived from a record outlives it. And a commit is written only when the log beneath it is on disk, into the
//! same journal as the profiles: what is lost of that journal is lost from its end, and read again from the log.

pub mod cache;
pub mod control;
pub mod descriptors;
pub mod error;
pub mod home;
mod keys;
pub mod log;
mod sink;
mod source;
pub mod table;
mod through;

pub use cache::Cache;
pub use error::Error;
pub use home::{Founding, Home, Layout, Options};
pub use keys::TableKeys;
pub use log::{Durability, Log, Topic};
pub use sink::{LogSink, TableSink};
pub use source::{LogCommitter, LogSource, Member};
pub use table::Table;
