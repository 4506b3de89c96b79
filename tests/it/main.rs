//! The product against real servers, in one binary. `make test` starts the servers and says where they are.
//!
//! Tests share the servers of the run and run side by side: each has topics, groups, a keyspace and users of its own.
//! Tests that stop servers have a set of their own, and only one of them runs at a time (`outage`); it comes up once,
//! in about 25 s. Everything together has eight minutes on two cores. Within that `outage` and `fire` have two each,
//! `crash` one, and each other module half a minute; no single test may take more than `tests::installation` allows it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and so does what it is built from"
)]

mod brokers;
mod canary;
mod crash;
mod ctl;
mod doors;
mod fire;
mod handover;
mod histories;
mod import;
mod load;
mod memory;
mod misconfiguration;
mod openid;
mod outage;
mod pinned;
mod pipeline;
mod poison;
mod producers;
mod promote;
mod protocol;
mod reader;
mod rebalance;
mod refusal;
mod rejoin;
mod replay;
mod rewind;
mod servers;
mod store;
mod trace;
mod zombie;
