//! How many writes a store takes at once, learnt from how it answers: additive increase, multiplicative decrease.
//!
//! Answers are looked at in rounds of as many as there are permits. A round in which more than one in eight failed cuts
//! the limit to half; one whose middle answer took half as long again as without a queue cuts it by a tenth; one in which
//! the permits were all out adds one. Beyond the knee of a store more writes in flight only wait longer there, so half
//! the time again is past the knee and close to it.
//!
//! How long it takes without a queue is measured now and then, in a round with half of the permits, and the faster of the
//! last two such rounds counts. The fastest of all rounds would not do: of many it is one that was lucky.

use std::time::Duration;
use tokio::time::Instant;

/// Between which bounds the limit moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// So many are always let out: what hangs must not take all of them.
    pub min: usize,
    pub max: usize,
    /// Answers within this time are quick enough, however much quicker others are: a write in a batch of many is not
    /// waited for by a person, and more at once cost the store less each.
    pub unhurried: Duration,
}

/// How one write ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answered,
    /// It timed out, was turned away or broke.
    Failed,
}

/// Answers of one round at least: fewer say little.
const ROUND_MIN: usize = 16;
/// A round in which more than one in so many failed is a bad one. One key that always fails is far less.
const FAILED_ONE_IN: usize = 8;
const CUT_FOR_FAILURES: f64 = 0.5;
const CUT_FOR_QUEUEING: f64 = 0.9;
/// A round that takes so many percent of what one without a queue takes.
const QUEUEING_PERCENT: u32 = 150;
/// Of the permits, in a round that measures.
const MEASURING: f64 = 0.5;
/// Answers of a round that measures at least; much depends on it.
const MEASURED_MIN: usize = 64;
/// A measure that is older is taken anew.
const MEMORY: Duration = Duration::from_secs(30);

/// The controller. It sees ends of writes and says the limit.
#[derive(Debug)]
pub(super) struct Control {
    bounds: Bounds,
    limit: f64,
    /// Whether this round runs with few permits, to see how long it takes without a queue.
    is_measuring: bool,
    round: Round,
    measured: Measured,
}

#[derive(Debug)]
struct Round {
    /// What was begun earlier fared under another limit.
    since: Instant,
    took: Vec<Duration>,
    failed: usize,
    was_full: bool,
}

/// How long it took without a queue, the last two times, and when that was.
#[derive(Debug, Default)]
struct Measured {
    at: Option<Instant>,
    last: Option<Duration>,
    previous: Option<Duration>,
}

impl Control {
    /// Starts with the least, which is also where a store shows how fast it is without a queue.
    pub(super) fn new(bounds: Bounds, now: Instant) -> Self {
        let bounds = Bounds { min: bounds.min.clamp(1, bounds.max.max(1)), max: bounds.max.max(1), ..bounds };
        let round = Round { since: now, took: Vec::with_capacity(bounds.max), failed: 0, was_full: false };
        Self { bounds, limit: as_f64(bounds.min), is_measuring: false, round, measured: Measured::default() }
    }

    /// How many writes may be out.
    pub(super) fn limit(&self) -> usize {
        let limit = if self.is_measuring { self.limit * MEASURING } else { self.limit };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between two small usize")]
        let limit = limit.round() as usize;
        limit.clamp(self.bounds.min, self.bounds.max)
    }

    /// Every permit is out and somebody waits for one.
    pub(super) fn full(&mut self) {
        self.round.was_full = true;
    }

    /// A write that was begun at `begun` has ended.
    pub(super) fn ended(&mut self, begun: Instant, outcome: Outcome, now: Instant) {
        if begun < self.round.since {
            return;
        }
        match outcome {
            Outcome::Answered => self.round.took.push(now.duration_since(begun)),
            Outcome::Failed => self.round.failed += 1,
        }
        let enough = if self.is_measuring { MEASURED_MIN } else { ROUND_MIN };
        if self.round.took.len() + self.round.failed >= self.limit().max(enough) {
            self.judge(now);
        }
    }

    fn judge(&mut self, now: Instant) {
        let round = &mut self.round;
        let (failed, was_full) = (std::mem::take(&mut round.failed), std::mem::take(&mut round.was_full));
        let is_bad = failed * FAILED_ONE_IN > round.took.len() + failed;
        let took = median(&mut round.took);
        round.took.clear();
        let was_measuring = std::mem::take(&mut self.is_measuring);
        if is_bad {
            return self.cut(CUT_FOR_FAILURES, now);
        }
        let Some(took) = took else { return };
        if was_measuring {
            return self.measured.note(took, now);
        }
        let is_hurried = took > self.bounds.unhurried;
        if is_hurried && was_full && self.measured.is_stale(now) {
            self.is_measuring = true;
            self.round.since = now;
        } else if is_hurried && self.measured.faster().is_some_and(|alone| took * 100 > alone * QUEUEING_PERCENT) {
            self.cut(CUT_FOR_QUEUEING, now);
        } else if was_full {
            self.limit = (self.limit + 1.0).min(as_f64(self.bounds.max));
        }
    }

    fn cut(&mut self, to: f64, now: Instant) {
        self.limit = (self.limit * to).max(as_f64(self.bounds.min));
        self.round.since = now;
    }
}

impl Measured {
    fn note(&mut self, took: Duration, now: Instant) {
        (self.at, self.previous, self.last) = (Some(now), self.last, Some(took));
    }

    fn is_stale(&self, now: Instant) -> bool {
        self.at.is_none_or(|at| now.duration_since(at) >= MEMORY)
    }

    fn faster(&self) -> Option<Duration> {
        self.last.into_iter().chain(self.previous).min()
    }
}

/// Unmoved by the few that take very much longer: a hot key is no slow store.
fn median(took: &mut [Duration]) -> Option<Duration> {
    let middle = took.len() / 2;
    (!took.is_empty()).then(|| *took.select_nth_unstable(middle).1)
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests;
