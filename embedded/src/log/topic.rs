//! One topic: its files, what of them may be read, and the way to its writer.

use super::frame::{Batch, Stamp};
use super::recovery::{self, Found};
use super::segment::Segment;
use super::writer::{Request, Writer};
use super::{Terms, Unverified};
use crate::Error;
use runtime::offsets::Watermarks;
use runtime::record::{Offset, Outgoing, TopicPartition};
use schemas::topics::{self, StampedBy};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};

/// Batches that wait for the writer; whoever has more waits itself.
const QUEUE_LEN: usize = 256;

/// One topic of a directory. Clones are the same topic.
#[derive(Clone, Debug)]
pub struct Topic {
    shared: Arc<Shared>,
    requests: mpsc::Sender<Request>,
    writer: Arc<Mutex<Option<JoinHandle<()>>>>,
}

/// What writer and readers have in common.
#[derive(Debug)]
pub(super) struct Shared {
    name: Arc<str>,
    pub(super) dir: PathBuf,
    kept: topics::Topic,
    state: Mutex<State>,
    /// The disk has failed it: nothing more is taken.
    is_broken: AtomicBool,
    /// Counts what has become visible.
    grown: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// Oldest first, the last one written on; never empty.
    segments: VecDeque<Arc<Segment>>,
    end: End,
}

/// Up to where readers may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Of the last segment that may be read.
    pub(super) number: u64,
    pub(super) len: u64,
    /// Offsets that come next.
    pub(super) next: Box<[i64]>,
}

impl Topic {
    pub(super) fn open(dir: &Path, kept: topics::Topic, terms: &Terms) -> Result<Self, Error> {
        let Found { segments, len, next } = recovery::recover(dir, terms.partitions)?;
        let number = segments.last().map_or(0, |last| last.header.number);
        let end = End { number, len, next };
        let state = State { segments: segments.into(), end: end.clone() };
        let shared = Shared {
            name: kept.name.into(),
            dir: dir.to_owned(),
            kept,
            state: Mutex::new(state),
            is_broken: AtomicBool::new(false),
            grown: watch::Sender::new(0),
        };
        let shared = Arc::new(shared);
        let (requests, queue) = mpsc::channel(QUEUE_LEN);
        let writer = Writer::new(shared.clone(), end, terms);
        let thread = std::thread::Builder::new().name("log".to_owned()).spawn(move || writer.run(queue));
        let thread = thread.map_err(|error| Error::io(dir, "served by a thread", error))?;
        Ok(Self { shared, requests, writer: Arc::new(Mutex::new(Some(thread))) })
    }

    /// Without prefix: a directory has one set of topics.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    #[must_use]
    pub fn place(&self, partition: i32) -> TopicPartition {
        TopicPartition { topic: self.shared.name.clone(), partition }
    }

    /// Largest record, in bytes of key, value and headers.
    #[must_use]
    pub fn record_bytes_max(&self) -> usize {
        usize::try_from(self.shared.kept.message_bytes_max).unwrap_or(usize::MAX)
    }

    #[must_use]
    pub fn partitions(&self) -> i32 {
        i32::try_from(self.shared.state().end.next.len()).unwrap_or(i32::MAX)
    }

    /// The offsets that each partition holds and shows, by partition.
    #[must_use]
    pub fn watermarks(&self) -> Vec<Watermarks> {
        let state = self.shared.state();
        let lows = state.segments.front().map(|first| first.header.bases.clone()).unwrap_or_default();
        let held = lows.iter().zip(&state.end.next).zip(0..);
        held.map(|((low, high), partition)| Watermarks { partition, low: *low, high: *high }).collect()
    }

    /// Appends records, each to its partition, in order; returns when all are as safe as they must be, with their offsets.
    ///
    /// All or nothing, unless the process ends meanwhile. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// If the disk does not take them, or one has a partition that there is not: then none is there.
    pub async fn append(&self, items: &[Outgoing]) -> Result<Vec<Offset>, Error> {
        let bytes = items.iter().map(|item| item.bytes() + 64 + 16 * item.headers.len()).sum();
        let mut batch = Batch::with_capacity(bytes, items.len());
        let partitions = self.partitions();
        for item in items {
            let partition = item.partition;
            let known = u16::try_from(partition).ok().filter(|_| partition < partitions);
            batch.push(
                known.ok_or_else(|| Error::Partition { path: self.shared.dir.clone(), partition, partitions })?,
                item,
            );
        }
        let (done, wait) = oneshot::channel();
        self.ask(Request::Append { batch, done }).await?;
        wait.await.map_err(|_| Error::Closed)?
    }

    /// Appends what fits, as [`Topic::append`] does; `None` in the place of a record that is larger than the topic takes.
    ///
    /// # Errors
    /// As of [`Topic::append`].
    pub async fn append_fitting(&self, items: &[Outgoing]) -> Result<Vec<Option<Offset>>, Error> {
        let max = self.record_bytes_max();
        let fits = |item: &Outgoing| item.bytes() <= max;
        if items.iter().all(fits) {
            return Ok(self.append(items).await?.into_iter().map(Some).collect());
        }
        let fit: Vec<Outgoing> = items.iter().filter(|item| fits(item)).cloned().collect();
        let mut offsets = self.append(&fit).await?.into_iter();
        Ok(items.iter().map(|item| if fits(item) { offsets.next() } else { None }).collect())
    }

    pub(super) fn check(&self) -> Result<(), Error> {
        if self.shared.is_broken() {
            return Err(Error::Broken { path: self.shared.dir.clone() });
        }
        Ok(())
    }

    /// Returns when all that was acknowledged is on disk.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub async fn sync(&self) -> Result<(), Error> {
        let (done, wait) = oneshot::channel();
        self.ask(Request::Sync { done }).await?;
        wait.await.map_err(|_| Error::Closed)?
    }

    pub(super) async fn close(&self) {
        let (done, wait) = oneshot::channel();
        if self.ask(Request::Close { done }).await.is_ok() {
            // It has ended either way.
            wait.await.ok();
        }
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It has said that it is done: what is left of it is its return.
            thread.join().ok();
        }
    }

    async fn ask(&self, request: Request) -> Result<(), Error> {
        self.requests.send(request).await.map_err(|_| Error::Closed)
    }

    /// Told whenever more can be read.
    pub(crate) fn growth(&self) -> watch::Receiver<u64> {
        self.shared.grown.subscribe()
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The first offset of each partition, by partition, whose record was appended at or after `since_ms` (milliseconds since
    /// 1970-01-01); the high watermark where there is none. Reads from the first file that may have one; blocks.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn offsets_since(&self, since_ms: i64) -> Result<Vec<i64>, Error> {
        let (segments, end) = self.shared.all();
        let mut found: Vec<Option<i64>> = vec![None; end.next.len()];
        for segment in segments.iter().skip_while(|segment| segment.newest_ms() < since_ms) {
            let mut each = |parts: &super::frame::Parts<'_>| {
                if let Some(found @ None) = found.get_mut(usize::from(parts.partition))
                    && parts.at_ms >= since_ms
                {
                    *found = Some(parts.offset);
                }
            };
            super::reader::each_of(segment, &end, &mut each)?;
            if found.iter().all(Option::is_some) {
                break;
            }
        }
        Ok(found.iter().zip(&end.next).map(|(found, next)| found.unwrap_or(*next)).collect())
    }

    pub(super) fn retain(&self, now_ms: i64, unread: &impl Fn(&TopicPartition) -> Option<i64>) -> Result<usize, Error> {
        let oldest_ms = now_ms.saturating_sub(i64::try_from(self.shared.kept.kept.as_millis()).unwrap_or(i64::MAX));
        let mut removed = 0;
        loop {
            let gone = {
                let mut state = self.shared.state();
                let (Some(first), Some(second)) = (state.segments.front(), state.segments.get(1)) else { break };
                let is_read =
                    second.header.bases.iter().zip(0..).all(|(base, partition)| {
                        unread(&self.place(partition)).is_none_or(|committed| committed >= *base)
                    });
                if !is_read || first.newest_ms() >= oldest_ms {
                    break;
                }
                state.segments.pop_front()
            };
            let Some(gone) = gone else { break };
            std::fs::remove_file(&gone.path).map_err(|error| Error::io(&gone.path, "removed", error))?;
            removed += 1;
        }
        if removed > 0 {
            super::segment::sync_dir(&self.shared.dir)?;
        }
        Ok(removed)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.shared.all().0.iter().map(|segment| segment.len().unwrap_or(0)).sum()
    }

    /// Goes through every file, the last one as far as it may be read; how many there are.
    pub(super) fn verify(&self) -> Result<usize, Error> {
        let (segments, end) = self.shared.all();
        for pair in segments.windows(2) {
            if let [segment, next] = pair {
                recovery::verify(segment, &next.header.bases)?;
            }
        }
        if let Some(last) = segments.last() {
            super::reader::each_of(last, &end, &mut |_| ())?;
        }
        Ok(segments.len())
    }

    pub(super) fn unverified(&self) -> Vec<Unverified> {
        let (segments, _) = self.shared.all();
        let pairs = segments.iter().zip(segments.iter().skip(1));
        let unseen = pairs.filter(|(segment, _)| !segment.is_verified());
        unseen.map(|(segment, next)| Unverified { segment: segment.clone(), next: next.header.bases.clone() }).collect()
    }
}

impl Shared {
    pub(super) fn is_broken(&self) -> bool {
        self.is_broken.load(Ordering::Acquire)
    }

    pub(super) fn break_down(&self) {
        self.is_broken.store(true, Ordering::Release);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// How records are stamped that are appended at `at_ms`.
    pub(super) fn stamp(&self, at_ms: i64) -> Stamp {
        Stamp { at_ms, is_append_time: self.kept.stamped_by == StampedBy::Broker }
    }

    /// Every file and up to where they may be read.
    pub(super) fn all(&self) -> (Vec<Arc<Segment>>, End) {
        let state = self.state();
        (state.segments.iter().cloned().collect(), state.end.clone())
    }

    /// The last file.
    pub(super) fn active(&self) -> Option<Arc<Segment>> {
        self.state().segments.back().cloned()
    }

    /// The first file that is not before `number`, with what may be read of it; `None` if none may be.
    pub(super) fn from(&self, number: u64) -> Option<(Arc<Segment>, End)> {
        let state = self.state();
        let found = state.segments.iter().find(|segment| segment.header.number >= number)?;
        (found.header.number <= state.end.number).then(|| (found.clone(), state.end.clone()))
    }

    /// The file that has `offset` of a partition, or will have it; the first one if it is gone.
    pub(super) fn holding(&self, partition: usize, offset: i64) -> Option<Arc<Segment>> {
        let state = self.state();
        let has = |segment: &&Arc<Segment>| segment.header.bases.get(partition).is_some_and(|base| *base <= offset);
        state.segments.iter().rev().find(has).or_else(|| state.segments.front()).cloned()
    }

    pub(super) fn begin(&self, segment: Segment) -> Arc<Segment> {
        let segment = Arc::new(segment);
        self.state().segments.push_back(segment.clone());
        segment
    }

    pub(super) fn show(&self, end: End) {
        self.state().end = end;
        self.grown.send_modify(|count| *count += 1);
    }
}
