//! The Kafka source: one poll thread for the group's events, one queue per partition for its records.
//!
//! With its queue split off, a partition that is not read stops alone, and `poll` serves events only. Rebalances are
//! answered on the poll thread (`assignment.rs`), which may wait: heartbeats go on without it. A client that does not find
//! back into its group is replaced by another one (`member.rs`, ADR 13).

use super::assignment::{Context, Notice};
use super::config::Config;
use super::member::Member;
use super::membership::{Membership, Seat};
use super::queue::Queue;
use crate::fault::{Cause, Exit, Fault};
use crate::health::{Condition, Heartbeat};
use crate::record::{Record, TopicPartition};
use crate::source::{Commit, Committer, Demand, Event, Source};
use crate::telemetry::Counter;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

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
    /// A client that has not been in its group for so long is replaced; [`REJOIN`] unless a test is in a hurry.
    pub rejoin_after: Duration,
}

/// Longer than any rebalance takes, and than the client's own time-out of a request, so that what heals by itself does.
pub const REJOIN: Duration = Duration::from_secs(90);

/// Records taken from one partition before the next one has its turn.
const BURST: usize = 64;
/// How often all queues are looked at although none has called.
const SWEEP: Duration = Duration::from_secs(1);
/// An error of the connection that is older has healed.
const HEALED_AFTER: Duration = Duration::from_secs(10);

/// A member of a consumer group.
pub struct KafkaSource {
    config: Config,
    own: SourceConfig,
    heartbeat: Arc<Heartbeat>,
    seat: Arc<Seat>,
    member: Member,
    /// Whom commits go through.
    desk: Arc<Mutex<Desk>>,
    /// When the client was last known to be in its group.
    seated: Instant,
    /// Whether it was when it last said where it is.
    is_member: bool,
    /// Where it says it is, since then.
    whereabouts: String,
    /// What it is being asked to hand on: its queues are gone, and the worker may still commit it.
    letting_go: Vec<TopicPartition>,
    queues: Vec<Queue>,
    /// Queue that is read from, and how often it was in a row.
    turn: usize,
    run: usize,
    wake: Arc<Notify>,
    swept: Instant,
    condition: Condition,
    troubled: Option<Instant>,
}

/// The client that commits now. A new one takes no commit before it has been given its partitions: one that was put
/// together before is another life's.
struct Desk {
    consumer: Arc<BaseConsumer<Context>>,
    is_open: bool,
}

fn lock(desk: &Mutex<Desk>) -> MutexGuard<'_, Desk> {
    desk.lock().unwrap_or_else(PoisonError::into_inner)
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
        let heartbeat = Arc::new(heartbeat);
        let member = Member::join(config, &own, &heartbeat)?;
        let now = Instant::now();
        Ok(Self {
            config: config.clone(),
            seat: Arc::new(Seat { group: own.group.clone(), membership: own.membership.clone() }),
            own,
            heartbeat,
            desk: Arc::new(Mutex::new(Desk { consumer: member.consumer.clone(), is_open: false })),
            member,
            seated: now,
            is_member: false,
            whereabouts: String::new(),
            letting_go: Vec::new(),
            queues: Vec::new(),
            turn: 0,
            run: 0,
            wake: Arc::new(Notify::new()),
            swept: now,
            condition,
            troubled: None,
        })
    }

    /// Puts another client in the place of one that does not find back into the group. What it held is lost to it.
    fn rejoin(&mut self) -> Result<Event, Fault> {
        warn!(
            group = self.own.group,
            whereabouts = self.whereabouts,
            out_secs = self.seated.elapsed().as_secs(),
            "the client has not been in its group for long; another one joins in its place"
        );
        let held = self.queues.drain(..).map(|queue| queue.place().clone());
        let partitions = held.chain(self.letting_go.drain(..)).collect();
        self.is_member = false;
        let member = Member::join(&self.config, &self.own, &self.heartbeat)?;
        *lock(&self.desk) = Desk { consumer: member.consumer.clone(), is_open: false };
        std::mem::replace(&mut self.member, member).dismiss();
        self.seated = Instant::now();
        Ok(Event::Lost(partitions))
    }

    /// Turns what the poll thread saw into an event; `None` if it is no news to the worker.
    fn hear(&mut self, notice: Notice) -> Result<Option<Event>, Fault> {
        // What it says next, it says behind the hand-over.
        self.letting_go.clear();
        match notice {
            Notice::Assigned(partitions) => {
                let mut assigned = Vec::with_capacity(partitions.len());
                for (place, resume, queue) in partitions {
                    // The older queue must be gone first: dropping it later would silence the new one.
                    self.drop_queue(&place);
                    self.queues.push(Queue::new(place.clone(), queue, self.wake.clone()));
                    assigned.push((place, resume));
                }
                lock(&self.desk).is_open = true;
                self.sit();
                self.well();
                Ok(Some(Event::Assigned(assigned)))
            }
            Notice::Revoking { partitions, released } => {
                partitions.iter().for_each(|place| self.drop_queue(place));
                self.letting_go.clone_from(&partitions);
                Ok(Some(Event::Revoking { partitions, released }))
            }
            Notice::Lost(partitions) => {
                partitions.iter().for_each(|place| self.drop_queue(place));
                self.is_member = false;
                self.condition.waiting("the group has gone on without this member, which joins it again");
                Ok(Some(Event::Lost(partitions)))
            }
            Notice::Seated => {
                self.sit();
                if self.troubled.is_none() {
                    self.well();
                }
                Ok(None)
            }
            Notice::Away(whereabouts) => {
                self.whereabouts = whereabouts;
                self.is_member = false;
                if self.is_away() {
                    self.condition.waiting(format!("this member is not in its group ({})", self.whereabouts));
                }
                Ok(None)
            }
            Notice::Failed(fault) => Err(fault),
            Notice::Error(error) => self.weigh(error).map(|()| None),
        }
    }

    fn sit(&mut self) {
        self.seated = Instant::now();
        self.is_member = true;
    }

    /// How long a client may be out of its group: others may have to be waited for until their session ends, and each may
    /// take its time to hand on.
    fn patience(&self) -> Duration {
        self.own.rejoin_after + self.own.membership.session() + 2 * self.own.release_within
    }

    /// Whether it has been out of its group for longer than a rebalance takes.
    fn is_away(&self) -> bool {
        self.seated.elapsed() > self.own.release_within
    }

    fn drop_queue(&mut self, place: &TopicPartition) {
        self.queues.retain(|queue| queue.place() != place);
    }

    /// The next record of a partition that may be read, if one is there.
    fn read(&mut self, demand: &Demand) -> Result<Option<Record>, Fault> {
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
                        return Ok(Some(record));
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
        if let Some((code, _)) = self.member.consumer.client().fatal_error() {
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
        if self.is_member {
            self.condition.ok();
        }
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
            while let Ok(notice) = self.member.notices.try_recv() {
                if let Some(event) = self.hear(notice)? {
                    return Ok(Some(event));
                }
            }
            if self.member.is_answering() {
                // It says nothing of where it is meanwhile, and is where it has to be.
                self.seated = Instant::now();
            }
            if self.seated.elapsed() >= self.patience() {
                return self.rejoin().map(Some);
            }
            if let Some(record) = self.read(demand)? {
                return Ok(Some(Event::Record(record)));
            }
            let called = tokio::select! {
                biased;
                notice = self.member.notices.recv() => Some(notice),
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

    fn ready(&mut self, demand: &Demand) -> Result<Option<Record>, Fault> {
        if self.member.notices.is_empty() { self.read(demand) } else { Ok(None) }
    }

    fn committer(&self) -> KafkaCommitter {
        KafkaCommitter { desk: self.desk.clone(), seat: self.seat.clone() }
    }

    async fn close(mut self) {
        self.queues.clear();
        self.member.leave().await;
    }
}

/// Commits through the consumer, never through its poll thread.
#[derive(Clone)]
pub struct KafkaCommitter {
    desk: Arc<Mutex<Desk>>,
    seat: Arc<Seat>,
}

impl std::fmt::Debug for KafkaCommitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaCommitter").finish_non_exhaustive()
    }
}

impl Committer for KafkaCommitter {
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Fault> {
        let own = {
            let desk = lock(&self.desk);
            if !desk.is_open {
                return Err(Fault::transient("the member has no partitions to commit for"));
            }
            desk.consumer.clone()
        };
        let consumer = own.clone();
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
            // Of a client that has been replaced nothing is the worker's affair any more.
            Ok(Err(error)) if !Arc::ptr_eq(&own, &lock(&self.desk).consumer) => {
                Err(Fault::Transient(Cause::with("the member has been replaced", error)))
            }
            Ok(Err(error)) => Err(self.seat.refused_commit(error)),
            Err(_) => Err(Fault::Fatal { exit: Exit::Component, cause: Cause::new("a commit panicked") }),
        }
    }
}
