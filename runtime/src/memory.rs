//! The same contracts in memory: a log with partitions, groups and commits, for tests and simulations.
//!
//! Nothing here is a mock of a client: it is another world behind the same traits, and can be made as bad as a real
//! one. What goes wrong is decided by a [`Weather`] that the test owns.

use crate::clock::Clock;
use crate::fault::Fault;
use crate::record::{Headers, Offset, Outgoing, Record, Timestamp, TopicPartition};
use crate::source::{Commit, Committer, Demand, Event, Resume, Source};
use crate::stage::{Refused, Sink};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Duration, sleep};

/// What befalls one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    Calm,
    /// Takes this long, then works.
    Slow(Duration),
    /// Fails, and has done nothing.
    Refused,
    /// Fails, and has done everything.
    ReplyLost,
    /// Fails, and does everything this much later, whoever has given up on it by then.
    Late(Duration),
}

/// The operations of this world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Commit,
    Write,
}

/// Decides what befalls each operation.
#[derive(Clone)]
pub struct Weather(Arc<dyn Fn(Operation) -> Strike + Send + Sync>);

impl Weather {
    pub fn new(decide: impl Fn(Operation) -> Strike + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }

    /// Lets `work` happen, or not.
    ///
    /// # Errors
    /// Transient, as the weather decides; the work may have been done all the same.
    pub async fn pass<T: Send + 'static>(
        &self,
        operation: Operation,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Fault> {
        match (self.0)(operation) {
            Strike::Calm => Ok(work()),
            Strike::Slow(time) => {
                sleep(time).await;
                Ok(work())
            }
            Strike::Refused => Err(Fault::transient("the weather refused an operation")),
            Strike::ReplyLost => {
                work();
                Err(Fault::transient("the weather lost a reply"))
            }
            Strike::Late(after) => {
                #[allow(clippy::disallowed_methods, reason = "what is on its way arrives whoever waits for it")]
                tokio::spawn(async move {
                    sleep(after).await;
                    work()
                });
                Err(Fault::transient("the weather delayed an operation"))
            }
        }
    }
}

impl Default for Weather {
    fn default() -> Self {
        Self::new(|_| Strike::Calm)
    }
}

impl fmt::Debug for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Weather(..)")
    }
}

/// Topics of append-only partitions, and what groups have committed on them. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct MemoryLog(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    appended: Notify,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<TopicPartition, Vec<Record>>,
    groups: HashMap<(String, TopicPartition), Group>,
    members: u64,
}

#[derive(Debug, Default)]
struct Group {
    commit: Option<(Offset, String)>,
    /// The member that may commit.
    owner: u64,
    /// How often it was given to somebody: who gets it back commits nothing of the time before, however late.
    term: u64,
}

impl MemoryLog {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends with the given append time, in milliseconds since 1970-01-01.
    pub fn append(&self, topic: &Arc<str>, item: Outgoing, append_ms: i64) -> Offset {
        let place = TopicPartition::new(topic.clone(), item.partition);
        let mut state = self.state();
        let partition = state.partitions.entry(place.clone()).or_default();
        let offset = Offset(i64::try_from(partition.len()).unwrap_or(i64::MAX));
        let Outgoing { key, value, headers, .. } = item;
        let timestamp = Timestamp::LogAppend(append_ms);
        partition.push(Record { place, offset, timestamp, key, value, headers, is_damaged: false });
        drop(state);
        self.0.appended.notify_waiters();
        offset
    }

    /// Appends a record without headers.
    pub fn append_plain(&self, place: &TopicPartition, key: &[u8], value: &[u8], append_ms: i64) -> Offset {
        let (key, value) = (Some(Bytes::copy_from_slice(key)), Some(Bytes::copy_from_slice(value)));
        let item = Outgoing { partition: place.partition, key, value, headers: Headers::default() };
        self.append(&place.topic, item, append_ms)
    }

    /// All records of a partition.
    #[must_use]
    pub fn records(&self, place: &TopicPartition) -> Vec<Record> {
        self.state().partitions.get(place).cloned().unwrap_or_default()
    }

    /// One record of a partition, if it is there yet.
    #[must_use]
    pub fn record(&self, place: &TopicPartition, offset: Offset) -> Option<Record> {
        let state = self.state();
        state.partitions.get(place)?.get(usize::try_from(offset.0).ok()?).cloned()
    }

    /// The last commit of a group on a partition.
    #[must_use]
    pub fn committed(&self, group: &str, place: &TopicPartition) -> Option<(Offset, String)> {
        self.state().groups.get(&(group.to_owned(), place.clone())).and_then(|group| group.commit.clone())
    }

    /// Commits from outside a group, as an operator does.
    pub fn rewind(&self, group: &str, place: &TopicPartition, offset: Offset, metadata: &str) {
        let mut state = self.state();
        let group = state.groups.entry((group.to_owned(), place.clone())).or_default();
        group.commit = Some((offset, metadata.to_owned()));
    }
}

/// What a test makes a group do to one member.
#[derive(Debug)]
enum Order {
    Assign(Vec<TopicPartition>),
    Revoke(Vec<TopicPartition>, oneshot::Sender<()>),
    Lose(Vec<TopicPartition>),
    End,
}

/// The group's side of a [`MemorySource`].
#[derive(Debug)]
pub struct MemoryGroup {
    log: MemoryLog,
    group: String,
    member: u64,
    orders: mpsc::Sender<Order>,
}

impl MemoryGroup {
    /// Gives partitions to the member; from now on only it may commit them.
    pub async fn assign(&self, places: &[TopicPartition]) {
        for place in places {
            let mut state = self.log.state();
            let group = state.groups.entry((self.group.clone(), place.clone())).or_default();
            (group.owner, group.term) = (self.member, group.term + 1);
        }
        self.order(Order::Assign(places.to_vec())).await;
    }

    /// Takes partitions away, and returns once the member has let go of them.
    pub async fn revoke(&self, places: &[TopicPartition]) {
        let (released, wait) = oneshot::channel();
        self.order(Order::Revoke(places.to_vec(), released)).await;
        // An error means that the member has ended: it holds nothing any more.
        wait.await.ok();
    }

    /// Tells the member that partitions are another's already.
    pub async fn lose(&self, places: &[TopicPartition]) {
        self.order(Order::Lose(places.to_vec())).await;
    }

    /// Ends the source behind what was ordered before.
    pub async fn end(&self) {
        self.order(Order::End).await;
    }

    async fn order(&self, order: Order) {
        // A member that has ended needs no orders.
        self.orders.send(order).await.ok();
    }
}

/// A member of a group on a [`MemoryLog`].
#[derive(Debug)]
pub struct MemorySource {
    log: MemoryLog,
    group: String,
    member: u64,
    first_metadata: String,
    weather: Weather,
    orders: mpsc::Receiver<Order>,
    held: Vec<(TopicPartition, Offset)>,
    turn: usize,
}

impl MemorySource {
    /// A member that holds nothing yet. Where the group has no commit, offset 0 and `first_metadata` are committed.
    #[must_use]
    pub fn join(log: MemoryLog, group: &str, first_metadata: &str, weather: Weather) -> (Self, MemoryGroup) {
        let (orders_tx, orders) = mpsc::channel(16);
        let member = {
            let mut state = log.state();
            state.members += 1;
            state.members
        };
        let (group, first_metadata) = (group.to_owned(), first_metadata.to_owned());
        let side = MemoryGroup { log: log.clone(), group: group.clone(), member, orders: orders_tx };
        let source = Self { log, group, member, first_metadata, weather, orders, held: Vec::new(), turn: 0 };
        (source, side)
    }

    fn obey(&mut self, order: Order) -> Option<Event> {
        match order {
            Order::Assign(places) => Some(Event::Assigned(places.into_iter().map(|place| self.take(place)).collect())),
            Order::Revoke(partitions, released) => {
                self.held.retain(|(place, _)| !partitions.contains(place));
                Some(Event::Revoking { partitions, released })
            }
            Order::Lose(partitions) => {
                self.held.retain(|(place, _)| !partitions.contains(place));
                Some(Event::Lost(partitions))
            }
            Order::End => None,
        }
    }

    fn take(&mut self, place: TopicPartition) -> (TopicPartition, Resume) {
        let mut state = self.log.state();
        let group = state.groups.entry((self.group.clone(), place.clone())).or_default();
        let (offset, metadata) = group.commit.get_or_insert_with(|| (Offset(0), self.first_metadata.clone())).clone();
        drop(state);
        self.held.push((place.clone(), offset));
        (place, Resume { offset, metadata })
    }

    fn read(&mut self, demand: &Demand) -> Option<Record> {
        for _ in 0..self.held.len() {
            self.turn = (self.turn + 1) % self.held.len();
            let Some((place, offset)) = self.held.get_mut(self.turn) else { continue };
            if demand.stopped.contains(place) {
                continue;
            }
            if let Some(record) = self.log.record(place, *offset) {
                *offset = offset.next();
                return Some(record);
            }
        }
        None
    }
}

impl Source for MemorySource {
    type Committer = MemoryCommitter;

    async fn next(&mut self, demand: &Demand) -> Result<Option<Event>, Fault> {
        loop {
            let log = self.log.clone();
            let mut appended = std::pin::pin!(log.0.appended.notified());
            appended.as_mut().enable();
            if let Ok(order) = self.orders.try_recv() {
                return Ok(self.obey(order));
            }
            if let Some(record) = self.read(demand) {
                return Ok(Some(Event::Record(record)));
            }
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(order) => return Ok(self.obey(order)),
                    None => return Ok(None),
                },
                () = appended => {}
            }
        }
    }

    fn ready(&mut self, demand: &Demand) -> Result<Option<Record>, Fault> {
        Ok(if self.orders.is_empty() { self.read(demand) } else { None })
    }

    fn committer(&self) -> MemoryCommitter {
        let Self { log, group, member, weather, .. } = self;
        MemoryCommitter { log: log.clone(), group: group.clone(), member: *member, weather: weather.clone() }
    }

    async fn close(mut self) {
        self.orders.close();
        while let Some(order) = self.orders.recv().await {
            if let Order::Revoke(_, released) = order {
                released.send(()).ok();
            }
        }
    }
}

#[derive(Clone, Debug)]
pub struct MemoryCommitter {
    log: MemoryLog,
    group: String,
    member: u64,
    weather: Weather,
}

impl Committer for MemoryCommitter {
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Fault> {
        let Self { log, group: name, member, .. } = self.clone();
        let term =
            |at: &Commit| log.state().groups.get(&(name.clone(), at.place.clone())).map_or(0, |group| group.term);
        let terms: Vec<u64> = commits.iter().map(term).collect();
        self.weather
            .pass(Operation::Commit, move || {
                let mut state = log.state();
                for (Commit { place, offset, metadata }, term) in commits.into_iter().zip(terms) {
                    let group = state.groups.entry((name.clone(), place)).or_default();
                    if group.owner != member || group.term != term {
                        return Err(Fault::transient("another member owns the partition, or did meanwhile"));
                    }
                    group.commit = Some((offset, metadata));
                }
                Ok(())
            })
            .await?
    }
}

/// Writes to a topic of a [`MemoryLog`], which stamps what it appends with the clock.
#[derive(Clone, Debug)]
pub struct MemorySink {
    log: MemoryLog,
    topic: Arc<str>,
    clock: Clock,
    weather: Weather,
}

impl MemorySink {
    #[must_use]
    pub fn new(log: MemoryLog, topic: &str, clock: Clock, weather: Weather) -> Self {
        Self { log, topic: topic.into(), clock, weather }
    }
}

impl Sink for MemorySink {
    type Item = Outgoing;

    async fn write(&self, batch: &[Outgoing]) -> Result<Refused, Fault> {
        let (Self { log, topic, clock, .. }, batch) = (self.clone(), batch.to_vec());
        self.weather
            .pass(Operation::Write, move || {
                for item in batch {
                    log.append(&topic, item, clock.now_ms());
                }
            })
            .await?;
        Ok(Vec::new())
    }
}
