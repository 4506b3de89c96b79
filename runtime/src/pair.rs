//! Two members of a group, read as one source.
//!
//! A group shares partitions out by their number. One member for two topics could get all partitions of the busy topic,
//! and the next replica all of the idle one. With a member for each topic, each topic is shared out by itself.

use crate::fault::Fault;
use crate::record::Record;
use crate::source::{Commit, Committer, Demand, Event, Source};
use std::sync::Arc;

/// A source, and perhaps a second one beside it. Neither waits for the other.
#[derive(Debug)]
pub struct Pair<S> {
    first: S,
    second: Option<Second<S>>,
    /// Whether the last event was the second one's.
    is_second_on: bool,
}

/// The second member, or its half of the commits, with the topic that is read by it alone.
#[derive(Clone, Debug)]
struct Second<T> {
    topic: Arc<str>,
    is: T,
}

impl<S: Source> Pair<S> {
    #[must_use]
    pub fn one(source: S) -> Self {
        Self { first: source, second: None, is_second_on: false }
    }

    /// `topic` is what `second` reads, and `first` does not.
    #[must_use]
    pub fn two(first: S, topic: impl Into<Arc<str>>, second: S) -> Self {
        Self { first, second: Some(Second { topic: topic.into(), is: second }), is_second_on: false }
    }
}

impl<S: Source> Source for Pair<S> {
    type Committer = PairCommitter<S::Committer>;

    async fn next(&mut self, demand: &Demand) -> Result<Option<Event>, Fault> {
        match &mut self.second {
            None => self.first.next(demand).await,
            // Whoever has something; if both have, chance decides, so that a backlog of one never starves the other.
            Some(second) => {
                let (event, is_second) = tokio::select! {
                    event = self.first.next(demand) => (event, false),
                    event = second.is.next(demand) => (event, true),
                };
                self.is_second_on = is_second;
                event
            }
        }
    }

    /// Of the one whose turn it is: [`Self::next`] lets chance decide again.
    fn ready(&mut self, demand: &Demand) -> Result<Option<Record>, Fault> {
        match &mut self.second {
            Some(second) if self.is_second_on => second.is.ready(demand),
            _ => self.first.ready(demand),
        }
    }

    fn committer(&self) -> Self::Committer {
        let second =
            self.second.as_ref().map(|second| Second { topic: second.topic.clone(), is: second.is.committer() });
        PairCommitter { first: self.first.committer(), second }
    }

    async fn close(self) {
        match self.second {
            None => self.first.close().await,
            Some(second) => {
                tokio::join!(self.first.close(), second.is.close());
            }
        }
    }
}

/// Commits each partition through the member that owns it.
#[derive(Clone, Debug)]
pub struct PairCommitter<C> {
    first: C,
    second: Option<Second<C>>,
}

impl<C: Committer> Committer for PairCommitter<C> {
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Fault> {
        let Some(second) = &self.second else { return self.first.commit(commits).await };
        let (theirs, ours): (Vec<Commit>, Vec<Commit>) =
            commits.into_iter().partition(|commit| commit.place.topic == second.topic);
        // Nothing to commit is not the same as nothing to do: a client may refuse an empty list.
        match (ours.is_empty(), theirs.is_empty()) {
            (_, true) => self.first.commit(ours).await,
            (true, false) => second.is.commit(theirs).await,
            (false, false) => {
                let (ours, theirs) = tokio::join!(self.first.commit(ours), second.is.commit(theirs));
                // The graver of two faults is the one that ends the worker.
                match (ours, theirs) {
                    (Err(fault @ Fault::Fatal { .. }), _) | (_, Err(fault @ Fault::Fatal { .. })) => Err(fault),
                    (ours, theirs) => ours.and(theirs),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{MemoryGroup, MemoryLog, MemorySource, Weather};
    use crate::record::{Offset, TopicPartition};

    type Joined = (Pair<MemorySource>, MemoryGroup, MemoryGroup);

    fn join(log: &MemoryLog) -> Joined {
        let (first, first_group) = MemorySource::join(log.clone(), "group", "", Weather::default());
        let (second, second_group) = MemorySource::join(log.clone(), "group", "", Weather::default());
        (Pair::two(first, "b", second), first_group, second_group)
    }

    fn place(topic: &str) -> TopicPartition {
        TopicPartition::new(topic, 0)
    }

    fn append(log: &MemoryLog, topic: &str, count: usize) {
        for _ in 0..count {
            log.append_plain(&place(topic), b"key", b"value", 1);
        }
    }

    async fn opened(log: &MemoryLog) -> Joined {
        let (mut pair, a, b) = join(log);
        a.assign(&[place("a")]).await;
        b.assign(&[place("b")]).await;
        for _ in 0..2 {
            assert!(matches!(pair.next(&Demand::default()).await, Ok(Some(Event::Assigned(_)))));
        }
        (pair, a, b)
    }

    async fn topics_read(pair: &mut Pair<MemorySource>, demand: &Demand, count: usize) -> Vec<String> {
        let mut topics = Vec::new();
        for _ in 0..count {
            match pair.next(demand).await {
                Ok(Some(Event::Record(record))) => topics.push(record.place.topic.to_string()),
                other => panic!("no record: {other:?}"),
            }
        }
        topics
    }

    #[tokio::test]
    async fn a_backlog_of_one_topic_does_not_starve_the_other() {
        let log = MemoryLog::default();
        let (mut pair, _a, _b) = opened(&log).await;
        append(&log, "a", 500);
        append(&log, "b", 20);
        let topics = topics_read(&mut pair, &Demand::default(), 400).await;
        assert_eq!(topics.iter().filter(|topic| *topic == "b").count(), 20, "within the first 400 of 520");
    }

    #[tokio::test]
    async fn a_stopped_partition_of_one_topic_stops_nothing_of_the_other() {
        let log = MemoryLog::default();
        let (mut pair, _a, _b) = opened(&log).await;
        append(&log, "a", 5);
        append(&log, "b", 5);
        let demand = Demand { stopped: [place("a")].into() };
        assert_eq!(topics_read(&mut pair, &demand, 5).await, ["b"; 5]);
        assert_eq!(topics_read(&mut pair, &Demand::default(), 5).await, ["a"; 5]);
    }

    #[tokio::test]
    async fn each_commit_goes_through_the_member_that_owns_the_partition() {
        let log = MemoryLog::default();
        let (pair, _a, _b) = opened(&log).await;
        let commit = |topic, offset| Commit { place: place(topic), offset: Offset(offset), metadata: String::new() };
        // The log refuses a commit that comes through another member than the owner.
        for commits in [vec![commit("a", 1)], vec![commit("b", 2)], vec![commit("b", 4), commit("a", 3)]] {
            pair.committer().commit(commits).await.unwrap();
        }
        let committed = |topic| log.committed("group", &place(topic)).map(|(offset, _)| offset);
        assert_eq!((committed("a"), committed("b")), (Some(Offset(3)), Some(Offset(4))));
    }
}
