//! The promises of `docs/guarantees.md` that a run is held against, by their numbers.

use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    Convergence,
    LogOrder,
    BackfillLoses,
    PatchTouchesItsFields,
    NoZombie,
    NoFuture,
    CommittedMeansKept,
    AmbiguityIsRetried,
    NoStaleHit,
    ReadYourWrites,
    GarbageIsNoAnswer,
    BoundedMemory,
    StuckAlone,
    ScaleSteps,
}

impl Promise {
    /// As the design numbers it.
    pub(crate) fn number(self) -> &'static str {
        match self {
            Self::Convergence => "I1",
            Self::LogOrder => "I2",
            Self::BackfillLoses => "I3",
            Self::PatchTouchesItsFields => "I4",
            Self::NoZombie => "I5",
            Self::NoFuture => "I6",
            Self::CommittedMeansKept => "I7",
            Self::AmbiguityIsRetried => "I8",
            Self::NoStaleHit => "I9",
            Self::ReadYourWrites => "I12",
            Self::GarbageIsNoAnswer => "I13",
            Self::BoundedMemory => "I15",
            Self::StuckAlone => "I16",
            Self::ScaleSteps => "I17",
        }
    }
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.number())
    }
}

/// A promise that a run broke, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.promise, self.what)
    }
}
