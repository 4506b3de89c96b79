//! The memory world with something wrong in it: whether each behaviour finds out what it is there for.
//!
//! On paused time, so that what waits for ever has waited in a moment.
#![allow(clippy::wildcard_enum_match_arm, reason = "a flaw is in one place, and everywhere else as if it were not")]

use crate::worlds::{Committed, Memory, World};
use crate::{reading::*, starting::*, writing::*};
use bytes::Bytes;
use runtime::fault::Fault;
use runtime::memory::{MemoryCommitter, MemorySink, MemorySource};
use runtime::record::{Headers, Outgoing, Record, Timestamp, TopicPartition};
use runtime::source::{Commit, Committer, Demand, Event, Source};
use runtime::stage::{Refused, Sink};
use schemas::topics;
use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::sleep;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// Nothing but what the memory world does not promise.
    Nothing,
    /// A member is told its own first text, whatever is committed.
    OwnText,
    OfOneGroup,
    CommitsNothing,
    CommitsNoText,
    CommitsOneOnly,
    NullIsEmpty,
    OneHeaderOfAName,
    StampedByTheProducer,
    SkipsTheFirst,
    StopsNobody,
    StopsEverybody,
    LosesWhatIsStopped,
    NothingIsReady,
    LosesWhatIsDropped,
    WritesBackwards,
    /// It says so before.
    WritesWithTheNext,
}
use Flaw::*;

struct Flawed {
    memory: Memory,
    flaw: Flaw,
}

struct FlawedSource {
    memory: MemorySource,
    flaw: Flaw,
    first_metadata: String,
    skipped: Vec<TopicPartition>,
}

#[derive(Clone)]
struct FlawedCommitter(MemoryCommitter, Flaw);

struct FlawedSink {
    memory: MemorySink,
    flaw: Flaw,
    kept: Mutex<Vec<Outgoing>>,
}

impl Flawed {
    fn group(&self, group: &'static str) -> &'static str {
        if self.flaw == OfOneGroup { "all" } else { group }
    }
}

impl World for Flawed {
    type Source = FlawedSource;
    type Sink = FlawedSink;

    fn place(&self, partition: i32) -> TopicPartition {
        self.memory.place(partition)
    }

    async fn source(&self, group: &'static str, first_metadata: &str) -> FlawedSource {
        let memory = self.memory.source(self.group(group), first_metadata).await;
        FlawedSource { memory, flaw: self.flaw, first_metadata: first_metadata.to_owned(), skipped: Vec::new() }
    }

    fn sink(&self) -> FlawedSink {
        FlawedSink { memory: self.memory.sink(), flaw: self.flaw, kept: Mutex::default() }
    }

    async fn committed(&self, group: &'static str) -> Committed {
        self.memory.committed(self.group(group)).await
    }
}

impl FlawedSource {
    /// What becomes of a record; `None`: nothing.
    fn spoil(&mut self, mut record: Record, demand: &Demand) -> Option<Record> {
        match self.flaw {
            SkipsTheFirst if !self.skipped.contains(&record.place) => {
                self.skipped.push(record.place);
                return None;
            }
            LosesWhatIsStopped if demand.stopped.contains(&record.place) => return None,
            StampedByTheProducer => record.timestamp = Timestamp::Create(record.timestamp.millis().unwrap()),
            _ => {}
        }
        Some(record)
    }
}

impl Source for FlawedSource {
    type Committer = FlawedCommitter;

    async fn next(&mut self, demand: &Demand) -> Result<Option<Event>, Fault> {
        let all = Demand::default();
        let told = if matches!(self.flaw, StopsNobody | LosesWhatIsStopped) { &all } else { demand };
        loop {
            if self.flaw == StopsEverybody && !demand.stopped.is_empty() {
                pending::<()>().await;
            }
            let event = self.memory.next(told).await?;
            if self.flaw == LosesWhatIsDropped {
                sleep(Duration::from_micros(500)).await;
            }
            match event {
                Some(Event::Record(record)) => {
                    if let Some(record) = self.spoil(record, demand) {
                        return Ok(Some(Event::Record(record)));
                    }
                }
                Some(Event::Assigned(mut partitions)) => {
                    if self.flaw == OwnText {
                        partitions.iter_mut().for_each(|(_, resume)| resume.metadata.clone_from(&self.first_metadata));
                    }
                    return Ok(Some(Event::Assigned(partitions)));
                }
                event => return Ok(event),
            }
        }
    }

    fn ready(&mut self, demand: &Demand) -> Result<Option<Record>, Fault> {
        let all = Demand::default();
        match self.flaw {
            NothingIsReady => Ok(None),
            StopsNobody => self.memory.ready(&all),
            _ => Ok(self.memory.ready(demand)?.and_then(|record| self.spoil(record, demand))),
        }
    }

    fn committer(&self) -> FlawedCommitter {
        FlawedCommitter(self.memory.committer(), self.flaw)
    }

    async fn close(self) {
        self.memory.close().await;
    }
}

impl Committer for FlawedCommitter {
    async fn commit(&self, mut commits: Vec<Commit>) -> Result<(), Fault> {
        match self.1 {
            CommitsNothing => return Ok(()),
            CommitsNoText => commits.iter_mut().for_each(|commit| commit.metadata.clear()),
            CommitsOneOnly => commits.truncate(1),
            _ => {}
        }
        self.0.commit(commits).await
    }
}

impl Sink for FlawedSink {
    type Item = Outgoing;

    async fn write(&self, batch: &[Outgoing]) -> Result<Refused, Fault> {
        let mut batch = batch.to_vec();
        match self.flaw {
            WritesBackwards => batch.reverse(),
            WritesWithTheNext => std::mem::swap(&mut batch, &mut self.kept.lock().unwrap()),
            NullIsEmpty => batch.iter_mut().for_each(|item| item.key = item.key.take().or(Some(Bytes::new()))),
            OneHeaderOfAName => {
                for item in &mut batch {
                    let mut headers = Headers::default();
                    for (name, value) in item.headers.iter().filter(|(name, value)| item.headers.last(name) == *value) {
                        headers.push(name.clone(), value.cloned());
                    }
                    item.headers = headers;
                }
            }
            _ => {}
        }
        self.memory.write(&batch).await
    }
}

/// Whether a behaviour fails in a world with this flaw.
fn fails(flaw: Flaw, behaviour: impl AsyncFnOnce(&Flawed) + Send + 'static) -> bool {
    let test = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async { behaviour(&Flawed { memory: Memory::build(topics::RAW).await, flaw }).await });
    };
    std::thread::spawn(test).join().is_err()
}

/// Which flaws a behaviour has to find out, and that it finds nothing where nothing is wrong.
macro_rules! finds_out {
    ($($behaviour:ident: $($flaw:ident),+;)+) => {$(
        #[test]
        fn $behaviour() {
            let found = [$((super::$flaw, super::fails(super::$flaw, super::$behaviour))),+];
            let missed: Vec<_> = found.iter().filter(|(flaw, fails)| *fails == (*flaw == super::Nothing)).collect();
            assert!(missed.is_empty(), "{missed:?}");
        }
    )+};
}

mod finds_out {
    finds_out! {
        a_first_start_is_told_of_every_partition_at_0_and_that_is_committed: Nothing, OwnText;
        a_new_member_goes_on_at_the_commit_with_its_text_and_reads_again_what_was_not_committed:
            Nothing, OwnText, CommitsNothing, CommitsNoText, CommitsOneOnly, SkipsTheFirst;
        a_commit_of_one_group_moves_no_other: Nothing, OfOneGroup, CommitsNothing;
        records_come_as_they_were_written_in_the_order_of_their_partition_and_stamped_by_the_log:
            Nothing, NullIsEmpty, OneHeaderOfAName, StampedByTheProducer, SkipsTheFirst, WritesBackwards;
        a_partition_that_is_stopped_stands_alone_and_goes_on_without_a_gap:
            Nothing, StopsNobody, StopsEverybody, LosesWhatIsStopped;
        whatever_is_stopped_and_let_go_each_record_comes_once_and_in_order:
            Nothing, StopsNobody, LosesWhatIsStopped;
        ready_gives_what_is_there_of_partitions_that_may_be_read_and_never_an_event:
            Nothing, StopsNobody, NothingIsReady;
        dropping_a_wait_for_the_next_event_loses_nothing: Nothing, LosesWhatIsDropped;
        what_a_write_has_returned_for_is_read_in_its_partition_in_order:
            Nothing, WritesBackwards, WritesWithTheNext;
    }

    #[test]
    fn what_the_memory_world_does_not_promise() {
        assert!(super::fails(
            super::Nothing,
            super::a_commit_behind_the_end_of_the_log_stops_the_start_and_names_the_way_on
        ));
        assert!(super::fails(super::Nothing, super::of_a_batch_the_record_that_is_too_large_is_refused_alone));
        assert!(super::fails(super::Nothing, super::of_a_topic_that_producers_stamp_a_record_carries_their_time));
    }
}
