//! What a look-up in a cache answers, whoever keeps the cache.

use super::error::CacheError;
use super::key::Key;
use super::protocol::TOKEN_LEN;
use super::value::Value;
use schemas::Version;
use uuid::Uuid;

/// What a reader has to go on with.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The profile; it has every change that was settled when it was looked up.
    Hit(Cached),
    /// Read the row, beginning now, and fill with it.
    Miss(Lease),
    /// Read the row, and leave the cache alone.
    Bypass(Bypass),
}

/// Why the cache has no part in a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bypass {
    /// Another reader is about to fill.
    Busy,
    /// What is there nobody of ours has written. It has been deleted, which never harms.
    Garbage,
    /// Redis is away, slow or refuses.
    Fault(CacheError),
}

/// A value as it came out of the cache; see [`Value`].
#[derive(Clone, PartialEq, Eq)]
pub struct Cached {
    pub version: Version,
    pub receipt: Option<(i32, i64)>,
    pub payload: String,
}

/// The right to fill one entry with one read of the row, if that began after it was given.
#[derive(PartialEq, Eq)]
#[must_use = "until a lease is used or runs out, nobody else fills the entry"]
pub struct Lease {
    key: Key,
    token: [u8; TOKEN_LEN],
}

impl Lease {
    /// What is asked for with a token that nobody else has. It is a right once the cache has granted it, not before.
    pub fn ask(key: Key) -> Self {
        Self { key, token: Uuid::new_v4().into_bytes() }
    }

    /// Of the entry to be filled.
    #[must_use]
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// What lies under the key while it is out.
    #[must_use]
    pub fn token(&self) -> &[u8; TOKEN_LEN] {
        &self.token
    }
}

impl From<Value<'_>> for Cached {
    fn from(value: Value<'_>) -> Self {
        Self { version: value.version, receipt: value.receipt, payload: value.payload.to_owned() }
    }
}

/// Shows the version alone: the payload is user data.
impl std::fmt::Debug for Cached {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cached").field("version", &self.version).finish_non_exhaustive()
    }
}

/// Never the token: who has it may fill.
impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lease(..)")
    }
}
