//! Wrappers around the parts of a worker behind its source: they watch, and they are where sabotage is planted.

use crate::audit::Audit;
use crate::cassandra::Cassandra;
use crate::frost::Frost;
use crate::plan::Place;
use crate::reader::key_of;
use crate::redis::Redis;
use crate::sabotage::Sabotage;
use bytes::Bytes;
use processors::validate::Fold;
use runtime::Clock;
use runtime::fault::{Fault, Rejection, Verdict};
use runtime::memory::MemorySink;
use runtime::record::{Outgoing, Record};
use runtime::stage::{Admitted, Mark, Refused, Sink, Stage};
use schemas::{Change, RejectCode, Version};
use sinks::{Invalidate, Profiles};
use std::collections::HashMap;
use std::sync::Mutex;
use store::cache::protocol::{Entry, Get};
use store::cache::{CacheError, Key};
use store::cql::{Blame, WriteError};

/// The fold of `validate`.
#[derive(Debug)]
pub(crate) struct Marked {
    fold: Fold,
    sabotage: Sabotage,
    clock: Clock,
    /// The newest state of each partition, and whose a state is.
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    newest: HashMap<i32, i64>,
    partition_of: HashMap<i64, i32>,
}

impl Marked {
    pub(crate) fn new(fold: Fold, sabotage: Sabotage, clock: Clock) -> Self {
        Self { fold, sabotage, clock, seen: Mutex::default() }
    }
}

impl Mark for Marked {
    fn next(&self, previous: i64, record: &Record) -> i64 {
        if self.sabotage == Sabotage::MarkFromClock {
            return (previous + 8).max(self.clock.now_ms() * 1000 / 8 * 8);
        }
        let mark = self.fold.next(previous, record);
        if self.sabotage == Sabotage::MarkOfHead {
            let mut seen = self.seen.lock().unwrap();
            seen.newest.insert(record.place.partition, mark);
            seen.partition_of.insert(mark, record.place.partition);
        }
        mark
    }

    fn metadata(&self, mark: i64) -> String {
        let seen = self.seen.lock().unwrap();
        match self.sabotage {
            Sabotage::MarkDropped => self.fold.first(),
            Sabotage::MarkOfHead => {
                let newest = seen.partition_of.get(&mark).and_then(|partition| seen.newest.get(partition));
                self.fold.metadata(newest.copied().unwrap_or(mark))
            }
            _ => self.fold.metadata(mark),
        }
    }

    fn resume(&self, metadata: &str) -> Result<i64, Fault> {
        self.fold.resume(metadata)
    }
}

/// A stage whose faults sabotage takes for rejections.
#[derive(Debug)]
pub(crate) struct Judged<S> {
    pub(crate) stage: S,
    pub(crate) sabotage: Sabotage,
}

impl<S: Stage<In = Admitted>> Stage for Judged<S> {
    type In = Admitted;
    type Out = S::Out;

    async fn apply(&self, item: &Admitted) -> Result<Verdict<S::Out>, Fault> {
        match self.stage.apply(item).await {
            Err(Fault::Transient(_)) if self.sabotage == Sabotage::FaultAsRejection => {
                let code = RejectCode::VersionInFuture;
                Ok(Verdict::Reject(Rejection {
                    code: code.as_str(),
                    reason: code.reason(),
                    field: None,
                    facts: Vec::new(),
                }))
            }
            judged => judged,
        }
    }
}

/// A topic that keeps copies of its own, so that what a worker holds of a record is gone when the worker lets it go.
#[derive(Clone, Debug)]
pub(crate) struct Topic(pub(crate) MemorySink);

impl Sink for Topic {
    type Item = Outgoing;

    async fn write(&self, batch: &[Outgoing]) -> Result<Refused, Fault> {
        let copy = |bytes: &Option<Bytes>| bytes.as_ref().map(|bytes| Bytes::copy_from_slice(bytes));
        let copied = |item: &Outgoing| Outgoing { key: copy(&item.key), value: copy(&item.value), ..item.clone() };
        self.0.write(&batch.iter().map(copied).collect::<Vec<_>>()).await
    }
}

/// The sink of profiles; what it says is done is noted.
#[derive(Debug)]
pub(crate) struct Settling<W> {
    pub(crate) sink: W,
    pub(crate) audit: Audit,
}

impl<W: Sink<Item = Change>> Sink for Settling<W> {
    type Item = Change;

    async fn write(&self, batch: &[Change]) -> Result<Refused, Fault> {
        let refused = self.sink.write(batch).await?;
        let mut known = self.audit.known();
        for (_, change) in (0..).zip(batch).filter(|(at, _)| refused.iter().all(|(refused, _)| refused != at)) {
            if let Some(name) = Place::of(&change.origin) {
                known.settle(change.user_id.as_str(), name);
            }
        }
        Ok(refused)
    }
}

/// Users of one request.
const RUN_LEN_MAX: usize = 4;

/// One member's way to the stores.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) cassandra: Cassandra,
    pub(crate) redis: Redis,
    pub(crate) frost: Frost,
    pub(crate) sabotage: Sabotage,
}

impl Profiles for Port {
    async fn write(&self, changes: &[&Change]) -> Result<(), WriteError> {
        self.frost.thaw().await;
        if self.sabotage == Sabotage::InvalidateFirst {
            self.invalidate_first(changes).await?;
        }
        self.cassandra.write(&[changes]).await
    }

    /// As many as Cassandra would take without a word, whoever they are: every replica has every row here.
    fn runs(&self, users: &[Vec<&Change>]) -> Vec<Vec<usize>> {
        let all: Vec<usize> = (0..users.len()).collect();
        all.chunks(RUN_LEN_MAX).map(<[_]>::to_vec).collect()
    }

    async fn write_together(&self, users: &[&[&Change]]) -> Result<(), WriteError> {
        self.frost.thaw().await;
        if self.sabotage == Sabotage::InvalidateFirst {
            for changes in users {
                self.invalidate_first(changes).await?;
            }
        }
        self.cassandra.write(users).await
    }

    async fn probe(&self, _change: &Change, _now: Version) -> Result<Blame, WriteError> {
        Ok(self.cassandra.probe())
    }
}

impl Invalidate for Port {
    async fn delete(&self, keys: &[Key]) -> Result<(), CacheError> {
        self.frost.thaw().await;
        match self.sabotage {
            Sabotage::InvalidateFirst => Ok(()),
            Sabotage::SkipIfNewer => {
                self.redis.delete(keys, |key, entry, now_ms| self.is_newer(key, entry, now_ms)).await
            }
            _ => self.redis.delete(keys, |_, _, _| false).await,
        }
    }
}

impl Port {
    async fn invalidate_first(&self, changes: &[&Change]) -> Result<(), WriteError> {
        let keys: Vec<Key> = changes.first().map(|change| Key::of(change)).into_iter().collect();
        let deleted = self.redis.delete(&keys, |_, _, _| false).await;
        deleted.map_err(|_| WriteError::Ambiguous("the weather".into()))
    }

    /// Whether an entry has a version at or above the one that was just written.
    fn is_newer(&self, key: &Key, entry: &Entry, now_ms: i64) -> bool {
        let Get::Hit(value) = entry.get(now_ms) else { return false };
        let written = self.cassandra.written();
        written.iter().any(|(user, version)| key_of(user) == *key && value.version >= *version)
    }
}
