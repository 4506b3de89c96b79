//! What Tidewater remembers: profiles in Cassandra ([`cql`]) and the cache in Redis ([`cache`]).
//!
//! Knows databases, not Kafka. Every table, statement and cache key of the product is made here and nowhere else, and
//! this is the only crate that talks to the two clients.

pub mod cache;
pub mod cql;
mod credentials;

pub use credentials::Credentials;
