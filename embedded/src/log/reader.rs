//! Reading: one walk through a topic's files that deals records out to partitions, and a walk of its own for a partition
//! that was left behind.
//!
//! All partitions share a file, so a reader that goes on evenly reads every byte once. A partition that nobody takes records
//! of fills its queue, is left behind at the place where it was full, and catches up from there by itself later: it never
//! holds another one up, and never more than its share of memory.

use super::frame::{self, Body, Parts, Peek, Sums};
use super::segment::{Segment, read_at};
use super::topic::{End, Topic};
use crate::Error;
use runtime::record::{Names, Offset, Record, TopicPartition};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Read at once.
const CHUNK_LEN: usize = 256 << 10;

/// Bytes of records that wait for one partition; one record more is always allowed.
const QUEUE_BYTES: usize = 256 << 10;

/// Records of one topic, of each partition in order.
#[derive(Debug)]
pub struct Cursor {
    topic: Topic,
    lines: Vec<Line>,
    /// Where the walk that all partitions share goes on.
    at: Position,
    reading: Option<Reading>,
    growth: watch::Receiver<u64>,
    names: Names,
    /// The partition that was served last.
    turn: usize,
}

/// One partition.
#[derive(Debug)]
struct Line {
    place: TopicPartition,
    /// The offset that is queued next.
    next: i64,
    /// Where it goes on by itself, if it was left behind.
    behind: Option<Position>,
    queue: VecDeque<Record>,
    bytes: usize,
}

/// In a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Position {
    number: u64,
    at: u64,
}

/// A read that is out.
#[derive(Debug)]
struct Reading {
    /// Whose walk it is for; `None`: everybody's.
    line: Option<usize>,
    chunk: JoinHandle<Result<Option<Chunk>, Error>>,
}

/// Bytes of a file from a position on.
#[derive(Debug)]
struct Chunk {
    segment: Arc<Segment>,
    from: u64,
    bytes: Vec<u8>,
    /// Nothing follows in this file.
    is_last: bool,
    /// There is a file behind it that may be read.
    goes_on: bool,
}

/// What a walk over a chunk has to go on with.
struct Walked {
    position: Position,
    /// Bytes that the next read must have at least.
    needed: usize,
}

impl Cursor {
    /// Reads each partition from its offset on, by partition.
    #[must_use]
    pub fn new(topic: Topic, from: &[i64]) -> Self {
        let mut lines: Vec<Line> = Vec::with_capacity(from.len());
        for (next, partition) in from.iter().zip(0..) {
            lines.push(Line {
                place: topic.place(partition),
                next: *next,
                behind: None,
                queue: VecDeque::new(),
                bytes: 0,
            });
        }
        // Everybody's walk begins at the first place that somebody needs; what others have had is passed over.
        let starts = from.iter().enumerate().filter_map(|(partition, offset)| {
            let segment = topic.shared().holding(partition, *offset)?;
            let at = segment.place_before(partition, *offset);
            Some(Position { number: segment.header.number, at })
        });
        let at = starts.min_by_key(|place| (place.number, place.at)).unwrap_or_default();
        Self { growth: topic.growth(), topic, lines, at, reading: None, names: Names::default(), turn: 0 }
    }

    /// A record that is there without waiting, of a partition that is not `stopped`; they take turns.
    pub fn ready(&mut self, stopped: &HashSet<TopicPartition>) -> Option<Record> {
        let count = self.lines.len();
        for step in 1..=count {
            let at = (self.turn + step) % count;
            let Some(line) = self.lines.get_mut(at) else { continue };
            if line.queue.is_empty() || stopped.contains(&line.place) {
                continue;
            }
            let record = line.queue.pop_front()?;
            line.bytes = line.bytes.saturating_sub(record.bytes());
            self.turn = at;
            return Some(record);
        }
        None
    }

    /// The next record of a partition that is not `stopped`; waits for one to be appended. Dropping the future loses nothing.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged.
    pub async fn next(&mut self, stopped: &HashSet<TopicPartition>) -> Result<Record, Error> {
        loop {
            // Before the look, so that no growth is missed between that and the wait.
            self.growth.mark_unchanged();
            if let Some(record) = self.ready(stopped) {
                return Ok(record);
            }
            if !self.fill(stopped).await? && self.growth.changed().await.is_err() {
                return Err(Error::Closed);
            }
        }
    }

    /// The next record that is there, of any partition; `None` at the end of what may be read now.
    ///
    /// # Errors
    /// If a file cannot be read or is damaged.
    pub async fn take(&mut self) -> Result<Option<Record>, Error> {
        let nobody = HashSet::new();
        loop {
            if let Some(record) = self.ready(&nobody) {
                return Ok(Some(record));
            }
            if !self.fill(&nobody).await? {
                return Ok(None);
            }
        }
    }

    /// Bytes of records that wait here.
    #[cfg(test)]
    pub(super) fn queued_bytes(&self) -> usize {
        self.lines.iter().map(|line| line.bytes).sum()
    }

    /// Reads on; `false` if there is nothing to be read.
    async fn fill(&mut self, stopped: &HashSet<TopicPartition>) -> Result<bool, Error> {
        if self.reading.is_none() {
            // One that was left behind first: the others have had their turn.
            let line = self
                .lines
                .iter()
                .position(|line| line.behind.is_some() && line.queue.is_empty() && !stopped.contains(&line.place));
            let position = line.and_then(|line| self.lines.get(line)?.behind).unwrap_or(self.at);
            let topic = self.topic.clone();
            let chunk = tokio::task::spawn_blocking(move || read(&topic, position, CHUNK_LEN));
            self.reading = Some(Reading { line, chunk });
        }
        // Kept where it is while it is waited for, so that a read is never done twice.
        let Some(Reading { line, chunk }) = &mut self.reading else { return Ok(false) };
        let line = *line;
        let outcome = chunk.await;
        self.reading = None;
        let Ok(read) = outcome else { return Err(Error::Closed) };
        let Some(chunk) = read? else {
            // Everybody's walk has come further, so one that is behind always finds something.
            debug_assert!(line.is_none(), "who is behind has something to read");
            return Ok(false);
        };
        match line {
            None => self.deal(&chunk)?,
            Some(line) => self.catch_up(line, &chunk)?,
        }
        Ok(true)
    }

    /// Everybody's walk.
    fn deal(&mut self, chunk: &Chunk) -> Result<(), Error> {
        let (lines, names) = (&mut self.lines, &mut self.names);
        let Walked { position, .. } = walk(chunk, |parts, place, segment| {
            let Some(line) = lines.get_mut(usize::from(parts.partition)) else { return Ok(true) };
            if line.behind.is_none() && line.is_full() && parts.offset >= line.next {
                line.behind = Some(place);
            }
            if line.behind.is_none() {
                line.push(parts, names, segment)?;
            }
            Ok(true)
        })?;
        self.at = position;
        Ok(())
    }

    /// The walk of one that was left behind: until its queue is full or it meets everybody's.
    fn catch_up(&mut self, line: usize, chunk: &Chunk) -> Result<(), Error> {
        let (everybody, names) = (self.at, &mut self.names);
        let Some(line) = self.lines.get_mut(line) else { return Ok(()) };
        let partition = line.place.partition;
        let mut full_at = None;
        let Walked { position, .. } = walk(chunk, |parts, place, segment| {
            if place >= everybody || i32::from(parts.partition) != partition {
                return Ok(place < everybody);
            }
            if line.is_full() && parts.offset >= line.next {
                full_at = Some(place);
                return Ok(false);
            }
            line.push(parts, names, segment)?;
            Ok(true)
        })?;
        let position = full_at.unwrap_or(position);
        line.behind = (position < everybody).then_some(position);
        Ok(())
    }
}

impl Line {
    fn is_full(&self) -> bool {
        self.bytes >= QUEUE_BYTES
    }

    fn push(&mut self, parts: &Parts<'_>, names: &mut Names, segment: &Segment) -> Result<(), Error> {
        // From before where this reader begins.
        if parts.offset < self.next {
            return Ok(());
        }
        let damaged = |at| Error::Damaged { file: segment.path.clone(), at, hint: "a record does not read" };
        let record = parts.record(self.place.clone(), names).ok_or_else(|| damaged(0))?;
        self.bytes += record.bytes();
        self.next = Offset(parts.offset).next().0;
        self.queue.push_back(record);
        Ok(())
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.number, self.at).cmp(&(other.number, other.at))
    }
}

/// Reads from a position on; `None` at the end of what may be read.
fn read(topic: &Topic, position: Position, wanted: usize) -> Result<Option<Chunk>, Error> {
    let mut position = position;
    let mut wanted = wanted;
    loop {
        let Some((segment, end)) = topic.shared().from(position.number) else { return Ok(None) };
        if segment.header.number > position.number {
            position = Position { number: segment.header.number, at: 0 };
        }
        let is_newest = end.number == segment.header.number;
        let len = if is_newest { end.len } else { segment.len()? };
        let from = position.at.max(segment.header_len());
        if from >= len {
            if is_newest {
                return Ok(None);
            }
            position = Position { number: position.number + 1, at: 0 };
            continue;
        }
        let left = usize::try_from(len - from).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(wanted)];
        let read = read_at(&segment.file, &mut bytes, from);
        let read = read.map_err(|error| Error::io(&segment.path, "read", error))?;
        bytes.truncate(read);
        // A frame that is larger than a chunk is read whole.
        if let Peek::Short(needed) = frame::peek(&bytes, Sums::Believed)
            && needed <= left
        {
            wanted = needed;
            continue;
        }
        let is_last = read == left;
        return Ok(Some(Chunk { segment, from, bytes, is_last, goes_on: !is_newest }));
    }
}

/// Shows the records of a chunk to `see` until it has seen enough; where to go on.
fn walk(
    chunk: &Chunk,
    mut see: impl FnMut(&Parts<'_>, Position, &Segment) -> Result<bool, Error>,
) -> Result<Walked, Error> {
    let Chunk { segment, from, bytes, is_last, goes_on } = chunk;
    let number = segment.header.number;
    let damaged =
        |at| Error::Damaged { file: segment.path.clone(), at, hint: "or begin a new directory from an export" };
    let mut used = 0;
    while let Some(rest) = bytes.get(used..).filter(|rest| !rest.is_empty()) {
        let at = from + used as u64;
        let frame = match frame::peek(rest, Sums::Compared(segment.header.salt)) {
            Peek::Frame(frame) => frame,
            Peek::Short(needed) if !is_last => {
                return Ok(Walked { position: Position { number, at }, needed });
            }
            Peek::Short(_) | Peek::Bad => return Err(damaged(at)),
        };
        if let Body::Record(parts) = &frame.body
            && !see(parts, Position { number, at }, segment)?
        {
            return Ok(Walked { position: Position { number, at }, needed: 0 });
        }
        used += frame.len;
    }
    let at = from + used as u64;
    let position = if *is_last && *goes_on { Position { number: number + 1, at: 0 } } else { Position { number, at } };
    Ok(Walked { position, needed: 0 })
}

/// Shows every record of a file that may be read to `see`; blocks.
pub(super) fn each_of(segment: &Arc<Segment>, end: &End, see: &mut impl FnMut(&Parts<'_>)) -> Result<(), Error> {
    let len = if end.number == segment.header.number { end.len } else { segment.len()? };
    let mut from = segment.header_len();
    let mut wanted = CHUNK_LEN;
    while from < len {
        let left = usize::try_from(len - from).unwrap_or(usize::MAX);
        let mut bytes = vec![0; left.min(wanted)];
        let read = read_at(&segment.file, &mut bytes, from);
        let read = read.map_err(|error| Error::io(&segment.path, "read", error))?;
        bytes.truncate(read);
        let chunk = Chunk { segment: segment.clone(), from, bytes, is_last: read == left, goes_on: false };
        let Walked { position, needed } = walk(&chunk, |parts, _, _| {
            see(parts);
            Ok(true)
        })?;
        wanted = needed.max(CHUNK_LEN);
        from = position.at;
    }
    Ok(())
}
