//! Idempotency keys: what a request with a key was answered, so that its repetition is answered the same and done once.
//!
//! Whoever serves a request [`begin`](Keys::begin)s under its key, does it if he is given the [`Turn`], and
//! [`finish`](Keys::finish)es with his answer. Turns are kept in a Redis of their own ([`RedisKeys`]), which must not
//! forget: the cache's evicts and restarts empty. What is promised, and why, is told in [`protocol`].

mod error;
mod key;
pub mod protocol;
#[cfg(feature = "servers")]
mod redis;
#[cfg(feature = "servers")]
mod retention;
mod turn;

#[cfg(feature = "servers")]
pub use self::redis::RedisKeys;
/// How to reach the Redis that keeps the keys.
#[cfg(feature = "servers")]
pub use crate::cache::Config;
pub use error::KeysError;
pub use key::{BodyDigest, IdempotencyKey, KeyMalformed, Scope};
pub use protocol::{ANSWER_LEN_MAX, Finished, Terms};
#[cfg(feature = "servers")]
pub use retention::{Fsync, Retention};
pub use turn::{Begun, Turn};

use std::future::Future;

/// Who keeps what was answered. Each key is decided on by itself, atomically, whoever asks from wherever.
pub trait Keys: Send + Sync {
    /// Asks for the turn to do what `key` stands for, with a body of that digest.
    ///
    /// Dropping the future may leave a turn that nobody has: the key is then in flight for a lease.
    ///
    /// # Errors
    /// Nobody knows whether the key is taken: do not do it. It is free again after a lease at most.
    fn begin(&self, key: &IdempotencyKey, body: &BodyDigest) -> impl Future<Output = Result<Begun, KeysError>> + Send;

    /// Keeps `answer` for whoever repeats the request; one longer than [`ANSWER_LEN_MAX`] as [`Begun::Done`] alone.
    ///
    /// # Errors
    /// Nobody knows whether it is kept; if it is not, the request may be done once more after the lease.
    fn finish(&self, turn: Turn, answer: &[u8]) -> impl Future<Output = Result<Finished, KeysError>> + Send;

    /// Gives the turn back because nothing was done: the key is free at once. If somebody else has it, it stays his.
    ///
    /// # Errors
    /// Nobody knows whether it is free; if it is not, it is after the lease.
    fn abandon(&self, turn: Turn) -> impl Future<Output = Result<(), KeysError>> + Send;
}
