//! The place of a change in history, and the fold that gives it (`docs/architecture.md`, "Version").

use std::fmt;

/// Where a change's place in history came from; the two bits above the phase bit of a [`Version`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Rows of the old system, below the floor.
    Backfill = 0,
    /// A source that brings its own history.
    SourcePinned = 1,
    /// Given by `validate` as the change passed.
    Live = 2,
    /// Erasure of a user.
    Erasure = 3,
}

/// The place of a change in history: microseconds on the wall clock's scale, with `lane << 1` in the low three bits.
///
/// The lowest bit is the *phase*, and always 0 here: Cassandra writes of one change use the version (deletions) and
/// the version with the phase bit set (cells), see [`Version::cells`]. Always positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(i64);

const LOW_BITS: i64 = 7;
const PHASE: i64 = 1;

impl Version {
    /// Versions of one partition are at least this far apart, so that the low bits are free for lane and phase.
    pub const STEP: i64 = 8;

    /// The earliest live version there can be.
    pub const FIRST: Self = Self(Self::STEP | (Lane::Live as i64) << 1);

    /// `None` if `raw` is not positive or has the phase bit set.
    #[must_use]
    pub fn new(raw: i64) -> Option<Self> {
        (raw > 0 && raw & PHASE == 0).then_some(Self(raw))
    }

    /// The version of a place in a lane; the low bits of `place` are dropped.
    #[must_use]
    pub fn at(place: i64, lane: Lane) -> Option<Self> {
        Self::new(place & !LOW_BITS | (lane as i64) << 1)
    }

    /// The number on the wire, in rows and in headers; also the timestamp of the deletions of this change.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }

    /// The timestamp of the cells this change writes: above its own deletions, below everything of the next version.
    #[must_use]
    pub fn cells(self) -> i64 {
        self.0 | PHASE
    }

    /// The place alone, without lane and phase: what the fold gave.
    #[must_use]
    pub fn place(self) -> i64 {
        self.0 & !LOW_BITS
    }

    /// Milliseconds since 1970-01-01 that the place stands for.
    #[must_use]
    pub fn millis(self) -> i64 {
        self.0 / 1000
    }

    #[must_use]
    pub fn lane(self) -> Lane {
        match self.0 >> 1 & 3 {
            0 => Lane::Backfill,
            1 => Lane::SourcePinned,
            2 => Lane::Live,
            _ => Lane::Erasure,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One step of the fold over a raw partition: the place of the next record.
///
/// `previous` is the place of the record before (the *mark*), `append_ms` the broker's append time in milliseconds.
/// Unique and increasing by at least [`Version::STEP`], near the broker's clock, the same on every reading.
#[must_use]
pub fn next_place(previous: i64, append_ms: i64) -> i64 {
    let clock = append_ms.saturating_mul(1000) & !LOW_BITS;
    previous.saturating_add(Version::STEP).max(clock)
}

#[cfg(test)]
mod tests;
