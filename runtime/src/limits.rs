//! Every bound of a worker in one place; what memory it may take is a sum of these.

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
        }
    }
}

impl Limits {
    /// Records that one lane may hold: those that wait and those of the batch that is out.
    #[must_use]
    pub fn lane_len_max(&self) -> usize {
        self.lane_queue_len.saturating_add(self.batch_len_max)
    }
}
