//! What the command needs of the installation's configuration: the same file and environment that the services read.

use crate::Error;
use runtime::config::{self, Given, Section, Settings};
use runtime::kafka::{self, Cluster};
use std::path::Path;
use store::Credentials;
use store::cql::{self, Keyspace};

/// Sections that only the services read.
const OF_SERVICES: [&str; 8] = ["enrich", "http", "limits", "log", "process", "redis", "shutdown", "sink"];

/// The installation that the command works on.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) cluster: Cluster,
    pub(crate) cassandra: cql::Config,
    /// Start of operation, microseconds since 1970-01-01; asked for where marks are worked out.
    floor_micros: Option<i64>,
}

impl Config {
    /// Reads `file`, if one is named, and the environment.
    ///
    /// # Errors
    /// With every problem there is.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Error> {
        Ok(config::load::<Self>(Given::from_process(file)?)?.config)
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

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        for name in OF_SERVICES {
            section.foreign(name);
        }
        let floor = "Start of operation, as `validate` has it. Never changed.";
        Self {
            cluster: section.section("kafka"),
            cassandra: section.within("cassandra", cassandra),
            floor_micros: section
                .within("version", |section| section.instant("floor", floor).optional())
                .map(|floor| floor.as_microsecond()),
        }
    }
}

/// `[cassandra]`.
fn cassandra(section: &mut Section<'_>) -> cql::Config {
    let own = cql::Config::default();
    let nodes = "host:port of some nodes; the others are found through them.";
    let keyspace = "Where the profiles live: lower-case letters, digits and _, at most 48.";
    let local_dc = "The data centre whose replicas make up a quorum.";
    let name: String = section.text("keyspace", keyspace).default(own.keyspace.as_str().to_owned());
    let found = Keyspace::new(&name);
    if found.is_none() {
        section.problem(&["keyspace"], "must be lower-case letters, digits and _, at most 48, a letter first");
    }
    let user = section.text("user", "Who we are to Cassandra; nobody if unset.").optional();
    let password = section.secret("password", "The password of that user.").optional();
    if user.is_some() != password.is_some() {
        section.problem(&["user", "password"], "a user goes with a password; set both or neither");
    }
    let credentials = user.zip(password);
    cql::Config {
        nodes: section.texts("nodes", nodes).default(own.nodes),
        keyspace: found.unwrap_or_default(),
        local_dc: section.text("local_dc", local_dc).default(own.local_dc),
        credentials: credentials.map(|(user, password)| Credentials { user, password: password.reveal().to_owned() }),
        ..own
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config, config::Error> {
        Ok(config::load::<Config>(Given::new(None, text, [])?)?.config)
    }

    #[test]
    fn the_file_of_any_service_will_do() {
        let text = r#"
            kafka.brokers = "127.0.0.1:9092"
            cassandra.nodes = ["10.0.0.1:9042"]
            limits.lanes = 4
            enrich.tables = "tables"
            log.filter = ["anything"]
        "#;
        let config = read(text).unwrap();
        assert_eq!(config.topic("changes.raw.v1"), "tidewater.changes.raw.v1");
        assert_eq!(config.cassandra.nodes, ["10.0.0.1:9042"]);
    }

    #[test]
    fn a_key_that_nobody_reads_is_refused() {
        let refused = read("kafka.brokers = \"b:1\"\nkafka.prefix = \"x\"\nlimit.lanes = 4").unwrap_err();
        assert_eq!(refused.problems().len(), 2, "{refused}");
    }

    #[test]
    fn the_floor_is_asked_for_only_where_it_is_needed() {
        let config = read("kafka.brokers = \"b:1\"").unwrap();
        assert!(config.floor_micros().unwrap_err().to_string().contains("version.floor"));
        let config = read("kafka.brokers = \"b:1\"\nversion.floor = 1970-01-01T00:00:01Z").unwrap();
        assert_eq!(config.floor_micros().unwrap(), 1_000_000);
    }

    #[test]
    fn a_user_without_a_password_and_a_wrong_keyspace_are_told_at_once() {
        let refused =
            read("kafka.brokers = \"b:1\"\ncassandra.user = \"app\"\ncassandra.keyspace = \"A-b\"").unwrap_err();
        assert_eq!(refused.problems().len(), 2, "{refused}");
    }
}
