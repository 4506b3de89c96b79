//! The Kafka source: one poll thread for the group's events, one queue per partition for its records.
//!
//! With its queue split off, a partition that is not read stops alone, and `poll` serves events only. Rebalances are
//! answered on the poll thread (`assignment.rs`), which may wait: heartbeats go on without it.

use super::assignment::{Context, Notice, Owner};
use super::config::Config;
use super::membership::{Membership, Seat};
use super::queue::Queue;
use crate::fault::{Cause, Exit, Fault};
use crate::health::{Condition, Heartbeat};
use crate::record::TopicPartition;
use crate::source::{Commit, Committer, Demand, Event, Source};
use crate::telemetry::Counter;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{debug, warn};

/// How a worker consumes.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Consumer group, with the prefix.
    pub group: String,
    /// The service, which is what its group is called without the prefix.
    pub worker: &'static str,
    /// What `tidewater rewind` must be told so that it moves this topic alone; empty where the worker reads no other.
    pub only: String,
    /// With the prefix. One topic a member, so that the group shares out each by itself (`pair`).
    pub topic: String,
    /// Text committed with offset 0 on a first start.
    pub first_metadata: String,
    pub membership: Membership,
    /// Counts what the brokers send.
    pub fetched_bytes: Counter,
    /// How long a revocation may wait for the worker, its last commit included.
    pub release_within: Duration,
}

/// Bytes that one partition's queue may hold, and that one fetch may add to it.
const QUEUE_KBYTES: &str = "1024";
const FETCH_BYTES: &str = "1048576";
/// One answer of a broker, for all partitions together. Set by hand: the queue's bound would pull it down.
const FETCH_ANSWER_BYTES: &str = "16777216";
/// How long a full queue waits before it fetches again; the default of a second costs a third of the speed.
const FETCH_BACKOFF_MS: &str = "20";
/// How often the client says what it has received. Half a millisecond of work each time.
const STATISTICS_MS: &str = "2000";
/// Records taken from one partition before the next one has its turn.
const BURST: usize = 64;
/// How often all queues are looked at although none has called.
const SWEEP: Duration = Duration::from_secs(1);
/// An error of the connection that is older has healed.
const HEALED_AFTER: Duration = Duration::from_secs(10);

/// A member of a consumer group.
pub struct KafkaSource {
    consumer: Arc<BaseConsumer<Context>>,
    seat: Arc<Seat>,
    notices: mpsc::Receiver<Notice>,
    queues: Vec<Queue>,
    /// Queue that is read from, and how often it was in a row.
    turn: usize,
    run: usize,
    wake: Arc<Notify>,
    swept: Instant,
    stop: Arc<AtomicBool>,
    closed: Option<oneshot::Receiver<()>>,
    condition: Condition,
    troubled: Option<Instant>,
}

impl std::fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSource").field("queues", &self.queues.len()).finish_non_exhaustive()
    }
}

impl KafkaSource {
    /// Joins the group. `condition` says on `/ready` what is wrong with the brokers; `heartbeat` beats with the poll thread.
    ///
    /// # Errors
    /// Fatal if the client cannot be made with this configuration.
    pub fn join(config: &Config, own: SourceConfig, condition: Condition, heartbeat: Heartbeat) -> Result<Self, Fault> {
        let client = consumer_config(config, &own);
        let heartbeat = Arc::new(heartbeat);
        let (notify, notices) = mpsc::channel(64);
        let owner = Owner {
            notices: notify,
            runtime: tokio::runtime::Handle::current(),
            group: own.group.clone(),
            worker: own.worker,
            only: own.only.clone(),
            first_metadata: own.first_metadata.clone(),
            release_within: own.release_within,
            heartbeat: heartbeat.clone(),
            fetched_bytes: own.fetched_bytes.clone(),
        };
        let bad = |error| Fault::Fatal {
            exit: Exit::Config,
            cause: Cause::with("the consumer cannot be made with these settings ([kafka])", error),
        };
        let consumer: BaseConsumer<Context> = client.create_with_context(Context::new(owner)).map_err(bad)?;
        let consumer = Arc::new(consumer);
        consumer.context().know(&consumer);
        consumer.subscribe(&[&own.topic]).map_err(bad)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (closed_tx, closed) = oneshot::channel();
        let thread = PollThread { consumer: consumer.clone(), stop: stop.clone(), heartbeat };
        std::thread::Builder::new()
            .name("kafka-poll".into())
            .spawn(move || {
                thread.run();
                // The source may have stopped waiting.
                closed_tx.send(()).ok();
            })
            .map_err(|error| Fault::component("the poll thread cannot be started", error))?;
        Ok(Self {
            consumer,
            seat: Arc::new(Seat { group: own.group, membership: own.membership }),
            notices,
            queues: Vec::new(),
            turn: 0,
            run: 0,
            wake: Arc::new(Notify::new()),
            swept: Instant::now(),
            stop,
            closed: Some(closed),
            condition,
            troubled: None,
        })
    }

    /// Turns what the poll thread saw into an event; `None` if it is no news to the worker.
    fn hear(&mut self, notice: Notice) -> Result<Option<Event>, Fault> {
        match notice {
            Notice::Assigned(partitions) => {
                let mut assigned = Vec::with_capacity(partitions.len());
                for (place, resume, queue) in partitions {
                    // The older queue must be gone first: dropping it later would silence the new one.
                    self.drop_queue(&place);
                    self.queues.push(Queue::new(place.clone(), queue, self.wake.clone()));
                    assigned.push((place, resume));
                }
                self.well();
                Ok(Some(Event::Assigned(assigned)))
            }
            Notice::Revoking { partitions, released } => {
                partitions.iter().for_each(|place| self.drop_queue(place));
                Ok(Some(Event::Revoking { partitions, released }))
            }
            Notice::Lost(partitions) => {
                partitions.iter().for_each(|place| self.drop_queue(place));
                Ok(Some(Event::Lost(partitions)))
            }
            Notice::Failed(fault) => Err(fault),
            Notice::Error(error) => self.weigh(error).map(|()| None),
        }
    }

    fn drop_queue(&mut self, place: &TopicPartition) {
        self.queues.retain(|queue| queue.place() != place);
    }

    /// The next record of a partition that may be read, if one is there.
    fn read(&mut self, demand: &Demand) -> Result<Option<Event>, Fault> {
        for _ in 0..=self.queues.len() {
            if self.turn >= self.queues.len() {
                self.turn = 0;
            }
            let Some(queue) = self.queues.get_mut(self.turn) else { return Ok(None) };
            if self.run < BURST && queue.is_ready() && !demand.stopped.contains(queue.place()) {
                match queue.take() {
                    Some(Ok(record)) => {
                        self.run += 1;
                        if self.troubled.is_some() {
                            self.well();
                        }
                        return Ok(Some(Event::Record(record)));
                    }
                    Some(Err(error)) => {
                        self.weigh(error)?;
                        continue;
                    }
                    None => {}
                }
            }
            self.turn += 1;
            self.run = 0;
        }
        Ok(None)
    }

    /// What an error of the consumer means: an offset that is gone cannot heal, anything else is waited for.
    fn weigh(&mut self, error: KafkaError) -> Result<(), Fault> {
        // The client does nothing more for one that has met a fatal error, and tells of it by any code.
        if let Some((code, _)) = self.consumer.client().fatal_error() {
            return Err(self.seat.ended(Some(code), error));
        }
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange) => Err(Fault::component(
                "the log no longer has the offset to go on from; the next start says how many records are gone",
                error,
            )),
            Some(RDKafkaErrorCode::NoError | RDKafkaErrorCode::PartitionEOF) => Ok(()),
            _ => {
                let text = match error.rdkafka_error_code() {
                    Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                        "kafka: a topic does not exist; run: tidewater topics apply".to_owned()
                    }
                    code => format!("kafka: {}", code.map_or_else(|| error.to_string(), |code| code.to_string())),
                };
                if self.troubled.is_none() {
                    warn!(error = text, "the consumer meets errors and goes on trying");
                }
                self.troubled = Some(Instant::now());
                self.condition.waiting(text);
                Ok(())
            }
        }
    }

    fn well(&mut self) {
        self.troubled = None;
        self.condition.ok();
    }

    fn sweep(&mut self) {
        self.swept = Instant::now();
        self.queues.iter().for_each(Queue::call);
        if self.troubled.is_some_and(|at| at.elapsed() > HEALED_AFTER) {
            self.well();
        }
    }
}

impl Source for KafkaSource {
    type Committer = KafkaCommitter;

    async fn next(&mut self, demand: &Demand) -> Result<Option<Event>, Fault> {
        loop {
            // Looked at here, not by a timer: the worker drops this future on every tick, and a timer with it.
            if self.swept.elapsed() >= SWEEP {
                self.sweep();
            }
            while let Ok(notice) = self.notices.try_recv() {
                if let Some(event) = self.hear(notice)? {
                    return Ok(Some(event));
                }
            }
            if let Some(event) = self.read(demand)? {
                return Ok(Some(event));
            }
            let called = tokio::select! {
                biased;
                notice = self.notices.recv() => Some(notice),
                _ = timeout_at(self.swept + SWEEP, self.wake.notified()) => None,
            };
            match called {
                Some(Some(notice)) => {
                    if let Some(event) = self.hear(notice)? {
                        return Ok(Some(event));
                    }
                }
                Some(None) => return Ok(None),
                None => {}
            }
        }
    }

    fn committer(&self) -> KafkaCommitter {
        KafkaCommitter { consumer: self.consumer.clone(), seat: self.seat.clone() }
    }

    async fn close(mut self) {
        self.queues.clear();
        self.stop.store(true, Ordering::Release);
        let Some(mut closed) = self.closed.take() else { return };
        loop {
            tokio::select! {
                _ = &mut closed => return,
                Some(notice) = self.notices.recv() => {
                    if let Notice::Revoking { released, .. } = notice {
                        // The poll thread may have stopped waiting.
                        released.send(()).ok();
                    }
                }
            }
        }
    }
}

/// Serves the group's events until told to stop, then leaves the group.
struct PollThread {
    consumer: Arc<BaseConsumer<Context>>,
    stop: Arc<AtomicBool>,
    heartbeat: Arc<Heartbeat>,
}

impl PollThread {
    fn run(self) {
        let context = self.consumer.context();
        while !self.stop.load(Ordering::Acquire) {
            self.heartbeat.beat();
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(_)) => {
                    context.tell(Notice::Failed(Fault::Fatal {
                        exit: Exit::Component,
                        cause: Cause::new("a record came past its partition's queue"),
                    }));
                    break;
                }
                Some(Err(error)) => context.tell(Notice::Error(error)),
            }
        }
        if let Err(error) = self.consumer.close_queue() {
            debug!(error = %error, "the consumer was closed before");
            return;
        }
        while !self.consumer.closed() {
            self.consumer.poll(Duration::from_millis(100));
        }
    }
}

/// Commits through the consumer, never through its poll thread.
#[derive(Clone)]
pub struct KafkaCommitter {
    consumer: Arc<BaseConsumer<Context>>,
    seat: Arc<Seat>,
}

impl std::fmt::Debug for KafkaCommitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaCommitter").finish_non_exhaustive()
    }
}

impl Committer for KafkaCommitter {
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Fault> {
        let consumer = self.consumer.clone();
        let outcome = tokio::task::spawn_blocking(move || {
            let mut list = TopicPartitionList::with_capacity(commits.len());
            for Commit { place, offset, metadata } in &commits {
                let mut element = list.add_partition(&place.topic, place.partition);
                element.set_offset(Offset::Offset(offset.0))?;
                element.set_metadata(metadata);
            }
            consumer.commit(&list, CommitMode::Sync)
        })
        .await;
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.seat.refused_commit(error)),
            Err(_) => Err(Fault::Fatal { exit: Exit::Component, cause: Cause::new("a commit panicked") }),
        }
    }
}

fn consumer_config(config: &Config, own: &SourceConfig) -> ClientConfig {
    let mut client = config.client_config();
    client
        .set("group.id", &own.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", QUEUE_KBYTES)
        .set("max.partition.fetch.bytes", FETCH_BYTES)
        .set("fetch.max.bytes", FETCH_ANSWER_BYTES)
        .set("fetch.queue.backoff.ms", FETCH_BACKOFF_MS)
        .set("statistics.interval.ms", STATISTICS_MS);
    own.membership.apply(&mut client);
    client
}
