//! What a worker shows of itself while it runs: its numbers, its troubles and its pulse.

use crate::clock::Clock;
use crate::health::{Condition, Heartbeat};
use crate::telemetry::WorkerMetrics;
use crate::trouble::Troubles;

/// The worker's side of metrics and health.
#[derive(Clone, Debug)]
pub struct Vitals {
    pub metrics: WorkerMetrics,
    pub clock: Clock,
    /// Not ready while a lane has been stuck for longer than a hiccup.
    pub lanes: Condition,
    /// Beats with the loop.
    pub heartbeat: Heartbeat,
    pub troubles: Troubles,
}

impl Vitals {
    /// Vitals that nobody looks at.
    #[must_use]
    pub fn unwatched() -> Self {
        Self {
            metrics: WorkerMetrics::default(),
            clock: Clock::fixed(0),
            lanes: Condition::default(),
            heartbeat: Heartbeat::default(),
            troubles: Troubles::default(),
        }
    }

    /// Called on every tick of the loop: `unsettled` records are out, the oldest from `oldest_ms` since 1970-01-01.
    pub(crate) fn pulse(&self, unsettled: usize, oldest_ms: Option<i64>) {
        self.heartbeat.beat();
        self.metrics.in_flight(unsettled);
        let age_ms = oldest_ms.map_or(0, |oldest| self.clock.now_ms().saturating_sub(oldest).max(0));
        self.metrics.oldest_age(std::time::Duration::from_millis(age_ms.unsigned_abs()));
        match self.troubles.oldest() {
            Some(text) => self.lanes.waiting(text),
            None => self.lanes.ok(),
        }
    }
}
