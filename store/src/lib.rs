//! What Tidewater remembers: profiles in Cassandra ([`cql`]), the cache in Redis ([`cache`]), reading the one through the
//! other ([`through`]), and in another Redis what was answered under an idempotency key ([`keys`]).
//!
//! Knows databases, not Kafka. Every table, statement and cache key of the product is made here and nowhere else, and
//! this is the only crate that talks to the two clients.
//!
//! Without the feature `servers` it talks to nobody: what is left is what any keeper of profiles has to do alike.

pub mod cache;
pub mod cql;
#[cfg(feature = "servers")]
mod credentials;
pub mod keys;
pub mod through;

#[cfg(feature = "servers")]
pub use credentials::Credentials;
