//! A log's topic as a source for a worker: one member that holds every partition.
//!
//! The same rules as on Kafka: it goes on where its group has committed; where it never has, on a log that begins at 0, it
//! commits (0, first text) before it begins; anything else stops with the number of records that are gone.

use crate::Error;
use crate::log::{Cursor, Log, Topic};
use crate::table::{Place, Table};
use runtime::fault::Fault;
use runtime::offsets::Watermarks;
use runtime::record::{Offset, Record, TopicPartition};
use runtime::source::{Commit, Committer, Demand, Event, Resume, Source};
use std::sync::Arc;

/// Who reads a topic.
#[derive(Clone, Debug)]
pub struct Member {
    /// The consumer group, by which `tidewater rewind` knows it too.
    pub group: &'static str,
    /// Text committed with offset 0 on a first start.
    pub first_metadata: String,
    /// How `tidewater rewind` is told where, such as `--data DIR`.
    pub rewind: String,
}

/// All partitions of one topic.
#[derive(Debug)]
pub struct LogSource {
    log: Log,
    topic: Topic,
    table: Table,
    member: Arc<Member>,
    /// None until the partitions were told of.
    cursor: Option<Cursor>,
}

/// Commits of one group.
#[derive(Clone, Debug)]
pub struct LogCommitter {
    log: Log,
    table: Table,
    member: Arc<Member>,
}

impl LogSource {
    /// Reads `topic` of `log` for a group whose commits are kept in `table`.
    #[must_use]
    pub fn new(log: Log, topic: Topic, table: Table, member: Member) -> Self {
        Self { log, topic, table, member: Arc::new(member), cursor: None }
    }

    /// Where each partition goes on.
    async fn resumes(&self) -> Result<Vec<(TopicPartition, Resume)>, Fault> {
        let mut resumes = Vec::new();
        let mut first = Vec::new();
        for held in self.topic.watermarks() {
            let place = self.topic.place(held.partition);
            let committed = self.table.committed(self.member.group, &place).map_err(Error::into_fault)?;
            let resume = match committed {
                Some((offset, metadata)) => {
                    self.check_range(&place, offset, held)?;
                    Resume { offset: Offset(offset), metadata }
                }
                None => {
                    self.check_first(&place, held)?;
                    let resume = Resume { offset: Offset(0), metadata: self.member.first_metadata.clone() };
                    first.push(Commit {
                        place: place.clone(),
                        offset: resume.offset,
                        metadata: resume.metadata.clone(),
                    });
                    resume
                }
            };
            resumes.push((place, resume));
        }
        if !first.is_empty() {
            self.committer().commit(first).await?;
        }
        Ok(resumes)
    }

    fn check_range(&self, place: &TopicPartition, offset: i64, held: Watermarks) -> Result<(), Fault> {
        let Member { group, rewind, .. } = &*self.member;
        let Watermarks { low, high, .. } = held;
        if offset < low {
            let gone = low.saturating_sub(offset);
            return Err(Fault::config(format!(
                "{place}: {gone} records are gone unread: group {group} committed offset {offset}, the log now starts at \
                 {low}; run: tidewater rewind {group} --to START {rewind} to go on behind them"
            )));
        }
        if offset > high {
            return Err(Fault::config(format!(
                "{place}: group {group} committed offset {offset}, but the log ends at {high}: it lost its tail; run: \
                 tidewater rewind {group} --to START {rewind}"
            )));
        }
        Ok(())
    }

    fn check_first(&self, place: &TopicPartition, held: Watermarks) -> Result<(), Fault> {
        let Member { group, rewind, .. } = &*self.member;
        let low = held.low;
        if low > 0 {
            return Err(Fault::config(format!(
                "{place}: group {group} has no committed offset and the log starts at {low}, so up to {low} records may \
                 be gone unread; run: tidewater rewind {group} --to START {rewind} to accept that"
            )));
        }
        Ok(())
    }
}

impl Source for LogSource {
    type Committer = LogCommitter;

    async fn next(&mut self, demand: &Demand) -> Result<Option<Event>, Fault> {
        if let Some(cursor) = &mut self.cursor {
            let record = cursor.next(&demand.stopped).await.map_err(Error::into_fault)?;
            return Ok(Some(Event::Record(record)));
        }
        let resumes = self.resumes().await?;
        let from: Vec<i64> = resumes.iter().map(|(_, resume)| resume.offset.0).collect();
        self.cursor = Some(Cursor::new(self.topic.clone(), &from));
        Ok(Some(Event::Assigned(resumes)))
    }

    fn ready(&mut self, demand: &Demand) -> Result<Option<Record>, Fault> {
        Ok(self.cursor.as_mut().and_then(|cursor| cursor.ready(&demand.stopped)))
    }

    fn committer(&self) -> LogCommitter {
        LogCommitter { log: self.log.clone(), table: self.table.clone(), member: self.member.clone() }
    }

    async fn close(self) {}
}

impl Committer for LogCommitter {
    /// A commit never says more than the disk has: what it counts as read, and what was made of it, is on disk before.
    async fn commit(&self, commits: Vec<Commit>) -> Result<(), Fault> {
        // Always transient, as the contract says: a disk that is broken ends the worker by its next write.
        let transient = |error: Error| Fault::transient(error.to_string());
        self.log.sync().await.map_err(transient)?;
        let places = commits.into_iter().map(|commit| {
            let Commit { place, offset, metadata } = commit;
            Place { topic: place.topic, partition: place.partition, offset: offset.0, metadata }
        });
        self.table.commit(self.member.group, &places.collect::<Vec<_>>()).map_err(transient)
    }
}
