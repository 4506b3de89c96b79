//! Waiting for a store: pauses that grow, and a word on `/ready` while somebody waits for longer than a hiccup.

use runtime::backoff::Schedule;
use runtime::health::Condition;
use runtime::limits::Limits;
use runtime::logs::chain;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use tokio::time::{Duration, Instant, sleep};
use tracing::{info, warn};

/// A wait that is shorter is neither logged nor shown.
const HICCUP: Duration = Duration::from_secs(1);

/// How many wait for one store beyond a hiccup.
#[derive(Debug)]
pub(super) struct Stuck {
    condition: Condition,
    waiting: Mutex<usize>,
}

impl Stuck {
    pub(super) fn new(condition: Condition) -> Self {
        condition.ok();
        Self { condition, waiting: Mutex::new(0) }
    }

    fn enter(&self, error: &dyn Error) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if *waiting == 0 {
            warn!(error = %chain(error), "writes wait for a store");
            self.condition.waiting(error.to_string());
        }
        *waiting += 1;
    }

    fn leave(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        *waiting = waiting.saturating_sub(1);
        if *waiting == 0 {
            info!("writes go on");
            self.condition.ok();
        }
    }
}

/// One write's waiting.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    stuck: &'a Stuck,
    schedule: Schedule,
    since: Option<Instant>,
    is_counted: bool,
}

impl<'a> Patience<'a> {
    pub(super) fn new(stuck: &'a Stuck, limits: &Limits) -> Self {
        let schedule = Schedule::new(limits.retry_min, limits.retry_max);
        Self { stuck, schedule, since: None, is_counted: false }
    }

    /// Waits before the next try. Dropping it ends the wait, as a revocation does.
    pub(super) async fn wait(&mut self, error: &(dyn Error + Sync)) {
        let since = *self.since.get_or_insert_with(Instant::now);
        if !self.is_counted && since.elapsed() >= HICCUP {
            self.is_counted = true;
            self.stuck.enter(error);
        }
        sleep(self.schedule.next_wait()).await;
    }
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if self.is_counted {
            self.stuck.leave();
        }
    }
}
