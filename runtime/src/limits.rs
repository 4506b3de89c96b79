//! Every bound of a worker in one place; what memory it may take is a sum of these.

use crate::backoff::Pauses;
use crate::config::{ByteSize, Section};
use crate::lifecycle;
use crate::worker::GOODBYE;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Lanes of one partition.
    pub lanes: usize,
    /// Records that wait in a lane while its last batch is out.
    pub lane_queue_len: usize,
    /// Records of one batch.
    pub batch_len_max: usize,
    /// Offsets between a partition's frontier and its head.
    pub span_max: u64,
    /// Bytes of all unsettled records, shared out evenly among the partitions held.
    pub in_flight_bytes: usize,
    /// How long a revocation or a shutdown waits for work that is out.
    pub drain: Duration,
    /// How often settled offsets are committed.
    pub commit_every: Duration,
    /// First and longest pause between two tries of the same work.
    pub retry_min: Duration,
    pub retry_max: Duration,
    /// Seed of the jitter between tries, for runs that are to be repeated; `None` takes the system's randomness.
    pub retry_seed: Option<u64>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            lanes: 16,
            lane_queue_len: 64,
            batch_len_max: 64,
            span_max: 20_000,
            in_flight_bytes: 32 << 20,
            drain: Duration::from_secs(3),
            commit_every: Duration::from_millis(500),
            retry_min: Duration::from_millis(20),
            retry_max: Duration::from_secs(5),
            retry_seed: None,
        }
    }
}

impl Limits {
    /// Of a worker that reaches nothing outside its process: what does not wait is not worth doing side by side.
    #[must_use]
    pub fn local() -> Self {
        Self { lanes: 1, lane_queue_len: 256, batch_len_max: 256, in_flight_bytes: 8 << 20, ..Self::default() }
    }

    /// `[limits]`; what is not set is as in `own`.
    fn read(section: &mut Section<'_>, own: Self) -> Self {
        let lanes = "Lanes of one partition: keys that are worked on side by side.";
        let queue = "Records that wait in a lane while its last batch is out.";
        let batch = "Records of one batch.";
        let span = "Offsets between the oldest unsettled record of a partition and its newest one.";
        let bytes = "Bytes of all unsettled records, shared out evenly among the partitions held.";
        let drain = "How long a rebalance or a shutdown waits for work that is out.";
        let commit = "How often settled offsets are committed.";
        let first = "First pause before work is tried again; pauses double, with full jitter.";
        let longest = "Longest pause before work is tried again.";
        let ms = Duration::from_millis;
        Self {
            lanes: section.count("lanes", lanes).between(1, 256).default(own.lanes),
            lane_queue_len: section.count("lane_queue_len", queue).between(1, 65_536).default(own.lane_queue_len),
            batch_len_max: section.count("batch_len_max", batch).between(1, 65_536).default(own.batch_len_max),
            span_max: section.count("span_max", span).between(1, 10_000_000).default(own.span_max),
            in_flight_bytes: in_flight(
                section
                    .size("in_flight", bytes)
                    .at_least(ByteSize::mib(1))
                    .default(ByteSize::bytes(own.in_flight_bytes as u64)),
            ),
            drain: section.duration("drain", drain).between(ms(100), ms(60_000)).default(own.drain),
            commit_every: section
                .duration("commit_every", commit)
                .between(ms(10), ms(60_000))
                .default(own.commit_every),
            retry_min: section.duration("retry_min", first).between(ms(1), ms(10_000)).default(own.retry_min),
            retry_max: section.duration("retry_max", longest).between(ms(10), ms(300_000)).default(own.retry_max),
            retry_seed: own.retry_seed,
        }
    }
}

/// `[limits]`, with a problem noted if a drain could outlast the time that the process has to leave.
/// What is not set is as in `own`.
pub fn within_grace(section: &mut Section<'_>, own: Limits) -> Limits {
    let limits = section.within("limits", |section| Limits::read(section, own));
    let shutdown: lifecycle::Config = section.section("shutdown");
    if limits.drain + GOODBYE > shutdown.grace {
        let text = format!("with {} s for the last commit must fit into shutdown.grace; shorten it", GOODBYE.as_secs());
        section.problem(&["limits.drain", "shutdown.grace"], text);
    }
    limits
}

fn in_flight(size: ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

impl Limits {
    /// Pauses between two tries of the same work.
    #[must_use]
    pub fn pauses(&self) -> Pauses {
        Pauses { min: self.retry_min, max: self.retry_max, seed: self.retry_seed }
    }

    /// Records that one lane may hold: those that wait and those of the batch that is out.
    #[must_use]
    pub fn lane_len_max(&self) -> usize {
        self.lane_queue_len.saturating_add(self.batch_len_max)
    }
}
