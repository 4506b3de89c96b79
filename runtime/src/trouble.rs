//! Which lanes are stuck on a fault, for `/ready` and the log.

use crate::fault::Cause;
use crate::ledger::Epoch;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::{Duration, Instant};
use tracing::{info, warn};

/// Lanes that are trying again, and why. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Troubles(Arc<Mutex<BTreeMap<(Epoch, usize), Trouble>>>);

#[derive(Debug)]
struct Trouble {
    since: Instant,
    told: bool,
    text: String,
}

/// A fault that lasts shorter is a hiccup: it is neither logged nor shown.
const HICCUP: Duration = Duration::from_secs(1);

impl Troubles {
    pub(crate) fn report(&self, epoch: Epoch, lane: usize, cause: &Cause) {
        let mut lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = lanes.entry((epoch, lane)).or_insert_with(|| Trouble {
            since: Instant::now(),
            told: false,
            text: String::new(),
        });
        trouble.text = cause.to_string();
        if !trouble.told && trouble.since.elapsed() >= HICCUP {
            trouble.told = true;
            warn!(lane, error = %crate::logs::chain(cause), "a lane waits and tries again");
        }
    }

    pub(crate) fn clear(&self, epoch: Epoch, lane: usize) {
        let removed = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(epoch, lane));
        if removed.is_some_and(|trouble| trouble.told) {
            info!(lane, "a lane goes on");
        }
    }

    /// The text of the trouble that has lasted longest, if one has lasted beyond a hiccup.
    #[must_use]
    pub fn oldest(&self) -> Option<String> {
        let lanes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lanes
            .values()
            .filter(|trouble| trouble.since.elapsed() >= HICCUP)
            .min_by_key(|trouble| trouble.since)
            .map(|trouble| trouble.text.clone())
    }
}
