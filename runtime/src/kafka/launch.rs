//! One worker of the path on real brokers: the same parts for every stage.

use super::source::REJOIN;
use super::{Cluster, KafkaSink, KafkaSource, SinkConfig, SourceConfig, sink};
use crate::boot::Context;
use crate::breaker::{Breaker, BreakerMetrics, Rule};
use crate::dead::DeadLetters;
use crate::lifecycle::Failure;
use crate::limits::Limits;
use crate::pair::Pair;
use crate::stage::{Admitted, Mark, Sink, Stage};
use crate::vitals::Vitals;
use crate::worker::{GOODBYE, Parts, Worker};
use std::time::Duration;
use tracing::info;

/// Where a worker reads, and where its rejected records go.
#[derive(Clone, Debug)]
pub struct Route {
    /// Topic, with the prefix.
    pub input: String,
    /// A second topic of the same group, with the prefix; a second member reads it.
    pub beside: Option<String>,
    /// Text committed with offset 0 where the group has read nothing yet, the same for every input.
    pub first_metadata: String,
    /// Topic of the dead letters, with the prefix.
    pub dead: String,
    /// Every code that a record can be rejected with here.
    pub codes: Vec<&'static str>,
    /// Before everything that is written to the cluster.
    pub brokers: Breaker,
}

/// What moves the records.
#[derive(Debug)]
pub struct Machine<M, P, W> {
    pub mark: M,
    pub stage: P,
    pub sink: W,
}

/// A dead letter may be a record that compression took below every other limit.
const DEAD_BYTES_MAX: u32 = 128 << 20;
/// Ours are bounded by the stages; this leaves room for what a stage is allowed to put out.
const MESSAGE_BYTES_MAX: u32 = 2 << 20;
/// Records waiting for acknowledgement.
const QUEUE_KBYTES: u32 = 32 << 10;
/// What one partition's queue may hold, and what one fetch may add to it once it is unpacked to four times as much: the
/// client's own bounds. Only a producer's batch that is larger comes whole.
const FETCHED_BYTES: u64 = (512 << 10) + 4 * (256 << 10);
/// The poll thread comes round ten times a second; a rebalance may hold it for a drain.
const STANDSTILL: Duration = Duration::from_secs(30);

/// A sink that writes to `topic`, as the stages use it.
///
/// # Errors
/// Exit 64 if the client cannot be made with this configuration.
pub fn sink_to(cluster: &Cluster, topic: String) -> Result<KafkaSink, Failure> {
    let own = SinkConfig {
        topic,
        compression: "lz4",
        message_bytes_max: MESSAGE_BYTES_MAX,
        queue_kbytes: QUEUE_KBYTES,
        linger: cluster.linger,
    };
    KafkaSink::new(&cluster.client, own).map_err(Failure::from)
}

/// The breaker before the cluster, one for all that a process writes to it.
#[must_use]
pub fn brokers(context: &Context, limits: &Limits) -> Breaker {
    let condition = context.health.condition("brokers", "nothing was written yet");
    let metrics = BreakerMetrics::new(&context.telemetry, "kafka");
    Breaker::new(sink::rule(Rule::new(limits.pauses())), condition, metrics)
}

/// Joins the group of the service's name and moves records until the process is told to leave.
///
/// # Errors
/// Exit 64 if a client cannot be made with this configuration.
pub fn launch<M, P, W>(
    context: &Context,
    cluster: &Cluster,
    limits: Limits,
    route: Route,
    machine: Machine<M, P, W>,
) -> Result<(), Failure>
where
    M: Mark,
    P: Stage<In = Admitted>,
    W: Sink<Item = P::Out>,
{
    info!(
        unsettled_bytes = limits.in_flight_bytes,
        fetch_bytes_per_partition = FETCHED_BYTES,
        producer_bytes = u64::from(QUEUE_KBYTES) << 10,
        dead_letter_bytes_max = u64::from(dead_queue_kbytes()) << 10,
        "memory is bounded by the sum of these"
    );
    let mut vitals = Vitals::new(&context.health, &context.telemetry, context.clock.clone(), &route.codes);
    let group = cluster.group(context.service);
    vitals.traces = context.telemetry.traces(&group);
    let own = SourceConfig {
        group,
        worker: context.service,
        only: route.beside.as_ref().map_or_else(String::new, |_| only(cluster, &route.input)),
        topic: route.input,
        first_metadata: route.first_metadata,
        membership: cluster.membership.clone(),
        fetched_bytes: vitals.metrics.fetched_bytes.clone(),
        release_within: limits.drain + GOODBYE,
        rejoin_after: REJOIN,
    };
    let join = |own: SourceConfig, condition: &'static str, heartbeat: &'static str| {
        let condition = context.health.condition(condition, "no partition was assigned yet");
        let heartbeat = context.health.heartbeat(heartbeat, STANDSTILL);
        KafkaSource::join(&cluster.client, own, condition, heartbeat).map_err(Failure::from)
    };
    let source = match route.beside {
        None => Pair::one(join(own, "kafka", "kafka-poll")?),
        Some(topic) => {
            let (membership, only) = (own.membership.beside(), only(cluster, &topic));
            let beside = SourceConfig { topic: topic.clone(), membership, only, ..own.clone() };
            let first = join(own, "kafka", "kafka-poll")?;
            Pair::two(first, topic, join(beside, "kafka-2", "kafka-poll-2")?)
        }
    };
    let letters = dead_letters(cluster, route.dead)?.behind(route.brokers);
    let dead = DeadLetters::new(context.service, letters, context.clock.clone());
    let Machine { mark, stage, sink } = machine;
    let worker = Worker::new(Parts { source, mark, stage, sink, dead, limits }, vitals);
    worker.spawn("worker", &context.lifecycle);
    Ok(())
}

/// How `tidewater rewind` is told to move one topic and no other.
fn only(cluster: &Cluster, topic: &str) -> String {
    format!(" --topic {}", topic.strip_prefix(&cluster.topic_prefix).unwrap_or(topic))
}

fn dead_letters(cluster: &Cluster, topic: String) -> Result<KafkaSink, Failure> {
    let own = SinkConfig {
        topic,
        compression: "zstd",
        message_bytes_max: DEAD_BYTES_MAX,
        queue_kbytes: dead_queue_kbytes(),
        linger: cluster.linger,
    };
    KafkaSink::new(&cluster.client, own).map_err(Failure::from)
}

/// Room for one letter of the largest size while another is out.
const fn dead_queue_kbytes() -> u32 {
    2 * (DEAD_BYTES_MAX >> 10)
}
