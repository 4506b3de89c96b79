//! Which field is in which column of a row, for good: a field that is added gets the next number, whatever its place in the
//! profile.

use super::row::{self, Cell, Cells, Content};
use crate::Error;
use schemas::{FieldValue, Profile, Row, Version};
use serde_json::Value;
use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;
use store::cql::{Columns, Encoding, ProfileRow, Statement, VersionedRow};
use uuid::Uuid;

/// How rows are written and read. Clones are the same shape.
#[derive(Clone, Debug)]
pub struct Shape {
    /// By field position: its column, and how its values are stored.
    fields: Arc<[(u8, Encoding)]>,
    /// As it is kept: name and type of each column, by number.
    text: Arc<str>,
}

impl Shape {
    /// Adds the fields of `profile` to the columns that are `known`. The second is the text to be kept, if it is a new one.
    pub(super) fn reconcile(
        dir: &Path,
        profile: &Profile,
        known: Option<&[u8]>,
    ) -> Result<(Self, Option<String>), Error> {
        let drift = |what: String| Error::Drift { path: dir.to_owned(), what };
        let mut columns = match known {
            None => Vec::new(),
            Some(text) => {
                Self::columns_of(text).ok_or_else(|| drift("its list of columns does not read".to_owned()))?
            }
        };
        let before = columns.len();
        let mut fields = Vec::new();
        for column in Columns::of(profile).iter() {
            let (name, encoding) = (&*column.name, column.encoding);
            let at = match columns.iter().position(|(there, _)| there == name) {
                Some(at) => at,
                None => {
                    columns.push((name.to_owned(), encoding.cql().to_owned()));
                    columns.len() - 1
                }
            };
            if let Some((_, cql)) = columns.get(at).filter(|(_, cql)| cql != encoding.cql()) {
                return Err(drift(format!("field {name} is {cql} there and {} here", encoding.cql())));
            }
            let number = u8::try_from(at).ok().filter(|number| *number < row::FIELDS_MAX);
            fields.push((number.ok_or_else(|| drift("it has had too many fields".to_owned()))?, encoding));
        }
        let text = Value::from(columns.iter().map(|(name, cql)| Value::from([&**name, cql])).collect::<Vec<_>>());
        let text = text.to_string();
        let shape = Self { fields: fields.into(), text: text.as_str().into() };
        Ok((shape, (columns.len() != before).then_some(text)))
    }

    /// The shape that another process has told of; `None` if it is not one for `profile`.
    pub(crate) fn told(profile: &Profile, text: &str) -> Option<Self> {
        let (shape, new) = Self::reconcile(Path::new(""), profile, Some(text.as_bytes())).ok()?;
        new.is_none().then_some(shape)
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn columns_of(text: &[u8]) -> Option<Vec<(String, String)>> {
        let Value::Array(columns) = serde_json::from_slice(text).ok()? else { return None };
        columns
            .iter()
            .map(|pair| Some((pair.get(0)?.as_str()?.to_owned(), pair.get(1)?.as_str()?.to_owned())))
            .collect()
    }

    /// Does to a row what a statement says, at `now` in seconds since 1970-01-01. `None`: a value is not of its field's type,
    /// which no change that was checked has.
    pub(super) fn apply<'c>(&self, row: &mut Cells<'c>, statement: &Statement<'c>, now: u32) -> Option<()> {
        let cells = match statement {
            Statement::Erase { at } => {
                row.erase(*at, now);
                return Some(());
            }
            Statement::Cells(cells) => cells,
        };
        let at = cells.at;
        let mut put = |column, content| row.put(Cell { column, at, content });
        for field in cells.keep.iter() {
            let content = match cells.value(field) {
                None => Content::Tombstone(now),
                Some(value) => Content::Bytes(self.encode(field, value)?),
            };
            put(self.fields.get(field)?.0, content);
        }
        for (column, version) in [(row::LIVE, cells.live()), (row::DEAD, cells.dead())] {
            if let Some(version) = version {
                put(column, Content::number(version));
            }
        }
        if cells.stamp {
            let change = cells.change;
            put(row::VERSION, Content::number(change.version.get()));
            put(row::CHANGE, Content::Bytes(change.id.as_bytes().as_slice().into()));
            let source = change.source.as_ref().map(|source| Content::Bytes(source.as_bytes().into()));
            put(row::SOURCE, source.unwrap_or(Content::Tombstone(now)));
        }
        if let Some((partition, offset)) = cells.receipt() {
            put(row::PARTITION, Content::Bytes(partition.to_be_bytes().to_vec().into()));
            put(row::OFFSET, Content::number(offset));
        }
        Some(())
    }

    /// `None` for a value of another type than the field's.
    fn encode<'v>(&self, field: usize, value: &'v FieldValue) -> Option<Cow<'v, [u8]>> {
        let (_, encoding) = self.fields.get(field)?;
        Some(match (encoding, value) {
            // The long ones are not copied twice.
            (Encoding::Text, FieldValue::Text(text)) => text.as_bytes().into(),
            (Encoding::Blob, FieldValue::Bytes(bytes)) => bytes.as_slice().into(),
            _ => encoding.encode(value, <[u8]>::to_vec).ok()?.into(),
        })
    }

    /// A row as it is stored; `None` if it is none of this shape.
    #[must_use]
    pub fn decode(&self, bytes: &[u8]) -> Option<VersionedRow> {
        let cells = Cells::decode(bytes)?;
        let mut row = Row::with_width(self.fields.len());
        let mut versions = vec![None; self.fields.len()];
        for (field, (column, encoding)) in self.fields.iter().enumerate() {
            if let Some((bytes, at)) = cells.get(*column) {
                row.set(field, encoding.read(bytes)?);
                *versions.get_mut(field)? = Some(Version::new(at ^ 1)?);
            }
        }
        let long = |column| Some(i64::from_be_bytes(cells.get(column)?.0.try_into().ok()?));
        let version = |column| long(column).and_then(Version::new);
        let row = ProfileRow {
            row,
            live: version(row::LIVE),
            dead: version(row::DEAD),
            version: version(row::VERSION),
            change: cells.get(row::CHANGE).and_then(|(bytes, _)| Uuid::from_slice(bytes).ok()),
            source: cells.get(row::SOURCE).and_then(|(bytes, _)| Some(std::str::from_utf8(bytes).ok()?.to_owned())),
            partition: cells
                .get(row::PARTITION)
                .and_then(|(bytes, _)| Some(i32::from_be_bytes(bytes.try_into().ok()?))),
            offset: long(row::OFFSET),
        };
        Some(VersionedRow { row, versions })
    }
}
