//! The contracts of the path behind the source: fold, stage and sink.

use crate::fault::{Fault, Rejection, Verdict};
use crate::record::{Outgoing, Record};
use std::future::Future;

/// A record that has its place: `mark` is the fold's state behind it.
#[derive(Debug)]
pub struct Admitted {
    pub record: Record,
    pub mark: i64,
}

/// A fold over the records of a partition, in order; its state travels with every commit.
pub trait Mark: Send + Sync + 'static {
    /// The state behind `record`, from the state behind the one before it.
    fn next(&self, previous: i64, record: &Record) -> i64;

    /// The text that is committed with a state.
    fn metadata(&self, mark: i64) -> String;

    /// The state that a committed text stands for.
    ///
    /// # Errors
    /// Fatal (exit 64), saying how to mend it, if the text is no state of this fold.
    fn resume(&self, metadata: &str) -> Result<i64, Fault>;
}

/// No fold: nothing is committed beside the offset.
impl Mark for () {
    fn next(&self, _previous: i64, _record: &Record) -> i64 {
        0
    }

    fn metadata(&self, _mark: i64) -> String {
        String::new()
    }

    fn resume(&self, _metadata: &str) -> Result<i64, Fault> {
        Ok(0)
    }
}

/// Value in, verdict out. The same input gives the same verdict.
pub trait Stage: Send + Sync + 'static {
    type In: Send + Sync;
    type Out: Send + Sync;

    /// # Errors
    /// A fault; a transient one is tried again with the same item.
    fn apply(&self, item: &Self::In) -> impl Future<Output = Result<Verdict<Self::Out>, Fault>> + Send;
}

/// Makes a batch durable. Writing the same batch twice must equal writing it once.
pub trait Sink: Send + Sync + 'static {
    type Item: Send + Sync;

    /// Returns once everything but the refused is durable. Items of one key stand in order.
    ///
    /// # Errors
    /// A fault; after a transient one the whole batch is written again.
    fn write(&self, batch: &[Self::Item]) -> impl Future<Output = Result<Refused, Fault>> + Send;

    /// Where it writes, for the spans of its writes.
    fn destination(&self) -> Destination<'_> {
        Destination::Unnamed
    }
}

/// What a span calls the place of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination<'s> {
    Topic(&'s str),
    /// `system` as OpenTelemetry names databases.
    Table {
        system: &'static str,
        table: &'static str,
    },
    Unnamed,
}

/// Positions in the batch that the store refused for good, in order; nearly always empty.
pub type Refused = Vec<(usize, Rejection)>;

/// A record on its way to the dead letters.
#[derive(Debug)]
pub struct Rejected {
    pub record: Record,
    pub rejection: Rejection,
}

/// What the record says of its place in history goes with the letter.
const PLACE: [&str; 3] = ["tw-origin", "tw-version", "tw-id"];

/// What a log says of a record that is larger than its topic takes.
#[must_use]
pub fn too_large(item: &Outgoing) -> Rejection {
    let text = |name| String::from_utf8(item.headers.last(name)?.to_vec()).ok();
    let facts = PLACE.into_iter().filter_map(|name| Some((name, text(name)?))).collect();
    Rejection {
        code: "too-large",
        reason: "the record, or what it becomes, is over the size limit",
        field: None,
        facts,
    }
}
