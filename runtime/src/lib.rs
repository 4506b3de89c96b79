//! How a process lives and how records move. Knows Kafka, not users.

pub mod backoff;
pub mod clock;
pub mod dead;
pub mod fault;
pub mod health;
pub mod kafka;
mod lane;
pub mod ledger;
pub mod limits;
pub mod logs;
pub mod memory;
mod partition;
pub mod record;
pub mod source;
pub mod stage;
pub mod telemetry;
pub mod trouble;
pub mod vitals;
pub mod worker;
