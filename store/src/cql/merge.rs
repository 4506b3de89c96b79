//! Changes of one user, merged into the fewest statements that leave the row as all of them would.
//!
//! Walked from the newest change back: a field written by a newer change is dropped from the older ones, and the walk
//! ends at the first upsert or delete, whose row delete covers everything below. **One statement per surviving version,
//! each with its own timestamp**: under one merged timestamp a change that arrives later, with a version in between,
//! would lose against fields it should win (I1).

use schemas::{Change, FieldSet, FieldValue, Op};

/// One write to a user's row, before it is bound: what the CQL binder and [`crate::cql::Model`] both take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statement<'a> {
    /// Deletes every cell of the row written at or below timestamp `at`.
    Erase { at: i64 },
    /// Writes cells at one timestamp.
    Cells(Cells<'a>),
}

/// The cells that one change writes, or what is left of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cells<'a> {
    pub change: &'a Change,
    /// The timestamp of every cell.
    pub at: i64,
    /// The fields to write: those of `change.set` their value, the others null. A field not in here is left alone.
    pub keep: FieldSet,
    /// Whether `tw_version`, `tw_change` and `tw_source` are written.
    pub stamp: bool,
    /// Whether `tw_partition` and `tw_offset` are written: the receipt that readers compare.
    pub receipt: bool,
}

impl<'a> Cells<'a> {
    /// `tw_live`: an upsert writes its version there, whatever newer changes have taken of its fields.
    #[must_use]
    pub fn live(&self) -> Option<i64> {
        (self.change.op == Op::Upsert).then(|| self.change.version.get())
    }

    /// `tw_dead`: a delete leaves a stub with its version.
    #[must_use]
    pub fn dead(&self) -> Option<i64> {
        (self.change.op == Op::Delete).then(|| self.change.version.get())
    }

    /// `tw_partition` and `tw_offset`, if this statement carries them.
    #[must_use]
    pub fn receipt(&self) -> Option<(i32, i64)> {
        self.change.origin.raw().filter(|_| self.receipt)
    }

    /// The value of a kept field, `None` if it is cleared.
    #[must_use]
    pub fn value(&self, field: usize) -> Option<&'a FieldValue> {
        self.change.set.get(field)
    }
}

/// What is left of one change.
#[derive(Clone, Copy)]
struct Survivor<'a>(Cells<'a>);

impl<'a> Survivor<'a> {
    /// Upserts and deletes delete the row at their version first; their own cells stand one above it.
    fn statements(self) -> impl Iterator<Item = Statement<'a>> {
        let erase = (self.0.change.op != Op::Patch).then(|| Statement::Erase { at: self.0.change.version.get() });
        erase.into_iter().chain([Statement::Cells(self.0)])
    }
}

/// The statements that have the effect of all of `changes`, which are of one user and in any order; oldest first.
///
/// Copies of one change count once. Different changes of one version (they can only come from `pinned`) are both kept
/// whole, so that Cassandra decides between them by the same rule as if they had come apart. A change that sets nothing
/// any more is kept where it carries something: an upsert's `tw_live`, the newest stamp, the newest receipt.
#[must_use]
pub fn merge<'a>(changes: &[&'a Change]) -> Vec<Statement<'a>> {
    let ordered = in_order(changes);
    let mut survivors = Vec::with_capacity(ordered.len());
    let (mut taken, mut is_stamped, mut is_receipted) = (FieldSet::EMPTY, false, false);
    for equals in ordered.chunk_by(|a, b| a.version == b.version).rev() {
        let (mut named, mut has_receipt, mut ends) = (FieldSet::EMPTY, false, false);
        for (i, change) in equals.iter().enumerate() {
            if equals.iter().take(i).any(|earlier| earlier == change) {
                continue;
            }
            let keep = change.named().minus(taken);
            let receipt = !is_receipted && change.origin.raw().is_some();
            named = named.union(keep);
            has_receipt |= receipt;
            ends |= change.op != Op::Patch;
            if change.op != Op::Patch || !is_stamped || receipt || !keep.is_empty() {
                let at = change.version.cells();
                survivors.push(Survivor(Cells { change, at, keep, stamp: !is_stamped, receipt }));
            }
        }
        taken = taken.union(named);
        is_stamped = true;
        is_receipted |= has_receipt;
        if ends {
            break;
        }
    }
    survivors.into_iter().rev().flat_map(Survivor::statements).collect()
}

/// Nearly always they come in order already: a lane keeps the order of its keys.
fn in_order<'a>(changes: &[&'a Change]) -> Vec<&'a Change> {
    let mut ordered = changes.to_vec();
    if !ordered.is_sorted_by_key(|change| change.version) {
        ordered.sort_by_key(|change| change.version);
    }
    ordered
}

#[cfg(test)]
mod tests;
