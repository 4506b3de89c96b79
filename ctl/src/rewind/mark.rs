//! The mark of a raw offset, worked out from what `validate` once gave.
//!
//! The version of a record is a fold over all records before it in its partition. Where the fold stood at an offset
//! is found again from the nearest origin at or before it that `valid` (in a data directory `enriched`) or `dead` still hold: its version holds its
//! place, and from there the fold goes on over the append times of the raw records in between.

use crate::Error;
use crate::world::Log;
use bytes::Bytes;
use processors::validate::Fold;
use runtime::offsets::{Span, Watermarks};
use runtime::record::{Record, Timestamp};
use runtime::stage::Mark as _;
use schemas::{Lane, Origin, Version, headers, topics};
use std::collections::BTreeMap;
use std::fmt;

/// How far the clocks of two brokers are believed to be apart: a wrong belief costs time, never the answer.
const SKEW_MS: i64 = 60_000;

/// Where the fold stands at an offset, and how that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// As it is committed beside the offset.
    pub(super) metadata: String,
    pub(super) basis: Basis,
}

/// What a mark was worked out from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// The version of this origin.
    Origin(i64),
    /// No origin before the offset is left.
    Floor,
}

/// A raw record whose place in history is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Anchor {
    offset: i64,
    place: i64,
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Origin(offset) => write!(f, "the version of {offset}"),
            Self::Floor => f.write_str("the floor"),
        }
    }
}

/// The floor in a commit's metadata; `None` if it has none.
pub(crate) fn floor_of(metadata: &str) -> Option<i64> {
    metadata.strip_prefix("v1:")?.split_once(':')?.1.parse().ok()
}

/// The mark at each of `targets`, raw offsets by partition.
///
/// # Errors
/// If a topic cannot be read, or raw records carry their producer's time, which no fold can go by.
pub(super) async fn marks_at(
    log: &Log,
    targets: &BTreeMap<i32, i64>,
    floor: i64,
) -> Result<BTreeMap<i32, Mark>, Error> {
    let watermarks = log.watermarks(topics::RAW).await?;
    let mut search = Search::new(targets);
    search.run(log, before_all(log, targets, &watermarks).await?).await?;
    let fold = Fold::new(floor);
    let mut walks = BTreeMap::new();
    for held in &watermarks {
        if let Some(target) = targets.get(&held.partition) {
            let anchor = search.found.get(&held.partition).copied();
            walks.insert(held.partition, Walk::new(anchor, *target, held.low, floor));
        }
    }
    let spans = walks.iter().map(|(partition, walk)| walk.span(*partition)).collect::<Vec<_>>();
    let mut records = log.records(topics::RAW, &spans)?;
    while let Some(record) = records.next().await? {
        appended(&record)?;
        if let Some(walk) = walks.get_mut(&record.place.partition) {
            walk.place = fold.next(walk.place, &record);
        }
    }
    let marks = walks
        .into_iter()
        .map(|(partition, walk)| (partition, Mark { metadata: fold.metadata(walk.place), basis: walk.basis }));
    Ok(marks.collect())
}

/// A time before which no record was appended that stands right before a target; `None` if there is no such record.
async fn before_all(log: &Log, targets: &BTreeMap<i32, i64>, watermarks: &[Watermarks]) -> Result<Option<i64>, Error> {
    let mut spans = Vec::new();
    for held in watermarks {
        if let Some(target) = targets.get(&held.partition) {
            spans.push(Span { partition: held.partition, from: held.low.max(target - 1), to: *target });
        }
    }
    let mut records = log.records(topics::RAW, &spans)?;
    let mut earliest = None;
    while let Some(record) = records.next().await? {
        let append_ms = appended(&record)?;
        earliest = Some(earliest.map_or(append_ms, |ms: i64| ms.min(append_ms)));
    }
    Ok(earliest)
}

fn appended(record: &Record) -> Result<i64, Error> {
    if let Timestamp::LogAppend(ms) = record.timestamp {
        return Ok(ms);
    }
    Err(Error::Failed(format!(
        "{}/{} carries its producer's time; make a raw topic with message.timestamp.type=LogAppendTime",
        record.place, record.offset
    )))
}

/// Looks for the nearest origin at or before each target.
struct Search<'t> {
    targets: &'t BTreeMap<i32, i64>,
    found: BTreeMap<i32, Anchor>,
}

impl<'t> Search<'t> {
    fn new(targets: &'t BTreeMap<i32, i64>) -> Self {
        Self { targets, found: BTreeMap::new() }
    }

    /// Reads what tells of settled records: first what was written since `since_ms`, where the record right before a target must
    /// be if it was ever settled, and only if it was not, what is older.
    async fn run(&mut self, log: &Log, since_ms: Option<i64>) -> Result<(), Error> {
        let since_ms = since_ms.map_or(i64::MAX, |ms| ms.saturating_sub(SKEW_MS));
        let mut older = Vec::new();
        for name in log.judged() {
            let bounds = log.offsets_since(name, since_ms).await?;
            let mut newer = Vec::new();
            for (held, bound) in log.watermarks(name).await?.iter().zip(bounds) {
                newer.push(Span { partition: held.partition, from: bound, to: held.high });
                older.push((name, Span { partition: held.partition, from: held.low, to: bound }));
            }
            self.read(log, name, newer).await?;
        }
        for name in log.judged() {
            let spans = older.iter().filter(|(of, _)| *of == name).map(|(_, span)| *span).collect();
            self.read(log, name, spans).await?;
        }
        Ok(())
    }

    /// A change stays in the partition of its raw record, so only partitions with an open question are read.
    async fn read(&mut self, log: &Log, name: &str, mut spans: Vec<Span>) -> Result<(), Error> {
        spans.retain(|span| !self.is_settled(span.partition));
        let mut records = log.records(name, &spans)?;
        while !spans.is_empty() {
            let Some(record) = records.next().await? else { break };
            if !was_refused_on_pinned(record.headers.last(headers::TOPIC)) {
                self.see(record.headers.last(headers::ORIGIN), record.headers.last(headers::VERSION));
            }
            if self.is_settled(record.place.partition) {
                spans.retain(|span| !self.is_settled(span.partition));
            }
        }
        Ok(())
    }

    fn see(&mut self, origin: Option<&Bytes>, version: Option<&Bytes>) {
        let Some((partition, anchor)) = anchor_of(origin, version) else { return };
        let Some(target) = self.targets.get(&partition) else { return };
        let is_nearer = self.found.get(&partition).is_none_or(|found| found.offset < anchor.offset);
        if anchor.offset <= *target && is_nearer {
            self.found.insert(partition, anchor);
        }
    }

    /// Whether nothing nearer can be found.
    fn is_settled(&self, partition: i32) -> bool {
        let Some(target) = self.targets.get(&partition) else { return true };
        let found = self.found.get(&partition).map(|anchor| anchor.offset);
        *target == 0 || found.is_some_and(|offset| offset + 1 >= *target)
    }
}

/// Whether a dead letter is of a record that brought its place in history: nobody has checked what it says of it.
fn was_refused_on_pinned(topic: Option<&Bytes>) -> bool {
    topic.and_then(|topic| std::str::from_utf8(topic).ok()).is_some_and(topics::is_pinned)
}

/// Partition, offset and place of a change that `validate` gave its version to; `None` of any other record.
fn anchor_of(origin: Option<&Bytes>, version: Option<&Bytes>) -> Option<(i32, Anchor)> {
    let origin = std::str::from_utf8(origin?).ok()?.parse::<Origin>().ok()?;
    let (partition, offset) = origin.raw()?;
    let version = Version::new(std::str::from_utf8(version?).ok()?.parse().ok()?)?;
    let is_folded = version.lane() == Lane::Live;
    is_folded.then_some((partition, Anchor { offset, place: version.place() }))
}

/// The way of the fold from what is known to a target.
#[derive(Debug)]
struct Walk {
    place: i64,
    basis: Basis,
    from: i64,
    to: i64,
}

impl Walk {
    fn new(anchor: Option<Anchor>, target: i64, low: i64, floor: i64) -> Self {
        let Some(anchor) = anchor else {
            return Self { place: floor, basis: Basis::Floor, from: low, to: target };
        };
        let basis = Basis::Origin(anchor.offset);
        if anchor.offset == target {
            // One step before the target's own place, so that folding the target gives that place again.
            return Self { place: anchor.place - Version::STEP, basis, from: target, to: target };
        }
        Self { place: anchor.place, basis, from: low.max(anchor.offset + 1), to: target }
    }

    /// The raw records to fold over.
    fn span(&self, partition: i32) -> Span {
        Span { partition, from: self.from, to: self.to }
    }
}

#[cfg(test)]
mod tests;
