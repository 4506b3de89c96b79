//! What time it is: the wall clock, or one that a test owns.

use std::time::{Duration, UNIX_EPOCH};
use tokio::time::Instant;

/// Tells the wall time. Everything that compares with a record's time asks the clock it was given, so that the
/// simulation owns time.
#[derive(Clone, Debug)]
pub struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System,
    Fixed { start_ms: i64, since: Instant },
}

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// A clock that shows `start_ms` (milliseconds since 1970-01-01) now and goes with tokio's time: it stands while
    /// that is paused.
    #[must_use]
    pub fn fixed(start_ms: i64) -> Self {
        Self(Kind::Fixed { start_ms, since: Instant::now() })
    }

    /// Milliseconds since 1970-01-01 UTC; negative before that. May step back when the machine's clock does.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        match &self.0 {
            Kind::System => system_ms(),
            Kind::Fixed { start_ms, since } => start_ms.saturating_add(millis(since.elapsed())),
        }
    }
}

#[allow(clippy::disallowed_methods, reason = "the one place that asks the machine; everyone else is given a Clock")]
fn system_ms() -> i64 {
    match std::time::SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => millis(before.duration()).saturating_neg(),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fixed_clock_goes_with_paused_time() {
        let clock = Clock::fixed(1_000);
        assert_eq!(clock.now_ms(), 1_000);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(clock.clone().now_ms(), 1_250);
    }

    #[test]
    fn the_system_clock_shows_this_century() {
        let now_ms = Clock::system().now_ms();
        assert!((1_767_225_600_000..4_102_444_800_000).contains(&now_ms), "{now_ms}");
    }
}
