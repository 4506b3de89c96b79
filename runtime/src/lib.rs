//! The machinery of Tidewater: how a process lives and how records move. It knows Kafka, not users.
//!
//! Without the feature `servers` it knows no Kafka either: whoever keeps a log brings a source and a sink.

pub mod auth;
pub mod backoff;
pub mod boot;
pub mod breaker;
pub mod clock;
pub mod config;
pub mod dead;
pub mod fault;
pub mod health;
pub mod http;
#[cfg(feature = "servers")]
pub mod kafka;
mod lane;
pub mod ledger;
pub mod lifecycle;
pub mod limits;
pub mod logs;
pub mod memory;
pub mod offsets;
pub mod pair;
mod partition;
pub mod permits;
pub mod record;
pub mod source;
pub mod stage;
pub mod telemetry;
pub mod trouble;
pub mod vitals;
pub mod worker;

pub use boot::{Context, Service, Wanted, boot, boot_given};
pub use clock::Clock;
pub use health::Health;
pub use lifecycle::{Failure, Lifecycle};
pub use worker::Worker;
