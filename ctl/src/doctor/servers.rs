//! What an installation on servers stands on.

use super::{Finding, of_the_log};
use crate::Error;
use crate::config::{self, Log, OF_SERVICES, Store};
use crate::world::{self, Target};
use runtime::config::{Section, Settings};
use runtime::kafka::{Admin, Plan, Protocol, Step, TopicSpec};
use schemas::Profile;
use schemas::topics::{self, Replication};
use std::collections::BTreeMap;
use store::cache::{self, Invalidator, Persistence};
use store::cql::{Session, Table};

/// Settings of a broker that decide how long a dead member of a `consumer` group is waited for, and a new one.
const OF_GROUPS: [&str; 4] = [
    "group.consumer.session.timeout.ms",
    "group.consumer.min.session.timeout.ms",
    "group.consumer.heartbeat.interval.ms",
    "group.consumer.min.heartbeat.interval.ms",
];

/// A dead member that is waited for longer leaves its partitions alone for too long.
const SESSION_MS_MAX: i64 = 10_000;

/// `[redis]` alone.
struct Cache(Option<cache::Config>);

impl Settings for Cache {
    fn read(section: &mut Section<'_>) -> Self {
        for name in OF_SERVICES.into_iter().filter(|name| *name != "redis") {
            section.foreign(name);
        }
        for name in ["cassandra", "kafka", "version"] {
            section.foreign(name);
        }
        Self(section.within("redis", sinks::config::redis))
    }
}

pub(super) async fn look(target: &Target) -> Result<Vec<Finding>, Error> {
    let file = target.servers("doctor")?;
    let (log, store, Cache(redis)) = (config::load::<Log>(file)?, config::load::<Store>(file)?, config::load(file)?);
    let mut findings = vec![Finding::ok("configuration", "has no problem")];
    let admin = Admin::new(log.kafka())?;
    let mut is_reached = true;
    match topics(&admin, &log).await {
        Ok(finding) => {
            findings.push(Finding::ok("brokers", "answer"));
            findings.push(finding);
        }
        Err(error) => {
            is_reached = error.exit_code() == crate::error::USAGE;
            findings.push(Finding::wrong("brokers", error.chain()));
        }
    }
    if is_reached {
        findings.push(groups(&admin, &log).await);
        findings.extend(of_the_log(&world::Log::of_servers(log)?).await);
    }
    findings.extend(cassandra(&store).await);
    findings.push(match redis {
        None => Finding::ok("redis", "is turned off (redis.cache)"),
        Some(config) => persistence(&config).await,
    });
    Ok(findings)
}

async fn topics(admin: &Admin, log: &Log) -> Result<Finding, Error> {
    // How many copies there are is the installation's own affair: one broker has no room for three.
    let spec = |topic: topics::Topic| {
        let settings = topic.settings(Replication::CLUSTER);
        let settings = settings.into_iter().filter(|(key, _)| *key != "min.insync.replicas");
        TopicSpec {
            name: log.topic(topic.name),
            partitions: log.cluster.partitions,
            replication: 1,
            configs: settings.map(|(key, value)| (key.to_owned(), value)).collect(),
        }
    };
    let specs = topics::ALL.map(spec);
    let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
    let found = admin.describe(&names).await?;
    let plan = Plan::between(&specs, &found).map_err(runtime::kafka::Error::from)?;
    let wrong: Vec<String> = plan.steps().iter().filter_map(difference).collect();
    let copies = found.values().map(|state| state.replication).min().unwrap_or(0);
    Ok(match wrong.is_empty() {
        false => Finding::wrong("topics", format!("{}: `tidewater topics diff`", wrong.join("; "))),
        true if copies < Replication::CLUSTER.factor => Finding::mind(
            "topics",
            format!("are as they must be, in {copies} copies: the loss of a broker may lose what was acknowledged"),
        ),
        true => Finding::ok("topics", format!("are as they must be, in {copies} copies")),
    })
}

fn difference(step: &Step) -> Option<String> {
    match step {
        Step::Keep { .. } => None,
        Step::Create(spec) => Some(format!("{} does not exist", spec.name)),
        Step::Alter { topic, differences, .. } => {
            let keys: Vec<&str> = differences.iter().map(|difference| &*difference.key).collect();
            Some(format!("{topic} differs in {}", keys.join(", ")))
        }
    }
}

/// Settings of the group itself below the broker's least are taken and have no effect, so the broker is asked.
async fn groups(admin: &Admin, log: &Log) -> Finding {
    if let Protocol::Classic { session_timeout } = log.cluster.membership.protocol {
        let seconds = session_timeout.as_secs();
        return Finding::ok("groups", format!("classic; a dead worker's partitions move after {seconds} s"));
    }
    let settings: BTreeMap<String, String> = match admin.broker_settings(&OF_GROUPS).await {
        Ok(settings) => settings,
        Err(error) => return Finding::mind("groups", format!("the broker does not tell its settings: {error}")),
    };
    let ms = |key: &str| settings.get(key).and_then(|value| value.parse::<i64>().ok()).unwrap_or(0);
    let [session, session_min, heartbeat, heartbeat_min] = OF_GROUPS.map(ms);
    let (session, heartbeat) = (session.max(session_min), heartbeat.max(heartbeat_min));
    let text = format!(
        "consumer protocol; a dead worker's partitions move after {} s, a new one has its share after up to {} s",
        session / 1_000,
        2 * heartbeat / 1_000
    );
    if session <= SESSION_MS_MAX {
        return Finding::ok("groups", text);
    }
    Finding::mind("groups", format!("{text}: lower group.consumer.*.timeout.ms and .interval.ms on the brokers"))
}

async fn cassandra(store: &Store) -> Vec<Finding> {
    let session = match Session::connect(&store.cassandra).await {
        Ok(session) => session,
        Err(error) => return vec![Finding::wrong("cassandra", Error::from(error).chain())],
    };
    let answers = Finding::ok("cassandra", "answers");
    let profile = match Profile::embedded() {
        Ok(profile) => profile,
        Err(error) => return vec![answers, Finding::wrong("table", error.to_string())],
    };
    let table = match Table::inspect(&session, &profile).await {
        Ok(table) => {
            let days = table.gc_grace.as_secs() / 86_400;
            Finding::ok("table", format!("is the one the profile describes; deletions are kept for {days} days"))
        }
        Err(error) => Finding::wrong("table", Error::from(error).chain()),
    };
    vec![answers, table]
}

async fn persistence(config: &cache::Config) -> Finding {
    let cache = match Invalidator::new(config) {
        Ok(cache) => cache,
        Err(error) => return Finding::wrong("redis", error.to_string()),
    };
    match cache.persistence().await {
        Ok(found @ Persistence::Off) => Finding::ok("redis", found.to_string()),
        Ok(found @ Persistence::Unproven) => Finding::mind("redis", found.to_string()),
        Ok(found @ Persistence::On { .. }) => Finding::wrong("redis", found.to_string()),
        Err(error) => Finding::wrong("redis", error.to_string()),
    }
}
