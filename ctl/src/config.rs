//! What the command needs of the installation's configuration: the same file and environment that the services read.
//!
//! A verb asks only for what it works on, so that `lag` needs no Cassandra and `migrate` no Kafka.

use crate::Error;
use runtime::config::{self, Given, Section, Settings};
use runtime::kafka::{self, Cluster};
use std::path::Path;
use store::cql;

/// Sections that only the services read.
pub(crate) const OF_SERVICES: [&str; 14] = [
    "auth",
    "enrich",
    "http",
    "idempotency",
    "ingest",
    "limits",
    "log",
    "process",
    "query",
    "redis",
    "shutdown",
    "sink",
    "standalone",
    "telemetry",
];

/// The log of an installation: its topics and groups.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) cluster: Cluster,
    /// Start of operation, microseconds since 1970-01-01; asked for where marks are worked out.
    floor_micros: Option<i64>,
}

/// The store of an installation: its tables.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    pub(crate) cassandra: cql::Config,
}

/// Reads `file`, if one is named, and the environment.
///
/// # Errors
/// With every problem there is.
pub(crate) fn load<C: Settings>(file: Option<&Path>) -> Result<C, Error> {
    Ok(config::load(Given::from_process(file)?)?.config)
}

impl Log {
    /// A log whose settings are known.
    pub(crate) fn new(cluster: Cluster, floor_micros: i64) -> Self {
        Self { cluster, floor_micros: Some(floor_micros) }
    }

    pub(crate) fn kafka(&self) -> &kafka::Config {
        &self.cluster.client
    }

    /// The full name of the topic that is called `name` without the prefix.
    pub(crate) fn topic(&self, name: &str) -> String {
        self.cluster.topic(name)
    }

    /// Start of operation, microseconds since 1970-01-01.
    ///
    /// # Errors
    /// If it is not configured.
    pub(crate) fn floor_micros(&self) -> Result<i64, Error> {
        self.floor_micros.ok_or_else(|| {
            let text = "version.floor is not set, and marks are worked out from it; set it to what `validate` has";
            Error::Usage(text.to_owned())
        })
    }
}

impl Settings for Log {
    fn read(section: &mut Section<'_>) -> Self {
        let floor = "Start of operation, as `validate` has it. Never changed.";
        for name in OF_SERVICES {
            section.foreign(name);
        }
        section.foreign("cassandra");
        let floor = section.within("version", |section| section.instant("floor", floor).optional());
        Self { cluster: section.section("kafka"), floor_micros: floor.map(|floor| floor.as_microsecond()) }
    }
}

impl Settings for Store {
    fn read(section: &mut Section<'_>) -> Self {
        for name in OF_SERVICES {
            section.foreign(name);
        }
        section.foreign("kafka");
        section.foreign("version");
        Self { cassandra: section.within("cassandra", sinks::config::cassandra) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<C: Settings>(text: &str) -> Result<C, config::Error> {
        Ok(config::load(Given::new(None, text, [])?)?.config)
    }

    const ALL: &str = r#"
        version.floor = 1970-01-01T00:00:01Z
        kafka.brokers = "127.0.0.1:9092"
        cassandra.nodes = ["10.0.0.1:9042"]
        limits.lanes = 4
        enrich.tables = "tables"
        redis.password_file = "/nowhere"
        telemetry.otlp_endpoint = "http://127.0.0.1:4318"
    "#;

    #[test]
    fn the_file_of_any_service_will_do() {
        let log = read::<Log>(ALL).unwrap();
        assert_eq!(log.topic("changes.raw.v1"), "tidewater.changes.raw.v1");
        assert_eq!(log.floor_micros().unwrap(), 1_000_000);
        assert_eq!(read::<Store>(ALL).unwrap().cassandra.nodes, ["10.0.0.1:9042"]);
    }

    #[test]
    fn a_key_that_nobody_reads_is_refused() {
        let refused = read::<Log>("kafka.brokers = \"b:1\"\nkafka.prefix = \"x\"\nlimit.lanes = 4").unwrap_err();
        assert_eq!(refused.problems().len(), 2, "{refused}");
    }

    #[test]
    fn the_floor_is_asked_for_only_where_it_is_needed() {
        let log = read::<Log>("kafka.brokers = \"b:1\"").unwrap();
        assert!(log.floor_micros().unwrap_err().to_string().contains("version.floor"));
    }
}
