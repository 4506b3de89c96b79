//! The worlds that keep a log: each with one topic that nobody else has, and groups that read it.

use embedded::{Durability, Founding, Home, LogSink, LogSource, Member, Options};
use runtime::Clock;
use runtime::health::Health;
use runtime::kafka::source::REJOIN;
use runtime::kafka::{Config, Group, KafkaSink, KafkaSource, Membership, SinkConfig, SourceConfig};
use runtime::memory::{MemoryGroup, MemoryLog, MemorySink, MemorySource, Weather};
use runtime::record::{Outgoing, TopicPartition};
use runtime::source::Source;
use runtime::stage::Sink;
use runtime::telemetry::Counter;
use schemas::Profile;
use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tests::installation::Installation;
use tests::process::dir_of;
use tests::stack::{Stack, scratch};

/// More than two, so that some go on while one stands and another catches up.
pub(crate) const PARTITIONS: i32 = 3;

/// Of tests that need one group only.
pub(crate) const GROUP: &str = "group";

/// What a group has committed, by partition: offset and text, `None` where nothing.
pub(crate) type Committed = Vec<Option<(i64, String)>>;

/// A world with one topic of [`PARTITIONS`], which nobody has written to.
pub(crate) trait World: Sized {
    type Source: Source;
    type Sink: Sink<Item = Outgoing>;

    fn place(&self, partition: i32) -> TopicPartition;

    /// A member of `group`, which has no other at that time and so is given every partition.
    async fn source(&self, group: &'static str, first_metadata: &str) -> Self::Source;

    fn sink(&self) -> Self::Sink;

    /// As somebody sees it who is no member.
    async fn committed(&self, group: &'static str) -> Committed;
}

/// Short, and no other world's: topics and folders are called by it.
fn name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("world{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The log of the simulation.
pub(crate) struct Memory {
    log: MemoryLog,
    topic: &'static str,
    /// A source ends with its group's side.
    groups: RefCell<Vec<MemoryGroup>>,
}

impl Memory {
    pub(crate) async fn build(topic: &'static str) -> Self {
        Self { log: MemoryLog::default(), topic, groups: RefCell::default() }
    }

    pub(crate) async fn end(self) {}
}

impl World for Memory {
    type Source = MemorySource;
    type Sink = MemorySink;

    fn place(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic, partition)
    }

    async fn source(&self, group: &'static str, first_metadata: &str) -> MemorySource {
        let (source, group) = MemorySource::join(self.log.clone(), group, first_metadata, Weather::default());
        group.assign(&(0..PARTITIONS).map(|partition| self.place(partition)).collect::<Vec<_>>()).await;
        self.groups.borrow_mut().push(group);
        source
    }

    fn sink(&self) -> MemorySink {
        MemorySink::new(self.log.clone(), self.topic, Clock::system(), Weather::default())
    }

    async fn committed(&self, group: &'static str) -> Committed {
        let of = |partition| self.log.committed(group, &self.place(partition));
        (0..PARTITIONS).map(|partition| of(partition).map(|(offset, text)| (offset.0, text))).collect()
    }
}

/// Small, so that what a test writes lies in several files.
const SEGMENT_LEN: u64 = 1 << 20;

/// A directory.
pub(crate) struct Embedded {
    home: Home,
    dir: PathBuf,
    topic: &'static str,
}

impl Embedded {
    pub(crate) async fn build(topic: &'static str) -> Self {
        let dir = dir_of(&name());
        let profile = Arc::new(Profile::embedded().unwrap());
        let options = Options { segment_len: SEGMENT_LEN, ..Options::new(profile, Durability::Always) };
        let founding = Founding { partitions: u16::try_from(PARTITIONS).ok(), floor_micros: None };
        Self { home: Home::open(&dir, Some(founding), &options).unwrap(), dir, topic }
    }

    /// What a failed test has written lies there after it.
    pub(crate) async fn end(self) {
        self.home.close().await.unwrap();
        let Self { home, dir, .. } = self;
        drop(home);
        std::fs::remove_dir_all(dir).unwrap();
        // The last one out; while others are there, it fails.
        std::fs::remove_dir(scratch()).ok();
    }
}

impl World for Embedded {
    type Source = LogSource;
    type Sink = LogSink;

    fn place(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic, partition)
    }

    async fn source(&self, group: &'static str, first_metadata: &str) -> LogSource {
        let rewind = format!("--data {}", self.dir.display());
        let member = Member { group, first_metadata: first_metadata.to_owned(), rewind };
        let topic = self.home.log.topic(self.topic).unwrap().clone();
        LogSource::new(self.home.log.clone(), topic, self.home.table.clone(), member)
    }

    fn sink(&self) -> LogSink {
        LogSink::new(self.home.log.topic(self.topic).unwrap().clone())
    }

    async fn committed(&self, group: &'static str) -> Committed {
        (0..PARTITIONS).map(|partition| self.home.table.committed(group, &self.place(partition)).unwrap()).collect()
    }
}

/// For so long a member that leaves would wait for a worker that does not let go.
pub(crate) const RELEASE_WITHIN: Duration = Duration::from_secs(10);

/// The brokers of the run.
pub(crate) struct Real {
    home: Installation,
    topic: String,
    kafka: Config,
    health: Health,
}

impl Real {
    pub(crate) async fn build(topic: &str) -> Self {
        let home = Installation::build_wide(&Stack::of_run(), &name(), PARTITIONS).await;
        let kafka = Config { brokers: home.stack.brokers.clone(), ..Config::default() };
        Self { topic: home.topic(topic), home, kafka, health: Health::new() }
    }

    /// What it made stays on the servers, and they go with the run.
    pub(crate) async fn end(self) {}

    fn group(&self, group: &str) -> String {
        format!("{}.{group}", self.home.name())
    }
}

impl World for Real {
    type Source = KafkaSource;
    type Sink = KafkaSink;

    fn place(&self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.topic.as_str(), partition)
    }

    async fn source(&self, group: &'static str, first_metadata: &str) -> KafkaSource {
        let own = SourceConfig {
            group: self.group(group),
            worker: "validate",
            only: String::new(),
            topic: self.topic.clone(),
            first_metadata: first_metadata.to_owned(),
            membership: Membership::default(),
            fetched_bytes: Counter::default(),
            release_within: RELEASE_WITHIN,
            rejoin_after: REJOIN,
        };
        let condition = self.health.condition("kafka", "not yet");
        let heartbeat = self.health.heartbeat("poll", 2 * REJOIN);
        KafkaSource::join(&self.kafka, own, condition, heartbeat).unwrap()
    }

    fn sink(&self) -> KafkaSink {
        let own = SinkConfig {
            topic: self.topic.clone(),
            compression: "lz4",
            // More than the topic takes, as the stages have it: it is the broker that refuses.
            message_bytes_max: 2 << 20,
            queue_kbytes: 32 << 10,
            linger: Duration::from_millis(2),
        };
        KafkaSink::new(&self.kafka, own).unwrap()
    }

    async fn committed(&self, group: &'static str) -> Committed {
        let group = Group::new(&self.kafka, &self.group(group)).unwrap();
        let found = group.committed(&self.topic, PARTITIONS).await.unwrap();
        found.into_iter().map(|found| found.map(|found| (found.offset, found.metadata))).collect()
    }
}
