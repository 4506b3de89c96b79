//! Who reads which row, and who waits for it.
//!
//! A key is there as long as one task works on it; under it are those who board: readers for whom a read has yet to begin.

use super::{Error, Seen};
use crate::cache::{Key, Lease};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// How far a read is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// It has not begun, and may be joined.
    Boarding,
    Reading,
    Landed(Result<Seen, Error>),
}

#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<HashMap<Key, Option<Boarding>>>);

/// A read that has not begun.
#[derive(Debug)]
struct Boarding {
    stage: Arc<watch::Sender<Stage>>,
    /// Rights to fill, all of them given before the read begins. Mostly one: a lease that is out keeps others from another.
    leases: Vec<Lease>,
}

/// Gives a key up if its task ends in any other way than by [`Held::release`], so that the next reader starts another.
pub(super) struct Held<'f> {
    flights: &'f Flights,
    key: Key,
    is_released: bool,
}

impl Flights {
    /// Joins the read of a key that has not begun. Whether nobody works on the key: then the caller has to see to it.
    pub(super) fn board(&self, key: &Key, lease: Option<Lease>) -> (watch::Receiver<Stage>, bool) {
        let mut keys = self.keys();
        let (next, is_first) = match keys.entry(key.clone()) {
            Entry::Occupied(entry) => (entry.into_mut(), false),
            Entry::Vacant(entry) => (entry.insert(None), true),
        };
        let boarding = next
            .get_or_insert_with(|| Boarding { stage: Arc::new(watch::Sender::new(Stage::Boarding)), leases: vec![] });
        boarding.leases.extend(lease);
        (boarding.stage.subscribe(), is_first)
    }

    /// The task's claim on a key.
    pub(super) fn hold(&self, key: &Key) -> Held<'_> {
        Held { flights: self, key: key.clone(), is_released: false }
    }

    /// What readers board; `None` if there are none (any more), and then the key is given up.
    pub(super) fn boarding(&self, key: &Key) -> Option<Arc<watch::Sender<Stage>>> {
        let mut keys = self.keys();
        if let Some(Some(boarding)) = keys.get(key)
            && boarding.stage.receiver_count() > 0
        {
            return Some(Arc::clone(&boarding.stage));
        }
        keys.remove(key);
        None
    }

    /// Closes what readers board.
    pub(super) fn depart(&self, key: &Key) -> Option<(Arc<watch::Sender<Stage>>, Vec<Lease>)> {
        let Boarding { stage, leases } = self.keys().get_mut(key)?.take()?;
        Some((stage, leases))
    }

    /// Keys that a task works on.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.keys().len()
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<Key, Option<Boarding>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held<'_> {
    /// The key was given up: it may be another's already.
    pub(super) fn release(mut self) {
        self.is_released = true;
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if !self.is_released {
            self.flights.keys().remove(&self.key);
        }
    }
}
