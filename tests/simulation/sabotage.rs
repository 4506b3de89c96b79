//! The errors of the design that the checks must find, each planted in a wrapper around the product's parts.

use crate::promise::Promise;

/// One error, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    CellsAtVersion,
    OneTimestamp,
    NoErase,
    MarkFromClock,
    MarkDropped,
    MarkOfHead,
    NoClamp,
    NullForAbsent,
    NoTooOld,
    GcGraceZero,
    NoFutureCheck,
    FaultAsRejection,
    CommitOnDispatch,
    SwapClasses,
    RejectWholeMerge,
    RejectWholeRun,
    DelAndSet,
    CounterTokens,
    SkipIfNewer,
    FillWithoutToken,
    InvalidateFirst,
    PinnedOwnOffset,
    GarbageAsHit,
    UnboundedQueue,
    SharedLanes,
    GlobalPark,
    OneByteBudget,
    NoDrainOnRevoke,
}

/// The schedules in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arena {
    /// Random ones.
    Anything,
    StuckUser,
    Backlog,
    Scale,
}

impl Sabotage {
    pub(crate) const ALL: [Self; 28] = [
        Self::CellsAtVersion,
        Self::OneTimestamp,
        Self::NoErase,
        Self::MarkFromClock,
        Self::MarkDropped,
        Self::MarkOfHead,
        Self::NoClamp,
        Self::NullForAbsent,
        Self::NoTooOld,
        Self::GcGraceZero,
        Self::NoFutureCheck,
        Self::FaultAsRejection,
        Self::CommitOnDispatch,
        Self::SwapClasses,
        Self::RejectWholeMerge,
        Self::RejectWholeRun,
        Self::DelAndSet,
        Self::CounterTokens,
        Self::SkipIfNewer,
        Self::FillWithoutToken,
        Self::InvalidateFirst,
        Self::PinnedOwnOffset,
        Self::GarbageAsHit,
        Self::UnboundedQueue,
        Self::SharedLanes,
        Self::GlobalPark,
        Self::OneByteBudget,
        Self::NoDrainOnRevoke,
    ];

    /// What is done wrong.
    pub(crate) fn says(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::CellsAtVersion => "cells at v instead of v|1",
            Self::OneTimestamp => "all statements of a merge under its newest timestamp",
            Self::NoErase => "an upsert without its row delete",
            Self::MarkFromClock => "places from the clock of the worker",
            Self::MarkDropped => "commits without the fold's state",
            Self::MarkOfHead => "commits with the state behind the newest record instead of behind the frontier",
            Self::NoClamp => "backfill is not clamped below the floor, nor checked",
            Self::NullForAbsent => "null for every field that a change does not name",
            Self::NoTooOld => "changes of any age are written",
            Self::GcGraceZero => "tombstones are purged at once, while the sink believes in the table's gc_grace",
            Self::NoFutureCheck => "versions of any future are written",
            Self::FaultAsRejection => "what the world does to a record is held against the record",
            Self::CommitOnDispatch => "what was read is committed",
            Self::SwapClasses => "a time-out counts as a refusal",
            Self::RejectWholeMerge => "a refused merge takes all its changes along",
            Self::RejectWholeRun => "a refused request takes all its users along",
            Self::DelAndSet => "a plain DEL and a plain SET, without a lease",
            Self::CounterTokens => "tokens are counted in the entry",
            Self::SkipIfNewer => "an entry of a newer version is not deleted",
            Self::FillWithoutToken => "a fill does not ask whose lease it is",
            Self::InvalidateFirst => "invalidate, then write",
            Self::PinnedOwnOffset => "a pinned change writes its own offset as the receipt",
            Self::GarbageAsHit => "what cannot be parsed is an answer",
            Self::UnboundedQueue => "queues without bounds",
            Self::SharedLanes => "one lane for all keys",
            Self::GlobalPark => "a partition that has no room stops all",
            Self::OneByteBudget => "one byte budget for all partitions",
            Self::NoDrainOnRevoke => "partitions are handed on while their work is out",
        }
    }

    /// The promise whose check must find it.
    pub(crate) fn breaks(self) -> Promise {
        match self {
            Self::None | Self::CellsAtVersion | Self::OneTimestamp | Self::NoErase => Promise::Convergence,
            Self::MarkFromClock | Self::MarkDropped | Self::MarkOfHead => Promise::LogOrder,
            Self::NoClamp => Promise::BackfillLoses,
            Self::NullForAbsent => Promise::PatchTouchesItsFields,
            Self::NoTooOld | Self::GcGraceZero => Promise::NoZombie,
            Self::NoFutureCheck | Self::FaultAsRejection => Promise::NoFuture,
            Self::CommitOnDispatch => Promise::CommittedMeansKept,
            Self::SwapClasses | Self::RejectWholeMerge | Self::RejectWholeRun => Promise::AmbiguityIsRetried,
            Self::DelAndSet
            | Self::CounterTokens
            | Self::SkipIfNewer
            | Self::FillWithoutToken
            | Self::InvalidateFirst => Promise::NoStaleHit,
            Self::PinnedOwnOffset => Promise::ReadYourWrites,
            Self::GarbageAsHit => Promise::GarbageIsNoAnswer,
            Self::UnboundedQueue => Promise::BoundedMemory,
            Self::SharedLanes | Self::GlobalPark | Self::OneByteBudget => Promise::StuckAlone,
            Self::NoDrainOnRevoke => Promise::ScaleSteps,
        }
    }

    /// Where it is looked for.
    pub(crate) fn arena(self) -> Arena {
        match self.breaks() {
            Promise::StuckAlone => Arena::StuckUser,
            Promise::BoundedMemory => Arena::Backlog,
            Promise::ScaleSteps => Arena::Scale,
            _ => Arena::Anything,
        }
    }
}
