//! The one thread that writes a topic's files.
//!
//! It takes whatever has queued while its last write was out: that is all the batching there is, and under load it makes
//! many small batches one write and one wait for the disk.

use super::frame::{self, Batch};
use super::segment::{Header, Segment};
use super::topic::{End, Shared};
use super::{Durability, SOON, Terms, recovery};
use crate::Error;
use runtime::Clock;
use runtime::record::Offset;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};
use tracing::{error, warn};

/// Batches of one write.
const AT_ONCE: usize = 256;

type Done<T> = oneshot::Sender<Result<T, Error>>;

#[derive(Debug)]
pub(super) enum Request {
    Append { batch: Batch, done: Done<Vec<Offset>> },
    Sync { done: Done<()> },
    Close { done: Done<()> },
}

pub(super) struct Writer {
    shared: Arc<Shared>,
    clock: Clock,
    durability: Durability,
    segment_len: u64,
    reserve: u64,
    /// The file that is written, if there is one.
    segment: Option<Arc<Segment>>,
    len: u64,
    next: Box<[i64]>,
    /// Up to there it is on disk.
    synced_len: u64,
    /// When what was written last must be on disk.
    sync_due: Option<Instant>,
    buffer: Vec<u8>,
}

/// Who is told when a write is done.
#[derive(Default)]
struct Waiting {
    appended: Vec<(Done<Vec<Offset>>, Vec<Offset>)>,
    synced: Vec<Done<()>>,
    is_closing: bool,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, end: End, terms: &Terms) -> Self {
        let segment = shared.active();
        let End { len, next, .. } = end;
        Self {
            shared,
            clock: terms.clock.clone(),
            durability: terms.durability,
            segment_len: terms.segment_len,
            reserve: terms.reserve,
            segment,
            len,
            next,
            // Whatever a crash has left was never said to be on disk.
            synced_len: 0,
            sync_due: None,
            buffer: Vec::new(),
        }
    }

    /// Serves until it is told to close or nobody is left to ask.
    pub(super) fn run(mut self, mut queue: mpsc::Receiver<Request>) {
        let own = tokio::runtime::Builder::new_current_thread().enable_time().build();
        match own {
            Ok(own) => own.block_on(self.serve(&mut queue)),
            Err(error) => error!(%error, "the log's thread cannot wait"),
        }
    }

    async fn serve(&mut self, queue: &mut mpsc::Receiver<Request>) {
        let mut requests = Vec::with_capacity(AT_ONCE);
        loop {
            let received = queue.recv_many(&mut requests, AT_ONCE);
            let count = match self.sync_due {
                None => received.await,
                Some(due) => match timeout_at(due, received).await {
                    Ok(count) => count,
                    Err(_) => {
                        self.sync_and_show();
                        continue;
                    }
                },
            };
            let is_over = count == 0 || self.turn(&mut requests);
            if is_over {
                break;
            }
        }
        if !self.shared.is_broken() && self.synced_len < self.len {
            self.sync_and_show();
        }
    }

    /// One write of all that has queued. Whether it was told to close.
    fn turn(&mut self, requests: &mut Vec<Request>) -> bool {
        let mut waiting = Waiting::default();
        let (len, next) = (self.len, self.next.clone());
        let at_ms = self.clock.now_ms();
        self.take(requests, &mut waiting, at_ms);
        let mut outcome = self.write(len, &next, at_ms);
        if outcome.is_err() {
            self.next = next;
        }
        let is_sync_asked = !waiting.synced.is_empty() || waiting.is_closing;
        match self.durability {
            Durability::Always => {}
            // Also what was acknowledged before and is not on disk yet: it has its own time.
            Durability::Soon if self.len > self.synced_len => {
                self.sync_due.get_or_insert_with(|| Instant::now() + SOON);
            }
            Durability::System => self.show(),
            Durability::Soon => {}
        }
        let is_due = self.sync_due.is_some_and(|due| due <= Instant::now());
        let must_sync = is_sync_asked || is_due || self.durability == Durability::Always;
        if must_sync && self.len > self.synced_len && !self.sync_and_show() {
            outcome = Err(Failed::Broken);
        }
        self.answer(waiting, outcome)
    }

    /// Puts frames one behind the other.
    fn take(&mut self, requests: &mut Vec<Request>, waiting: &mut Waiting, at_ms: i64) {
        self.buffer.clear();
        let salt = self.segment.as_ref().map_or(0, |segment| segment.header.salt);
        let stamp = self.shared.stamp(at_ms);
        for request in requests.drain(..) {
            match request {
                Request::Append { mut batch, done } => {
                    let offsets = batch.seal(salt, &mut self.next, stamp);
                    debug_assert_eq!(offsets.len(), batch.len(), "each record has its offset");
                    self.buffer.extend_from_slice(batch.as_bytes());
                    waiting.appended.push((done, offsets));
                }
                Request::Sync { done } => waiting.synced.push(done),
                Request::Close { done } => {
                    waiting.synced.push(done);
                    waiting.is_closing = true;
                }
            }
        }
    }

    /// Appends the buffer behind `len`, where offsets go on at `next`.
    fn write(&mut self, len: u64, next: &[i64], at_ms: i64) -> Result<(), Failed> {
        if self.shared.is_broken() {
            return Err(Failed::Broken);
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let Some(segment) = &self.segment else { return Err(Failed::Broken) };
        if room(&segment.file) < self.reserve + self.buffer.len() as u64 {
            return Err(Failed::Refused(io::ErrorKind::StorageFull.into()));
        }
        match segment.file.write_all_at(&self.buffer, len) {
            Ok(()) => {
                segment.note(len, next, at_ms);
                self.len = len + self.buffer.len() as u64;
                Ok(())
            }
            Err(error) => {
                // Half of it may be there: it must not be taken for the whole.
                if segment.file.set_len(len).is_err() {
                    self.break_down("a failed write cannot be taken back", &error);
                    return Err(Failed::Broken);
                }
                Err(Failed::Refused(error))
            }
        }
    }

    /// Makes all that is written safe and shows it. `false` if that went wrong.
    fn sync_and_show(&mut self) -> bool {
        self.sync_due = None;
        let Some(segment) = self.segment.clone() else { return false };
        if self.shared.is_broken() {
            return false;
        }
        if let Err(error) = segment.file.sync_data() {
            // The system may have thrown away what it could not write, and says so only once.
            self.break_down("the disk does not confirm a write", &error);
            return false;
        }
        self.synced_len = self.len;
        let mark = frame::mark(segment.header.salt, self.len);
        // Where it has no room, the next one is as good.
        if segment.file.write_all_at(&mark, self.len).is_ok() {
            self.len += mark.len() as u64;
            self.synced_len = self.len;
        }
        if self.len >= self.segment_len {
            self.roll(&segment);
        }
        self.show();
        true
    }

    /// Begins the next file. The one before is on disk.
    fn roll(&mut self, segment: &Segment) {
        let header = Header { salt: recovery::salt(), number: segment.header.number + 1, bases: self.next.clone() };
        match Segment::create(&self.shared.dir, header) {
            Ok(next) => {
                self.len = next.header_len();
                self.synced_len = self.len;
                self.segment = Some(self.shared.begin(next));
            }
            // It goes on in the one that there is.
            Err(error) => warn!(error = %error, "the next file cannot be begun yet"),
        }
    }

    fn show(&self) {
        let number = self.segment.as_ref().map_or(0, |segment| segment.header.number);
        self.shared.show(End { number, len: self.len, next: self.next.clone() });
    }

    fn break_down(&mut self, what: &'static str, error: &io::Error) {
        error!(topic = %self.shared.name(), %error, "{what}; nothing more is taken");
        self.shared.break_down();
    }

    /// Tells everybody. Whether it was told to close.
    fn answer(&self, waiting: Waiting, outcome: Result<(), Failed>) -> bool {
        let path = self.segment.as_ref().map_or_else(|| self.shared.dir.clone(), |segment| segment.path.clone());
        let error = |failed: &Failed| match failed {
            Failed::Broken => Error::Broken { path: path.clone() },
            Failed::Refused(error) => Error::io(&path, "written", again(error)),
        };
        // Whoever does not wait any more needs no answer.
        for (done, offsets) in waiting.appended {
            done.send(outcome.as_ref().map(|()| offsets).map_err(error)).ok();
        }
        for done in waiting.synced {
            let outcome = if self.shared.is_broken() { Err(error(&Failed::Broken)) } else { Ok(()) };
            done.send(outcome).ok();
        }
        waiting.is_closing
    }
}

/// Why a group is not there.
enum Failed {
    /// Nothing of it is written.
    Refused(io::Error),
    Broken,
}

/// Bytes that the disk under a file has left for us; as many as can be where that is not known.
fn room(file: &File) -> u64 {
    rustix::fs::fstatvfs(file).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize))
}

/// The same error for another who waits.
fn again(error: &io::Error) -> io::Error {
    error.raw_os_error().map_or_else(|| io::Error::from(error.kind()), io::Error::from_raw_os_error)
}
