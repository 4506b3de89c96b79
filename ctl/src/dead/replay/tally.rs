//! What a replay came to, in counts; of single letters only where they stand, never what they hold.

use super::forecast::{Cells, Forecast};
use crate::Error;
use crate::dead::letter::Letter;
use crate::table::{Column, Table};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::io::Write;

/// So many letters are shown one by one; --json shows all.
const ROWS_MAX: usize = 50;

/// Why a letter is not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Left {
    /// No topic took its value when it was refused.
    Dropped,
    /// Its record stood in another partition than its key's.
    Misplaced,
    TooOld,
    /// It says of no place in history where it stood, or of none that may be.
    NoPlace,
    /// Its value is no change that could be written anew.
    Unreadable,
    TooLarge,
    /// The --edit command failed over it, or wrote no change.
    EditFailed,
}

impl Left {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Misplaced => "misplaced",
            Self::TooOld => "change-too-old",
            Self::NoPlace => "no-place",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too-large",
            Self::EditFailed => "edit-failed",
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::Dropped => "the value was too large to be kept (tw-dropped-bytes); its producer must send it again",
            Self::Misplaced => {
                "another partition than its key's orders it; only --as-new, and sent twice it is two changes"
            }
            Self::TooOld => "deletions as old may be forgotten; only --as-new, and sent twice it is two changes",
            Self::NoPlace => "it has no place in history that may be; only --as-new, and sent twice it is two changes",
            Self::Unreadable => "its value is no change of any release; see `tidewater dead show`",
            Self::TooLarge => "no topic takes it; its producer must send less",
            Self::EditFailed => {
                "the --edit command failed over it, or wrote no change: a deletion is {\"op\":\"delete\", …}"
            }
        }
    }
}

/// Counts of letters, and with --dry-run of cells.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Letters that were asked for.
    pub(super) found: u64,
    /// Of them older ones of a record that has a newer one.
    pub(super) copies: u64,
    /// Sent, or with --dry-run those that would be.
    pub(super) sent: u64,
    left: BTreeMap<Left, u64>,
    /// By name, with the sentence.
    foreseen: BTreeMap<&'static str, (&'static str, u64)>,
    cells: Cells,
}

impl Tally {
    pub(super) fn leave(&mut self, left: Left) {
        *self.left.entry(left).or_default() += 1;
    }

    pub(super) fn foresee(&mut self, forecast: &Forecast) {
        self.foreseen.entry(forecast.as_str()).or_insert_with(|| (forecast.sentence(), 0)).1 += 1;
        let Cells { changed, superseded, unsure } = forecast.cells();
        self.cells.changed += changed;
        self.cells.superseded += superseded;
        self.cells.unsure += unsure;
    }

    /// How many were not sent.
    pub(super) fn left(&self) -> u64 {
        self.left.values().sum()
    }

    /// `topic` has its prefix.
    pub(super) fn table_of(&self, topic: &str, as_new: bool, dry_run: bool) -> Table {
        let mut table = Table::new(&[Column::Number("count"), Column::Text("of")]);
        let mut row = |count: u64, what: String| table.push([count.to_string(), what]);
        row(self.found, "letters found".to_owned());
        if self.copies > 0 {
            row(self.copies, "of them older letters of the same change, left out".to_owned());
        }
        let place = if as_new { "as changes of now" } else { "into their old places" };
        row(self.sent, format!("{} to {topic}, {place}", if dry_run { "would be sent" } else { "sent" }));
        for (sentence, count) in self.foreseen.values() {
            row(*count, (*sentence).to_owned());
        }
        if dry_run {
            row(self.cells.changed, "cells would change".to_owned());
            row(self.cells.superseded, "cells are newer already and stay".to_owned());
            if self.cells.unsure > 0 {
                row(self.cells.unsure, "cells are empty: they change unless something newer cleared them".to_owned());
            }
        }
        for (left, count) in &self.left {
            row(*count, format!("left, {}: {}", left.as_str(), left.advice()));
        }
        table
    }

    /// `topic` has its prefix.
    pub(super) fn to_json(&self, topic: &str) -> Value {
        let left: Map<String, Value> =
            self.left.iter().map(|(left, count)| (left.as_str().to_owned(), json!(count))).collect();
        let mut object = Map::new();
        let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
        put("found", json!(self.found));
        put("copies", json!(self.copies));
        put("sent", json!(self.sent));
        put("topic", json!(topic));
        put("left", Value::Object(left));
        if !self.foreseen.is_empty() {
            let counts = self.foreseen.iter().map(|(name, (_, count))| ((*name).to_owned(), json!(count)));
            put("foreseen", Value::Object(counts.collect()));
            put("cells", cells_of(self.cells));
        }
        Value::Object(object)
    }
}

fn cells_of(cells: Cells) -> Value {
    json!({ "changed": cells.changed, "superseded": cells.superseded, "unsure": cells.unsure })
}

/// What would become of one letter, or why it is left.
pub(super) fn line_of(letter: &Letter, foreseen: &Result<Forecast, Left>) -> Value {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| drop(line.insert(name.to_owned(), value));
    put("letter", json!(format!("{}/{}", letter.partition, letter.offset)));
    put("code", json!(letter.code));
    put("version", json!(letter.version));
    put("outcome", json!(outcome_of(foreseen)));
    match foreseen {
        Ok(Forecast::Rejected(code)) => put("refused_with", json!(code.as_str())),
        Ok(forecast) => put("cells", cells_of(forecast.cells())),
        Err(left) => put("left", json!(left.as_str())),
    }
    Value::Object(line)
}

fn outcome_of(foreseen: &Result<Forecast, Left>) -> &'static str {
    foreseen.as_ref().map_or("left", |forecast| forecast.as_str())
}

/// The first letters, one a row.
pub(super) struct Rows {
    table: Table,
    count: usize,
}

impl Rows {
    pub(super) fn new() -> Self {
        let columns = [
            Column::Text("letter"),
            Column::Text("code"),
            Column::Number("version"),
            Column::Number("cells change"),
            Column::Number("superseded"),
            Column::Text("outcome"),
        ];
        Self { table: Table::new(&columns), count: 0 }
    }

    pub(super) fn push(&mut self, letter: &Letter, foreseen: &Result<Forecast, Left>) {
        self.count += 1;
        if self.count > ROWS_MAX {
            return;
        }
        let cells = foreseen.as_ref().map_or_else(|_| Cells::default(), |forecast| forecast.cells());
        let outcome = match foreseen {
            Ok(Forecast::Rejected(code)) => format!("{}: {code}", outcome_of(foreseen)),
            Err(left) => format!("left: {}", left.as_str()),
            Ok(_) => outcome_of(foreseen).to_owned(),
        };
        self.table.push([
            format!("{}/{}", letter.partition, letter.offset),
            letter.code.clone(),
            letter.version.clone(),
            (cells.changed + cells.unsure).to_string(),
            cells.superseded.to_string(),
            outcome,
        ]);
    }

    /// # Errors
    /// Of `out`.
    pub(super) fn write(&self, out: &mut dyn Write) -> Result<(), Error> {
        if self.count == 0 {
            return Ok(());
        }
        self.table.write(out)?;
        if self.count > ROWS_MAX {
            writeln!(out, "{} more are only counted; --json shows them all", self.count - ROWS_MAX)?;
        }
        writeln!(out)?;
        Ok(())
    }
}
