//! Handing partitions on, for a rebalance or for good.
//!
//! A drain admits nothing more, waits for what is out, commits and lets go: no longer than the work takes, and never
//! longer than its deadline. Past that the lanes are cancelled, and what they held is read again by the next owner.

use super::{Floor, PATIENCE};
use crate::ledger::Epoch;
use crate::source::Committer;
use crate::stage::{Admitted, Mark, Rejected, Sink, Stage};
use std::collections::BTreeSet;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

#[derive(Debug)]
pub(super) struct Drain {
    epochs: BTreeSet<Epoch>,
    started: Instant,
    deadline: Instant,
    phase: Phase,
    /// Until when the last commit is tried again.
    commit_by: Instant,
    /// Answered when the partitions are let go; none for a shutdown.
    released: Option<oneshot::Sender<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Work is out.
    Waiting,
    /// Nothing is out any more; the last commit has not started.
    Quiet,
    /// The last commit is out.
    Committing,
}

impl Drain {
    pub(super) fn covers(&self, epoch: Epoch) -> bool {
        self.epochs.contains(&epoch)
    }

    fn quieten(&mut self) {
        self.phase = Phase::Quiet;
        self.commit_by = Instant::now() + PATIENCE;
    }

    /// Until when it waits for work that is out.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (self.phase == Phase::Waiting).then_some(self.deadline)
    }
}

impl<C, M, P, W, D> Floor<C, M, P, W, D>
where
    C: Committer,
    M: Mark,
    P: Stage<In = Admitted>,
    W: Sink<Item = P::Out>,
    D: Sink<Item = Rejected>,
{
    pub(super) fn begin_drain(&mut self, epochs: BTreeSet<Epoch>, released: Option<oneshot::Sender<()>>) {
        for epoch in &epochs {
            if let Some(owned) = self.owned.get_mut(epoch) {
                owned.unpark();
                self.demand.stopped.remove(&owned.place);
            }
        }
        let started = Instant::now();
        let deadline = started + self.shop.limits.drain;
        // Each has its own time: two members of one process are asked side by side, and neither waits for the other.
        self.drains.push(Drain { epochs, started, deadline, phase: Phase::Waiting, commit_by: deadline, released });
    }

    /// Until when the next drain waits for work that is out.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.drains.iter().filter_map(Drain::deadline).min()
    }

    /// A deadline has passed: cancels the lanes that still hold work.
    pub(super) fn cut_drains(&mut self) {
        let now = Instant::now();
        for drain in self.drains.iter_mut().filter(|drain| drain.deadline().is_some_and(|deadline| deadline <= now)) {
            let mut left = 0;
            for owned in drain.epochs.iter().filter_map(|epoch| self.owned.get(epoch)) {
                left += owned.ledger.unsettled();
                owned.cancel.cancel();
            }
            warn!(records = left, "the drain ran out; what is left will be read again");
            self.ran_out |= drain.released.is_none();
            drain.quieten();
        }
    }

    /// Moves the present drains on as far as they go, and starts the last one when the worker stops.
    pub(super) fn advance_drains(&mut self) {
        if self.stopping && self.drains.is_empty() && !self.owned.is_empty() {
            let all = self.owned.keys().copied().collect();
            self.begin_drain(all, None);
        }
        let mut at = 0;
        while let Some(drain) = self.drains.get_mut(at) {
            let busy = |epoch: &Epoch| self.owned.get(epoch).is_some_and(|owned| owned.ledger.unsettled() > 0);
            if drain.phase == Phase::Waiting && !drain.epochs.iter().any(busy) {
                drain.quieten();
            }
            if drain.phase == Phase::Quiet && self.committing.is_none() {
                drain.phase = Phase::Committing;
                let epochs: Vec<Epoch> = drain.epochs.iter().copied().collect();
                self.start_commit(&epochs);
            }
            if self.is_done(at) {
                let drain = self.drains.remove(at);
                self.end_drain(drain);
            } else {
                at += 1;
            }
        }
    }

    /// Whether the last commit of a drain is through, or may not be tried any more: the next tick of the loop does that.
    fn is_done(&self, at: usize) -> bool {
        let is_out = self.committing.is_some();
        self.drains.get(at).is_some_and(|drain| {
            let may_commit_yet = Instant::now() < drain.commit_by && self.is_uncommitted(drain);
            drain.phase == Phase::Committing && !is_out && !may_commit_yet
        })
    }

    fn is_uncommitted(&self, drain: &Drain) -> bool {
        let mut owned = drain.epochs.iter().filter_map(|epoch| self.owned.get(epoch));
        owned.any(|owned| owned.ledger.uncommitted().is_some())
    }

    fn end_drain(&mut self, drain: Drain) {
        self.ran_out |= drain.released.is_none() && self.is_uncommitted(&drain);
        for epoch in &drain.epochs {
            if let Some(owned) = self.owned.remove(epoch) {
                owned.cancel.cancel();
                self.epochs.remove(&owned.place);
            }
        }
        let waited = drain.started.elapsed();
        info!(
            partitions = drain.epochs.len(),
            waited_ms = u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
            "partitions let go"
        );
        if let Some(released) = drain.released {
            self.vitals.metrics.rebalance_wait.record(waited);
            // Whoever asked may have stopped waiting; the partitions are let go either way.
            released.send(()).ok();
        }
        let parked: Vec<Epoch> = self.owned.keys().copied().collect();
        for epoch in parked {
            self.admit(epoch);
        }
    }
}
