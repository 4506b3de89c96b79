//! How many writes may be out to a store at once: a number that follows how the store answers ([`Bounds`]).
//!
//! A permit is taken before the write and given back with how it ended; the time in between is what is measured, so that
//! waiting for a permit never counts as the store's.

mod control;

pub use control::{Bounds, Outcome};

use crate::telemetry::{Gauge, Telemetry};
use control::Control;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

/// The permits of one store.
#[derive(Debug)]
pub struct Permits {
    semaphore: Semaphore,
    state: Mutex<State>,
    shown: Gauge,
}

#[derive(Debug)]
struct State {
    control: Control,
    /// How many there are, out or not; the limit, once it is brought in line.
    there: usize,
    /// How many that are out are taken away when they come back.
    owed: usize,
}

/// The metric of how many permits there are for `store`.
#[must_use]
pub fn gauge(telemetry: &Telemetry, store: &'static str) -> Gauge {
    let about = "How many writes may be out to a store at once, as its answers have it.";
    telemetry.gauges("permits", about, [vec![("store", store)]]).pop().unwrap_or_default()
}

impl Permits {
    /// `shown` says how many there are.
    #[must_use]
    pub fn new(bounds: Bounds, shown: Gauge) -> Self {
        let control = Control::new(bounds, Instant::now());
        let there = control.limit();
        shown.set(i64::try_from(there).unwrap_or(i64::MAX));
        let state = Mutex::new(State { control, there, owed: 0 });
        Self { semaphore: Semaphore::new(there), state, shown }
    }

    /// Waits until one more write may be out. First come, first served.
    pub async fn acquire(&self) -> Permit<'_> {
        let permit = match self.semaphore.try_acquire() {
            Ok(permit) => Some(permit),
            Err(_) => {
                self.state().control.full();
                // It is never closed; if it were, writing without a permit would be the lesser evil.
                self.semaphore.acquire().await.ok()
            }
        };
        Permit { permits: self, permit, begun: Instant::now() }
    }

    /// How many writes may be out at present.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.state().there
    }

    fn ended(&self, begun: Instant, outcome: Outcome) {
        let mut state = self.state();
        state.control.ended(begun, outcome, Instant::now());
        let limit = state.control.limit();
        if limit == state.there {
            return;
        }
        if limit > state.there {
            let more = limit - state.there;
            let forgiven = more.min(state.owed);
            state.owed -= forgiven;
            self.semaphore.add_permits(more - forgiven);
        } else {
            let fewer = state.there - limit;
            state.owed += fewer - self.semaphore.forget_permits(fewer);
        }
        state.there = limit;
        self.shown.set(i64::try_from(limit).unwrap_or(i64::MAX));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to have one write out. Dropped without a word of how that ended, as a write that is given up, it says nothing
/// of the store.
#[derive(Debug)]
#[must_use = "a write is out as long as its permit is held"]
pub struct Permit<'p> {
    permits: &'p Permits,
    permit: Option<SemaphorePermit<'p>>,
    begun: Instant,
}

impl Permit<'_> {
    /// The write is not out any more.
    pub fn ended(self, outcome: Outcome) {
        self.permits.ended(self.begun, outcome);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        let mut state = self.permits.state();
        if state.owed > 0 {
            state.owed -= 1;
            permit.forget();
        }
    }
}

#[cfg(test)]
mod tests;
