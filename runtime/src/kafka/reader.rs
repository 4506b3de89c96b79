//! Reading ranges of a topic in the order of each partition, without a group and without leaving a trace.
//!
//! A span is read when its last record is: that the client has come to the end of a partition proves nothing, because
//! a new leader knows of fewer records for a while than the one before it had confirmed.

use super::client::{Client, Listener, PATIENCE};
use super::config::Config;
use super::error::{self, Error};
use super::queue;
use crate::offsets::Span;
use crate::record::{Names, Record, TopicPartition};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// How many records wait between the thread that polls and whoever reads.
const QUEUE_LEN: usize = 64;

/// One wait for the next record; a reader that was dropped is noticed within it.
const POLL: Duration = Duration::from_millis(100);

/// The client wants a group's name before it assigns; nothing is ever joined or committed under it.
const NO_GROUP: &str = "reader";

/// Records of some [`Span`]s of one topic. Order holds within a partition, not between two.
#[derive(Debug)]
pub struct Reader {
    records: mpsc::Receiver<Record>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

impl Reader {
    /// Starts to read `spans` of `topic`, at most one a partition; empty ones are skipped.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Client`] if the configuration is wrong, [`Error::Refused`].
    pub fn open(config: &Config, topic: &str, spans: &[Span]) -> Result<Self, Error> {
        let client = Client::new(config, |settings| {
            settings
                .set("group.id", NO_GROUP)
                .set("auto.offset.reset", "error")
                .set("enable.partition.eof", "true")
                .set("fetch.queue.backoff.ms", "20");
        })?;
        let left =
            spans.iter().filter(|span| span.from < span.to).map(|span| (span.partition, Rest::of(*span))).collect();
        let (sender, records) = mpsc::channel(QUEUE_LEN);
        let task = Task { client, topic: topic.into(), names: Names::default(), left, sender };
        Ok(Self { records, thread: Some(tokio::task::spawn_blocking(move || task.run())) })
    }

    /// The next record; `None` once every span is read.
    ///
    /// # Errors
    /// [`Error::RangeGone`] if retention overtook the reader; [`Error::Stalled`] if a partition has no more records and
    /// its span goes on; [`Error::NoAnswer`] or [`Error::Refused`].
    pub async fn next(&mut self) -> Result<Option<Record>, Error> {
        if let Some(record) = self.records.recv().await {
            return Ok(Some(record));
        }
        match self.thread.take() {
            Some(thread) => thread.await.map_err(|_| Error::ThreadEnded)?.map(|()| None),
            None => Ok(None),
        }
    }
}

/// What the polling thread owns.
struct Task {
    client: Client,
    topic: Arc<str>,
    names: Names,
    /// What is not yet read, by partition.
    left: BTreeMap<i32, Rest>,
    sender: mpsc::Sender<Record>,
}

/// What is left of a span.
#[derive(Clone, Copy, Debug)]
struct Rest {
    /// The offset that is read next.
    next: i64,
    to: i64,
    /// What the end of the partition was taken for when the client last came to it.
    end: End,
}

/// The client has come to the end of a partition before the end of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotMet,
    /// The leader did not know of the whole span.
    Early,
    /// The leader knew of all of it, and was asked for the rest once more.
    AskedAgain,
}

impl Rest {
    fn of(span: Span) -> Self {
        Self { next: span.from, to: span.to, end: End::NotMet }
    }
}

impl Task {
    fn run(mut self) -> Result<(), Error> {
        let client = self.client.clone();
        self.assign(client.consumer()).map_err(|error| client.failed(self.asked(), error))?;
        let mut silence = Duration::ZERO;
        while !self.left.is_empty() && !self.sender.is_closed() {
            let Some(polled) = client.consumer().poll(POLL) else {
                silence += POLL;
                if silence >= PATIENCE {
                    return Err(self.stalled().unwrap_or_else(|| client.silent(self.asked())));
                }
                continue;
            };
            match polled {
                Ok(message) => {
                    silence = Duration::ZERO;
                    self.take(client.consumer(), &message).map_err(|error| client.failed(self.asked(), error))?;
                }
                Err(KafkaError::PartitionEOF(partition)) => match self.at_end(client.consumer(), partition) {
                    Err(error) if !error::is_silence(&error) => return Err(client.failed(self.asked(), error)),
                    Ok(()) | Err(_) => {}
                },
                Err(KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset)) => {
                    return Err(Error::RangeGone { topic: self.topic.to_string() });
                }
                // The client keeps trying; if it does so in vain, the silence above ends it.
                Err(error) if error::is_silence(&error) => {}
                Err(error) => return Err(client.failed(self.asked(), error)),
            }
        }
        Ok(())
    }

    fn asked(&self) -> String {
        format!("read {}", self.topic)
    }

    fn assign(&self, consumer: &BaseConsumer<Listener>) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::with_capacity(self.left.len());
        for (partition, rest) in &self.left {
            list.add_partition_offset(&self.topic, *partition, Offset::Offset(rest.next))?;
        }
        consumer.assign(&list)
    }

    /// The client has come to the end of a partition. If its span is not read, a leader that knows of all of it is asked
    /// for the rest once more, and believed only then: what is left are offsets without a record, as transactions of
    /// some producer leave them. One that does not is waited for.
    fn at_end(&mut self, consumer: &BaseConsumer<Listener>, partition: i32) -> Result<(), KafkaError> {
        let Some(rest) = self.left.get_mut(&partition) else { return Ok(()) };
        let before = std::mem::replace(&mut rest.end, End::Early);
        let (_, high) = consumer.fetch_watermarks(&self.topic, partition, PATIENCE)?;
        if high < rest.to {
            return Ok(());
        }
        if before == End::AskedAgain {
            return self.finish(consumer, partition);
        }
        rest.end = End::AskedAgain;
        consumer.seek(&self.topic, partition, Offset::Offset(rest.next), PATIENCE)
    }

    /// A partition that ended before its span, if there is one.
    fn stalled(&self) -> Option<Error> {
        let (partition, rest) = self.left.iter().find(|(_, rest)| rest.end != End::NotMet)?;
        let (topic, Rest { next, to, .. }) = (self.topic.to_string(), *rest);
        Some(Error::Stalled { topic, partition: *partition, next, to, waited: PATIENCE })
    }

    /// Nothing more is wanted of a partition.
    fn finish(&mut self, consumer: &BaseConsumer<Listener>, partition: i32) -> Result<(), KafkaError> {
        self.left.remove(&partition);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, partition);
        consumer.pause(&list)
    }

    fn record(&mut self, message: &BorrowedMessage<'_>) -> Record {
        let place = TopicPartition { topic: Arc::clone(&self.topic), partition: message.partition() };
        queue::to_record(&place, message, &mut self.names)
    }

    /// Hands a record on, and stops its partition at the end of its span.
    fn take(&mut self, consumer: &BaseConsumer<Listener>, message: &BorrowedMessage<'_>) -> Result<(), KafkaError> {
        let Some(to) = self.left.get(&message.partition()).map(|rest| rest.to) else {
            return Ok(());
        };
        // A receiver that is gone ends the loop, which looks for it.
        if message.offset() < to {
            let record = self.record(message);
            if self.sender.blocking_send(record).is_err() {
                return Ok(());
            }
        }
        let next = message.offset() + 1;
        if next >= to {
            return self.finish(consumer, message.partition());
        }
        self.left.insert(message.partition(), Rest { next, to, end: End::NotMet });
        Ok(())
    }
}
