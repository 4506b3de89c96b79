//! What `ingest` can be set to.

use crate::batch::Limits;
use crate::keyed::Degraded;
use runtime::auth;
use runtime::config::{Choice, Section, Settings};
use runtime::http::DoorConfig;
use runtime::kafka::Cluster;
use std::time::Duration;
use store::{Credentials, keys};

#[derive(Clone, Debug)]
pub struct Config {
    pub cluster: Cluster,
    pub door: DoorConfig,
    pub auth: auth::Config,
    /// `None` where no keys are kept.
    pub idempotency: Option<Idempotency>,
    pub limits: Limits,
}

/// `[idempotency]`: the Redis of the keys.
#[derive(Clone, Debug)]
pub struct Idempotency {
    pub redis: keys::Config,
    pub degraded: Degraded,
}

impl Choice for Degraded {
    const WORDS: &'static [(&'static str, Self)] = &[("refuse", Self::Refuse), ("accept", Self::Accept)];
}

/// Where it listens on the loopback unless told otherwise.
const PORT: u16 = 7080;

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        for other in ["enrich", "cassandra", "redis", "standalone", "limits", "version", "query"] {
            section.foreign(other);
        }
        let (cluster, auth) = (section.section("kafka"), section.section::<auth::Config>("auth"));
        let idempotency = section.within("idempotency", idempotency);
        section.within("ingest", |section| {
            let door = DoorConfig::read(section, PORT);
            if let Err(exposed) = auth.check_listen(door.listen) {
                section.problem(&["listen"], exposed.to_string());
            }
            Self { cluster, door, auth, idempotency, limits: Limits::read(section) }
        })
    }
}

fn idempotency(section: &mut Section<'_>) -> Option<Idempotency> {
    let own = keys::Config::default();
    let host = "Host of the Redis that keeps idempotency keys: one of their own, with `appendonly yes` and `maxmemory-policy \
                noeviction`, never the cache. Unset, requests with a key are refused.";
    let port = "Port of that Redis.";
    let database = "Number of the database.";
    let connect = "How long the connection may take to be made.";
    let request = "How long one request may take.";
    let degraded = "What becomes of a request with a key while that Redis is away: refuse answers 503; accept does it as if it \
                    had no key.";
    let user = section.text("user", "User to log in as; none if unset.").optional();
    let password = section.secret("password", "Password of that user.").optional();
    if user.is_some() != password.is_some() {
        section.problem(&["user", "password"], "go together: set both or none");
    }
    let credentials =
        user.zip(password).map(|(user, password)| Credentials { user, password: password.reveal().to_owned() });
    let ms = Duration::from_millis;
    let host = section.text("host", host).optional();
    let redis = keys::Config {
        host: host.clone().unwrap_or_default(),
        port: section.count("port", port).default(own.port),
        database: section.count("database", database).default(own.database),
        credentials,
        connect_timeout: section
            .duration("connect_timeout", connect)
            .between(ms(100), ms(60_000))
            .default(own.connect_timeout),
        request_timeout: section
            .duration("request_timeout", request)
            .between(ms(100), ms(60_000))
            .default(own.request_timeout),
    };
    let degraded = section.choice("degraded", degraded).default(Degraded::default());
    host.map(|_| Idempotency { redis, degraded })
}
