//! Every behaviour of the contracts in every world that keeps them: in memory, on one disk, on real servers. A difference is
//! a bug in one of them.
//!
//! A behaviour is written once, against the contract alone, and run in each world under the same name. The real world is the
//! servers of the run. Everything together takes about 40 s once built.
#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and so does what it is built from"
)]

#[path = "conformance/cache.rs"]
mod cache;
#[path = "conformance/flawed.rs"]
mod flawed;
#[path = "conformance/keys.rs"]
mod keys;
#[path = "conformance/log.rs"]
mod log;
#[path = "conformance/member.rs"]
mod member;
#[path = "conformance/profiles.rs"]
mod profiles;
#[path = "conformance/reading.rs"]
mod reading;
#[path = "conformance/starting.rs"]
mod starting;
#[path = "conformance/worlds.rs"]
mod worlds;
#[path = "conformance/writing.rs"]
mod writing;
