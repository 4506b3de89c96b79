//! A process that stands still, as one does that was stopped and goes on later without knowing it.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Until when a member stands still. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frost(Arc<Mutex<Option<Instant>>>);

impl Frost {
    pub(crate) fn freeze(&self, time: Duration) {
        *self.0.lock().unwrap() = Some(Instant::now() + time);
    }

    /// How long it will stand still yet.
    pub(crate) fn left(&self) -> Duration {
        self.until().map_or(Duration::ZERO, |until| until.saturating_duration_since(Instant::now()))
    }

    fn until(&self) -> Option<Instant> {
        *self.0.lock().unwrap()
    }

    /// Waits until it goes on.
    pub(crate) async fn thaw(&self) {
        if !self.left().is_zero()
            && let Some(until) = self.until()
        {
            sleep_until(until).await;
        }
    }
}
