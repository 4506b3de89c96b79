//! tmp
use std::time::Duration;
#[derive(Debug)]
pub struct Schedule { now: Duration, max: Duration }
impl Schedule {
    pub fn new(initial: Duration, max: Duration) -> Self { Self { now: initial, max } }
    pub fn next(&mut self) -> Duration { let n = self.now; self.now = (n * 2).min(self.max); n }
}
