//! The cache in Redis: its keys, its values, and taking entries out.
//!
//! Whoever writes a profile writes Cassandra first and invalidates second ([`Invalidator`]); readers fill ([`Reader`]).
//! The sink only ever deletes. Why no answer then lacks a settled change is told in [`protocol`].

mod config;
mod fault;
mod invalidate;
mod key;
mod link;
mod persistence;
pub mod protocol;
mod read;
mod value;

pub use config::Config;
pub use fault::Class;
pub use invalidate::{CacheError, Invalidator};
pub use key::Key;
pub use persistence::Persistence;
pub use read::{Answer, Bypass, Cached, Lease, Reader};
pub use value::Value;
