//! What a change would do to a row, cell by cell, as Cassandra's last-writer-wins decides it.

use schemas::{Change, Op, Profile, RejectCode, Version};
use store::cql::VersionedRow;

/// Counts of cells are those of fields that producers name; derived ones follow theirs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Cells {
    /// Would have another value, or none, afterwards.
    pub(super) changed: u64,
    /// Keep what something newer wrote or erased.
    pub(super) superseded: u64,
    /// Empty by now, and the user has something newer: if that has cleared the cell, it stays empty.
    pub(super) unsure: u64,
}

/// What would become of one letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Forecast {
    /// Cells would change, or the user would come to be or cease to be.
    Changes(Cells),
    /// All of it is older than what is there.
    Superseded(Cells),
    /// It is there already.
    Same,
    /// `validate` would refuse it once more.
    Rejected(RejectCode),
}

impl Forecast {
    /// Of `change` over `row`, the row of its user.
    pub(super) fn over(profile: &Profile, change: &Change, row: Option<&VersionedRow>) -> Self {
        let nothing = VersionedRow::default();
        let row = row.unwrap_or(&nothing);
        let erased = row.row.live.max(row.row.dead);
        let is_erased = erased.is_some_and(|erased| erased > change.version);
        let mut cells = Cells::default();
        for (field, about) in profile.fields().iter().enumerate() {
            if about.derived.is_none() {
                cells.add(change, row, field, is_erased);
            }
        }
        let is_changed = cells.changed + cells.unsure > 0 || becomes_another(change, row, is_erased);
        match (is_changed, cells.superseded > 0 || is_erased) {
            (true, _) => Self::Changes(cells),
            (false, true) => Self::Superseded(cells),
            (false, false) => Self::Same,
        }
    }

    pub(super) fn cells(self) -> Cells {
        match self {
            Self::Changes(cells) | Self::Superseded(cells) => cells,
            Self::Same | Self::Rejected(_) => Cells::default(),
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Changes(_) => "changes",
            Self::Superseded(_) => "superseded",
            Self::Same => "same",
            Self::Rejected(_) => "refused",
        }
    }

    /// The same for people, of several letters.
    pub(super) fn sentence(self) -> &'static str {
        match self {
            Self::Changes(_) => "of them would change something",
            Self::Superseded(_) => "of them are superseded: what they touch is newer already",
            Self::Same => "of them are there already",
            Self::Rejected(_) => "of them would be refused again",
        }
    }
}

impl Cells {
    fn add(&mut self, change: &Change, row: &VersionedRow, field: usize, is_erased: bool) {
        let (wanted, present) = (change.set.get(field), row.row.row.get(field));
        let is_touched = change.named().contains(field) || change.op != Op::Patch;
        if !is_touched || wanted.is_none() && present.is_none() {
            return;
        }
        let is_newer = |written: Version| written > change.version;
        match row.version_of(field) {
            Some(written) if is_newer(written) => self.superseded += 1,
            _ if is_erased => self.superseded += 1,
            Some(_) if wanted == present => {}
            // Only another change of the same version, which an edit can make: the cells decide by their bytes.
            Some(written) if written == change.version => self.unsure += 1,
            Some(_) => self.changed += 1,
            None if row.row.version.is_some_and(is_newer) => self.unsure += 1,
            None => self.changed += 1,
        }
    }
}

/// Whether the user would come to be, or cease to be.
fn becomes_another(change: &Change, row: &VersionedRow, is_erased: bool) -> bool {
    let is_alive = row.row.alive();
    match change.op {
        _ if is_erased => false,
        Op::Upsert => !is_alive && row.row.dead.is_none_or(|dead| dead < change.version),
        Op::Delete => is_alive || row.row.version.is_none(),
        Op::Patch => row.row.version.is_none(),
    }
}

#[cfg(test)]
mod tests;
