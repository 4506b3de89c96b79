//! Where a worker of a directory writes: the next topic, or the table and the cache.

use crate::cache::Cache;
use crate::error::Error;
use crate::log::Topic;
use crate::table::Table;
use runtime::clock::Clock;
use runtime::fault::Fault;
use runtime::record::Outgoing;
use runtime::stage::{Destination, Refused, Sink, too_large};
use schemas::Change;
use std::collections::HashSet;
use store::cache::Key;
use tokio::runtime::{Handle, RuntimeFlavor};

/// Appends to one topic. Done when the records are as safe as they must be.
#[derive(Clone, Debug)]
pub struct LogSink {
    topic: Topic,
}

impl LogSink {
    #[must_use]
    pub fn new(topic: Topic) -> Self {
        Self { topic }
    }
}

impl Sink for LogSink {
    type Item = Outgoing;

    /// Refuses what is larger than the topic takes.
    async fn write(&self, batch: &[Outgoing]) -> Result<Refused, Fault> {
        let places = self.topic.append_fitting(batch).await.map_err(Error::into_fault)?;
        let refused = batch.iter().zip(places).enumerate().filter(|(_, (_, place))| place.is_none());
        Ok(refused.map(|(at, (item, _))| (at, too_large(item))).collect())
    }

    fn destination(&self) -> Destination<'_> {
        Destination::Topic(self.topic.name())
    }
}

/// Writes changes to the table, then takes the users out of the cache, and only then says that they are settled.
///
/// Monotonic by version: every cell carries the version of its change, so twice is once and late is nothing.
#[derive(Clone, Debug)]
pub struct TableSink {
    table: Table,
    cache: Cache,
    clock: Clock,
}

impl TableSink {
    #[must_use]
    pub fn new(table: Table, cache: Cache, clock: Clock) -> Self {
        Self { table, cache, clock }
    }
}

impl Sink for TableSink {
    type Item = Change;

    async fn write(&self, batch: &[Change]) -> Result<Refused, Fault> {
        let now_ms = self.clock.now_ms();
        beside(|| self.table.write(batch, now_ms)).map_err(Error::into_fault)?;
        let keys: HashSet<Key> = batch.iter().map(Key::of).collect();
        keys.iter().for_each(|key| self.cache.delete(key));
        Ok(Vec::new())
    }

    fn destination(&self) -> Destination<'_> {
        Destination::Table { system: "fjall", table: "profiles" }
    }
}

/// Runs what may wait for the disk, without keeping others from this thread where there are more of them.
pub(crate) fn beside<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        Ok(_) | Err(_) => work(),
    }
}
