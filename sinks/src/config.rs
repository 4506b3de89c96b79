//! What `sink` can be set to.

use runtime::config::{Choice, Section, Settings};
use runtime::kafka::Cluster;
use runtime::limits::{Limits, within_grace};
use std::time::Duration;
use store::{Credentials, cache, cql};

#[derive(Clone, Debug)]
pub struct Config {
    pub cluster: Cluster,
    pub limits: Limits,
    pub cassandra: cql::Config,
    /// `None` where the installation has no cache.
    pub redis: Option<cache::Config>,
    /// Start of operation, microseconds since 1970-01-01; must be the one `validate` works with.
    pub floor_micros: i64,
}

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        for other in ["ingest", "enrich", "query", "auth", "idempotency", "standalone"] {
            section.foreign(other);
        }
        let limits = within_grace(section, Limits::default());
        Self {
            cluster: section.section("kafka"),
            limits,
            cassandra: section.within("cassandra", cassandra),
            redis: section.within("redis", redis),
            floor_micros: section.within("version", |section| {
                let about = "Start of operation; the same as that of validate.";
                section.instant("floor", about).required("it bounds which backfill may be written").as_microsecond()
            }),
        }
    }
}

/// `[cassandra]`.
pub fn cassandra(section: &mut Section<'_>) -> cql::Config {
    let own = cql::Config::default();
    let ms = Duration::from_millis;
    let nodes = "host:port of some nodes; the others are found through them.";
    let keyspace = "Keyspace of the profiles: a-z, 0-9 and _, at most 48.";
    let dc = "Data centre whose replicas make up a LOCAL_QUORUM.";
    let connect = "How long one connection may take to be made.";
    let request = "How long one request may take; longer than the server's own write timeout.";
    let name = section.text("keyspace", keyspace).default(own.keyspace.as_str().to_owned());
    let keyspace = cql::Keyspace::new(&name);
    if keyspace.is_none() {
        section.problem(&["keyspace"], "is no keyspace name: a-z first, then a-z, 0-9 and _, at most 48");
    }
    let mut config = cql::Config {
        nodes: section.texts("nodes", nodes).required("without them there is nothing to connect to"),
        keyspace: keyspace.unwrap_or_default(),
        local_dc: section.text("local_dc", dc).default(own.local_dc),
        credentials: credentials(section),
        connect_timeout: section
            .duration("connect_timeout", connect)
            .between(ms(100), ms(60_000))
            .default(own.connect_timeout),
        request_timeout: section
            .duration("request_timeout", request)
            .between(ms(2_500), ms(60_000))
            .default(own.request_timeout),
        ..own
    };
    in_flight(section, &mut config);
    config
}

/// How many writes may be out, at least and at most.
fn in_flight(section: &mut Section<'_>, config: &mut cql::Config) {
    let most = "Writes in flight at once, per process, at most; fewer while Cassandra answers slowly or not at all.";
    let least = "So many writes may always be in flight at once, per process, however slow Cassandra answers.";
    let max = section.count("writes_in_flight_max", most).between(1, 4_096).default(config.writes_in_flight_max);
    let min = config.writes_in_flight_min.min(max);
    let min = section.count("writes_in_flight_min", least).between(1, 4_096).default(min);
    if min > max {
        let text = "contradict each other: the least is more than the most";
        section.problem(&["writes_in_flight_min", "writes_in_flight_max"], text);
    }
    (config.writes_in_flight_min, config.writes_in_flight_max) = (min, max);
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Cache {
    #[default]
    On,
    Off,
}

impl Choice for Cache {
    const WORDS: &'static [(&'static str, Self)] = &[("on", Self::On), ("off", Self::Off)];
}

/// `[redis]`.
pub fn redis(section: &mut Section<'_>) -> Option<cache::Config> {
    let own = cache::Config::default();
    let ms = Duration::from_millis;
    let cache = "Whether there is a cache to take changed users out of; off removes the leg.";
    let host = "Host of the server.";
    let port = "Port of the server.";
    let database = "Number of the database.";
    let connect = "How long the connection may take to be made.";
    let request = "How long one pipeline of deletions may take.";
    let cache = section.choice("cache", cache).default(Cache::On);
    let config = cache::Config {
        host: section.text("host", host).default(own.host),
        port: section.count("port", port).default(own.port),
        database: section.count("database", database).default(own.database),
        credentials: credentials(section),
        connect_timeout: section
            .duration("connect_timeout", connect)
            .between(ms(100), ms(60_000))
            .default(own.connect_timeout),
        request_timeout: section
            .duration("request_timeout", request)
            .between(ms(100), ms(60_000))
            .default(own.request_timeout),
    };
    (cache == Cache::On).then_some(config)
}

fn credentials(section: &mut Section<'_>) -> Option<Credentials> {
    let user = section.text("user", "User to log in as; none if unset.").optional();
    let password = section.secret("password", "Password of that user.").optional();
    match (user, password) {
        (Some(user), Some(password)) => Some(Credentials { user, password: password.reveal().to_owned() }),
        (None, None) => None,
        (Some(_), None) => {
            section.problem(&["password"], "is missing; a user needs one");
            None
        }
        (None, Some(_)) => {
            section.problem(&["user"], "is missing; a password needs one");
            None
        }
    }
}
