//! Rebalances, answered on the poll thread.
//!
//! Assign reads commits, checks that the log still has them, splits the queues off and only then assigns at explicit
//! offsets: one read, one truth. Revoke waits until the worker has let go, within a bound. Every failure becomes a
//! fault for the worker; nothing here may panic, because the callers are C.

use crate::fault::{Cause, Exit, Fault};
use crate::health::Heartbeat;
use crate::record::{Offset as Place, TopicPartition};
use crate::source::Resume;
use crate::telemetry::Counter;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, info, warn};

/// What the poll thread tells the source.
pub(super) enum Notice {
    Assigned(Vec<(TopicPartition, Resume, PartitionQueue<Context>)>),
    Revoking {
        partitions: Vec<TopicPartition>,
        released: oneshot::Sender<()>,
    },
    Lost(Vec<TopicPartition>),
    /// The worker cannot go on.
    Failed(Fault),
    /// The client met an error; what it means is weighed by the source.
    Error(KafkaError),
    /// The client is in its group.
    Seated,
    /// It is not, and says where it is instead.
    Away(String),
}

/// What the poll thread knows of the worker it serves.
pub(super) struct Owner {
    pub(super) notices: mpsc::Sender<Notice>,
    pub(super) runtime: tokio::runtime::Handle,
    pub(super) group: String,
    /// What `tidewater rewind` knows the group by.
    pub(super) worker: &'static str,
    /// What `tidewater rewind` must be told besides, so that it moves this topic alone.
    pub(super) only: String,
    /// Text committed with offset 0 on a first start.
    pub(super) first_metadata: String,
    pub(super) release_within: Duration,
    /// Beats while the poll thread waits for brokers, so that their outage is not taken for our standstill.
    pub(super) heartbeat: Arc<Heartbeat>,
    /// Bytes that the brokers have sent.
    pub(super) fetched_bytes: Counter,
    /// Whether a member without partitions says that it is in its group.
    pub(super) is_idle_told: bool,
}

/// The consumer's context: the rebalance callback and the client's log.
pub(crate) struct Context {
    /// The consumer itself: splitting a queue off needs its `Arc`, which the callback is not given.
    me: OnceLock<Weak<BaseConsumer<Context>>>,
    owner: Owner,
    /// Bytes that this client had received when it last said so; the counter may be shared with another client.
    received: AtomicU64,
    is_answering: AtomicBool,
}

/// Bound on one look-up at the brokers.
const LOOK_UP: Duration = Duration::from_secs(5);
/// Tries of one look-up before the worker is told that it failed.
const TRIES: u32 = 6;

type Resumes = HashMap<TopicPartition, Resume>;

impl Context {
    pub(super) fn new(owner: Owner) -> Self {
        Self { me: OnceLock::new(), owner, received: AtomicU64::new(0), is_answering: AtomicBool::new(false) }
    }

    /// Must be called once, before the consumer subscribes.
    pub(super) fn know(&self, me: &Arc<BaseConsumer<Self>>) {
        let first = self.me.set(Arc::downgrade(me)).is_ok();
        debug_assert!(first, "a context serves one consumer");
    }

    /// Whether a rebalance is being answered. Bounded, and until then the client cannot say where it is.
    pub(super) fn is_answering(&self) -> bool {
        self.is_answering.load(Ordering::Acquire)
    }

    /// Called on the poll thread only. If the source is gone, nobody needs to know any more.
    pub(super) fn tell(&self, notice: Notice) {
        self.owner.notices.blocking_send(notice).ok();
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, list: &mut TopicPartitionList) -> Result<Notice, Fault> {
        let places = places(list);
        let mut resumes = self.resumes(consumer, &places)?;
        let me = self.me.get().and_then(Weak::upgrade);
        let me = me.ok_or_else(|| Fault::Fatal { exit: Exit::Component, cause: Cause::new("the consumer is gone") })?;
        let mut assigned = Vec::with_capacity(places.len());
        for place in places {
            let lost = || Fault::Fatal {
                exit: Exit::Component,
                cause: Cause::new(format!("{place}: the partition's queue cannot be split off")),
            };
            let resume = resumes.remove(&place).ok_or_else(lost)?;
            list.set_partition_offset(&place.topic, place.partition, Offset::Offset(resume.offset.0))
                .map_err(|error| Fault::component(format!("{place}: the offset cannot be set"), error))?;
            let queue = me.split_partition_queue(&place.topic, place.partition).ok_or_else(lost)?;
            assigned.push((place, resume, queue));
        }
        self.take_on(consumer, list).map_err(|error| Fault::component("the partitions cannot be assigned", error))?;
        Ok(Notice::Assigned(assigned))
    }

    fn take_on(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(list),
        }
    }

    fn let_go(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) -> KafkaResult<()> {
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(list),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        }
    }

    /// Where each partition goes on. A first start on a log that begins at 0 commits (0, first text) before it begins.
    fn resumes(&self, consumer: &BaseConsumer<Self>, places: &[TopicPartition]) -> Result<Resumes, Fault> {
        let mut ask = TopicPartitionList::with_capacity(places.len());
        for place in places {
            ask.add_partition(&place.topic, place.partition);
        }
        let committed = self.patiently("committed offsets", || consumer.committed_offsets(ask.clone(), LOOK_UP))?;
        let mut resumes = Resumes::with_capacity(places.len());
        let mut first = TopicPartitionList::new();
        let mut are_silent = false;
        for element in committed.elements() {
            element.error().map_err(|error| Fault::component("a committed offset cannot be read", error))?;
            let place = TopicPartition::new(element.topic(), element.partition());
            // Each look-up may take its time, and the sum of them is still no standstill.
            self.owner.heartbeat.beat();
            let ends = || consumer.fetch_watermarks(&place.topic, place.partition, LOOK_UP);
            let resume = match element.offset() {
                Offset::Offset(offset) => {
                    // A partition without a leader cannot tell, and must not keep the others waiting, nor the group: an
                    // offset that is gone is found on the first fetch, too. After one silence no other is waited for.
                    match (!are_silent).then(ends) {
                        Some(Ok((low, high))) => self.check_range(&place, offset, low, high)?,
                        Some(Err(error)) => {
                            are_silent = true;
                            warn!(%place, error = %error, "the ends of this and further partitions are not known yet");
                        }
                        None => {}
                    }
                    Resume { offset: Place(offset), metadata: element.metadata().to_owned() }
                }
                Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => {
                    let (low, _) = self.patiently("the ends of a partition", ends)?;
                    self.check_first(&place, low)?;
                    let metadata = self.owner.first_metadata.clone();
                    let mut element = first.add_partition(&place.topic, place.partition);
                    element
                        .set_offset(Offset::Offset(0))
                        .map_err(|error| Fault::component("the first offset cannot be set", error))?;
                    element.set_metadata(&metadata);
                    Resume { offset: Place(0), metadata }
                }
            };
            resumes.insert(place, resume);
        }
        if first.count() > 0 {
            info!(partitions = first.count(), "first start on these partitions");
            self.patiently("the first commit", || consumer.commit(&first, CommitMode::Sync))?;
        }
        Ok(resumes)
    }

    /// Asks a few times: a broker that has just come up, or is going down, refuses a look-up that it answers a second later.
    fn patiently<T>(&self, what: &str, mut ask: impl FnMut() -> KafkaResult<T>) -> Result<T, Fault> {
        let mut tries = 1;
        loop {
            self.owner.heartbeat.beat();
            match ask() {
                Ok(answer) => return Ok(answer),
                Err(error) if tries < TRIES => {
                    debug!(what, tries, error = %error, "a look-up at the brokers failed");
                    std::thread::sleep(Duration::from_millis(200) * tries);
                    tries += 1;
                }
                Err(error) => return Err(Fault::component(format!("{what}: the brokers do not answer"), error)),
            }
        }
    }

    fn check_range(&self, place: &TopicPartition, offset: i64, low: i64, high: i64) -> Result<(), Fault> {
        let Owner { group, worker, only, .. } = &self.owner;
        if offset < low {
            let gone = low.saturating_sub(offset);
            return Err(Fault::config(format!(
                "{place}: {gone} records are gone unread: group {group} committed offset {offset}, the log now starts at \
                 {low}; run: tidewater rewind {worker} --to START{only} to go on behind them"
            )));
        }
        if offset > high {
            return Err(Fault::config(format!(
                "{place}: group {group} committed offset {offset}, but the log ends at {high}: the topic was made anew \
                 or lost its tail; run: tidewater rewind {worker} --to START{only}"
            )));
        }
        Ok(())
    }

    fn check_first(&self, place: &TopicPartition, low: i64) -> Result<(), Fault> {
        let Owner { group, worker, only, .. } = &self.owner;
        if low > 0 {
            return Err(Fault::config(format!(
                "{place}: group {group} has no committed offset and the log starts at {low}, so up to {low} records may be \
                 gone unread; run: tidewater rewind {worker} --to START{only} to accept that"
            )));
        }
        Ok(())
    }

    /// Whether the worker let go, or is gone, within the time.
    fn await_release(&self, within: Duration, mut wait: oneshot::Receiver<()>) -> bool {
        let slices = within.as_secs().max(1);
        (0..slices).any(|_| {
            self.owner.heartbeat.beat();
            let slice = Duration::from_secs(1);
            self.owner.runtime.block_on(async { tokio::time::timeout(slice, &mut wait).await }).is_ok()
        })
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, list: &TopicPartitionList) {
        let partitions = places(list);
        if consumer.assignment_lost() {
            self.tell(Notice::Lost(partitions));
        } else {
            let (released, wait) = oneshot::channel();
            self.tell(Notice::Revoking { partitions, released });
            // An error of `wait` means that the worker is gone: nothing is left to wait for.
            let within = self.owner.release_within;
            if !self.await_release(within, wait) {
                warn!("the worker did not let go of its partitions in time; they are handed on");
            }
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        self.is_answering.store(true, Ordering::Release);
        self.answer(consumer, err, list);
        self.is_answering.store(false, Ordering::Release);
    }
}

impl Context {
    fn answer(&self, consumer: &BaseConsumer<Self>, err: RDKafkaRespErr, list: &mut TopicPartitionList) {
        if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            if list.count() == 0 {
                if let Err(error) = self.take_on(consumer, list) {
                    self.tell(Notice::Failed(Fault::component("an empty assignment cannot be confirmed", error)));
                }
                self.tell(Notice::Assigned(Vec::new()));
                return;
            }
            let notice = without_panic(|| self.assign(consumer, list)).unwrap_or_else(|fault| {
                // The group must not wait for us: we own nothing, and the process is about to end.
                if let Err(error) = self.take_on(consumer, &TopicPartitionList::new()) {
                    debug!(error = %error, "an assignment that failed cannot be confirmed either");
                }
                Notice::Failed(fault)
            });
            self.tell(notice);
            return;
        }
        if err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS {
            self.revoke(consumer, list);
        }
        if let Err(error) = self.let_go(consumer, list) {
            self.tell(Notice::Failed(Fault::component("the partitions cannot be let go", error)));
        }
    }
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, _reason: &str) {
        // Runs on the poll thread while it serves events, and the channel has room for what one poll can bring;
        // if not, the client says it again.
        self.owner.notices.try_send(Notice::Error(error)).ok();
    }

    fn stats(&self, statistics: Statistics) {
        let received = u64::try_from(statistics.rx_bytes).unwrap_or(0);
        let before = self.received.swap(received, Ordering::Relaxed);
        self.owner.fetched_bytes.add(received.saturating_sub(before));
        let Some(group) = statistics.cgrp else { return };
        // A member that the brokers have given nothing yet stays at `init`, and cannot be told from one on its way.
        let is_idle = !self.owner.is_idle_told && group.join_state == "init";
        let notice = if group.state == "up" && (group.join_state == "steady" || is_idle) {
            Notice::Seated
        } else {
            Notice::Away(format!("coordinator: {}, joining: {}", group.state, group.join_state))
        };
        // Said again soon if there is no room.
        self.owner.notices.try_send(notice).ok();
    }
}

fn places(list: &TopicPartitionList) -> Vec<TopicPartition> {
    list.elements().iter().map(|element| TopicPartition::new(element.topic(), element.partition())).collect()
}

/// A panic here would have to unwind through C: it becomes a fault instead. Its message may quote what is not ours.
fn without_panic<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(Fault::Fatal { exit: Exit::Component, cause: Cause::new("taking on partitions panicked") })
    })
}
