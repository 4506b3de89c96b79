//! Where records come from: the contract between the worker and a log.

use crate::fault::Fault;
use crate::record::{Offset, Record, TopicPartition};
use std::collections::HashSet;
use std::future::Future;
use tokio::sync::oneshot;

/// Where a partition goes on: the committed offset and the text committed with it (empty if none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    pub offset: Offset,
    pub metadata: String,
}

/// What a source has to say.
#[derive(Debug)]
pub enum Event {
    /// Partitions that are ours from now on.
    Assigned(Vec<(TopicPartition, Resume)>),
    /// The group waits for `released` before it hands the partitions on. No record of them follows.
    Revoking {
        partitions: Vec<TopicPartition>,
        released: oneshot::Sender<()>,
    },
    /// Partitions that are another's already: nothing of them may be committed any more.
    Lost(Vec<TopicPartition>),
    Record(Record),
}

/// What the worker can take right now. Events that are no records are never refused.
#[derive(Debug, Default)]
pub struct Demand {
    /// Partitions whose records must wait.
    pub stopped: HashSet<TopicPartition>,
}

/// One commit: everything below `offset` is settled, and `metadata` goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub place: TopicPartition,
    pub offset: Offset,
    pub metadata: String,
}

/// A log with consumer groups.
pub trait Source: Send + 'static {
    type Committer: Committer;

    /// The next event; `None` when there will be none any more. Dropping the future loses nothing.
    ///
    /// # Errors
    /// A fault of the log itself; the worker ends with it.
    fn next(&mut self, demand: &Demand) -> impl Future<Output = Result<Option<Event>, Fault>> + Send;

    /// A record that is there without waiting, unless an event waits that is none: that one comes from [`Self::next`].
    ///
    /// # Errors
    /// As of [`Self::next`].
    fn ready(&mut self, demand: &Demand) -> Result<Option<Record>, Fault>;

    fn committer(&self) -> Self::Committer;

    /// Leaves the group. Revocations that this brings are answered by the source itself: the worker has drained.
    fn close(self) -> impl Future<Output = ()> + Send;
}

/// Commits beside the source, so that neither waits for the other.
pub trait Committer: Clone + Send + Sync + 'static {
    /// Commits all or fails as a whole; a commit that failed may still have happened.
    ///
    /// # Errors
    /// Always transient: the worker tries again with what is settled by then.
    fn commit(&self, commits: Vec<Commit>) -> impl Future<Output = Result<(), Fault>> + Send;
}
