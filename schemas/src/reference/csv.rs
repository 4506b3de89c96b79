//! One dated file of a reference table: CSV with a header row, the key in its first column.

use csv::{Error, ErrorKind, ReaderBuilder, StringRecord};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// The cells of a line behind its key.
type Cells = Box<[Box<str>]>;

/// The rows of one file by key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    columns: Cells,
    rows: HashMap<Box<str>, Cells>,
}

/// A file that is no reference table. Lines count from 1, the header's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("the file is empty; its first line must name the key and at least one column")]
    Header,
    #[error("the file starts with a byte order mark; save it as plain UTF-8")]
    ByteOrderMark,
    #[error("column {0} of the header has no name, or the name of another")]
    Column(usize),
    #[error("line {0} has another number of cells than the header")]
    Ragged(u64),
    #[error("line {0} has no key")]
    Key(u64),
    #[error("line {0} has the key of an earlier line")]
    Duplicate(u64),
    #[error("line {0} has a control character in a cell")]
    Control(u64),
}

impl Table {
    /// Reads the text of a file: comma, double quotes, UTF-8 without a byte order mark, nothing trimmed.
    ///
    /// # Errors
    /// What is wrong, and on which line.
    pub fn parse(text: &str) -> Result<Self, TableError> {
        if text.starts_with('\u{feff}') {
            return Err(TableError::ByteOrderMark);
        }
        let mut reader = ReaderBuilder::new().has_headers(true).flexible(false).from_reader(text.as_bytes());
        let columns = columns_of(reader.headers().map_err(|error| table_error(&error))?)?;
        let mut rows = HashMap::new();
        for record in reader.records() {
            let record = record.map_err(|error| table_error(&error))?;
            let line = record.position().map_or(0, csv::Position::line);
            if record.iter().any(|cell| cell.chars().any(char::is_control)) {
                return Err(TableError::Control(line));
            }
            let mut cells = record.iter().map(Box::<str>::from);
            let key = cells.next().filter(|key| !key.is_empty()).ok_or(TableError::Key(line))?;
            match rows.entry(key) {
                Entry::Occupied(_) => return Err(TableError::Duplicate(line)),
                Entry::Vacant(row) => row.insert(cells.collect()),
            };
        }
        Ok(Self { columns, rows })
    }

    /// The cell, unless there is no such row or column, or it is empty.
    #[must_use]
    pub fn get(&self, key: &str, column: &str) -> Option<&str> {
        let at = self.columns.iter().position(|name| **name == *column)?;
        self.rows.get(key)?.get(at).map(|cell| &**cell).filter(|cell| !cell.is_empty())
    }

    #[must_use]
    pub fn has_column(&self, column: &str) -> bool {
        self.columns.iter().any(|name| **name == *column)
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

fn columns_of(header: &StringRecord) -> Result<Cells, TableError> {
    for (at, name) in header.iter().enumerate() {
        if name.is_empty() || header.iter().take(at).any(|earlier| earlier == name) {
            return Err(TableError::Column(at + 1));
        }
    }
    if header.len() < 2 {
        return Err(TableError::Header);
    }
    Ok(header.iter().skip(1).map(Box::from).collect())
}

fn table_error(error: &Error) -> TableError {
    match error.kind() {
        ErrorKind::UnequalLengths { pos, .. } | ErrorKind::Utf8 { pos, .. } => {
            TableError::Ragged(pos.as_ref().map_or(0, csv::Position::line))
        }
        // Text in memory neither fails to be read nor is it written or sought, and no type is deserialised.
        ErrorKind::Io(_) | ErrorKind::Seek | ErrorKind::Serialize(_) | ErrorKind::Deserialize { .. } | _ => {
            TableError::Header
        }
    }
}
