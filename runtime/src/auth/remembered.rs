//! Tokens that have counted, so that the next request with one of them need not pay for a signature again.
//!
//! Measured with `RS256`, `ES256` and `EdDSA` in a build for tests on a busy machine: 91, 167 and 123 us from the header
//! to the identity, of which 1 us is the digest that finds a remembered one. A look into the cache of profiles costs
//! less than the difference, and a client sends one token for minutes. So they are remembered: by their digest, until
//! they expire, and only under the very key set that verified them. Each fetch makes a new one, so no token outlives the
//! fetch that finds its key withdrawn, and each is verified anew every ten minutes.

use super::identity::Identity;
use ring::digest::{SHA256, digest};
use std::collections::HashMap;
use std::fmt;
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tokens in each of the two halves; with long scopes one takes half a KiB.
const HALF_LEN_MAX: usize = 2_048;

/// What a token is found by; the token itself is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

/// What a token made of its bearer, and what that hangs on.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) identity: Identity,
    /// The first second in which it does not count, since 1970-01-01.
    pub(super) until_s: i64,
    /// The place of its issuer among all.
    pub(super) issuer: usize,
    /// Of the key set that verified it.
    pub(super) epoch: u64,
}

/// Only tokens that have counted come in, so nobody fills it who cannot get tokens.
#[derive(Default)]
pub(super) struct Remembered(Mutex<Halves>);

/// The young half takes what comes and what is asked for again. When it is full it becomes the old one, and what was
/// in that, and not asked for since, is forgotten.
#[derive(Default)]
struct Halves {
    young: HashMap<Fingerprint, Entry>,
    old: HashMap<Fingerprint, Entry>,
}

impl Fingerprint {
    pub(super) fn of(token: &str) -> Self {
        let mut bytes = [0; 32];
        for (byte, made) in bytes.iter_mut().zip(digest(&SHA256, token.as_bytes()).as_ref()) {
            *byte = *made;
        }
        Self(bytes)
    }
}

impl fmt::Debug for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remembered").finish_non_exhaustive()
    }
}

impl Remembered {
    /// The bearer of that token, if it counts at `now_s` and its issuer's key set, of which `epoch` tells, is still the
    /// same.
    pub(super) fn find(
        &self,
        token: &Fingerprint,
        now_s: i64,
        epoch: impl FnOnce(usize) -> Option<u64>,
    ) -> Option<Identity> {
        let mut halves = self.halves();
        let entry = match halves.young.get(token) {
            Some(entry) => entry.clone(),
            None => halves.old.remove(token)?,
        };
        if entry.until_s <= now_s || epoch(entry.issuer) != Some(entry.epoch) {
            halves.young.remove(token);
            return None;
        }
        let identity = entry.identity.clone();
        halves.put(*token, entry);
        Some(identity)
    }

    pub(super) fn keep(&self, token: Fingerprint, entry: Entry) {
        self.halves().put(token, entry);
    }

    fn halves(&self) -> MutexGuard<'_, Halves> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        let halves = self.halves();
        halves.young.len() + halves.old.len()
    }
}

impl Halves {
    fn put(&mut self, token: Fingerprint, entry: Entry) {
        if self.young.len() >= HALF_LEN_MAX && !self.young.contains_key(&token) {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(token, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(until_s: i64, epoch: u64) -> Entry {
        Entry { identity: Identity::new("acme", "crm", "", None), until_s, issuer: 0, epoch }
    }

    fn finds(remembered: &Remembered, token: &str, now_s: i64, epoch: Option<u64>) -> bool {
        remembered.find(&Fingerprint::of(token), now_s, |_| epoch).is_some()
    }

    #[test]
    fn a_token_is_remembered_until_it_expires() {
        let remembered = Remembered::default();
        remembered.keep(Fingerprint::of("a"), entry(100, 1));
        assert!(finds(&remembered, "a", 99, Some(1)));
        assert!(!finds(&remembered, "b", 99, Some(1)));
        assert!(!finds(&remembered, "a", 100, Some(1)));
        assert!(!finds(&remembered, "a", 99, Some(1)), "once it has expired it is forgotten");
    }

    #[test]
    fn a_token_is_remembered_under_one_key_set_only() {
        for changed in [None, Some(2), Some(0)] {
            let remembered = Remembered::default();
            remembered.keep(Fingerprint::of("a"), entry(100, 1));
            assert!(!finds(&remembered, "a", 0, changed), "{changed:?}");
        }
    }

    #[test]
    fn there_are_never_more_than_two_halves_and_what_is_in_use_stays() {
        let remembered = Remembered::default();
        remembered.keep(Fingerprint::of("in use"), entry(100, 1));
        for number in 0..5 * HALF_LEN_MAX {
            remembered.keep(Fingerprint::of(&number.to_string()), entry(100, 1));
            if number % 100 == 0 {
                assert!(finds(&remembered, "in use", 0, Some(1)), "{number}");
            }
        }
        assert!(remembered.len() <= 2 * HALF_LEN_MAX, "{}", remembered.len());
        assert!(!finds(&remembered, "0", 0, Some(1)));
    }
}
