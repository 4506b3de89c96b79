//! What can go wrong with a cache, and what to do about it.

/// What to do about a failed request. There is no refusal: a `DEL` has nothing to find fault with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may or may not have been done, or could not be tried: again, for ever.
    Ambiguous,
    /// No repetition helps: somebody has to change the configuration, here or there.
    Stop,
}

/// Why entries may still be there. Never holds a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Some, all or none are gone: do it again, for ever. Twice is once.
    #[error("redis did not confirm: {0}")]
    Ambiguous(Box<str>),
    /// No repetition helps: stop and tell somebody.
    #[error("redis will refuse every request until somebody sees to it: {0}")]
    Stop(Box<str>),
}

impl CacheError {
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Ambiguous(_) => Class::Ambiguous,
            Self::Stop(_) => Class::Stop,
        }
    }
}
