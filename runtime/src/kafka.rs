//! The one door to Kafka: sources, sinks, administration.

mod assignment;
pub mod config;
mod queue;
pub mod sink;
pub mod source;

pub use config::Config;
pub use sink::{KafkaSink, SinkConfig};
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
