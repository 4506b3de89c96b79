//! Reference tables: what `lookup` fields are looked up in, by date, so that redoing a record gives the same bytes.
//!
//! A table is a set of files `<table>@<YYYYMMDDTHHMMSSZ>.csv`, each in force from its instant on. Files are never
//! edited; a correction is a new file. Reading them from disk is the caller's.

mod csv;

pub use csv::{Table, TableError};

use crate::profile::{Derived, Profile};
use crate::{Version, calendar};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a table's file: which table, in force from when on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    table: Box<str>,
    micros: i64,
}

impl TableName {
    const SUFFIX: &str = ".csv";
    const TABLE_LEN_MAX: usize = 48;

    /// The table, as a `lookup` names it.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Since when the file is in force, in microseconds since 1970-01-01; whole seconds.
    #[must_use]
    pub fn micros(&self) -> i64 {
        self.micros
    }
}

/// Not of the shape `<table>@<YYYYMMDDTHHMMSSZ>.csv`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reference table is a file <table>@<YYYYMMDDTHHMMSSZ>.csv, as countries@20260101T000000Z.csv")]
pub struct TableNameError;

impl FromStr for TableName {
    type Err = TableNameError;

    fn from_str(file: &str) -> Result<Self, TableNameError> {
        let stem = file.strip_suffix(Self::SUFFIX).ok_or(TableNameError)?;
        let (table, instant) = stem.split_once('@').ok_or(TableNameError)?;
        let named = table.starts_with(|first: char| first.is_ascii_lowercase())
            && table.len() <= Self::TABLE_LEN_MAX
            && table.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let micros = micros_of(instant).ok_or(TableNameError)?;
        if named { Ok(Self { table: table.into(), micros }) } else { Err(TableNameError) }
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = calendar::time_of(self.micros).ok_or(fmt::Error)?.replace(['-', ':'], "");
        write!(f, "{}@{time}{}", self.table, Self::SUFFIX)
    }
}

/// Of `YYYYMMDDTHHMMSSZ`.
fn micros_of(instant: &str) -> Option<i64> {
    let [y1, y2, y3, y4, m1, m2, d1, d2, b'T', h1, h2, n1, n2, s1, s2, b'Z'] = *instant.as_bytes() else {
        return None;
    };
    let spelled = [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', n1, n2, b':', s1, s2, b'Z'];
    let spelled = std::str::from_utf8(&spelled).ok()?;
    let micros = calendar::micros_of(spelled)?;
    // A leap second is read as the second before: it would be a second name for the same instant.
    (calendar::time_of(micros)? == spelled).then_some(micros)
}

/// Every table with all its dates. Cloning is cheap: the tables are shared.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    /// By instant, ascending and unique.
    dated: BTreeMap<Box<str>, Vec<Dated>>,
}

#[derive(Clone, Debug)]
struct Dated {
    micros: i64,
    table: Arc<Table>,
}

impl Tables {
    /// Adds a file. `false`, and nothing changed, if one of that name is here: files are never edited.
    pub fn insert(&mut self, name: &TableName, table: Table) -> bool {
        let dates = self.dated.entry(name.table.clone()).or_default();
        match dates.binary_search_by_key(&name.micros, |dated| dated.micros) {
            Ok(_) => false,
            Err(at) => {
                dates.insert(at, Dated { micros: name.micros, table: Arc::new(table) });
                true
            }
        }
    }

    /// Whether a file of that name was added.
    #[must_use]
    pub fn contains(&self, name: &TableName) -> bool {
        let dates = self.dated.get(&name.table).map(Vec::as_slice).unwrap_or_default();
        dates.binary_search_by_key(&name.micros, |dated| dated.micros).is_ok()
    }

    /// The cell of `column` in the row of `key`, as in force at `version`: of the newest file whose instant is not
    /// after it, or of the oldest file if all are (backfill). `None` for a miss and for an empty cell.
    #[must_use]
    pub fn lookup(&self, table: &str, column: &str, key: &str, version: Version) -> Option<&str> {
        let dates = self.dated.get(table)?;
        let after = dates.partition_point(|dated| dated.micros <= version.get());
        dates.get(after.saturating_sub(1))?.table.get(key, column)
    }

    /// What the profile's lookups need and no file has; empty before `enrich` may start.
    #[must_use]
    pub fn gaps(&self, profile: &Profile) -> Vec<Gap> {
        let mut gaps = Vec::new();
        for field in profile.fields() {
            let Some(Derived::Lookup { table, column, .. }) = &field.derived else { continue };
            let Some(dates) = self.dated.get(table) else {
                gaps.push(Gap::Table { field: field.name.clone(), table: table.clone() });
                continue;
            };
            for dated in dates {
                if !dated.table.has_column(column) {
                    let file = TableName { table: table.clone(), micros: dated.micros };
                    gaps.push(Gap::Column { field: field.name.clone(), file, column: column.clone() });
                }
            }
        }
        gaps
    }
}

/// Something a lookup needs and no file has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    #[error("field {field} is looked up in table {table}, of which there is no file; add {table}@<instant>.csv")]
    Table { field: Box<str>, table: Box<str> },
    #[error("field {field} is looked up in column {column}, which {file} does not have")]
    Column { field: Box<str>, file: TableName, column: Box<str> },
}

#[cfg(test)]
mod tests;
