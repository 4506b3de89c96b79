//! The one way through: source → stage → sink → ledger.
//!
//! One task owns the ledgers. It never waits on a lane, a store or a commit: each of them reports back. What it may
//! commit is the frontier of a ledger and nothing else.

use crate::fault::{Cause, Exit, Fault};
use crate::lane::{Lane, Report, Shop};
use crate::ledger::{Epoch, Frontier, Ledger};
use crate::limits::Limits;
use crate::partition::{Offer, Owned};
use crate::record::{Offset, Record, TopicPartition};
use crate::source::{Commit, Committer, Demand, Event, Resume, Source};
use crate::stage::{Admitted, Mark, Rejected, Sink, Stage};
use crate::vitals::Vitals;
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

mod drain;
mod part;

use drain::Drain;
pub(crate) use part::GOODBYE;

/// What a worker is made of.
#[derive(Debug)]
pub struct Parts<S, M, P, W, D> {
    pub source: S,
    pub mark: M,
    pub stage: P,
    pub sink: W,
    pub dead: D,
    pub limits: Limits,
}

/// How a worker ended that met no fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All that was admitted is settled and committed.
    Drained,
    /// Work was left when the drain ran out: somebody reads it again.
    RanOut,
}

/// Bound on one commit and on leaving the group, so that shutdown always ends.
const PATIENCE: tokio::time::Duration = tokio::time::Duration::from_secs(5);

/// How often the loop shows that it comes round.
const HEARTBEAT: tokio::time::Duration = tokio::time::Duration::from_secs(1);

/// Records taken between two looks at what else has happened.
const AT_ONCE: usize = 64;

type Committing = Pin<Box<dyn Future<Output = (Vec<(Epoch, Offset)>, Result<(), Fault>)> + Send>>;

#[derive(Debug)]
pub struct Worker<S, M, P, W, D> {
    source: S,
    mark: M,
    shop: Arc<Shop<P, W, D>>,
    vitals: Vitals,
}

impl<S, M, P, W, D> Worker<S, M, P, W, D>
where
    S: Source,
    M: Mark,
    P: Stage<In = Admitted>,
    W: Sink<Item = P::Out>,
    D: Sink<Item = Rejected>,
{
    #[must_use]
    pub fn new(parts: Parts<S, M, P, W, D>, vitals: Vitals) -> Self {
        let Parts { source, mark, stage, sink, dead, limits } = parts;
        let metrics = vitals.metrics.clone();
        let troubles = vitals.troubles.clone();
        let traces = vitals.traces.clone();
        Self { source, mark, shop: Arc::new(Shop { stage, sink, dead, limits, troubles, metrics, traces }), vitals }
    }

    /// Moves records until `shutdown` or the end of the source, then drains.
    ///
    /// # Errors
    /// The first fatal fault of source, stage, sink or dead letters. What was settled by then is committed all the same.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<Ended, Fault> {
        let (reports_tx, reports) = mpsc::channel(self.shop.limits.lanes.max(1) * 4);
        let mut floor = Floor {
            mark: self.mark,
            committer: self.source.committer(),
            shop: self.shop,
            vitals: self.vitals,
            reports: reports_tx,
            tasks: JoinSet::new(),
            owned: BTreeMap::new(),
            epochs: HashMap::new(),
            last_epoch: 0,
            demand: Demand::default(),
            committing: None,
            drains: Vec::new(),
            stopping: false,
            ran_out: false,
            failed: None,
        };
        floor.serve(&mut self.source, reports, shutdown).await;
        floor.tasks.shutdown().await;
        if timeout(PATIENCE, self.source.close()).await.is_err() {
            warn!("leaving the consumer group took too long; the group will notice by itself");
        }
        match floor.failed {
            Some(fault) => Err(fault),
            None if floor.ran_out => Ok(Ended::RanOut),
            None => Ok(Ended::Drained),
        }
    }
}

/// The loop's state.
struct Floor<C, M, P, W, D> {
    mark: M,
    committer: C,
    shop: Arc<Shop<P, W, D>>,
    vitals: Vitals,
    reports: mpsc::Sender<Report>,
    tasks: JoinSet<()>,
    /// In order, so that one seed of a simulation is one run.
    owned: BTreeMap<Epoch, Owned>,
    epochs: HashMap<TopicPartition, Epoch>,
    last_epoch: u64,
    demand: Demand,
    committing: Option<Committing>,
    drains: Vec<Drain>,
    stopping: bool,
    ran_out: bool,
    failed: Option<Fault>,
}

impl<C, M, P, W, D> Floor<C, M, P, W, D>
where
    C: Committer,
    M: Mark,
    P: Stage<In = Admitted>,
    W: Sink<Item = P::Out>,
    D: Sink<Item = Rejected>,
{
    async fn serve<S: Source>(
        &mut self,
        source: &mut S,
        mut reports: mpsc::Receiver<Report>,
        shutdown: CancellationToken,
    ) {
        let mut tick = interval(self.shop.limits.commit_every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut beat = interval(HEARTBEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !self.is_over() {
            tokio::task::consume_budget().await;
            let deadline = self.next_deadline();
            tokio::select! {
                biased;
                () = shutdown.cancelled(), if !self.stopping => {
                    info!("stops taking records");
                    self.stopping = true;
                }
                Some(report) = reports.recv() => self.settle(report),
                (commits, outcome) = resolve(&mut self.committing) => self.committed(commits, outcome),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Err(error) = ended && error.is_panic() {
                        // Not the error: it quotes the panic's message, which may quote a record.
                        self.fail(Fault::Fatal { exit: Exit::Component, cause: Cause::new("a lane panicked") });
                    }
                }
                _ = beat.tick() => self.vitals.beat(),
                _ = tick.tick() => self.tick(),
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => self.cut_drains(),
                event = source.next(&self.demand), if !self.stopping => match event {
                    Ok(Some(event)) => {
                        self.take(event);
                        if self.take_ready(source) {
                            // The lanes that got them have not had the thread since.
                            tokio::task::yield_now().await;
                        }
                    }
                    Ok(None) => self.stopping = true,
                    Err(fault) => self.fail(fault),
                },
            }
            self.advance_drains();
        }
    }

    fn is_over(&self) -> bool {
        self.stopping && self.drains.is_empty() && self.owned.is_empty() && self.committing.is_none()
    }

    /// The first fault ends the worker; what is settled elsewhere is still committed by the drain.
    fn fail(&mut self, fault: Fault) {
        self.stopping = true;
        if self.failed.is_none() {
            self.failed = Some(fault);
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Record(record) => self.receive(record),
            Event::Assigned(partitions) => {
                info!(partitions = partitions.len(), "partitions assigned");
                for (place, resume) in partitions {
                    self.open(place, &resume);
                }
            }
            Event::Revoking { partitions, released } => {
                info!(partitions = partitions.len(), "partitions are to be handed on");
                let epochs = partitions.iter().filter_map(|place| self.epochs.get(place).copied()).collect();
                self.begin_drain(epochs, Some(released));
            }
            Event::Lost(partitions) => {
                warn!(partitions = partitions.len(), "partitions were lost; their unsettled work is another's now");
                for place in &partitions {
                    self.forget(place);
                }
            }
        }
    }

    /// Takes what else is there, before the loop asks everybody again: that costs more than a record does. Whether there
    /// may be more.
    fn take_ready(&mut self, source: &mut impl Source) -> bool {
        for _ in 0..AT_ONCE {
            if self.stopping {
                return false;
            }
            match source.ready(&self.demand) {
                Ok(Some(record)) => self.receive(record),
                Ok(None) => return false,
                Err(fault) => self.fail(fault),
            }
        }
        true
    }

    fn open(&mut self, place: TopicPartition, resume: &Resume) {
        self.forget(&place);
        let mark = match self.mark.resume(&resume.metadata) {
            Ok(mark) => mark,
            Err(fault) => return self.fail(fault),
        };
        self.last_epoch += 1;
        let epoch = Epoch(self.last_epoch);
        let ledger = Ledger::open(epoch, Frontier { offset: resume.offset, mark });
        debug!(%place, offset = resume.offset.0, "partition opened");
        self.epochs.insert(place.clone(), epoch);
        self.owned.insert(epoch, Owned::new(place, ledger, CancellationToken::new()));
    }

    /// Drops a partition's epoch: its tickets are void from here on, and nothing of it is committed.
    fn forget(&mut self, place: &TopicPartition) {
        self.demand.stopped.remove(place);
        if let Some(owned) = self.epochs.remove(place).and_then(|epoch| self.owned.remove(&epoch)) {
            owned.cancel.cancel();
        }
    }

    fn receive(&mut self, record: Record) {
        let Some(epoch) = self.epochs.get(&record.place).copied() else { return };
        if self.drains.iter().any(|drain| drain.covers(epoch)) {
            return;
        }
        if let Some(owned) = self.owned.get_mut(&epoch) {
            self.vitals.metrics.records_in.add(1);
            if owned.takes_over()
                && let Some(at_ms) = record.timestamp.millis()
            {
                self.vitals.metrics.took_over(at_ms);
            }
            owned.park(record);
        }
        self.admit(epoch);
    }

    /// Admits the waiting record of a partition if there is room, else stops the partition. That partition alone.
    fn admit(&mut self, epoch: Epoch) {
        let share = self.shop.limits.in_flight_bytes / self.owned.len().max(1);
        let Some(owned) = self.owned.get_mut(&epoch) else { return };
        if !owned.is_parked() {
            return;
        }
        loop {
            match owned.offer(&self.shop.limits, share, |previous, record| self.mark.next(previous, record)) {
                Ok(Offer::Admitted) => {
                    self.demand.stopped.remove(&owned.place);
                    return;
                }
                Ok(Offer::Parked) => {
                    self.demand.stopped.insert(owned.place.clone());
                    return;
                }
                Ok(Offer::NeedsTask { lane: index, jobs }) => {
                    let (cancel, reports) = (owned.cancel.clone(), self.reports.clone());
                    let lane = Lane { epoch, index, jobs, reports, cancel, shop: self.shop.clone() };
                    self.tasks.spawn(lane.run());
                }
                Err(fault) => return self.fail(fault),
            }
        }
    }

    fn settle(&mut self, report: Report) {
        let Report { epoch, lane, outcome } = report;
        match outcome {
            Ok(tickets) => {
                if let Some(owned) = self.owned.get_mut(&epoch) {
                    owned.settle(lane, tickets);
                }
                self.admit(epoch);
            }
            // Of a partition that is no longer ours it is no longer our fault.
            Err(fault) if self.owned.contains_key(&epoch) => self.fail(fault),
            Err(_) => {}
        }
    }

    fn tick(&mut self) {
        let unsettled = self.owned.values().map(|owned| owned.ledger.unsettled()).sum();
        let oldest = self.owned.values().filter_map(|owned| owned.ledger.oldest_ms()).min();
        self.vitals.pulse(unsettled, oldest);
        if self.committing.is_none() {
            let epochs = self.owned.keys().copied().collect::<Vec<_>>();
            self.start_commit(&epochs);
        }
    }

    /// Commits the frontiers of these partitions that have moved. At most one commit is out at a time.
    fn start_commit(&mut self, epochs: &[Epoch]) {
        debug_assert!(self.committing.is_none(), "one commit at a time");
        let (mut commits, mut acks) = (Vec::new(), Vec::new());
        for epoch in epochs {
            let Some(owned) = self.owned.get(epoch) else { continue };
            let Some(Frontier { offset, mark }) = owned.ledger.uncommitted() else { continue };
            acks.push((*epoch, offset));
            commits.push(Commit { place: owned.place.clone(), offset, metadata: self.mark.metadata(mark) });
        }
        if commits.is_empty() {
            return;
        }
        let committer = self.committer.clone();
        self.committing = Some(Box::pin(async move {
            let outcome = timeout(PATIENCE, committer.commit(commits))
                .await
                .unwrap_or_else(|_| Err(Fault::Transient(Cause::new("the commit was not answered in time"))));
            (acks, outcome)
        }));
    }

    fn committed(&mut self, acks: Vec<(Epoch, Offset)>, outcome: Result<(), Fault>) {
        self.committing = None;
        match outcome {
            Ok(()) => {
                for (epoch, offset) in acks {
                    if let Some(owned) = self.owned.get_mut(&epoch) {
                        owned.ledger.committed(offset);
                    }
                }
            }
            Err(Fault::Transient(cause)) => {
                self.vitals.metrics.commit_failures.add(1);
                warn!(error = %crate::logs::chain(&cause), "a commit failed and will be tried again");
            }
            Err(fault @ Fault::Fatal { .. }) => self.fail(fault),
        }
    }
}

/// Waits for the commit that is out, for ever if none is.
async fn resolve(committing: &mut Option<Committing>) -> (Vec<(Epoch, Offset)>, Result<(), Fault>) {
    match committing {
        Some(commit) => commit.await,
        None => std::future::pending().await,
    }
}

impl Ended {
    /// The exit code it stands for, if not success.
    #[must_use]
    pub fn exit(self) -> Option<Exit> {
        match self {
            Self::Drained => None,
            Self::RanOut => Some(Exit::DrainRanOut),
        }
    }
}

#[cfg(test)]
mod tests;
