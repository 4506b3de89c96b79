//! The whole pipeline in one process on one directory, as a person has it: `tidewater standalone` and the verbs.
//!
//! No server is needed. Everything is asked of the binary, and of the directory as anybody may ask it.
#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and so does what it is built from"
)]

#[path = "standalone/days.rs"]
mod days;
#[path = "standalone/doors.rs"]
mod doors;
#[path = "standalone/house.rs"]
mod house;
#[path = "standalone/kills.rs"]
mod kills;
#[path = "standalone/verbs.rs"]
mod verbs;
