//! The store on real servers: what Cassandra and Redis do with what we send.

mod agreement;
mod cassandra;
mod keys;
mod reader;
mod redis;
