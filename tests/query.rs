//! Reading over HTTP: the router of `query` over a directory, whose workers run beside it in this process.
#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and so does what it is built from"
)]

#[path = "query/house.rs"]
mod house;
#[path = "query/receipts.rs"]
mod receipts;
#[path = "query/users.rs"]
mod users;
