//! A breaker before a store: while it lets nothing through, nobody wears it and themselves out with tries.
//!
//! *Closed*, everybody tries. It *opens* when the work of several different keys ([`Rule::keys`]) has failed and nobody's
//! has succeeded in between: one key that always fails, a hot partition say, never opens it, nor do many as long as
//! others get through. *Open*, nobody tries. After a pause (full jitter, growing, bounded) it is *half-open*: exactly one
//! piece of real work goes through as a probe, one that has not failed yet before one that has, so that somebody else's
//! bad key cannot keep a working store shut. If the probe succeeds the breaker closes for all, if it fails another pause
//! begins, and if it is dropped undecided, as a revocation does with it, the next one goes in its place.
//!
//! A breaker pauses and never drops: work that waits here goes on waiting until it is let through or dropped itself.
//! Whoever waits must be cancellable from outside, as a lane is.

mod state;

pub use state::Rule;

use crate::backoff::Schedule;
use crate::health::Condition;
use crate::logs::chain;
use crate::telemetry::{Counter, Gauge, Telemetry};
use state::{Answer, Leave, Phase, State, Waiter};
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout_at};

/// Work that waits shorter than this is not told of on `/ready`.
const HICCUP: Duration = Duration::from_secs(1);

/// One store's breaker. Clones are the same.
#[derive(Clone, Debug)]
pub struct Breaker(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    rule: Rule,
    state: Mutex<Watched>,
    /// Told whenever somebody who waits may have another answer.
    turned: Notify,
    condition: Condition,
    metrics: BreakerMetrics,
}

#[derive(Debug)]
struct Watched {
    state: State,
    /// How much work has failed or was kept waiting, and has not ended.
    waiting: usize,
    /// How much of it has been failing for longer than a hiccup.
    stuck: usize,
    /// What failed last.
    reason: String,
    /// When work succeeded last.
    succeeded: Option<Instant>,
}

/// What a breaker shows of itself.
#[derive(Clone, Debug, Default)]
pub struct BreakerMetrics {
    state: Gauge,
    opens: Counter,
    tries: Counter,
}

impl BreakerMetrics {
    /// The metrics of the breaker before `store`.
    #[must_use]
    pub fn new(telemetry: &Telemetry, store: &'static str) -> Self {
        let labels = || [vec![("store", store)]];
        let state = "What the breaker before a store is: 0 closed, 1 half-open, 2 open.";
        let opens = "How often the breaker before a store has opened.";
        let tries = "Writes to a store that have succeeded or failed.";
        Self {
            state: telemetry.gauges("breaker_state", state, labels()).pop().unwrap_or_default(),
            opens: telemetry.counters("breaker_opens", opens, labels()).pop().unwrap_or_default(),
            tries: telemetry.counters("breaker_tries", tries, labels()).pop().unwrap_or_default(),
        }
    }
}

impl Breaker {
    /// A closed one. `condition` says on `/ready` what it is while it is not closed, and that work waits.
    #[must_use]
    pub fn new(rule: Rule, condition: Condition, metrics: BreakerMetrics) -> Self {
        condition.ok();
        let state = Watched { state: State::new(rule), waiting: 0, stuck: 0, reason: String::new(), succeeded: None };
        Self(Arc::new(Shared { rule, state: Mutex::new(state), turned: Notify::new(), condition, metrics }))
    }

    /// A piece of work that is tried until it succeeds. Work of the same `key` counts as one when it fails.
    #[must_use]
    pub fn work(&self, key: u64) -> Work<'_> {
        Work {
            breaker: self,
            key,
            is_suspect: false,
            schedule: None,
            rest: None,
            since: None,
            is_waiting: false,
            is_stuck: false,
        }
    }

    /// The store has done something, whoever asked for it.
    pub fn succeeded(&self) {
        let mut watched = self.watched();
        watched.succeeded = Some(Instant::now());
        if watched.state.succeeded() {
            self.turn(&watched);
        }
        drop(watched);
        self.0.metrics.tries.add(1);
    }

    /// Opens it because of `error`, which leaves no doubt about the store, unless somebody's work has succeeded `within`
    /// that time: then there is doubt.
    pub fn trip(&self, error: &dyn Error, within: Duration) {
        let (mut watched, now) = (self.watched(), Instant::now());
        if watched.succeeded.is_some_and(|at| now.duration_since(at) < within) {
            return;
        }
        if watched.state.trip(now) {
            watched.reason = chain(error).to_string();
            self.0.metrics.opens.add(1);
            self.turn(&watched);
        }
    }

    fn failed(&self, leave: Leave, key: u64, error: &dyn Error) {
        self.0.metrics.tries.add(1);
        let mut watched = self.watched();
        let generation = watched.state.generation();
        let has_turned = watched.state.failed(leave, key, Instant::now());
        if has_turned {
            watched.reason = chain(error).to_string();
            self.0.metrics.opens.add(u64::from(watched.state.generation() != generation));
            self.turn(&watched);
        }
    }

    fn hand_back(&self, leave: Leave) {
        let mut watched = self.watched();
        if watched.state.handed_back(leave, Instant::now()) {
            self.turn(&watched);
        }
    }

    fn look(&self, seat: &mut Option<Seat<'_>>, has_failed: bool) -> (Answer, Option<Waiter>) {
        let mut watched = self.watched();
        let mut waiter = seat.as_ref().map(|seat| seat.waiter);
        let answer = watched.state.ask(&mut waiter, has_failed, Instant::now());
        if let Answer::Go(Leave { is_probe: true, .. }) = answer {
            self.show(&watched);
        }
        (answer, waiter)
    }

    /// Until the pause is over or the breaker decides: it has turned since the failure, or is not closed.
    async fn rest(&self, rest: Rest) {
        loop {
            let turned = self.0.turned.notified();
            let decides = {
                let state = &self.watched().state;
                state.generation() != rest.generation || state.phase() != Phase::Closed
            };
            if decides || timeout_at(rest.until, turned).await.is_err() {
                return;
            }
        }
    }

    /// Says what it has become, and wakes everybody who waits for that.
    fn turn(&self, watched: &Watched) {
        self.show(watched);
        self.0.turned.notify_waiters();
    }

    fn show(&self, watched: &Watched) {
        let Watched { state, waiting, stuck, reason, .. } = watched;
        let (number, text) = match state.phase() {
            Phase::Closed => (0, "closed, and some writes fail and wait"),
            Phase::HalfOpen => (1, "half-open, one write is being tried"),
            Phase::Open { .. } => (2, "open, nothing is tried for a moment"),
        };
        self.0.metrics.state.set(number);
        let concerned = if number == 0 { *stuck } else { *waiting };
        // Without work it keeps nobody waiting, whatever it is: a process that was left with nothing to do is ready.
        if concerned == 0 {
            self.0.condition.ok();
        } else {
            self.0.condition.waiting(format!("{text}: {reason}"));
        }
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among those that wait, given up when it is dropped.
struct Seat<'b> {
    breaker: &'b Breaker,
    waiter: Waiter,
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        let is_next = self.breaker.watched().state.forget(self.waiter);
        if is_next {
            self.breaker.0.turned.notify_waiters();
        }
    }
}

/// One piece of work, from its first try to the one that succeeds.
#[derive(Debug)]
pub struct Work<'b> {
    breaker: &'b Breaker,
    key: u64,
    /// It has failed, or is known to be like what has: others are probed with first.
    is_suspect: bool,
    /// Of its own pauses; made when it fails for the first time.
    schedule: Option<Schedule>,
    rest: Option<Rest>,
    since: Option<Instant>,
    is_waiting: bool,
    is_stuck: bool,
}

/// A pause of one's own behind a failure.
#[derive(Clone, Copy, Debug)]
struct Rest {
    until: Instant,
    /// Of the breaker, when it failed.
    generation: u64,
}

impl<'b> Work<'b> {
    /// The same, of a key whose earlier work has failed and has not succeeded since.
    #[must_use]
    pub fn suspected(mut self, is_suspect: bool) -> Self {
        self.is_suspect = is_suspect;
        self
    }

    /// Waits for leave to try once: until the pause behind the last failure is over, and as long as the breaker lets
    /// nothing through. When the breaker has turned meanwhile, that decides, not the pause.
    pub async fn pass(&mut self) -> Pass<'b> {
        if let Some(rest) = self.rest.take() {
            self.breaker.rest(rest).await;
        }
        let mut seat: Option<Seat<'b>> = None;
        loop {
            // Before the look, so that no turn is missed between that and the wait.
            let turned = self.breaker.0.turned.notified();
            let (answer, waiter) = self.breaker.look(&mut seat, self.is_suspect);
            if let (None, Some(waiter)) = (&seat, waiter) {
                seat = Some(Seat { breaker: self.breaker, waiter });
                self.wait(&mut self.breaker.watched());
            }
            match answer {
                Answer::Go(leave) => return Pass { breaker: self.breaker, leave, is_decided: false },
                Answer::Until(until) => {
                    let _either: Result<(), Elapsed> = timeout_at(until, turned).await;
                }
                Answer::Wait => turned.await,
            }
        }
    }

    /// Whether a try of it has failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.schedule.is_some()
    }

    /// The try that `pass` gave leave to has failed and may be one of many. The next one is tried later.
    pub fn failed(&mut self, mut pass: Pass<'_>, error: &dyn Error) {
        pass.is_decided = true;
        self.pause(error);
        self.breaker.failed(pass.leave, self.key, error);
    }

    /// The store has answered, and this work has to wait nonetheless. The next try is later.
    pub fn put_off(&mut self, pass: Pass<'_>, error: &dyn Error) {
        pass.succeeded();
        self.pause(error);
    }

    fn wait(&mut self, watched: &mut Watched) {
        if !self.is_waiting {
            self.is_waiting = true;
            watched.waiting += 1;
            if watched.waiting == 1 {
                self.breaker.show(watched);
            }
        }
    }

    fn pause(&mut self, error: &dyn Error) {
        let (breaker, key) = (self.breaker, self.key);
        self.is_suspect = true;
        let now = Instant::now();
        let mut watched = breaker.watched();
        let schedule = self.schedule.get_or_insert_with(|| breaker.0.rule.pauses.schedule(key));
        self.rest = Some(Rest { until: now + schedule.next_wait(), generation: watched.state.generation() });
        self.wait(&mut watched);
        let since = *self.since.get_or_insert(now);
        if !self.is_stuck && now.duration_since(since) >= HICCUP {
            self.is_stuck = true;
            watched.stuck += 1;
            if watched.state.phase() == Phase::Closed {
                watched.reason = chain(error).to_string();
                breaker.show(&watched);
            }
        }
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if !self.is_waiting {
            return;
        }
        let mut watched = self.breaker.watched();
        watched.waiting = watched.waiting.saturating_sub(1);
        watched.stuck = watched.stuck.saturating_sub(usize::from(self.is_stuck));
        if watched.waiting == 0 || self.is_stuck && watched.stuck == 0 {
            self.breaker.show(&watched);
        }
    }
}

/// Leave to try once. Dropped undecided, it is handed back.
#[derive(Debug)]
#[must_use = "a pass that nobody uses is handed back"]
pub struct Pass<'b> {
    breaker: &'b Breaker,
    leave: Leave,
    is_decided: bool,
}

impl Pass<'_> {
    /// Whether the breaker has not turned since: what was waited for behind the pass may have taken long.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.breaker.watched().state.holds(self.leave)
    }

    /// The store has done what was asked for.
    pub fn succeeded(mut self) {
        self.is_decided = true;
        self.breaker.succeeded();
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if !self.is_decided {
            self.breaker.hand_back(self.leave);
        }
    }
}

#[cfg(test)]
mod tests;
