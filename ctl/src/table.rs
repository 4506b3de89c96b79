//! Tables for people: aligned columns, and nothing in a cell that could steer a terminal.

use std::io::{self, Write};

/// Between two columns.
const GAP: &str = "  ";

/// Rows under headings. Cells may hold anything: control characters are shown escaped.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

/// A heading and which side its cells lean to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Column {
    Text(&'static str),
    Number(&'static str),
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// A row of as many cells as there are columns; missing ones are empty, more are dropped.
    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| printable(&cell)).collect());
    }

    /// Writes headings and rows, a line each, without blanks at the end of a line.
    ///
    /// # Errors
    /// Of `out`.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let widths = self.widths();
        let headings = self.columns.iter().map(|column| column.heading().to_owned()).collect::<Vec<_>>();
        for row in std::iter::once(&headings).chain(&self.rows) {
            let mut line = String::new();
            for ((column, width), cell) in self.columns.iter().zip(&widths).zip(row) {
                let width = *width;
                line.push_str(&match column {
                    Column::Text(_) => format!("{cell:<width$}{GAP}"),
                    Column::Number(_) => format!("{cell:>width$}{GAP}"),
                });
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn widths(&self) -> Vec<usize> {
        let mut widths = self.columns.iter().map(|column| column.heading().chars().count()).collect::<Vec<_>>();
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        widths
    }
}

impl Column {
    fn heading(self) -> &'static str {
        match self {
            Self::Text(heading) | Self::Number(heading) => heading,
        }
    }
}

/// `text` without anything a terminal would obey.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_steering(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Control characters, and those that turn the direction of what follows.
fn is_steering(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(table: &Table) -> String {
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_leans_left_numbers_lean_right_and_no_line_ends_in_blanks() {
        let mut table = Table::new(&[Column::Text("stage"), Column::Number("records"), Column::Text("note")]);
        table.push(["validate".into(), "7".into(), String::new()]);
        table.push(["sink".into(), "123456789".into(), "é".into()]);
        insta::assert_snapshot!(shown(&table), @r"
        stage       records  note
        validate          7
        sink      123456789  é
        ");
    }

    #[test]
    fn a_cell_cannot_steer_the_terminal() {
        let mut table = Table::new(&[Column::Text("key")]);
        table.push(["a\u{1b}[2Jb\n\u{202e}c".into()]);
        assert_eq!(shown(&table), "key\na\\u{1b}[2Jb\\n\\u{202e}c\n");
    }
}
