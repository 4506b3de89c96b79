//! The log, as whoever follows a receipt needs it: which world keeps it is not known here.

use runtime::offsets::{Span, Watermarks};
use runtime::record::Record;
use std::future::Future;

/// A worker on the path of a raw change: a group, and the topic that it reads, without prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    pub group: &'static str,
    pub topic: &'static str,
}

/// Why the log did not tell. Holds no key and no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the log did not answer: {0}")]
pub struct LogError(pub Box<str>);

/// Asks a log from outside. Names of topics are without the prefix; a partition is always one that there is.
pub trait Log: Send + Sync + 'static {
    /// Of every topic.
    fn partitions(&self) -> i32;

    /// The workers, in the order of the path. The first reads the raw topic, the last writes the table, and each writes what
    /// the next one reads.
    fn hops(&self) -> &'static [Hop];

    /// What a partition holds. `high` is not below the end of anything that was acknowledged before this was called.
    fn held(&self, topic: &'static str, partition: i32) -> impl Future<Output = Result<Watermarks, LogError>> + Send;

    /// The next offset that a worker is to read: everything below is settled as far as it is concerned. 0 if there is none.
    fn committed(&self, hop: Hop, partition: i32) -> impl Future<Output = Result<i64, LogError>> + Send;

    /// The first offset whose record was appended at or after `since_ms`, milliseconds since 1970-01-01; the end if there is
    /// none.
    fn since(
        &self,
        topic: &'static str,
        partition: i32,
        since_ms: i64,
    ) -> impl Future<Output = Result<i64, LogError>> + Send;

    /// Some records from the beginning of a span that the partition holds: at least one, and as many as are at hand.
    fn read(&self, topic: &'static str, span: Span) -> impl Future<Output = Result<Vec<Record>, LogError>> + Send;
}
