//! What can go wrong with the keeper of keys.

#[cfg(feature = "servers")]
use crate::cache::CacheError;

/// Why nobody knows what became of a request to the keeper. Never holds a key or an answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// It is away, slow or full: it passes, and a later request may go through.
    #[error("the keeper of idempotency keys did not confirm: {0}")]
    Unavailable(Box<str>),
    /// No repetition helps until somebody has seen to it.
    #[error("the keeper of idempotency keys will refuse every request until somebody sees to it: {0}")]
    Refused(Box<str>),
    /// Under this key lies what no release of ours up to this one has written. It is left alone: it may be a newer one's.
    #[error("what is kept under an idempotency key is not of this release")]
    Foreign,
}

#[cfg(feature = "servers")]
impl From<CacheError> for KeysError {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::Ambiguous(reason) => Self::Unavailable(reason),
            CacheError::Stop(reason) => Self::Refused(reason),
        }
    }
}
