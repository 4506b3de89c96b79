//! Profiles in Cassandra: the table, what a change writes to it, and what it holds of a user.
//!
//! Writes are monotonic by version: each change deletes at its version and writes its cells one above it, so Cassandra's
//! own last-writer-wins makes twice once and late nothing, in any order (`docs/guarantees.md`, I1). The pure half
//! ([`merge`], [`Groups`], [`Model`]) needs no server.

mod column;
#[cfg(feature = "servers")]
mod config;
#[cfg(feature = "servers")]
mod fault;
mod group;
mod merge;
mod model;
#[cfg(feature = "servers")]
mod mutation;
#[cfg(feature = "servers")]
mod probe;
#[cfg(feature = "servers")]
mod read;
mod row;
#[cfg(feature = "servers")]
mod scan;
#[cfg(feature = "servers")]
mod session;
#[cfg(feature = "servers")]
mod statement;
#[cfg(feature = "servers")]
mod table;
#[cfg(feature = "servers")]
mod together;
#[cfg(feature = "servers")]
mod writer;

pub use column::{Column, Columns, Encoding, Mismatch};
#[cfg(feature = "servers")]
pub use config::{Config, Keyspace, Replication};
#[cfg(feature = "servers")]
pub use fault::Class;
pub use group::{Group, Groups};
pub use merge::{Cells, Statement, merge};
pub use model::Model;
#[cfg(feature = "servers")]
pub use probe::Blame;
#[cfg(feature = "servers")]
pub use read::{ReadError, Reader};
pub use row::{GC_GRACE_MIN, ProfileRow, VersionedRow};
#[cfg(feature = "servers")]
pub use scan::{Scan, VersionScan};
#[cfg(feature = "servers")]
pub use session::{ConnectError, Session};
#[cfg(feature = "servers")]
pub use table::{Difference, Plan, Table, TableError};
#[cfg(feature = "servers")]
pub use writer::{PrepareError, WriteError, Writer};
