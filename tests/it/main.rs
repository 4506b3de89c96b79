//! The product against real servers, in one binary. `make test` starts the servers and says where they are.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and so does what it is built from"
)]

mod servers;
mod store;
