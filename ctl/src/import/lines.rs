//! Reads a file line by line, however large it is, and knows at each row how far it has come.

use super::Format;
use super::progress::Progress;
use super::row::{Ready, Rows};
use crate::Error;
use schemas::{RejectCode, Rejection};
use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::rc::Rc;

/// Longest line that is kept in memory: a record of a mebibyte, every letter of it escaped.
const LINE_BYTES_MAX: usize = 6 << 20;

const BUFFER_BYTES: usize = 64 << 10;

/// What some editors put before a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// How far a file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) bytes: u64,
    /// Lines before this place.
    pub(super) lines: u64,
}

/// One row and the line it begins in, counted from 1.
pub(super) struct Item {
    pub(super) line: u64,
    pub(super) row: Result<Ready, Rejection>,
}

/// The rows of one file.
pub(super) enum Lines {
    Ndjson(Ndjson),
    Csv(Box<Csv>),
}

impl Lines {
    /// Opens `file`, `-` for standard input, at the place that `progress` has reached; of a new one notes the header.
    ///
    /// # Errors
    /// If it cannot be read, is another file than `progress` is of, or its header does not name what is needed.
    pub(super) fn open(file: &Path, format: Format, rows: &Rows, progress: &mut Progress) -> Result<Self, Error> {
        let input = open(file, progress)?;
        match format {
            Format::Ndjson => Ok(Self::Ndjson(Ndjson { input, place: progress.place, line: Vec::new() })),
            Format::Csv => Ok(Self::Csv(Box::new(Csv::open(input, rows, progress)?))),
        }
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// If the file cannot be read on.
    pub(super) fn next(&mut self, rows: &Rows) -> Result<Option<Item>, Error> {
        match self {
            Self::Ndjson(lines) => lines.next(rows).map_err(unreadable),
            Self::Csv(table) => table.next(rows),
        }
    }

    /// Behind the last row that was given.
    pub(super) fn place(&self) -> Place {
        match self {
            Self::Ndjson(lines) => lines.place,
            Self::Csv(table) => table.place(),
        }
    }
}

fn unreadable(error: io::Error) -> Error {
    Error::Failed(format!("the rows cannot be read on: {error}"))
}

/// The bytes of the file from some place on.
type Input = BufReader<Box<dyn Read>>;

/// Opens `file` where `progress` has come to.
fn open(file: &Path, progress: &mut Progress) -> Result<Input, Error> {
    let from = progress.place.bytes;
    if file == Path::new("-") {
        let mut input: Input = BufReader::with_capacity(BUFFER_BYTES, Box::new(io::stdin()));
        let skipped = io::copy(&mut input.by_ref().take(from), &mut io::sink()).map_err(unreadable)?;
        return if skipped == from { Ok(input) } else { Err(another()) };
    }
    let cannot = |error: io::Error| Error::Usage(format!("{} cannot be read: {error}", file.display()));
    let mut opened = File::open(file).map_err(cannot)?;
    let mut head = Vec::new();
    opened.by_ref().take(BUFFER_BYTES as u64).read_to_end(&mut head).map_err(cannot)?;
    if !progress.is_of(&head) || opened.metadata().map_err(cannot)?.len() < from {
        return Err(another());
    }
    opened.seek(SeekFrom::Start(from)).map_err(cannot)?;
    Ok(BufReader::with_capacity(BUFFER_BYTES, Box::new(opened)))
}

fn another() -> Error {
    Error::Usage("the rows are not those that the progress file is about; leave --resume out to import them".to_owned())
}

/// One object a line.
pub(super) struct Ndjson {
    input: Input,
    place: Place,
    line: Vec<u8>,
}

impl Ndjson {
    fn next(&mut self, rows: &Rows) -> io::Result<Option<Item>> {
        loop {
            let Some(is_whole) = self.read_line()? else { return Ok(None) };
            self.place.lines += 1;
            let line = self.line.trim_ascii();
            if is_whole && line.is_empty() {
                continue;
            }
            let row = if is_whole { rows.of_json(line) } else { Err(Rejection::new(RejectCode::TooLarge)) };
            return Ok(Some(Item { line: self.place.lines, row }));
        }
    }

    /// Reads up to the end of a line; whether all of it was kept, `None` at the end of the file.
    fn read_line(&mut self) -> io::Result<Option<bool>> {
        self.line.clear();
        let begin = self.place.bytes;
        loop {
            let found = self.input.fill_buf()?;
            let end = found.iter().position(|byte| *byte == b'\n');
            let part = found.get(..end.unwrap_or(found.len())).unwrap_or_default();
            let is_first = self.place.bytes == 0;
            let part = if is_first { part.strip_prefix(BYTE_ORDER_MARK).unwrap_or(part) } else { part };
            let room = (LINE_BYTES_MAX + 1).saturating_sub(self.line.len());
            self.line.extend(part.iter().take(room));
            let taken = end.map_or(found.len(), |end| end + 1);
            self.input.consume(taken);
            self.place.bytes += taken as u64;
            if end.is_some() || taken == 0 {
                return Ok((self.place.bytes > begin).then_some(self.line.len() <= LINE_BYTES_MAX));
            }
        }
    }
}

/// A table: a header, then a row a line or, within quotes, over several.
pub(super) struct Csv {
    reader: csv::Reader<Guard>,
    watch: Rc<Watch>,
    header: Vec<String>,
    /// Where the reader began.
    begin: Place,
    record: csv::ByteRecord,
}

impl Csv {
    fn open(input: Input, rows: &Rows, progress: &mut Progress) -> Result<Self, Error> {
        let watch =
            Rc::new(Watch { given: Cell::new(0), bound: Cell::new(SPAN_BYTES_MAX), is_line_ended: Cell::new(true) });
        let guard = Guard { input, watch: Rc::clone(&watch) };
        let mut settings = csv::ReaderBuilder::new();
        settings.has_headers(false).flexible(true).buffer_capacity(BUFFER_BYTES);
        // Of two bytes that end a line only the second does, so that the reader always stands behind whole lines.
        settings.terminator(csv::Terminator::Any(b'\n'));
        let (begin, record) = (progress.place, csv::ByteRecord::new());
        let mut table = Self { reader: settings.from_reader(guard), watch, header: Vec::new(), begin, record };
        table.header = match &progress.header {
            Some(header) => header.clone(),
            None => table.read_header()?,
        };
        rows.columns.check(&table.header, &rows.profile, rows.run.is_some())?;
        progress.header = Some(table.header.clone());
        Ok(table)
    }

    fn read_header(&mut self) -> Result<Vec<String>, Error> {
        let unnamed = || Error::Usage("the first line has to name the columns".to_owned());
        if !self.read()? {
            return Err(unnamed());
        }
        let mut names = Vec::with_capacity(self.record.len());
        for (at, cell) in self.record.iter().enumerate() {
            let cell = if at == 0 { cell.strip_prefix(BYTE_ORDER_MARK).unwrap_or(cell) } else { cell };
            let cell = if at + 1 == self.record.len() { without_return(cell) } else { cell };
            names.push(std::str::from_utf8(cell).map_err(|_| unnamed())?.trim().to_owned());
        }
        Ok(names)
    }

    fn next(&mut self, rows: &Rows) -> Result<Option<Item>, Error> {
        loop {
            if !self.read()? {
                return Ok(None);
            }
            let mut cells: Vec<&[u8]> = self.record.iter().collect();
            if let Some(last) = cells.last_mut() {
                *last = without_return(last);
            }
            if *cells != [b""] {
                let row = rows.of_cells(&self.header, cells.into_iter());
                return Ok(Some(Item { line: self.line(), row }));
            }
        }
    }

    /// The line in which the row just read begins. The reader counts from where it began to look for it, which may be
    /// some empty lines before.
    fn line(&self) -> u64 {
        let within = self.record.as_slice().iter().filter(|byte| **byte == b'\n').count();
        self.place().lines - within as u64
    }

    /// Whether there was another row.
    fn read(&mut self) -> Result<bool, Error> {
        let line = self.place().lines + 1;
        self.watch.bound.set(self.reader.position().byte() + SPAN_BYTES_MAX);
        let error = match self.reader.read_byte_record(&mut self.record) {
            Ok(is_there) => return Ok(is_there),
            Err(error) => error.into_kind(),
        };
        let csv::ErrorKind::Io(error) = error else {
            return Err(Error::Failed("the rows cannot be read on: they are no table".to_owned()));
        };
        if error.kind() == io::ErrorKind::InvalidData {
            return Err(Error::Usage(format!("the row in line {line} has no end; is a quote left open there?")));
        }
        Err(unreadable(error))
    }

    fn place(&self) -> Place {
        let read = self.reader.position();
        // The last line may have no end.
        let rest = u64::from(read.byte() == self.watch.given.get() && !self.watch.is_line_ended.get());
        Place { bytes: self.begin.bytes + read.byte(), lines: self.begin.lines + read.line() - 1 + rest }
    }
}

/// What one row of a table may span, with what is read ahead of it.
const SPAN_BYTES_MAX: u64 = (LINE_BYTES_MAX + BUFFER_BYTES) as u64;

/// Ends a row that has no end: a quote left open would take the rest of the file into memory.
struct Guard {
    input: Input,
    watch: Rc<Watch>,
}

/// What is known of the bytes that a table was read from.
struct Watch {
    given: Cell<u64>,
    /// So many may be given.
    bound: Cell<u64>,
    /// The last one given ends a line.
    is_line_ended: Cell<bool>,
}

impl Read for Guard {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.watch.given.get() > self.watch.bound.get() {
            return Err(io::Error::from(io::ErrorKind::InvalidData));
        }
        let len = self.input.read(buffer)?;
        if let Some(last) = buffer.get(..len).and_then(<[u8]>::last) {
            self.watch.is_line_ended.set(*last == b'\n');
        }
        self.watch.given.set(self.watch.given.get() + len as u64);
        Ok(len)
    }
}

/// The last cell of a line that ends in two bytes.
fn without_return(cell: &[u8]) -> &[u8] {
    cell.strip_suffix(b"\r").unwrap_or(cell)
}
