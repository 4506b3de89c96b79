//! A user's row as bytes: cells with the timestamps that decide between them, by the rules that Cassandra has.
//!
//! ```text
//! row   = 1 u8 | erased at i64 | erased when u32 | group …
//! group = at i64 | count u8 | cell …                        cells of one timestamp
//! cell  = column u8 | length u8 | bytes                     up to 253 of them
//!       | column u8 | 254 | length u32 | bytes
//!       | column u8 | 255 | when u32                        a tombstone
//! ```
//!
//! Little-endian; `when` is in seconds since 1970-01-01 of the clock of whoever wrote it, from which its age is counted.
//! A deletion covers what is at or below its timestamp; the larger timestamp wins, and on a tie a tombstone, else the larger
//! bytes. So rows are merged by taking the winner of each cell, in any order and any number of times.

use std::borrow::Cow;

/// Begins every row; another form gets another number.
const FORM: u8 = 1;
const LONG: u8 = 254;
const TOMBSTONE: u8 = 255;
const SHORT_MAX: usize = 253;

/// The columns that are ours, above those of fields.
pub(crate) const LIVE: u8 = 240;
pub(crate) const DEAD: u8 = 241;
pub(crate) const VERSION: u8 = 242;
pub(crate) const CHANGE: u8 = 243;
pub(crate) const SOURCE: u8 = 244;
pub(crate) const PARTITION: u8 = 245;
pub(crate) const OFFSET: u8 = 246;

/// The first number that no field has.
pub(crate) const FIELDS_MAX: u8 = LIVE;

/// Nothing was ever deleted.
const NEVER: i64 = i64::MIN;

/// Cells of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cells<'b> {
    erased_at: i64,
    /// Seconds since 1970-01-01.
    erased_when: u32,
    cells: Vec<Cell<'b>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell<'b> {
    pub(crate) column: u8,
    pub(crate) at: i64,
    pub(crate) content: Content<'b>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content<'b> {
    Bytes(Cow<'b, [u8]>),
    /// Since when, in seconds since 1970-01-01. Ordered above bytes: on a tie it wins.
    Tombstone(u32),
}

impl Content<'_> {
    pub(crate) fn number(number: i64) -> Self {
        Self::Bytes(number.to_be_bytes().to_vec().into())
    }
}

impl Default for Cells<'_> {
    fn default() -> Self {
        Self { erased_at: NEVER, erased_when: 0, cells: Vec::new() }
    }
}

impl<'b> Cells<'b> {
    /// `None` for what [`Self::encode`] cannot have made.
    pub(crate) fn decode(bytes: &'b [u8]) -> Option<Self> {
        let mut rest = Rest(bytes);
        let [FORM] = rest.take::<1>()? else { return None };
        let erased_at = i64::from_le_bytes(rest.take()?);
        let erased_when = u32::from_le_bytes(rest.take()?);
        let mut cells = Vec::with_capacity(24);
        while !rest.0.is_empty() {
            let at = i64::from_le_bytes(rest.take()?);
            let [count] = rest.take::<1>()?;
            for _ in 0..count {
                let [column, len] = rest.take::<2>()?;
                let content = match len {
                    TOMBSTONE => Content::Tombstone(u32::from_le_bytes(rest.take()?)),
                    LONG => {
                        let len = u32::from_le_bytes(rest.take()?);
                        Content::Bytes(rest.bytes(usize::try_from(len).ok()?)?.into())
                    }
                    short => Content::Bytes(rest.bytes(short.into())?.into()),
                };
                cells.push(Cell { column, at, content });
            }
        }
        Some(Self { erased_at, erased_when, cells })
    }

    pub(crate) fn encode(mut self) -> Vec<u8> {
        self.cells.sort_unstable_by_key(|cell| (cell.at, cell.column));
        let mut bytes = Vec::with_capacity(64 + 24 * self.cells.len());
        bytes.push(FORM);
        bytes.extend_from_slice(&self.erased_at.to_le_bytes());
        bytes.extend_from_slice(&self.erased_when.to_le_bytes());
        for group in self.cells.chunk_by(|a, b| a.at == b.at) {
            let Some(first) = group.first() else { continue };
            bytes.extend_from_slice(&first.at.to_le_bytes());
            // There are fewer columns than a byte can count.
            bytes.push(u8::try_from(group.len()).unwrap_or(u8::MAX));
            for cell in group {
                bytes.push(cell.column);
                match &cell.content {
                    Content::Tombstone(when) => {
                        bytes.push(TOMBSTONE);
                        bytes.extend_from_slice(&when.to_le_bytes());
                    }
                    Content::Bytes(content) => {
                        match u8::try_from(content.len()) {
                            Ok(len) if usize::from(len) <= SHORT_MAX => bytes.push(len),
                            Ok(_) | Err(_) => {
                                bytes.push(LONG);
                                let len = u32::try_from(content.len()).unwrap_or(u32::MAX);
                                bytes.extend_from_slice(&len.to_le_bytes());
                            }
                        }
                        bytes.extend_from_slice(content);
                    }
                }
            }
        }
        bytes
    }

    /// Deletes what is at or below `at`.
    pub(crate) fn erase(&mut self, at: i64, now: u32) {
        if at > self.erased_at {
            (self.erased_at, self.erased_when) = (at, now);
            self.cells.retain(|cell| cell.at > at);
        } else if at == self.erased_at {
            self.erased_when = self.erased_when.max(now);
        }
    }

    /// Writes one cell, if it is not covered and wins over the one that is there.
    pub(crate) fn put(&mut self, new: Cell<'b>) {
        if new.at <= self.erased_at {
            return;
        }
        match self.cells.iter_mut().find(|cell| cell.column == new.column) {
            None => self.cells.push(new),
            Some(old) if (new.at, &new.content) > (old.at, &old.content) => *old = new,
            Some(_) => {}
        }
    }

    /// Forgets deletions that were written before `before`, in seconds since 1970-01-01: what they cover can come no more.
    pub(crate) fn purge(&mut self, before: u32) {
        if self.erased_when < before {
            (self.erased_at, self.erased_when) = (NEVER, 0);
        }
        self.cells.retain(|cell| !matches!(cell.content, Content::Tombstone(when) if when < before));
    }

    /// What is in a column, and the timestamp of it.
    pub(crate) fn get(&self, column: u8) -> Option<(&[u8], i64)> {
        let cell = self.cells.iter().find(|cell| cell.column == column)?;
        match &cell.content {
            Content::Bytes(bytes) => Some((bytes, cell.at)),
            Content::Tombstone(_) => None,
        }
    }
}

struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn bytes(&mut self, len: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn content() -> impl Strategy<Value = Content<'static>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| Content::Bytes(bytes.into())),
            any::<u32>().prop_map(Content::Tombstone),
        ]
    }

    fn writes() -> impl Strategy<Value = Vec<(u8, i64, Option<Content<'static>>)>> {
        proptest::collection::vec((0..6_u8, 0..6_i64, proptest::option::of(content())), 0..20)
    }

    fn applied(writes: &[(u8, i64, Option<Content<'static>>)]) -> Cells<'static> {
        let mut row = Cells::default();
        for (column, at, content) in writes {
            match content {
                Some(content) => row.put(Cell { column: *column, at: *at, content: content.clone() }),
                None => row.erase(*at, 7),
            }
        }
        row.cells.sort_by_key(|cell| (cell.at, cell.column));
        row
    }

    proptest! {
        #[test]
        fn a_row_comes_back_as_it_was(writes in writes()) {
            let row = applied(&writes);
            let bytes = row.clone().encode();
            prop_assert_eq!(Cells::decode(&bytes), Some(row));
        }

        #[test]
        fn order_and_repetition_change_nothing(writes in writes(), seed in any::<u64>()) {
            let mut shuffled = writes.clone();
            for at in 1..shuffled.len() {
                let other = usize::try_from(seed.rotate_left(u32::try_from(at).unwrap()) % (at as u64 + 1)).unwrap();
                shuffled.swap(at, other);
            }
            shuffled.extend_from_slice(&writes);
            prop_assert_eq!(applied(&shuffled), applied(&writes));
        }

        #[test]
        fn garbage_is_no_row_or_reads_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(row) = Cells::decode(&bytes) {
                let _any = row.encode();
            }
        }
    }

    #[test]
    fn a_deletion_is_forgotten_by_the_time_it_was_written_not_by_its_timestamp() {
        let mut row = Cells::default();
        row.erase(8, 1_000);
        row.put(Cell { column: 0, at: 9, content: Content::Tombstone(1_000) });
        row.purge(1_000);
        row.put(Cell { column: 1, at: 8, content: Content::Bytes(b"late".as_slice().into()) });
        assert_eq!(row.get(1), None, "still covered");
        row.purge(1_001);
        row.put(Cell { column: 1, at: 8, content: Content::Bytes(b"late".as_slice().into()) });
        assert_eq!(row.get(1), Some((&b"late"[..], 8)));
    }
}
