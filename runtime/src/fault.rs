//! What a step of the pipeline says of one record: a verdict, or a fault.
//!
//! A verdict releases the record's offset, a fault never does. Verdicts speak of the data, faults of the world.

use std::error::Error;
use std::fmt;

pub type BoxError = Box<dyn Error + Send + Sync>;

/// What became of one record. Every verdict releases its offset.
#[derive(Debug)]
#[must_use]
pub enum Verdict<T> {
    Forward(T),
    Reject(Rejection),
}

/// The data is wrong: the record goes to the dead letters with these facts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Stable kebab-case name.
    pub code: &'static str,
    /// One constant sentence for the code.
    pub reason: &'static str,
    /// The field to blame; ASCII.
    pub field: Option<Box<str>>,
    /// What the stage knows of the record by now, as headers of its dead letter; ASCII values.
    pub facts: Vec<(&'static str, String)>,
}

/// Why no verdict was reached. A fault never releases an offset.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Heals by itself or by an operator's hand elsewhere: tried again for ever, and the partition waits.
    #[error("{0}")]
    Transient(#[source] Cause),
    /// Trying again cannot help: the process ends with this exit code.
    #[error("{cause}")]
    Fatal { exit: Exit, cause: Cause },
}

/// How a process ends (`docs/operations`, "Exit codes").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Usage or configuration: a person must change something.
    Config,
    /// A component failed: a restart may help.
    Component,
    /// The drain ran out of time: the rest is done elsewhere.
    DrainRanOut,
}

/// What went wrong, in words without user data, with the error underneath in the source chain.
#[derive(Debug)]
pub struct Cause {
    text: Box<str>,
    source: Option<BoxError>,
}

impl Cause {
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self { text: text.into(), source: None }
    }

    #[must_use]
    pub fn with(text: impl Into<Box<str>>, source: impl Into<BoxError>) -> Self {
        Self { text: text.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl Fault {
    #[must_use]
    pub fn transient(text: impl Into<Box<str>>) -> Self {
        Self::Transient(Cause::new(text))
    }

    /// A person must change something before a restart can help (exit 64).
    #[must_use]
    pub fn config(text: impl Into<Box<str>>) -> Self {
        Self::Fatal { exit: Exit::Config, cause: Cause::new(text) }
    }

    /// The process cannot go on, a new one may (exit 70).
    #[must_use]
    pub fn component(text: impl Into<Box<str>>, source: impl Into<BoxError>) -> Self {
        Self::Fatal { exit: Exit::Component, cause: Cause::with(text, source) }
    }
}
