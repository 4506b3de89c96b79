//! The machinery of Tidewater: how a process lives and how records move. It knows Kafka, not users.

pub mod backoff;
pub mod boot;
pub mod clock;
pub mod config;
pub mod health;
pub mod http;
pub mod lifecycle;
pub mod logs;
pub mod telemetry;

pub use boot::{Context, Service, boot};
pub use clock::Clock;
pub use health::Health;
pub use lifecycle::{Failure, Lifecycle};
