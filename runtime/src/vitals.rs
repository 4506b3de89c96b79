//! What a worker shows of itself while it runs: its numbers, its troubles and its pulse.

use crate::clock::Clock;
use crate::health::{Condition, Health, Heartbeat};
use crate::telemetry::{Telemetry, Traces, WorkerMetrics};
use crate::trouble::Troubles;
use std::time::Duration;

/// A loop that has not come round for so long stands.
const STANDSTILL: Duration = Duration::from_secs(30);

/// The worker's side of metrics and health.
#[derive(Debug)]
pub struct Vitals {
    pub metrics: WorkerMetrics,
    /// Not ready while a lane has been stuck for longer than a hiccup.
    pub lanes: Condition,
    /// Beats with the loop.
    pub heartbeat: Heartbeat,
    pub troubles: Troubles,
    /// None, unless somebody who knows the consumer group sets them.
    pub traces: Traces,
}

impl Vitals {
    /// The vitals of a worker in a process with this health and telemetry, which can reject with `codes`.
    #[must_use]
    pub fn new(health: &Health, telemetry: &Telemetry, clock: Clock, codes: &[&'static str]) -> Self {
        Self::named(["lanes", "worker"], health, telemetry, clock, codes)
    }

    /// The same of a worker that is not alone in its process: `names` are those of its condition and of its heartbeat.
    #[must_use]
    pub fn named(
        [lanes, worker]: [&'static str; 2],
        health: &Health,
        telemetry: &Telemetry,
        clock: Clock,
        codes: &[&'static str],
    ) -> Self {
        Self {
            metrics: WorkerMetrics::new(telemetry, clock, codes),
            lanes: health.condition(lanes, "no record was read yet"),
            heartbeat: health.heartbeat(worker, STANDSTILL),
            troubles: Troubles::default(),
            traces: Traces::default(),
        }
    }

    /// Called once a second.
    pub(crate) fn beat(&self) {
        self.heartbeat.beat();
    }

    /// Called on every tick of the loop: `unsettled` records are out, the oldest from `oldest_ms` since 1970-01-01.
    pub(crate) fn pulse(&self, unsettled: usize, oldest_ms: Option<i64>) {
        self.metrics.in_flight.set(i64::try_from(unsettled).unwrap_or(i64::MAX));
        self.metrics.oldest_unsettled.set(oldest_ms);
        match self.troubles.oldest() {
            Some(text) => self.lanes.waiting(text),
            None => self.lanes.ok(),
        }
    }
}
