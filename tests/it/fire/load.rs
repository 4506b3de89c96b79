//! Changes that keep coming.

use schemas::topics;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tests::history::History;
use tests::installation::{Installation, PATH};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Changes of one batch, and the time between two: 200 a second.
const BATCH: usize = 20;
const PAUSE: Duration = Duration::from_millis(100);

/// From so many records before the workers on nothing is added, or a long fault would be paid for in the quiet.
const BACKLOG_MAX: i64 = 4_000;
/// Batches between two looks at that.
const LOOK_EVERY: usize = 20;

/// The one who feeds.
pub(super) struct Load<'h> {
    home: &'h Installation,
    history: Mutex<Option<History>>,
    enough: CancellationToken,
}

impl<'h> Load<'h> {
    pub(super) fn new(home: &'h Installation, history: History) -> Self {
        Self { home, history: Mutex::new(Some(history)), enough: CancellationToken::new() }
    }

    /// Feeds until it is told to stop.
    pub(super) async fn run(&self) {
        let feed = self.home.feed(topics::RAW);
        let Some(mut history) = self.take() else { return };
        for number in 1.. {
            if self.enough.is_cancelled() {
                break;
            }
            feed.insist(&history.next(BATCH, &feed)).await;
            sleep(PAUSE).await;
            if number % LOOK_EVERY == 0 {
                self.wait_for_the_workers().await;
            }
        }
        *self.history.lock().unwrap_or_else(PoisonError::into_inner) = Some(history);
    }

    pub(super) fn stop(&self) {
        self.enough.cancel();
    }

    /// What was fed.
    pub(super) fn into_history(self) -> History {
        self.take().expect("the feeding has ended")
    }

    fn take(&self) -> Option<History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    async fn wait_for_the_workers(&self) {
        while !self.enough.is_cancelled() {
            let mut backlog = 0;
            for (worker, _) in PATH {
                backlog += self.home.lag(worker).await.unwrap_or_default();
            }
            if backlog < BACKLOG_MAX {
                break;
            }
            sleep(PAUSE).await;
        }
    }
}
