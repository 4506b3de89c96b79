//! Idempotency keys in the directory: the same decisions as the scripts make inside Redis, atomic for each key.
//!
//! A turn is handed to the system when it is given: a killed process leaves it out for its lease. An answer is on disk
//! before [`Keys::finish`] returns, under [`Durability::Soon`] too, which lets records be acknowledged before: whoever is
//! told that an answer is kept would not ask twice. Many that finish together wait for one sync.

use crate::Error;
use crate::log::Durability;
use crate::sink::beside;
use crate::table::Table;
use runtime::Clock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use store::keys::protocol::{Entry, Foreign};
use store::keys::{Begun, BodyDigest, Finished, IdempotencyKey, Keys, KeysError, Terms, Turn};

/// Clones are the same keeper.
#[derive(Clone, Debug)]
pub struct TableKeys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    table: Table,
    clock: Clock,
    durability: Durability,
    terms: Terms,
    /// Answers that were written, counted after each.
    written: AtomicU64,
    /// How many of them are on disk. Held while the disk is waited for.
    synced: Mutex<u64>,
}

impl TableKeys {
    #[must_use]
    pub fn new(table: Table, clock: Clock, durability: Durability) -> Self {
        Self::with_terms(table, clock, durability, Terms::default())
    }

    /// The same with other times.
    #[must_use]
    pub fn with_terms(table: Table, clock: Clock, durability: Durability, terms: Terms) -> Self {
        let (written, synced) = (AtomicU64::new(0), Mutex::new(0));
        Self(Arc::new(Shared { table, clock, durability, terms, written, synced }))
    }

    /// Removes what is over; blocks. How many entries and moments it met.
    ///
    /// # Errors
    /// If the store does not take it.
    pub fn sweep(&self) -> Result<usize, Error> {
        let now_ms = self.0.clock.now_ms();
        let mut met = 0;
        loop {
            match self.0.table.sweep(now_ms)? {
                0 => return Ok(met),
                page => met += page,
            }
        }
    }
}

impl Shared {
    fn decide<T>(
        &self,
        turn: &Turn,
        decide: impl FnOnce(&mut Entry, i64) -> Result<T, Foreign>,
    ) -> Result<T, KeysError> {
        // Asked with the key in hand: a lease never ends for one before it has begun for another.
        let decided = self.table.decide(turn.key().as_bytes(), |entry| decide(entry, self.clock.now_ms()));
        decided.map_err(fault)?.map_err(|Foreign| KeysError::Foreign)
    }

    fn finish(&self, turn: &Turn, answer: &[u8]) -> Result<Finished, KeysError> {
        let mine = (turn.token(), &turn.body().0);
        let keep_for = self.terms.keep_for;
        let finished = self.decide(turn, |entry, now_ms| entry.finish(now_ms, mine, answer, keep_for))?;
        match self.durability {
            Durability::Always | Durability::Soon if finished == Finished::Kept => self.sync().map_err(fault)?,
            Durability::Always | Durability::Soon | Durability::System => {}
        }
        Ok(finished)
    }

    /// Returns when what was written before is on disk, by whichever sync.
    fn sync(&self) -> Result<(), Error> {
        let mine = self.written.fetch_add(1, Ordering::SeqCst) + 1;
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        if *synced < mine {
            // Whoever is counted by now has written before.
            let written = self.written.load(Ordering::SeqCst);
            self.table.sync()?;
            *synced = written;
        }
        Ok(())
    }
}

impl Keys for TableKeys {
    async fn begin(&self, key: &IdempotencyKey, body: &BodyDigest) -> Result<Begun, KeysError> {
        let turn = Turn::ask(key, body);
        let lease = self.0.terms.lease;
        let began =
            beside(|| self.0.decide(&turn, |entry, now_ms| entry.begin(now_ms, turn.token(), &turn.body().0, lease)))?;
        Ok(turn.told(began))
    }

    async fn finish(&self, turn: Turn, answer: &[u8]) -> Result<Finished, KeysError> {
        let (shared, answer) = (self.0.clone(), answer.to_vec());
        // On a thread of its own, whatever becomes of whoever waits: many wait together for one sync.
        let finished = tokio::task::spawn_blocking(move || shared.finish(&turn, &answer)).await;
        finished.unwrap_or_else(|_| Err(fault(Error::Closed)))
    }

    async fn abandon(&self, turn: Turn) -> Result<(), KeysError> {
        beside(|| self.0.decide(&turn, |entry, now_ms| entry.abandon(now_ms, turn.token())))?;
        Ok(())
    }
}

/// An error of the store names its folder, and nothing that is in it.
fn fault(error: Error) -> KeysError {
    let reason = error.to_string().into();
    if matches!(error, Error::Full { .. }) { KeysError::Unavailable(reason) } else { KeysError::Refused(reason) }
}

#[cfg(test)]
mod tests;
