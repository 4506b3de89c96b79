//! What can be asked of a log from outside: which offsets it holds, and what a group has committed of them.

/// The offsets a partition holds: `low` is its first record's, `high` the one its next record will get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    pub partition: i32,
    pub low: i64,
    pub high: i64,
}

/// Offsets `from` (included) to `to` (excluded) of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

/// What a group has committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub partition: i32,
    /// The next offset to be read.
    pub offset: i64,
    /// What the group wrote beside it; empty if nothing.
    pub metadata: String,
}
