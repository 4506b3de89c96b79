//! The cache in Redis: its keys, its values, and taking entries out.
//!
//! Whoever writes a profile writes Cassandra first and invalidates second ([`Invalidator`]); readers fill ([`Reader`]).
//! The sink only ever deletes. Why no answer then lacks a settled change is told in [`protocol`].

#[cfg(feature = "servers")]
mod config;
mod error;
#[cfg(feature = "servers")]
mod fault;
#[cfg(feature = "servers")]
mod invalidate;
mod key;
#[cfg(feature = "servers")]
pub(crate) mod link;
mod lookup;
#[cfg(feature = "servers")]
mod persistence;
pub mod protocol;
#[cfg(feature = "servers")]
mod read;
mod value;

#[cfg(feature = "servers")]
pub use config::Config;
pub use error::{CacheError, Class};
#[cfg(feature = "servers")]
pub use invalidate::Invalidator;
pub use key::Key;
pub use lookup::{Answer, Bypass, Cached, Lease};
#[cfg(feature = "servers")]
pub use persistence::Persistence;
#[cfg(feature = "servers")]
pub use read::Reader;
pub use value::Value;
