//! Profiles in Cassandra: the table, what a change writes to it, and what it holds of a user.
//!
//! Writes are monotonic by version: each change deletes at its version and writes its cells one above it, so Cassandra's
//! own last-writer-wins makes twice once and late nothing, in any order (`docs/guarantees.md`, I1). The pure half
//! ([`merge`], [`Groups`], [`Model`]) needs no server.

mod column;
mod config;
mod fault;
mod group;
mod merge;
mod model;
mod mutation;
mod probe;
mod read;
mod scan;
mod session;
mod statement;
mod table;
mod together;
mod writer;

pub use config::{Config, Keyspace, Replication};
pub use fault::Class;
pub use group::{Group, Groups};
pub use merge::{Cells, Statement, merge};
pub use model::Model;
pub use probe::Blame;
pub use read::{ProfileRow, ReadError, Reader, VersionedRow};
pub use scan::{Scan, VersionScan};
pub use session::{ConnectError, Session};
pub use table::{Difference, GC_GRACE_MIN, Plan, Table, TableError};
pub use writer::{PrepareError, WriteError, Writer};
