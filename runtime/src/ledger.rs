//! Offset accounting of one partition for one stretch of owning it.
//!
//! Records are admitted in the partition's order and settled in any order. What may be committed is the *frontier*:
//! the offset below which everything is settled, with the fold's *mark* there. Reading the frontier forgets nothing;
//! only [`Ledger::committed`] acknowledges, so that a failed commit is tried again by itself.

use crate::record::Offset;
use std::collections::VecDeque;

/// One stretch of owning one partition. Never used twice, so that tickets of a past one are void.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch(pub u64);

/// Proof that a record was admitted. Settling consumes it; it cannot be copied.
#[derive(Debug)]
#[must_use = "an unsettled ticket holds its partition's commit back"]
pub struct Ticket {
    epoch: Epoch,
    seq: u64,
}

impl Ticket {
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// What the ledger keeps of an admitted record until the frontier has passed it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub offset: Offset,
    /// The fold's state behind this record.
    pub mark: i64,
    /// Bytes it holds while unsettled.
    pub bytes: usize,
    /// Milliseconds since 1970-01-01 of its timestamp; 0 if it has none.
    pub at_ms: i64,
}

/// The offset below which all is settled, and the fold's state there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frontier {
    pub offset: Offset,
    pub mark: i64,
}

/// A record came at or below one that was admitted before: the source's order is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset} was read after offset {head}")]
pub struct OutOfOrder {
    pub offset: Offset,
    pub head: Offset,
}

#[derive(Debug)]
pub struct Ledger {
    epoch: Epoch,
    frontier: Frontier,
    committed: Offset,
    /// Offset behind the last admitted record.
    head: Offset,
    /// Sequence number of the first slot.
    base: u64,
    slots: VecDeque<Slot>,
    unsettled: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    settled: bool,
}

impl Ledger {
    /// Starts at the offset and mark of the last commit.
    #[must_use]
    pub fn open(epoch: Epoch, resume: Frontier) -> Self {
        Self {
            epoch,
            frontier: resume,
            committed: resume.offset,
            head: resume.offset,
            base: 0,
            slots: VecDeque::new(),
            unsettled: 0,
            bytes: 0,
        }
    }

    /// Takes a record in. Offsets may have gaps (compaction, transaction markers) but only rise.
    ///
    /// # Errors
    /// [`OutOfOrder`] if the offset lies below the frontier or an admitted record.
    pub fn admit(&mut self, entry: Entry) -> Result<Ticket, OutOfOrder> {
        if entry.offset < self.head {
            return Err(OutOfOrder { offset: entry.offset, head: self.head });
        }
        let seq = self.base + self.slots.len() as u64;
        self.head = entry.offset.next();
        self.unsettled += 1;
        self.bytes += entry.bytes;
        self.slots.push_back(Slot { entry, settled: false });
        Ok(Ticket { epoch: self.epoch, seq })
    }

    /// Gives a ticket back. `false` for a ticket of another epoch, which changes nothing.
    pub fn settle(&mut self, ticket: Ticket) -> bool {
        if ticket.epoch != self.epoch {
            return false;
        }
        let slot = usize::try_from(ticket.seq.saturating_sub(self.base)).ok().and_then(|at| self.slots.get_mut(at));
        let Some(slot) = slot else {
            debug_assert!(false, "a ticket is given back exactly once");
            return false;
        };
        debug_assert!(!slot.settled, "a ticket is given back exactly once");
        slot.settled = true;
        self.unsettled -= 1;
        self.bytes -= slot.entry.bytes;
        while let Some(Slot { entry, settled: true }) = self.slots.front() {
            self.frontier = Frontier { offset: entry.offset.next(), mark: entry.mark };
            self.slots.pop_front();
            self.base += 1;
        }
        true
    }

    #[must_use]
    pub fn frontier(&self) -> Frontier {
        self.frontier
    }

    /// The frontier, if it lies beyond the last acknowledged commit.
    #[must_use]
    pub fn uncommitted(&self) -> Option<Frontier> {
        (self.frontier.offset > self.committed).then_some(self.frontier)
    }

    /// Acknowledges a commit. One that is older than an acknowledged one changes nothing.
    pub fn committed(&mut self, offset: Offset) {
        debug_assert!(offset <= self.frontier.offset, "I7: a commit never lies beyond the frontier");
        self.committed = self.committed.max(offset);
    }

    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Offsets between the frontier and the head.
    #[must_use]
    pub fn span(&self) -> u64 {
        self.head.0.saturating_sub(self.frontier.offset.0).unsigned_abs()
    }

    /// Records admitted and not settled.
    #[must_use]
    pub fn unsettled(&self) -> usize {
        self.unsettled
    }

    /// Bytes of the records admitted and not settled.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Timestamp of the oldest unsettled record, in milliseconds since 1970-01-01.
    #[must_use]
    pub fn oldest_ms(&self) -> Option<i64> {
        self.slots.front().map(|slot| slot.entry.at_ms)
    }
}

#[cfg(test)]
mod tests;
