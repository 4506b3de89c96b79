//! Entries of idempotency keys, in the tree of the profiles.
//!
//! Beside each entry lies the moment from which it may go, so that whoever sweeps meets nothing else. Releases before this
//! one never come to these keys, and open the store as it is.

use super::Table;
use crate::Error;
use fjall::{PersistMode, UserKey};
use std::iter::once;
use store::keys::protocol::{DIGEST_LEN, Entry};

/// First bytes of keys, beside those of the table.
const KEPT: u8 = 3;
const DUE: u8 = 4;

/// Entries that are swept at once, while others may be held up.
const PAGE: usize = 256;

impl Table {
    /// Decides on the entry of a key, which nobody else can do meanwhile, and hands what was written to the system; blocks.
    ///
    /// # Errors
    /// If the store does not take it; the entry is as before then.
    pub(crate) fn decide<T>(
        &self,
        digest: &[u8; DIGEST_LEN],
        decide: impl FnOnce(&mut Entry) -> T,
    ) -> Result<T, Error> {
        let key = kept_key(digest);
        let _mine = self.hold(once(&*key));
        let found = self.0.tree.get(&key).map_err(|source| self.failed(source))?;
        let before = found.map_or(Entry::Absent, |bytes| Entry::Bytes(bytes.to_vec()));
        let mut after = before.clone();
        let decided = decide(&mut after);
        if after == before {
            return Ok(decided);
        }
        let mut batch = self.0.database.batch().durability(Some(PersistMode::Buffer));
        let (was_due, due) = (before.until_ms(), after.until_ms());
        if let Some(was_due) = was_due.filter(|_| was_due != due) {
            batch.remove(&self.0.tree, due_key(was_due, digest));
        }
        if let Some(due) = due {
            batch.insert(&self.0.tree, due_key(due, digest), []);
        }
        match after {
            Entry::Bytes(bytes) => batch.insert(&self.0.tree, key, bytes),
            // There is only bytes here.
            Entry::Absent | Entry::Foreign => batch.remove(&self.0.tree, key),
        }
        batch.commit().map_err(|source| self.failed(source))?;
        Ok(decided)
    }

    /// Removes entries that are over at `now_ms`, the first ones first; blocks. How many it met: zero, if none is left.
    ///
    /// # Errors
    /// If the store does not answer, or does not take it.
    pub(crate) fn sweep(&self, now_ms: i64) -> Result<usize, Error> {
        let mut over = Vec::with_capacity(PAGE);
        // What is over *at* this moment is, too.
        for found in self.0.tree.range(vec![DUE]..due_key(now_ms.saturating_add(1), &[0; DIGEST_LEN])).take(PAGE) {
            over.push(found.key().map_err(|source| self.failed(source))?);
        }
        let digests: Vec<_> = over.iter().filter_map(digest_of).collect();
        let keys: Vec<_> = digests.iter().map(kept_key).collect();
        let _mine = self.hold(keys.iter().map(Vec::as_slice));
        let mut batch = self.0.database.batch().durability(Some(PersistMode::Buffer));
        for key in keys {
            let found = self.0.tree.get(&key).map_err(|source| self.failed(source))?;
            let entry = found.map_or(Entry::Absent, |bytes| Entry::Bytes(bytes.to_vec()));
            // It may have been begun anew since it was met.
            if entry.until_ms().is_some_and(|until_ms| until_ms <= now_ms) {
                batch.remove(&self.0.tree, key);
            }
        }
        let met = over.len();
        for due in over {
            batch.remove(&self.0.tree, due);
        }
        batch.commit().map_err(|source| self.failed(source))?;
        Ok(met)
    }

    /// Entries and moments that are there.
    #[cfg(test)]
    pub(crate) fn kept_count(&self) -> (usize, usize) {
        let count = |tag| self.0.tree.prefix([tag]).count();
        (count(KEPT), count(DUE))
    }

    /// Puts bytes under a key past the protocol.
    #[cfg(test)]
    pub(crate) fn plant(&self, digest: &[u8; DIGEST_LEN], bytes: &[u8]) {
        self.0.tree.insert(kept_key(digest), bytes).unwrap();
    }
}

fn kept_key(digest: &[u8; DIGEST_LEN]) -> Vec<u8> {
    [&[KEPT][..], digest].concat()
}

/// Sorts by the moment.
fn due_key(until_ms: i64, digest: &[u8; DIGEST_LEN]) -> Vec<u8> {
    [&[DUE][..], &until_ms.max(0).to_be_bytes(), digest].concat()
}

fn digest_of(due: &UserKey) -> Option<[u8; DIGEST_LEN]> {
    due.last_chunk().copied()
}
