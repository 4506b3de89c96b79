//! The cache, in this process's memory: the same decisions as the scripts make inside Redis, atomic for each key.

use moka::ops::compute::Op;
use runtime::Clock;
use std::fmt;
use store::cache::protocol::{self, Entry, Filled, Get, Leased};
use store::cache::{Answer, Bypass, Cached, Key, Lease, Value};

/// Bytes of entries that are kept; eviction is safe at any time.
const BYTES_MAX: u64 = 32 << 20;

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 128;

/// Clones are the same cache.
#[derive(Clone)]
pub struct Cache {
    entries: moka::sync::Cache<Key, Entry>,
    clock: Clock,
}

impl Cache {
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let weigh = |key: &Key, entry: &Entry| {
            let len = key.as_str().len() + entry.bytes(i64::MIN).map_or(0, <[u8]>::len) + OVERHEAD;
            u32::try_from(len).unwrap_or(u32::MAX)
        };
        Self { entries: moka::sync::Cache::builder().max_capacity(BYTES_MAX).weigher(weigh).build(), clock }
    }

    /// What the cache has to say about a user. Never waits for another reader's fill.
    #[must_use]
    pub fn look_up(&self, key: &Key) -> Answer {
        let now_ms = self.clock.now_ms();
        if let Some(entry) = self.entries.get(key) {
            match entry.get(now_ms) {
                Get::Hit(value) => return Answer::Hit(Cached::from(value)),
                Get::Garbage => {
                    self.delete(key);
                    return Answer::Bypass(Bypass::Garbage);
                }
                Get::Miss => {}
            }
        }
        let lease = Lease::ask(key.clone());
        match self.decide(key, |entry| entry.lease(now_ms, lease.token())) {
            Some(Ok(Leased::Granted)) => Answer::Miss(lease),
            Some(Ok(Leased::Busy)) => Answer::Bypass(Bypass::Busy),
            Some(Ok(Leased::Found(stored))) => match protocol::get(Some(&stored)) {
                Get::Hit(value) => Answer::Hit(Cached::from(value)),
                Get::Garbage | Get::Miss => Answer::Bypass(Bypass::Garbage),
            },
            // The token of a lease has the right length.
            Some(Err(_)) | None => Answer::Bypass(Bypass::Garbage),
        }
    }

    /// Fills with what was read under `lease`. Whether it was accepted makes no difference to the reader's own answer.
    pub fn fill(&self, lease: &Lease, value: &Value<'_>) -> Filled {
        let Some(bytes) = value.encode() else { return Filled::Refused };
        let (now_ms, keep_for) = (self.clock.now_ms(), protocol::keep_for(value, lease.token()));
        let filled = self.decide(lease.key(), |entry| entry.fill(now_ms, lease.token(), &bytes, keep_for));
        filled.and_then(Result::ok).unwrap_or(Filled::Refused)
    }

    /// Takes away whatever is there: the invalidation.
    pub fn delete(&self, key: &Key) {
        // Not `invalidate`, which does not wait for a computation on the key that is under way.
        self.entries.entry_by_ref(key).and_compute_with(|_| Op::Remove);
    }

    /// Puts bytes under a key past the protocol: how a test plants what must not be there.
    #[doc(hidden)]
    pub fn plant(&self, key: Key, entry: Entry) {
        self.entries.insert(key, entry);
    }

    fn decide<T>(&self, key: &Key, decide: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let mut decided = None;
        let now_ms = self.clock.now_ms();
        self.entries.entry_by_ref(key).and_compute_with(|found| {
            let before = found.map(moka::Entry::into_value).unwrap_or_default();
            let mut entry = before.clone();
            decided = Some(decide(&mut entry));
            match () {
                () if entry == before => Op::Nop,
                () if entry.is_absent(now_ms) => Op::Remove,
                () => Op::Put(entry),
            }
        });
        decided
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache(..)")
    }
}
