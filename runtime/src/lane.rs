//! One lane: a queue that keeps the order of its keys, and the task that works it off.
//!
//! A lane takes whatever has queued while its last batch was out: there is no linger timer, and a batch grows with the
//! load. Per batch: the stage, one write to the sink, one to the dead letters, and only then the tickets go back.

use crate::backoff::Schedule;
use crate::fault::{Cause, Fault, Verdict};
use crate::ledger::{Epoch, Ticket};
use crate::limits::Limits;
use crate::record::Record;
use crate::stage::{Admitted, Rejected, Sink, Stage};
use crate::telemetry::{BatchSpan, Traces};
use crate::trouble::Troubles;
use std::collections::BTreeMap;
use std::future::Future;
use std::hash::BuildHasher;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// An admitted record and the proof of it.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) admitted: Admitted,
    pub(crate) ticket: Ticket,
}

/// A write that is out for longer is told of.
const SLOW: Duration = Duration::from_secs(5);

/// What a lane tells the loop: tickets of one batch, or the fault that ended the lane.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) epoch: Epoch,
    pub(crate) lane: usize,
    pub(crate) outcome: Result<Vec<Ticket>, Fault>,
}

/// What all lanes of a worker share.
#[derive(Debug)]
pub(crate) struct Shop<P, W, D> {
    pub(crate) stage: P,
    pub(crate) sink: W,
    pub(crate) dead: D,
    pub(crate) limits: Limits,
    pub(crate) troubles: Troubles,
    pub(crate) metrics: crate::telemetry::WorkerMetrics,
    pub(crate) traces: Traces,
}

/// One lane's task. Ends when its sender is dropped and the queue is empty, when it is cancelled, or with a fatal fault.
#[derive(Debug)]
pub(crate) struct Lane<P, W, D> {
    pub(crate) epoch: Epoch,
    pub(crate) index: usize,
    pub(crate) jobs: mpsc::Receiver<Job>,
    /// The loop reads until every lane has ended or was cancelled; when it leaves first, the send fails and so ends us.
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) cancel: CancellationToken,
    pub(crate) shop: Arc<Shop<P, W, D>>,
}

impl<P, W, D> Lane<P, W, D>
where
    P: Stage<In = Admitted>,
    W: Sink<Item = P::Out>,
    D: Sink<Item = Rejected>,
{
    pub(crate) async fn run(mut self) {
        let cancel = self.cancel.clone();
        // Dropping a write that is out is safe: what it may have done is done again, and twice is once.
        if cancel.run_until_cancelled(self.work()).await.is_none() {
            self.shop.troubles.clear(self.epoch, self.index);
        }
    }

    async fn work(&mut self) {
        let batch_len_max = self.shop.limits.batch_len_max;
        let mut batch = Vec::with_capacity(batch_len_max);
        while self.jobs.recv_many(&mut batch, batch_len_max).await > 0 {
            let (records, tickets): (Vec<Admitted>, Vec<Ticket>) =
                batch.drain(..).map(|job| (job.admitted, job.ticket)).unzip();
            let span = self.shop.traces.process(&records);
            let outcome = self.turn(records, &span).await.map(|()| tickets);
            let over = outcome.is_err();
            if over {
                span.failed();
            }
            drop(span);
            let report = Report { epoch: self.epoch, lane: self.index, outcome };
            if self.reports.send(report).await.is_err() || over {
                return;
            }
        }
    }

    /// One batch. When it returns, every record of it is durable in the sink or in the dead letters.
    async fn turn(&self, batch: Vec<Admitted>, span: &BatchSpan) -> Result<(), Fault> {
        let shop = &*self.shop;
        let mut forwards = Vec::with_capacity(batch.len());
        let mut origins = Vec::with_capacity(batch.len());
        let mut rejections = BTreeMap::new();
        for (at, admitted) in batch.iter().enumerate() {
            match self.retry(|| shop.stage.apply(admitted)).await? {
                Verdict::Forward(item) => {
                    forwards.push(item);
                    origins.push(at);
                }
                Verdict::Reject(rejection) => {
                    rejections.insert(at, rejection);
                }
            }
        }
        if !forwards.is_empty() {
            let started = Instant::now();
            let writing = span.write(shop.sink.destination(), forwards.len());
            let refused = self.watched(self.retry(|| shop.sink.write(&forwards))).await?;
            drop(writing);
            shop.metrics.write.record(started.elapsed());
            shop.metrics.forwarded.add(forwards.len().saturating_sub(refused.len()) as u64);
            for (at, rejection) in refused {
                let Some(origin) = origins.get(at) else {
                    debug_assert!(false, "a sink refuses only what it was given");
                    continue;
                };
                rejections.insert(*origin, rejection);
            }
        }
        // Behind the forwards, so that a user's later changes are not seen before an earlier one is known as rejected.
        span.settled(rejections.len());
        if !rejections.is_empty() {
            let _writing = span.write(shop.dead.destination(), rejections.len());
            self.bury(batch, rejections).await?;
        }
        Ok(())
    }

    async fn bury(
        &self,
        batch: Vec<Admitted>,
        mut rejections: BTreeMap<usize, crate::fault::Rejection>,
    ) -> Result<(), Fault> {
        let rejected: Vec<Rejected> = batch
            .into_iter()
            .enumerate()
            .filter_map(|(at, admitted)| {
                let rejection = rejections.remove(&at)?;
                Some(Rejected { record: admitted.record, rejection })
            })
            .collect();
        let refused = self.watched(self.retry(|| self.shop.dead.write(&rejected))).await?;
        if !refused.is_empty() {
            return Err(Fault::Fatal {
                exit: crate::fault::Exit::Component,
                cause: Cause::new("the dead letters refused a record"),
            });
        }
        for Rejected { rejection, .. } in &rejected {
            self.shop.metrics.reject(rejection.code);
        }
        Ok(())
    }

    /// Says on `/ready` and in the log that a write which fails in no way does not come back either.
    async fn watched<T>(&self, write: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let mut write = std::pin::pin!(write);
        let mut is_slow = false;
        loop {
            if let Ok(outcome) = timeout(SLOW, &mut write).await {
                if is_slow {
                    self.shop.troubles.clear(self.epoch, self.index);
                }
                return outcome;
            }
            is_slow = true;
            self.shop.troubles.report(self.epoch, self.index, &Cause::new("a write is not acknowledged"));
        }
    }

    /// Tries for ever, with pauses that grow; only a fatal fault or the lane's cancellation ends it.
    async fn retry<T, F: Future<Output = Result<T, Fault>>>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Fault> {
        let mut schedule: Option<Schedule> = None;
        loop {
            match attempt().await {
                Err(Fault::Transient(cause)) => {
                    let limits = &self.shop.limits;
                    let schedule = schedule.get_or_insert_with(|| limits.pauses().schedule((self.epoch, self.index)));
                    self.shop.metrics.retries.add(1);
                    self.shop.troubles.report(self.epoch, self.index, &cause);
                    sleep(schedule.next_wait()).await;
                }
                settled => {
                    if schedule.is_some() {
                        self.shop.troubles.clear(self.epoch, self.index);
                    }
                    return settled;
                }
            }
        }
    }
}

/// The lane of a record: all records of one key share it.
pub(crate) fn lane_of(record: &Record, lanes: usize) -> usize {
    let hash = foldhash::quality::FixedState::default().hash_one(record.key.as_deref());
    usize::try_from(hash % lanes.max(1) as u64).unwrap_or(0)
}
