//! The source of a worker, watched: what it gives, what the worker holds of it, and what is committed.

use crate::audit::Audit;
use crate::frost::Frost;
use crate::held::Held;
use crate::path::{Hop, World};
use crate::promise::Promise;
use crate::sabotage::Sabotage;
use runtime::fault::Fault;
use runtime::limits::Limits;
use runtime::memory::{MemoryCommitter, MemorySource};
use runtime::record::{Record, TopicPartition};
use runtime::source::{Commit, Committer, Demand, Event, Source};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// How far a member has read each partition, and the bytes of what it read and did not commit. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence(Arc<Mutex<BTreeMap<TopicPartition, Reading>>>);

#[derive(Debug, Default)]
struct Reading {
    head: i64,
    /// The last commit that was confirmed.
    confirmed: i64,
    /// Commits of it that failed, whatever became of them, over all the times that it was held.
    failures: u32,
    unsettled: BTreeMap<i64, usize>,
}

impl Fence {
    /// The offset behind the last record that was read.
    pub(crate) fn head(&self, place: &TopicPartition) -> Option<i64> {
        self.0.lock().unwrap().get(place).map(|reading| reading.head)
    }

    /// The offset of the last commit that was confirmed.
    pub(crate) fn confirmed(&self, place: &TopicPartition) -> i64 {
        self.0.lock().unwrap().get(place).map_or(0, |reading| reading.confirmed)
    }

    fn confirm(&self, place: &TopicPartition, offset: i64) {
        if let Some(reading) = self.0.lock().unwrap().get_mut(place) {
            reading.confirmed = offset;
        }
    }

    /// How many commits of it have failed.
    pub(crate) fn failures(&self, place: &TopicPartition) -> u32 {
        self.0.lock().unwrap().get(place).map_or(0, |reading| reading.failures)
    }

    fn fail(&self, place: &TopicPartition) {
        if let Some(reading) = self.0.lock().unwrap().get_mut(place) {
            reading.failures += 1;
        }
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
        let mut partitions = self.0.lock().unwrap();
        let failures = partitions.get(place).map_or(0, |reading| reading.failures);
        partitions.insert(place.clone(), Reading { head, confirmed: head, failures, unsettled: BTreeMap::new() });
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
    frost: Frost,
    /// What the member may hold, and what it holds.
    limits: Limits,
    held: BTreeMap<TopicPartition, Held>,
}

impl Watched {
    pub(crate) fn new(source: MemorySource, hop: Hop, world: &World, bounds: (Limits, Frost)) -> Self {
        let (audit, sabotage, fence) = (world.audit.clone(), world.sabotage, Fence::default());
        let (limits, frost) = bounds;
        Self { source, hop, audit, sabotage, fence, frost, limits, held: BTreeMap::new() }
    }

    pub(crate) fn fence(&self) -> Fence {
        self.fence.clone()
    }

    /// I15: a record that is handed out, weighed for as long as anything of it is held.
    fn weigh(&mut self, record: Record) -> Record {
        let held = self.held.entry(record.place.clone()).or_default();
        let record = held.weigh(record);
        let broken = held.over(&self.limits).or_else(|| Held::all_over(&self.held, &self.limits));
        if let Some(what) = broken {
            let what = format!("{:?} holds {what} when it is given {}/{}", self.hop, record.place, record.offset);
            self.audit.break_promise(Promise::BoundedMemory, what);
        }
        record
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
        self.frost.thaw().await;
        let mut event = self.source.next(spoiled.as_ref().unwrap_or(demand)).await?;
        match &mut event {
            Some(Event::Record(record)) => {
                self.fence.read(record);
                *record = self.weigh(record.clone());
            }
            Some(Event::Assigned(places)) => {
                for (place, resume) in places {
                    self.held.insert(place.clone(), Held::default());
                    self.fence.start(place, resume.offset.0);
                    self.audit.tell(|| format!("{:?} goes on at {place}/{}", self.hop, resume.offset));
                }
            }
            Some(Event::Revoking { partitions, .. } | Event::Lost(partitions)) => {
                partitions.iter().for_each(|place| drop(self.held.remove(place)));
            }
            None => {}
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

    fn ready(&mut self, demand: &Demand) -> Result<Option<Record>, Fault> {
        if !self.frost.left().is_zero() {
            return Ok(None);
        }
        let spoiled = self.spoiled(demand);
        let record = self.source.ready(spoiled.as_ref().unwrap_or(demand))?;
        Ok(record.map(|record| {
            self.fence.read(&record);
            self.weigh(record)
        }))
    }

    fn committer(&self) -> WatchedCommitter {
        let Self { source, hop, audit, sabotage, fence, .. } = self;
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
        let sent: Vec<_> = commits.iter().map(|commit| (commit.place.clone(), commit.offset.0)).collect();
        if let Err(fault) = self.inner.commit(commits).await {
            sent.iter().for_each(|(place, _)| self.fence.fail(place));
            return Err(fault);
        }
        sent.iter().for_each(|(place, offset)| self.fence.confirm(place, *offset));
        Ok(())
    }
}
