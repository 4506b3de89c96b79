//! The door: changes come in over HTTP, and are answered for once the log has them.
//!
//! Nothing is kept here. A change is judged by the same rules that `validate` applies, written to the raw topic, and
//! acknowledged with its place there, the receipt, only when the log has acknowledged it.

mod answer;
mod batch;
#[cfg(feature = "servers")]
mod brokers;
#[cfg(feature = "servers")]
mod config;
mod describe;
mod judge;
mod keyed;
mod lines;
mod raw;
mod routes;
#[cfg(feature = "servers")]
mod service;

pub use batch::{Ingest, Limits};
#[cfg(feature = "servers")]
pub use config::Config;
pub use describe::openapi;
pub use judge::{Judge, MaskUnknown, Refusal, Sender, check_masks};
pub use keyed::{Degraded, Keeping};
pub use raw::{Placed, Raw};
pub use routes::{SCOPE, router};
#[cfg(feature = "servers")]
pub use service::{SERVICE, run};
