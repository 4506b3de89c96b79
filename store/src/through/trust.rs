//! Whether the cache is worth asking: one that is away costs every reader its timeout.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// So many faults in a row, and the cache is left alone.
const FAULTS: u32 = 3;

/// For so long; then one reader tries.
const ALONE: Duration = Duration::from_secs(1);

/// What the last answers of the cache were like. Whoever does not ask it fills nothing, so that any rule here is sound.
#[derive(Debug, Default)]
pub(super) struct Trust(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row.
    faults: u32,
    /// When the next reader may ask, if the cache is left alone.
    again: Option<Instant>,
}

impl Trust {
    /// Whether this reader asks.
    pub(super) fn may_ask(&self) -> bool {
        let mut state = self.state();
        let now = Instant::now();
        match state.again {
            None => true,
            Some(again) if now < again => false,
            Some(_) => {
                // This one tries. If it leaves before it knows, another does.
                state.again = Some(now + ALONE);
                true
            }
        }
    }

    /// How a reader that asked fared.
    pub(super) fn heard(&self, is_well: bool) {
        let mut state = self.state();
        if is_well {
            *state = State::default();
            return;
        }
        state.faults = state.faults.saturating_add(1);
        if state.faults >= FAULTS {
            state.again = Some(Instant::now() + ALONE);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
