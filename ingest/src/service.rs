//! `ingest` as a process.

use crate::batch::Ingest;
use crate::brokers::Brokers;
use crate::config::{Config, Idempotency};
use crate::judge::check_masks;
use crate::keyed::Keeping;
use crate::routes::{SCOPE, router};
use runtime::auth::{Guard, require};
use runtime::http::{Door, DoorMetrics};
use runtime::kafka::{TopicSpec, await_topics, brokers, sink_to};
use runtime::limits::Limits;
use runtime::logs::chain;
use runtime::{Context, Failure, Service};
use schemas::{Profile, topics};
use std::sync::Arc;
use std::time::Duration;
use store::keys::{RedisKeys, Retention};
use tracing::{info, warn};

/// The process, as its operators know it.
pub const SERVICE: Service = Service {
    name: "ingest",
    about: "Takes changes over HTTP and answers for each once the log has it.",
    admin_port: 7105,
};

const KEYS_BUDGET: Duration = Duration::from_secs(1);

/// What is under way when it is told to leave has so long to be acknowledged.
const LEAVE_WITHIN: Duration = Duration::from_secs(15);

/// Sets the process up; what works is spawned on the context's lifecycle.
///
/// # Errors
/// Exit 64 if configuration or topics do not fit, 70 if the address cannot be had.
pub async fn run(config: Config, context: Context) -> Result<(), Failure> {
    let Config { cluster, door, auth, idempotency, limits } = config;
    let profile = Profile::embedded().map(Arc::new).map_err(Failure::config)?;
    check_masks(&auth, &profile).map_err(Failure::config)?;
    let door = Door::bind(&door, DoorMetrics::new(&context.telemetry))
        .await
        .map_err(|error| Failure::config(format!("ingest.listen: {error}")))?;
    let configs = topics::required(topics::RAW, &["cleanup.policy", "max.message.bytes", "message.timestamp.type"]);
    let raw = cluster.topic(topics::RAW);
    let spec = TopicSpec { name: raw.clone(), partitions: cluster.partitions, replication: 1, configs };
    await_topics(&context, &cluster, &[spec]).await?;
    let sink = sink_to(&cluster, raw)?.behind(brokers(&context, &Limits::default()));
    let log = Brokers { sink, partitions: cluster.partitions };
    let guard = Guard::new(auth, context.clock.clone(), &context.health)?;
    let keeping = match idempotency {
        Some(idempotency) => Some(keeping(idempotency).await?),
        None => None,
    };
    let router =
        router(Arc::new(Ingest::new(profile, log, keeping, limits))).route_layer(require(guard.clone(), SCOPE));
    context.lifecycle.spawn_beneath("keys", KEYS_BUDGET, |stop| guard.keep_keys(stop));
    context.lifecycle.spawn("door", LEAVE_WITHIN, |stop| async move {
        door.serve(router, stop).await;
        Ok(())
    });
    Ok(())
}

/// The Redis of the keys, which must keep them.
async fn keeping(config: Idempotency) -> Result<Keeping<RedisKeys>, Failure> {
    let Idempotency { redis, degraded } = config;
    let keys = RedisKeys::new(&redis).map_err(Failure::config)?;
    match keys.retention().await {
        Ok(found @ Retention::Forgets { .. }) => return Err(Failure::config(found.to_string())),
        Ok(found @ Retention::Unproven) => warn!(%found, "whether idempotency keys are kept is not known"),
        Ok(found @ Retention::Kept { .. }) => info!(%found, "idempotency keys"),
        // Requests with a key are answered 503 until it is there.
        Err(error) => warn!(error = %chain(&error), "the redis of the idempotency keys does not answer yet"),
    }
    Ok(Keeping { keys, degraded })
}
