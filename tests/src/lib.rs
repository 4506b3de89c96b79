//! What tests on real servers are built from: the servers, installations of the product on them, its processes, and
//! histories to feed them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, and so does what it is built from"
)]

pub mod collector;
pub mod feed;
pub mod history;
pub mod installation;
pub mod process;
pub mod relay;
pub mod stack;
pub mod work;
pub mod zipf;

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks at something that is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What `look` finds, looking again and again; panics with `what` if it found nothing `within` that time.
pub async fn until<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(since.elapsed() < within, "{} s were not enough for: {what}", within.as_secs());
        sleep(LOOK_AGAIN).await;
    }
}
