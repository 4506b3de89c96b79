//! `sink` as a process.

use crate::{Config, Decode, Gates, Horizon, ProfileSink};
use runtime::kafka::{Cluster, Group, Machine, Route, TopicSpec, await_topics, brokers, launch, persist};
use runtime::{Context, Failure, Service};
use schemas::{Codec, Profile, RejectCode, topics};
use std::sync::Arc;
use store::cache::{Invalidator, Persistence};
use store::cql::{ConnectError, PrepareError, Session, Table, TableError, Writer};
use tracing::warn;

/// The process, as its operators know it.
pub const SERVICE: Service = Service {
    name: "sink",
    about: "Writes changes to Cassandra, then takes the users out of Redis.",
    admin_port: 7103,
};

/// Sets the process up; what works is spawned on the context's lifecycle.
///
/// # Errors
/// Exit 64 if configuration, topics, table or cache do not fit.
pub async fn run(config: Config, context: Context) -> Result<(), Failure> {
    let Config { cluster, limits, cassandra, redis, floor_micros } = config;
    let profile = Profile::embedded().map(Arc::new).map_err(Failure::config)?;
    let specs = [topics::ENRICHED, topics::DEAD].map(|name| spec(&cluster, name));
    await_topics(&context, &cluster, &specs).await?;
    check_floor(&context, &cluster, floor_micros).await?;

    let waits = context.health.condition("cassandra", "cassandra was not reached yet");
    let final_connect = |error: &ConnectError| matches!(error, ConnectError::NoSuchDatacenter { .. });
    let connect = || Session::connect(&cassandra);
    let session = persist(&waits, "cassandra", final_connect, connect).await.map_err(Failure::config)?;
    let final_table = |error: &TableError| !matches!(error, TableError::Unreachable(_));
    let inspect = || Table::inspect(&session, &profile);
    let table = persist(&waits, "cassandra", final_table, inspect).await.map_err(Failure::config)?;
    let final_prepare = |error: &PrepareError| matches!(error, PrepareError::Drift(_));
    let prepare = || Writer::prepare(&session, &profile);
    let writer = persist(&waits, "cassandra", final_prepare, prepare).await.map_err(Failure::config)?;

    let asks = context.health.condition("redis", "redis was not reached yet");
    let cache = match redis {
        None => None,
        Some(config) => {
            let cache = Invalidator::new(&config).map_err(Failure::config)?;
            let stop = |error: &store::cache::CacheError| error.class() == store::cache::Class::Stop;
            let persistence = persist(&asks, "redis", stop, || cache.persistence()).await.map_err(Failure::config)?;
            refuse_persistence(persistence)?;
            Some(cache)
        }
    };
    let stage = Decode::new(Codec::new(profile), Horizon::new(table.gc_grace, floor_micros), context.clock.clone());
    let gates = Gates::new(&limits, &cassandra, [waits, asks], &context.telemetry);
    let sink = ProfileSink::new(writer, cache, context.clock.clone(), gates);
    let route = Route {
        input: cluster.topic(topics::ENRICHED),
        beside: None,
        first_metadata: String::new(),
        dead: cluster.topic(topics::DEAD),
        codes: RejectCode::names(),
        brokers: brokers(&context, &limits),
    };
    launch(&context, &cluster, limits, route, Machine { mark: (), stage, sink })
}

/// What must hold of a topic for records to be moved safely.
fn spec(cluster: &Cluster, name: &str) -> TopicSpec {
    let configs = topics::required(name, &["cleanup.policy", "max.message.bytes"]);
    TopicSpec { name: cluster.topic(name), partitions: cluster.partitions, replication: 1, configs }
}

/// Every raw commit carries the floor that its versions were made with; ours must be the same.
async fn check_floor(context: &Context, cluster: &Cluster, floor_micros: i64) -> Result<(), Failure> {
    let condition = context.health.condition("floor", "the commits of validate were not read yet");
    let group = Group::new(&cluster.client, &cluster.group("validate")).map_err(Failure::config)?;
    let raw = cluster.topic(topics::RAW);
    let read = || group.committed(&raw, cluster.partitions);
    let commits = persist(&condition, "kafka", runtime::kafka::Error::is_usage, read).await.map_err(Failure::config)?;
    let ours = floor_micros & !7;
    for commit in commits.into_iter().flatten() {
        let theirs = commit.metadata.rsplit(':').next().and_then(|floor| floor.parse::<i64>().ok());
        if let Some(theirs) = theirs.filter(|theirs| *theirs != ours) {
            return Err(Failure::config(format!(
                "version.floor is {ours} here (microseconds since 1970-01-01), and {theirs} is what validate works with; \
                 set the same in both"
            )));
        }
    }
    condition.ok();
    Ok(())
}

fn refuse_persistence(persistence: Persistence) -> Result<(), Failure> {
    match persistence {
        Persistence::Off => Ok(()),
        Persistence::Unproven => {
            warn!(%persistence, "persistence of the cache is not known");
            Ok(())
        }
        Persistence::On { .. } => Err(Failure::config(persistence.to_string())),
    }
}
