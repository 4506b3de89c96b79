//! Kafka's door: the only module that speaks to a broker.
//!
//! The administrative half is [`admin`] (topics), [`group`] (committed offsets) and [`reader`] (records by range,
//! without a group). Calls of the client that wait for a broker run on blocking threads, have a deadline, and fail
//! with an [`Error`] that says what to do.

pub mod admin;
mod client;
pub mod config;
pub mod error;
pub mod group;
pub mod plan;
pub mod reader;

pub use admin::{Admin, Watermarks};
pub use config::Config;
pub use error::Error;
pub use group::{Committed, Group, Member};
pub use plan::{Obstacle, Obstacles, Plan, Setting, Step, TopicSpec, TopicState};
pub use reader::{Reader, Span};
