//! tmp
use std::time::Duration;
#[derive(Clone, Debug, Default)]
pub struct WorkerMetrics;
impl WorkerMetrics {
    pub fn received(&self, _n: usize) {}
    pub fn forwarded(&self, _n: usize) {}
    pub fn rejected(&self, _code: &'static str) {}
    pub fn write_seconds(&self, _d: Duration) {}
    pub fn retried(&self) {}
    pub fn in_flight(&self, _n: usize) {}
    pub fn oldest_age(&self, _d: Duration) {}
    pub fn commit_failed(&self) {}
    pub fn rebalance_waited(&self, _d: Duration) {}
}
