//! The cache in Redis: its keys, its values, and taking entries out.
//!
//! Whoever writes a profile writes Cassandra first and invalidates second; readers fill. The sink only ever deletes.

mod config;
mod fault;
mod invalidate;
mod key;
mod persistence;
pub mod protocol;
mod value;

pub use config::Config;
pub use fault::Class;
pub use invalidate::{CacheError, Invalidator};
pub use key::Key;
pub use persistence::Persistence;
pub use value::Value;
