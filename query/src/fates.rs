//! What became of a raw change: read off what the workers have committed, and off the dead letters.
//!
//! A change is settled once the last worker has committed past all that became of it. That is followed from worker to
//! worker, in the order of the path: what the first has committed, then the end of its output *as it is read after that*;
//! once the second has committed up to there, the end of its output, and so on. A log that is never quiet would move each
//! end away from whoever comes back later, so the ends are kept here, one for each worker and partition, and what is settled
//! only ever grows.

use crate::letters::{Letters, Search};
use crate::log::{Log, LogError};
use crate::receipt::Receipt;
use schemas::{RejectCode, topics};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Between two looks at the commits of one partition; workers commit every half a second.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What can be said of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// On its way, or the log's end is not known to be behind it yet.
    NotYet,
    /// It is in the profile, as far as nothing newer has replaced it.
    Applied,
    /// There is a dead letter; `None` if its code is of a later release.
    Rejected(Option<RejectCode>),
    /// It is settled, and too old to tell how.
    Gone,
    /// The raw topic does not have it.
    Unknown,
}

/// Follows changes of one log; shared by all requests.
#[derive(Debug)]
pub struct Fates<L> {
    log: L,
    lines: Box<[Line]>,
    letters: Letters,
}

/// One partition.
#[derive(Debug, Default)]
struct Line {
    /// Raw offsets below it are settled.
    settled: AtomicI64,
    look: Mutex<Look>,
}

#[derive(Debug, Default)]
struct Look {
    at: Option<Instant>,
    /// By worker, from the second on: what it has to come to.
    marks: Vec<Option<Milestone>>,
}

/// Whatever became of raw records below `raw` lies below `end` of a worker's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Milestone {
    raw: i64,
    end: i64,
}

impl<L: Log> Fates<L> {
    pub fn new(log: L) -> Self {
        let lines = (0..log.partitions().max(0)).map(|_| Line::default()).collect();
        Self { log, lines, letters: Letters::default() }
    }

    /// Of every topic.
    pub fn partitions(&self) -> i32 {
        self.log.partitions()
    }

    /// Whether the change at an offset of the raw topic is settled, applied or rejected, and with it all before it in its
    /// partition: a read that begins now has them.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn is_settled(&self, partition: i32, offset: i64) -> Result<bool, LogError> {
        let Some(line) = usize::try_from(partition).ok().and_then(|at| self.lines.get(at)) else { return Ok(false) };
        if line.settled.load(Ordering::Acquire) > offset {
            return Ok(true);
        }
        let mut look = line.look.lock().await;
        if look.at.is_none_or(|at| at.elapsed() >= LOOK_EVERY) {
            self.advance(partition, line, &mut look).await?;
            look.at = Some(Instant::now());
        }
        Ok(line.settled.load(Ordering::Acquire) > offset)
    }

    /// What became of a change. A dead letter that was replayed since is still one.
    ///
    /// # Errors
    /// If the log does not answer.
    pub async fn fate(&self, partition: i32, offset: i64) -> Result<Fate, LogError> {
        let receipt = Receipt { partition, offset };
        if !(0..self.log.partitions()).contains(&partition) || offset < 0 {
            return Ok(Fate::Unknown);
        }
        if let Some(fate) = self.letters.known(receipt) {
            return Ok(fate);
        }
        // Before the letters are looked through: what is settled has its letter by then.
        let is_settled = self.is_settled(partition, offset).await?;
        let held = self.log.held(topics::RAW, partition).await?;
        if !is_settled && offset >= held.high {
            return Ok(Fate::Unknown);
        }
        let fate = match self.letters.search(&self.log, receipt, held.low).await? {
            Search::Found(code) => Fate::Rejected(code),
            Search::Unfinished => return Ok(Fate::NotYet),
            Search::Nothing { .. } if !is_settled => return Ok(Fate::NotYet),
            Search::Nothing { has_gap: true } => Fate::Gone,
            Search::Nothing { has_gap: false } => Fate::Applied,
        };
        self.letters.keep(receipt, fate);
        Ok(fate)
    }

    /// Goes along the path once.
    async fn advance(&self, partition: i32, line: &Line, look: &mut Look) -> Result<(), LogError> {
        let hops = self.log.hops();
        let Some((first, rest)) = hops.split_first() else { return Ok(()) };
        look.marks.resize(rest.len(), None);
        let committed = self.log.committed(*first, partition).await?;
        if committed < line.settled.load(Ordering::Acquire) {
            self.check(partition, line, look).await?;
        }
        // What the worker in front has settled; it waits there as long as the next one is busy with earlier records.
        let mut raw = Some(committed);
        for (at, hop) in rest.iter().enumerate() {
            let Some(mark) = look.marks.get_mut(at) else { break };
            if let (None, Some(raw)) = (&mark, raw) {
                let end = self.log.held(hop.topic, partition).await?.high;
                *mark = Some(Milestone { raw, end });
            }
            raw = None;
            if let Some(Milestone { raw: below, end }) = *mark
                && self.log.committed(*hop, partition).await? >= end
            {
                let is_taken = look.marks.get(at + 1).is_some_and(Option::is_some);
                if !is_taken {
                    raw = Some(below);
                    if let Some(mark) = look.marks.get_mut(at) {
                        *mark = None;
                    }
                }
            }
        }
        if let Some(raw) = raw {
            line.settled.fetch_max(raw, Ordering::AcqRel);
        }
        Ok(())
    }

    /// The first worker is behind what was settled: it was rewound, which unsettles nothing, or the topics are new.
    async fn check(&self, partition: i32, line: &Line, look: &mut Look) -> Result<(), LogError> {
        let held = self.log.held(topics::RAW, partition).await?;
        if held.high < line.settled.load(Ordering::Acquire) {
            line.settled.store(0, Ordering::Release);
            look.marks.fill(None);
            self.letters.forget();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
