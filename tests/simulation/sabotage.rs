//! The errors of `docs/guarantees.md` that the checks must find, each planted in a wrapper around the product's parts.

/// One error, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    None,
    /// I1: cells at v instead of v|1.
    CellsAtVersion,
    /// I1: all statements of a merge under its newest timestamp.
    OneTimestamp,
    /// I1: an upsert without its row delete.
    NoErase,
    /// I2: places from the clock of the worker.
    MarkFromClock,
    /// I2: commits without the fold's state.
    MarkDropped,
    /// I2: commits with the state behind the newest record instead of behind the frontier.
    MarkOfHead,
    /// I4: null for every field that a change does not name.
    NullForAbsent,
    /// I5: changes of any age are written.
    NoTooOld,
    /// I5: tombstones are purged at once, while the sink believes in the table's gc_grace.
    GcGraceZero,
    /// I6: versions of any future are written.
    NoFutureCheck,
    /// I6: what the world does to a record is held against the record.
    FaultAsRejection,
    /// I7: what was read is committed.
    CommitOnDispatch,
    /// I8: a time-out counts as a refusal.
    SwapClasses,
    /// I8: a refused merge takes all its changes along.
    RejectWholeMerge,
    /// I16: one lane for all keys.
    SharedLanes,
    /// I16: a partition that has no room stops all.
    GlobalPark,
    /// I16: one byte budget for all partitions.
    OneByteBudget,
    /// I17: partitions are handed on while their work is out.
    NoDrainOnRevoke,
}

impl Sabotage {
    /// Those that random schedules must find.
    pub(crate) const OF_SCHEDULES: [Self; 14] = [
        Self::CellsAtVersion,
        Self::OneTimestamp,
        Self::NoErase,
        Self::MarkFromClock,
        Self::MarkDropped,
        Self::MarkOfHead,
        Self::NullForAbsent,
        Self::NoTooOld,
        Self::GcGraceZero,
        Self::NoFutureCheck,
        Self::FaultAsRejection,
        Self::CommitOnDispatch,
        Self::SwapClasses,
        Self::RejectWholeMerge,
    ];
}
