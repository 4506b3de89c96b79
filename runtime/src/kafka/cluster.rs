//! `[kafka]`: the cluster as an installation uses it.

use super::{Config, Membership};
use crate::config::{Section, Settings};
use std::time::Duration;

/// What every process of an installation must agree on, and how it reaches the brokers.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub client: Config,
    /// Before the name of every topic.
    pub topic_prefix: String,
    /// Before the name of every consumer group.
    pub group_prefix: String,
    /// Partitions of every topic; fixed for the life of a topic set.
    pub partitions: i32,
    /// How the workers are members of their groups.
    pub membership: Membership,
    /// How long a producer waits for company before it sends a batch.
    pub linger: Duration,
}

/// Settings of the client that carry a promise of ours, and what stands for them.
///
/// The client knows some of them by a second name, which would come past the first.
const OWNED: &[(&str, &str)] = &[
    ("metadata.broker.list", "set kafka.brokers"),
    ("group.instance.id", "set kafka.instance_id"),
    ("group.remote.assignor", "the brokers' default moves only what must move"),
    ("auto.commit.enable", "only what is settled is committed"),
    ("max.poll.interval.ms", "the poll thread comes round ten times a second"),
    ("delivery.timeout.ms", "a record that timed out would be overtaken"),
    ("retries", "a write is tried again until it is acknowledged"),
    ("message.send.max.retries", "a write is tried again until it is acknowledged"),
    ("max.in.flight", "a record that is sent again must not be overtaken"),
    ("max.in.flight.requests.per.connection", "a record that is sent again must not be overtaken"),
    ("request.required.acks", "a record counts as written when all replicas have it"),
    ("transactional.id", "writes are no transactions"),
    ("enable.gapless.guarantee", "writes are no transactions"),
    ("queue.buffering.max.ms", "set kafka.linger"),
    ("fetch.message.max.bytes", "what a partition may hold is a bound of the source"),
    ("bootstrap.servers", "set kafka.brokers"),
    ("group.id", "the group is the stage's own name"),
    ("group.protocol", "set kafka.group_protocol"),
    ("partition.assignment.strategy", "the source is made for cooperative-sticky"),
    ("group.protocol.type", "a worker is a consumer"),
    ("session.timeout.ms", "set kafka.session_timeout"),
    ("heartbeat.interval.ms", "it follows from the session: set kafka.session_timeout"),
    ("enable.auto.commit", "only what is settled is committed"),
    ("enable.auto.offset.store", "only what is settled is committed"),
    ("auto.offset.reset", "offsets are moved by tidewater rewind only"),
    ("isolation.level", "what is read decides versions"),
    ("partitioner", "a change keeps its partition from end to end"),
    ("message.timeout.ms", "a record that timed out would be overtaken"),
    ("enable.idempotence", "a record that is sent again must not be overtaken"),
    ("acks", "a record counts as written when all replicas have it"),
    ("linger.ms", "set kafka.linger"),
];

impl Settings for Cluster {
    fn read(section: &mut Section<'_>) -> Self {
        let ms = Duration::from_millis;
        let brokers = "Where the first connection goes: host:port, separated by commas.";
        let prefix = "Before the name of every topic, so that installations can share a cluster.";
        let groups = "Before the name of every consumer group; set it where installations share a cluster.";
        let partitions = "Partitions of every topic; fixed for the life of a topic set.";
        let linger = "How long a producer waits for company before it sends a batch.";
        let extra =
            "Settings of librdkafka as they are, for connections and credentials: security.protocol, sasl.username, …";
        let brokers: String = section.text("brokers", brokers).required("without it there is nothing to connect to");
        Self {
            topic_prefix: section.text("topic_prefix", prefix).default("tidewater.".to_owned()),
            group_prefix: section.text("group_prefix", groups).optional().unwrap_or_default(),
            partitions: section.count("partitions", partitions).between(1, 10_000).default(12),
            membership: Membership::read(section),
            linger: section.duration("linger", linger).between(ms(0), ms(1_000)).default(ms(2)),
            client: Config {
                brokers,
                extra: section
                    .table("extra", extra)
                    .refusing(OWNED)
                    .read()
                    .iter()
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
            },
        }
    }
}

impl Cluster {
    /// The consumer group of the service that is called `service`.
    #[must_use]
    pub fn group(&self, service: &str) -> String {
        format!("{}{service}", self.group_prefix)
    }

    /// The full name of the topic that is called `name` without the prefix.
    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.topic_prefix)
    }
}
