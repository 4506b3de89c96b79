//! One row as Cassandra would keep it, in memory: what the merge is proved against, and the table of simulated worlds.

use super::column::{Columns, Encoding};
use super::merge::{Cells, Statement};
use super::row::ProfileRow;
use schemas::{FieldSet, FieldValue, Profile, Row, Version};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use uuid::Uuid;

/// A row deletion and cells, reconciled by Cassandra's rules: a deletion covers what is at or below its timestamp, the
/// larger timestamp wins, and on a tie a tombstone, else the larger bytes.
#[derive(Clone, Debug)]
pub struct Model {
    columns: Columns,
    erased_at: i64,
    cells: BTreeMap<Name, Cell>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Name {
    Field(usize),
    Live,
    Dead,
    Version,
    Change,
    Source,
    Partition,
    Offset,
}

#[derive(Clone, Debug)]
struct Cell {
    at: i64,
    /// `None` is a tombstone.
    value: Option<FieldValue>,
}

impl Model {
    /// The row of a user of whom nothing was ever written.
    #[must_use]
    pub fn new(profile: &Profile) -> Self {
        Self::with(Columns::of(profile))
    }

    fn with(columns: Columns) -> Self {
        Self { columns, erased_at: i64::MIN, cells: BTreeMap::new() }
    }

    /// Applies one statement.
    pub fn apply(&mut self, statement: &Statement<'_>) {
        match statement {
            Statement::Erase { at } => self.erased_at = self.erased_at.max(*at),
            Statement::Cells(cells) => self.write(cells),
        }
    }

    fn write(&mut self, cells: &Cells<'_>) {
        for field in cells.keep.iter() {
            self.put(Name::Field(field), cells.at, cells.value(field).cloned());
        }
        for (name, version) in [(Name::Live, cells.live()), (Name::Dead, cells.dead())] {
            if let Some(version) = version {
                self.put(name, cells.at, Some(FieldValue::Long(version)));
            }
        }
        if cells.stamp {
            let change = cells.change;
            self.put(Name::Version, cells.at, Some(FieldValue::Long(change.version.get())));
            self.put(Name::Change, cells.at, Some(FieldValue::Text(change.id.hyphenated().to_string())));
            self.put(Name::Source, cells.at, change.source.clone().map(FieldValue::Text));
        }
        if let Some((partition, offset)) = cells.receipt() {
            self.put(Name::Partition, cells.at, Some(FieldValue::Int(partition)));
            self.put(Name::Offset, cells.at, Some(FieldValue::Long(offset)));
        }
    }

    fn put(&mut self, name: Name, at: i64, value: Option<FieldValue>) {
        let encoding = self.encoding(name);
        let bytes = |value: &FieldValue| encoding.encode(value, <[u8]>::to_vec).ok();
        match self.cells.entry(name) {
            Entry::Vacant(free) => {
                free.insert(Cell { at, value });
            }
            Entry::Occupied(mut there) => {
                let old = there.get();
                let wins = match (at.cmp(&old.at), &value, &old.value) {
                    (std::cmp::Ordering::Less, _, _) | (std::cmp::Ordering::Equal, _, None) => false,
                    (std::cmp::Ordering::Greater, _, _) | (std::cmp::Ordering::Equal, None, _) => true,
                    (std::cmp::Ordering::Equal, Some(new), Some(old)) => bytes(new) > bytes(old),
                };
                if wins {
                    there.insert(Cell { at, value });
                }
            }
        }
    }

    fn encoding(&self, name: Name) -> Encoding {
        match name {
            Name::Field(field) => self.columns.encoding(field).unwrap_or(Encoding::Blob),
            Name::Live | Name::Dead | Name::Version | Name::Offset => Encoding::BigInt,
            Name::Change => Encoding::Uuid,
            Name::Source => Encoding::Text,
            Name::Partition => Encoding::Int,
        }
    }

    /// Forgets tombstones and what they cover, as a compaction after gc_grace does.
    pub fn purge(&mut self) {
        let erased_at = self.erased_at;
        self.cells.retain(|_, cell| cell.at > erased_at && cell.value.is_some());
        self.erased_at = i64::MIN;
    }

    /// What a reader sees.
    #[must_use]
    pub fn read(&self) -> ProfileRow {
        let value =
            |name| self.cells.get(&name).filter(|cell| cell.at > self.erased_at).and_then(|cell| cell.value.clone());
        let long = |name| match value(name) {
            Some(FieldValue::Long(number)) => Some(number),
            _ => None,
        };
        let text = |name| match value(name) {
            Some(FieldValue::Text(text)) => Some(text),
            _ => None,
        };
        let mut row = Row::with_width(self.columns.iter().count());
        for field in (0..FieldSet::CAPACITY).filter(|field| self.columns.encoding(*field).is_some()) {
            if let Some(value) = value(Name::Field(field)) {
                row.set(field, value);
            }
        }
        ProfileRow {
            row,
            live: long(Name::Live).and_then(Version::new),
            dead: long(Name::Dead).and_then(Version::new),
            version: long(Name::Version).and_then(Version::new),
            change: text(Name::Change).and_then(|text| Uuid::try_parse(&text).ok()),
            source: text(Name::Source),
            partition: match value(Name::Partition) {
                Some(FieldValue::Int(partition)) => Some(partition),
                _ => None,
            },
            offset: long(Name::Offset),
        }
    }
}

#[cfg(test)]
pub(super) mod sample {
    //! Changes and columns for the unit tests of this module's neighbours.

    use super::*;
    use schemas::{Change, Op, Origin, Tenant, UserId};

    pub(crate) fn columns() -> Columns {
        Columns::from([
            ("name", Encoding::Text),
            ("email", Encoding::Text),
            ("visits", Encoding::BigInt),
            ("avatar", Encoding::Blob),
        ])
    }

    pub(crate) fn model() -> Model {
        Model::with(columns())
    }

    /// A change of raw origin that names nothing yet.
    pub(crate) fn change(op: Op, version: i64) -> Change {
        Change {
            id: Uuid::from_u128(u128::from(version.unsigned_abs())),
            tenant: Tenant::default(),
            user_id: UserId::new("ada").unwrap(),
            op,
            set: Row::default(),
            unset: FieldSet::EMPTY,
            occurred_at: None,
            source: None,
            version: Version::new(version).unwrap(),
            origin: Origin::new(schemas::origin::RAW, 3, version).unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{change, model};
    use super::*;
    use crate::cql::merge;
    use schemas::Op;

    #[test]
    fn a_deletion_covers_what_has_its_own_timestamp() {
        let mut upsert = change(Op::Upsert, 8);
        upsert.set.set(0, FieldValue::Text("Ada".into()));
        let [Statement::Erase { at }, Statement::Cells(cells)] = merge(&[&upsert])[..] else {
            panic!("an upsert is a row delete and an insert");
        };
        assert_eq!((at, cells.at), (8, 9));
        let mut row = model();
        row.apply(&Statement::Cells(Cells { at: 8, ..cells }));
        assert!(row.read().alive());
        row.apply(&Statement::Erase { at: 8 });
        assert!(!row.read().alive());
    }

    #[test]
    fn on_a_tie_a_tombstone_wins_and_else_the_larger_bytes() {
        let texts = [Some("a"), Some("b"), None];
        let winner = |first: Option<&str>, second: Option<&str>| {
            let mut row = model();
            for text in [first, second] {
                row.put(Name::Field(0), 9, text.map(|text| FieldValue::Text(text.into())));
            }
            row.read().row.get(0).cloned()
        };
        for first in texts {
            for second in texts {
                assert_eq!(winner(first, second), winner(second, first), "{first:?} {second:?}");
            }
        }
        assert_eq!(winner(Some("a"), Some("b")), Some(FieldValue::Text("b".into())));
        assert_eq!(winner(Some("b"), None), None);
    }

    #[test]
    fn once_its_tombstones_are_purged_an_old_change_brings_a_user_back() {
        let (mut old, gone) = (change(Op::Upsert, 8), change(Op::Delete, 16));
        old.set.set(0, FieldValue::Text("Ada".into()));
        let mut row = model();
        for statement in merge(&[&gone]).iter().chain(&merge(&[&old])) {
            row.apply(statement);
        }
        assert_eq!(row.read().row.get(0), None, "a late change loses against the tombstone");
        row.purge();
        for statement in &merge(&[&old]) {
            row.apply(statement);
        }
        assert!(row.read().row.get(0).is_some(), "which is why changes older than gc_grace are rejected");
    }
}
