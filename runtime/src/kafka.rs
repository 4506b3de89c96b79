//! The one door to Kafka: sources, sinks, administration.
//!
//! Workers use [`source`] and [`sink`]. The administrative half is [`admin`] (topics), [`group`] (committed offsets)
//! and [`reader`] (records by range, without a group): its calls that wait for a broker run on blocking threads, have
//! a deadline, and fail with an [`Error`] that says what to do.

pub mod admin;
mod assignment;
mod client;
mod cluster;
pub mod config;
pub mod error;
mod footing;
pub mod group;
mod launch;
mod member;
mod membership;
pub mod plan;
mod queue;
pub mod reader;
pub mod sink;

pub mod source;

pub use admin::Admin;
pub use cluster::Cluster;
pub use config::Config;
pub use error::Error;
pub use footing::{await_topics, persist};
pub use group::{Group, Member};
pub use launch::{Machine, Route, brokers, launch, sink_to};
pub use membership::{Membership, Protocol};
pub use plan::{Obstacle, Obstacles, Plan, Setting, Step, TopicSpec, TopicState};
pub use reader::Reader;
pub use sink::{Appended, KafkaSink, SinkConfig};
pub use source::{KafkaSource, SourceConfig};

use rdkafka::config::RDKafkaLogLevel;

/// The client's own log lines, at our levels. They name brokers and settings, never records.
fn client_log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, message, "kafka client");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "kafka client"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => tracing::info!(facility, message, "kafka client"),
        RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "kafka client"),
    }
}
