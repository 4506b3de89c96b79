//! One replica's rows: cells with their timestamps, row deletions, and a purge that forgets tombstones by their age.
//!
//! Reconciled by Cassandra's rules: a deletion covers what is at or below its timestamp, the larger timestamp wins, and
//! on a tie a tombstone, else the larger bytes. [`store::cql::Model`] says the same and is held against a real server;
//! a test holds this to it.

use crate::plan::Place;
use schemas::{FieldSet, FieldValue, Row, Version};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use store::cql::{Cells, ProfileRow, Statement};
use uuid::Uuid;

/// Columns behind the fields.
const LIVE: usize = 100;
const DEAD: usize = 101;
const VERSION: usize = 102;
const CHANGE: usize = 103;
const SOURCE: usize = 104;
pub(crate) const PARTITION: usize = 105;
pub(crate) const OFFSET: usize = 106;

/// A row, or what a mutation does to one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Partial {
    erased: Option<Tombstone>,
    cells: BTreeMap<usize, Cell>,
    /// What it has taken; no replica knows this, the checks do.
    pub(crate) places: BTreeSet<Place>,
    /// Whether a tombstone of it was ever forgotten.
    pub(crate) is_purged: bool,
}

#[derive(Clone, Copy, Debug)]
struct Tombstone {
    at: i64,
    /// When it was written, by the coordinator's clock.
    made_ms: i64,
}

#[derive(Clone, Debug)]
struct Cell {
    at: i64,
    /// `None` is a tombstone.
    value: Option<FieldValue>,
    made_ms: i64,
}

impl Cell {
    /// Whether it stays where `other` comes.
    fn beats(&self, other: &Self) -> bool {
        match (self.at.cmp(&other.at), &self.value, &other.value) {
            (Ordering::Greater, _, _) => true,
            (Ordering::Less, _, _) => false,
            (Ordering::Equal, None, None) => self.made_ms >= other.made_ms,
            (Ordering::Equal, None, Some(_)) => true,
            (Ordering::Equal, Some(_), None) => false,
            (Ordering::Equal, Some(own), Some(theirs)) => bytes(own) >= bytes(theirs),
        }
    }
}

/// As Cassandra compares two values of one column.
fn bytes(value: &FieldValue) -> Vec<u8> {
    match value {
        FieldValue::Bool(flag) => vec![u8::from(*flag)],
        FieldValue::Int(number) => number.to_be_bytes().into(),
        FieldValue::Long(number) => number.to_be_bytes().into(),
        FieldValue::Float(number) => number.to_be_bytes().into(),
        FieldValue::Double(number) => number.to_be_bytes().into(),
        // The bytes of a UUID order as its hyphenated text does.
        FieldValue::Text(text) => text.as_bytes().to_vec(),
        FieldValue::Bytes(bytes) => bytes.clone(),
    }
}

impl Partial {
    /// What statements do together, made at `made_ms`.
    pub(crate) fn of(statements: &[Statement<'_>], made_ms: i64) -> Self {
        let mut all = Self::default();
        for statement in statements {
            match statement {
                Statement::Erase { at } => all.erase(Tombstone { at: *at, made_ms }),
                Statement::Cells(cells) => all.write(cells, made_ms),
            }
        }
        all
    }

    fn write(&mut self, cells: &Cells<'_>, made_ms: i64) {
        let at = cells.at;
        for field in cells.keep.iter() {
            self.put(field, Cell { at, value: cells.value(field).cloned(), made_ms });
        }
        for (column, version) in [(LIVE, cells.live()), (DEAD, cells.dead())] {
            if let Some(version) = version {
                self.put(column, Cell { at, value: Some(FieldValue::Long(version)), made_ms });
            }
        }
        if cells.stamp {
            let change = cells.change;
            let id = FieldValue::Text(change.id.hyphenated().to_string());
            self.put(VERSION, Cell { at, value: Some(FieldValue::Long(change.version.get())), made_ms });
            self.put(CHANGE, Cell { at, value: Some(id), made_ms });
            self.put(SOURCE, Cell { at, value: change.source.clone().map(FieldValue::Text), made_ms });
        }
        if let Some(receipt) = cells.receipt() {
            self.receive(receipt, at, made_ms);
        }
    }

    /// Writes the receipt that readers compare.
    pub(crate) fn receive(&mut self, (partition, offset): (i32, i64), at: i64, made_ms: i64) {
        self.put(PARTITION, Cell { at, value: Some(FieldValue::Int(partition)), made_ms });
        self.put(OFFSET, Cell { at, value: Some(FieldValue::Long(offset)), made_ms });
    }

    fn put(&mut self, column: usize, cell: Cell) {
        match self.cells.get(&column) {
            Some(there) if there.beats(&cell) => {}
            _ => {
                self.cells.insert(column, cell);
            }
        }
    }

    fn erase(&mut self, tombstone: Tombstone) {
        match self.erased {
            Some(there) if (there.at, there.made_ms) >= (tombstone.at, tombstone.made_ms) => {}
            _ => self.erased = Some(tombstone),
        }
    }

    /// Takes in what another replica or a mutation has.
    pub(crate) fn absorb(&mut self, other: &Self) {
        if let Some(tombstone) = other.erased {
            self.erase(tombstone);
        }
        for (column, cell) in &other.cells {
            self.put(*column, cell.clone());
        }
        self.places.extend(&other.places);
        self.is_purged |= other.is_purged;
    }

    fn is_covered(&self, cell: &Cell) -> bool {
        self.erased.is_some_and(|erased| cell.at <= erased.at)
    }

    /// Compacts: drops what is covered, and forgets the tombstones that were made before `before_ms`.
    pub(crate) fn compact(&mut self, before_ms: i64) {
        let mut cells = std::mem::take(&mut self.cells);
        let len = cells.len();
        cells.retain(|_, cell| !self.is_covered(cell));
        let kept = cells.len();
        cells.retain(|_, cell| cell.value.is_some() || cell.made_ms >= before_ms);
        let forgets = self.erased.is_some_and(|erased| erased.made_ms < before_ms);
        self.is_purged |= forgets || cells.len() < kept;
        debug_assert!(kept <= len, "compaction adds nothing");
        if forgets {
            self.erased = None;
        }
        self.cells = cells;
    }

    /// The cells that a reader sees.
    pub(crate) fn visible(&self) -> BTreeMap<usize, FieldValue> {
        let seen = self.cells.iter().filter(|(_, cell)| !self.is_covered(cell));
        seen.filter_map(|(column, cell)| Some((*column, cell.value.clone()?))).collect()
    }

    /// What a reader makes of them.
    pub(crate) fn read(&self) -> ProfileRow {
        let mut cells = self.visible();
        let mut long = |column| match cells.remove(&column) {
            Some(FieldValue::Long(number)) => Some(number),
            _ => None,
        };
        let (live, dead, version, offset) = (long(LIVE), long(DEAD), long(VERSION), long(OFFSET));
        let mut text = |column| match cells.remove(&column) {
            Some(FieldValue::Text(text)) => Some(text),
            _ => None,
        };
        let (change, source) = (text(CHANGE), text(SOURCE));
        let partition = match cells.remove(&PARTITION) {
            Some(FieldValue::Int(partition)) => Some(partition),
            _ => None,
        };
        let mut row = Row::default();
        for (field, value) in cells.into_iter().filter(|(field, _)| *field < FieldSet::CAPACITY) {
            row.set(field, value);
        }
        ProfileRow {
            row,
            live: live.and_then(Version::new),
            dead: dead.and_then(Version::new),
            version: version.and_then(Version::new),
            change: change.and_then(|text| Uuid::try_parse(&text).ok()),
            source,
            partition,
            offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;
    use crate::plan::PROFILE;
    use schemas::{Change, Op, Origin, Tenant, UserId};
    use store::cql::{Model, merge};

    fn change(dice: &Dice) -> Change {
        let op = *dice.pick(&[Op::Upsert, Op::Patch, Op::Patch, Op::Delete]);
        let version = Version::new(8 * i64::try_from(dice.between(1, 5)).unwrap()).unwrap();
        let (mut set, mut unset) = (Row::default(), FieldSet::EMPTY);
        for field in ["name", "email"].map(|name| PROFILE.position(name).unwrap()) {
            match dice.roll(3) {
                0 if op != Op::Delete => set.set(field, FieldValue::Text(format!("v{}", dice.roll(4)))),
                1 if op == Op::Patch => unset.insert(field),
                _ => {}
            }
        }
        let topic = if dice.one_in(3) { schemas::topics::PINNED } else { schemas::topics::RAW };
        Change {
            id: Uuid::from_u128(dice.roll(1_000).into()),
            tenant: Tenant::default(),
            user_id: UserId::new("ada").unwrap(),
            op,
            set,
            unset,
            occurred_at: None,
            source: None,
            version,
            origin: Origin::new(topic, 1, version.get()).unwrap(),
        }
    }

    #[test]
    fn a_replica_decides_as_the_model_that_is_held_against_a_real_server() {
        for seed in 0..2_000 {
            let dice = Dice::new(seed);
            let (mut model, mut row) = (Model::new(&PROFILE), Partial::default());
            for at in 0..dice.between(1, 6) {
                let changes: Vec<Change> = (0..dice.between(1, 3)).map(|_| change(&dice)).collect();
                let statements = merge(&changes.iter().collect::<Vec<_>>());
                statements.iter().for_each(|statement| model.apply(statement));
                row.absorb(&Partial::of(&statements, i64::try_from(at).unwrap()));
                if dice.one_in(8) {
                    model.purge();
                    row.compact(i64::MAX);
                }
                assert_eq!(row.read(), model.read(), "SEED={seed}");
            }
        }
    }
}
