//! What a breaker decides, without waiting and without a clock of its own.

use crate::backoff::{Pauses, Schedule};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::Instant;

/// When a breaker opens, and how long it stays so before it tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// It opens when the work of so many different keys has failed and nobody's has succeeded in between.
    pub keys: usize,
    /// A failure that is longer ago does not count.
    pub within: Duration,
    /// Pauses before a probe: full jitter under a bound that doubles with every probe that fails.
    pub pauses: Pauses,
}

impl Rule {
    /// One key that always fails, or a handful, is a hot partition and no outage; in an outage under load so many fail
    /// within one write's time-out.
    pub const KEYS: usize = 8;
    /// Longer than one try and the pause behind it, so that who keeps failing keeps counting, and shorter than it takes
    /// unrelated mishaps to add up.
    pub const WITHIN: Duration = Duration::from_secs(30);

    /// The rule of a store that is written for many keys at once.
    #[must_use]
    pub fn new(pauses: Pauses) -> Self {
        Self { keys: Self::KEYS, within: Self::WITHIN, pauses }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Everybody may try.
    Closed,
    /// Nobody may, and from `until` on one.
    Open { until: Instant },
    /// One is trying, everybody else waits for how it ends.
    HalfOpen,
}

/// A leave to try once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leave {
    generation: u64,
    pub(super) is_probe: bool,
}

/// One that waits for leave. Those that have not failed go first: how they fare says more of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiter {
    has_failed: bool,
    number: u64,
}

/// What one that asks for leave is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Go(Leave),
    /// Ask again then, or when the breaker has turned.
    Until(Instant),
    /// Ask again when it has turned.
    Wait,
}

#[derive(Debug)]
pub(super) struct State {
    rule: Rule,
    phase: Phase,
    /// Counts openings and closings, so that what was begun before one is told from what was begun after it.
    generation: u64,
    /// Whose work failed since anybody's succeeded, and when last; shorter than `rule.keys`.
    streak: Vec<(u64, Instant)>,
    waiting: BTreeSet<Waiter>,
    came: u64,
    schedule: Schedule,
}

impl State {
    pub(super) fn new(rule: Rule) -> Self {
        let schedule = rule.pauses.schedule("breaker");
        let (streak, waiting) = (Vec::with_capacity(rule.keys), BTreeSet::new());
        Self { rule, phase: Phase::Closed, generation: 0, streak, waiting, came: 0, schedule }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// What `waiter` may do; none has not waited yet, and is one afterwards unless it may go.
    pub(super) fn ask(&mut self, waiter: &mut Option<Waiter>, has_failed: bool, now: Instant) -> Answer {
        let until = match self.phase {
            Phase::Closed => return Answer::Go(Leave { generation: self.generation, is_probe: false }),
            Phase::Open { until } => Some(until),
            Phase::HalfOpen => None,
        };
        let waiter = *waiter.get_or_insert_with(|| {
            self.came += 1;
            Waiter { has_failed, number: self.came }
        });
        self.waiting.insert(waiter);
        let is_next = self.waiting.first() == Some(&waiter);
        match until {
            Some(until) if is_next && now >= until => {
                self.phase = Phase::HalfOpen;
                Answer::Go(Leave { generation: self.generation, is_probe: true })
            }
            Some(until) if is_next => Answer::Until(until),
            Some(_) | None => Answer::Wait,
        }
    }

    /// `waiter` waits no more. Whether another is to ask in its place.
    pub(super) fn forget(&mut self, waiter: Waiter) -> bool {
        let was_first = self.waiting.first() == Some(&waiter);
        self.waiting.remove(&waiter);
        was_first && matches!(self.phase, Phase::Open { .. })
    }

    /// Whether what was given leave to try may still do so.
    pub(super) fn holds(&self, leave: Leave) -> bool {
        leave.generation == self.generation && (leave.is_probe || self.phase == Phase::Closed)
    }

    /// Somebody's work succeeded, whenever it was begun: the store works. Whether the breaker has turned.
    pub(super) fn succeeded(&mut self) -> bool {
        self.streak.clear();
        if self.phase == Phase::Closed {
            return false;
        }
        self.phase = Phase::Closed;
        self.generation += 1;
        self.schedule.reset();
        true
    }

    /// Work of `key` failed. What was begun before the breaker turned says nothing new. Whether it has turned.
    pub(super) fn failed(&mut self, leave: Leave, key: u64, now: Instant) -> bool {
        if !self.holds(leave) {
            return false;
        }
        if leave.is_probe {
            self.open(now);
            return true;
        }
        self.streak.retain(|(known, at)| *known != key && now.duration_since(*at) <= self.rule.within);
        self.streak.push((key, now));
        self.streak.len() >= self.rule.keys && self.trip(now)
    }

    /// Opens it, whatever was counted. Whether it has turned.
    pub(super) fn trip(&mut self, now: Instant) -> bool {
        if self.phase != Phase::Closed {
            return false;
        }
        self.streak.clear();
        self.generation += 1;
        self.open(now);
        true
    }

    /// Work ended and nobody knows how: another may try in its place. Whether the breaker has turned.
    pub(super) fn handed_back(&mut self, leave: Leave, now: Instant) -> bool {
        let was_probe = leave.is_probe && self.holds(leave);
        if was_probe {
            // The pause was waited for already.
            self.phase = Phase::Open { until: now };
        }
        was_probe
    }

    fn open(&mut self, now: Instant) {
        self.phase = Phase::Open { until: now + self.schedule.next_wait() };
    }
}
