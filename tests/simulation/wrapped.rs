//! Wrappers around the parts of a worker: they watch, and they are where sabotage is planted.

use crate::audit::Audit;
use crate::path::{Hop, World};
use crate::sabotage::Sabotage;
use processors::validate::Fold;
use runtime::Clock;
use runtime::fault::{Fault, Rejection, Verdict};
use runtime::memory::{MemoryCommitter, MemorySource};
use runtime::record::{Record, TopicPartition};
use runtime::source::{Commit, Committer, Demand, Event, Source};
use runtime::stage::{Admitted, Mark, Stage};
use schemas::RejectCode;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// How far a member has read each partition, and the bytes of what it read and did not commit. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence(Arc<Mutex<BTreeMap<TopicPartition, Reading>>>);

#[derive(Debug, Default)]
struct Reading {
    head: i64,
    unsettled: BTreeMap<i64, usize>,
}

impl Fence {
    /// The offset behind the last record that was read.
    pub(crate) fn head(&self, place: &TopicPartition) -> Option<i64> {
        self.0.lock().unwrap().get(place).map(|reading| reading.head)
    }

    fn read(&self, record: &Record) {
        let mut partitions = self.0.lock().unwrap();
        let reading = partitions.entry(record.place.clone()).or_default();
        reading.head = record.offset.next().0;
        reading.unsettled.insert(record.offset.0, record.bytes());
    }

    fn committed(&self, commit: &Commit) {
        if let Some(reading) = self.0.lock().unwrap().get_mut(&commit.place) {
            reading.unsettled = reading.unsettled.split_off(&commit.offset.0);
        }
    }

    fn start(&self, place: &TopicPartition, head: i64) {
        self.0.lock().unwrap().insert(place.clone(), Reading { head, unsettled: BTreeMap::new() });
    }

    fn bytes(&self) -> usize {
        self.0.lock().unwrap().values().flat_map(|reading| reading.unsettled.values()).sum()
    }

    fn places(&self) -> Vec<TopicPartition> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}

/// Bytes of the one budget that [`Sabotage::OneByteBudget`] has for all partitions.
const BUDGET: usize = 2_000;

/// A source whose reading and commits are watched.
#[derive(Debug)]
pub(crate) struct Watched {
    source: MemorySource,
    hop: Hop,
    audit: Audit,
    sabotage: Sabotage,
    fence: Fence,
}

impl Watched {
    pub(crate) fn new(source: MemorySource, hop: Hop, world: &World) -> (Self, Fence) {
        let fence = Fence::default();
        let (audit, sabotage) = (world.audit.clone(), world.sabotage);
        (Self { source, hop, audit, sabotage, fence: fence.clone() }, fence)
    }

    /// What the worker asks for, and what sabotage makes of it.
    fn spoiled(&self, demand: &Demand) -> Option<Demand> {
        let stops_all = match self.sabotage {
            Sabotage::GlobalPark => !demand.stopped.is_empty(),
            Sabotage::OneByteBudget => self.fence.bytes() > BUDGET,
            _ => false,
        };
        stops_all.then(|| Demand { stopped: self.fence.places().into_iter().collect() })
    }
}

impl Source for Watched {
    type Committer = WatchedCommitter;

    async fn next(&mut self, demand: &Demand) -> Result<Option<Event>, Fault> {
        let spoiled = self.spoiled(demand);
        let event = self.source.next(spoiled.as_ref().unwrap_or(demand)).await?;
        match &event {
            Some(Event::Record(record)) => self.fence.read(record),
            Some(Event::Assigned(places)) => {
                for (place, resume) in places {
                    self.fence.start(place, resume.offset.0);
                    self.audit.tell(|| format!("{:?} goes on at {place}/{}", self.hop, resume.offset));
                }
            }
            Some(Event::Revoking { .. } | Event::Lost(_)) | None => {}
        }
        if self.sabotage != Sabotage::NoDrainOnRevoke {
            return Ok(event);
        }
        Ok(event.map(|event| match event {
            Event::Revoking { partitions, released } => {
                released.send(()).ok();
                Event::Lost(partitions)
            }
            event @ (Event::Assigned(_) | Event::Lost(_) | Event::Record(_)) => event,
        }))
    }

    fn committer(&self) -> WatchedCommitter {
        let Self { source, hop, audit, sabotage, fence } = self;
        let (audit, fence) = (audit.clone(), fence.clone());
        WatchedCommitter { inner: source.committer(), hop: *hop, audit, sabotage: *sabotage, fence }
    }

    async fn close(self) {
        self.source.close().await;
    }
}

#[derive(Clone, Debug)]
pub(crate) struct WatchedCommitter {
    inner: MemoryCommitter,
    hop: Hop,
    audit: Audit,
    sabotage: Sabotage,
    fence: Fence,
}

impl Committer for WatchedCommitter {
    async fn commit(&self, mut commits: Vec<Commit>) -> Result<(), Fault> {
        if self.sabotage == Sabotage::CommitOnDispatch {
            for commit in &mut commits {
                commit.offset.0 = self.fence.head(&commit.place).unwrap_or(commit.offset.0);
            }
        }
        // Before it is sent: what it says must be true by now, whatever becomes of it.
        self.audit.commit(self.hop, &commits);
        for commit in &commits {
            self.fence.committed(commit);
        }
        self.inner.commit(commits).await
    }
}

/// The fold of `validate`.
#[derive(Debug)]
pub(crate) struct Marked {
    fold: Fold,
    sabotage: Sabotage,
    clock: Clock,
    /// The newest state of each partition, and whose a state is.
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    newest: HashMap<i32, i64>,
    partition_of: HashMap<i64, i32>,
}

impl Marked {
    pub(crate) fn new(fold: Fold, sabotage: Sabotage, clock: Clock) -> Self {
        Self { fold, sabotage, clock, seen: Mutex::default() }
    }
}

impl Mark for Marked {
    fn next(&self, previous: i64, record: &Record) -> i64 {
        if self.sabotage == Sabotage::MarkFromClock {
            return (previous + 8).max(self.clock.now_ms() * 1000 / 8 * 8);
        }
        let mark = self.fold.next(previous, record);
        if self.sabotage == Sabotage::MarkOfHead {
            let mut seen = self.seen.lock().unwrap();
            seen.newest.insert(record.place.partition, mark);
            seen.partition_of.insert(mark, record.place.partition);
        }
        mark
    }

    fn metadata(&self, mark: i64) -> String {
        let seen = self.seen.lock().unwrap();
        match self.sabotage {
            Sabotage::MarkDropped => self.fold.first(),
            Sabotage::MarkOfHead => {
                let newest = seen.partition_of.get(&mark).and_then(|partition| seen.newest.get(partition));
                self.fold.metadata(newest.copied().unwrap_or(mark))
            }
            _ => self.fold.metadata(mark),
        }
    }

    fn resume(&self, metadata: &str) -> Result<i64, Fault> {
        self.fold.resume(metadata)
    }
}

/// A stage whose faults sabotage takes for rejections.
#[derive(Debug)]
pub(crate) struct Judged<S> {
    pub(crate) stage: S,
    pub(crate) sabotage: Sabotage,
}

impl<S: Stage<In = Admitted>> Stage for Judged<S> {
    type In = Admitted;
    type Out = S::Out;

    async fn apply(&self, item: &Admitted) -> Result<Verdict<S::Out>, Fault> {
        match self.stage.apply(item).await {
            Err(Fault::Transient(_)) if self.sabotage == Sabotage::FaultAsRejection => {
                let code = RejectCode::VersionInFuture;
                Ok(Verdict::Reject(Rejection {
                    code: code.as_str(),
                    reason: code.reason(),
                    field: None,
                    facts: Vec::new(),
                }))
            }
            judged => judged,
        }
    }
}
