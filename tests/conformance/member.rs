//! Reading as a worker does, and records to be read.

use crate::worlds::{PARTITIONS, RELEASE_WITHIN, World};
use bytes::Bytes;
use runtime::fault::Fault;
use runtime::record::{Headers, Outgoing, Record};
use runtime::source::{Demand, Event, Resume, Source};
use runtime::stage::Sink as _;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;

/// Whatever has to come, has come by then.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What has not come by then is not on its way.
pub(crate) const SILENCE: Duration = Duration::from_millis(200);

/// The next event of a source that goes on.
pub(crate) async fn event(source: &mut impl Source, demand: &Demand) -> Result<Event, Fault> {
    let next = timeout(PATIENCE, source.next(demand)).await;
    next.expect("something happens").map(|event| event.expect("the source goes on"))
}

/// Where every partition goes on, by partition.
pub(crate) async fn assigned<W: World>(world: &W, source: &mut W::Source) -> BTreeMap<i32, Resume> {
    let mut resumes = BTreeMap::new();
    while resumes.len() < usize::try_from(PARTITIONS).unwrap() {
        match event(source, &Demand::default()).await.unwrap() {
            Event::Assigned(partitions) => {
                for (place, resume) in partitions {
                    assert_eq!(place, world.place(place.partition));
                    assert!(resumes.insert(place.partition, resume).is_none(), "{place} is assigned twice");
                }
            }
            other @ (Event::Revoking { .. } | Event::Lost(_) | Event::Record(_)) => {
                panic!("{other:?} before all partitions are assigned")
            }
        }
    }
    resumes
}

/// The next record, of a partition that may be read.
pub(crate) async fn record(source: &mut impl Source, demand: &Demand) -> Record {
    match event(source, demand).await.unwrap() {
        Event::Record(record) => {
            assert!(!demand.stopped.contains(&record.place), "{record:?} must wait");
            record
        }
        other @ (Event::Assigned(_) | Event::Revoking { .. } | Event::Lost(_)) => {
            panic!("{other:?} instead of a record")
        }
    }
}

/// A member of `group` that has been told where it goes on.
pub(crate) async fn joined<W: World>(world: &W, group: &'static str) -> (W::Source, BTreeMap<i32, Resume>) {
    let mut source = world.source(group, "").await;
    let resumes = assigned(world, &mut source).await;
    (source, resumes)
}

/// Leaves the group; revocations that this brings are answered by the source itself, and do not wait for anybody.
pub(crate) async fn leave(source: impl Source) {
    timeout(RELEASE_WITHIN / 2, source.close()).await.expect("a source leaves at once");
}

/// Partitions whose records must wait.
pub(crate) fn stopped<W: World>(world: &W, partitions: impl IntoIterator<Item = i32>) -> Demand {
    Demand { stopped: partitions.into_iter().map(|partition| world.place(partition)).collect() }
}

/// What was read of each partition: one record behind the other.
#[derive(Debug, Default)]
pub(crate) struct Seen(BTreeMap<i32, Vec<Record>>);

impl Seen {
    pub(crate) fn add(&mut self, record: Record) {
        let line = self.0.entry(record.place.partition).or_default();
        if let Some(last) = line.last() {
            assert_eq!(record.offset, last.offset.next(), "behind {last:?} comes {record:?}");
        }
        line.push(record);
    }

    pub(crate) fn of(&self, partition: i32) -> &[Record] {
        self.0.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// All that was read, those of one partition in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Record> {
        self.0.values().flatten()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Reads until there are so many.
    pub(crate) async fn reach(&mut self, count: usize, source: &mut impl Source, demand: &Demand) {
        while self.count() < count {
            self.add(record(source, demand).await);
        }
    }

    /// Panics unless this is what was written, each partition from its beginning, byte for byte.
    pub(crate) fn assert_is(&self, written: &[Outgoing]) {
        for partition in 0..PARTITIONS {
            let wanted: Vec<&Outgoing> = written.iter().filter(|item| item.partition == partition).collect();
            let found = self.of(partition);
            assert_eq!(found.first().map_or(0, |record| record.offset.0), 0, "partition {partition}");
            let odd = found.iter().zip(&wanted).find(|(record, item)| content(record) != ***item || record.is_damaged);
            assert!(odd.is_none(), "written and read: {odd:?}");
            assert_eq!(found.len(), wanted.len(), "partition {partition}");
        }
    }
}

/// A record as it was written.
pub(crate) fn content(record: &Record) -> Outgoing {
    let Record { place, key, value, headers, .. } = record.clone();
    Outgoing { partition: place.partition, key, value, headers }
}

/// Records of about `len` bytes each for all partitions in turn, every one different.
pub(crate) fn records(numbers: std::ops::Range<usize>, len: usize) -> Vec<Outgoing> {
    let of = |number: usize| {
        let mut headers = Headers::default();
        headers.push_text("number", number.to_string());
        Outgoing {
            partition: i32::try_from(number).unwrap() % PARTITIONS,
            key: Some(Bytes::from(format!("user-{}", number % 7))),
            value: Some(Bytes::from(format!("{number}:{}", "x".repeat(len)))),
            headers,
        }
    };
    numbers.map(of).collect()
}

/// Writes records some at a time, as a lane does; none may be refused.
pub(crate) async fn write<W: World>(world: &W, records: &[Outgoing]) {
    let sink = world.sink();
    for batch in records.chunks(500) {
        assert!(sink.write(batch).await.unwrap().is_empty());
    }
}
