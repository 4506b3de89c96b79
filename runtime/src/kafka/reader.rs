//! Reading ranges of a topic in the order of each partition, without a group and without leaving a trace.

use super::client::{Client, Listener, PATIENCE};
use super::config::Config;
use super::error::{self, Error};
use super::queue;
use crate::record::{Record, TopicPartition};
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

/// Offsets `from` (included) to `to` (excluded) of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub partition: i32,
    pub from: i64,
    pub to: i64,
}

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
        let left = spans.iter().filter(|span| span.from < span.to).map(|span| (span.partition, *span)).collect();
        let (sender, records) = mpsc::channel(QUEUE_LEN);
        let task = Task { client, topic: topic.into(), names: Vec::new(), left, sender };
        Ok(Self { records, thread: Some(tokio::task::spawn_blocking(move || task.run())) })
    }

    /// The next record; `None` once every span is read.
    ///
    /// # Errors
    /// [`Error::RangeGone`] if retention overtook the reader; [`Error::NoAnswer`] or [`Error::Refused`].
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
    /// Header names seen.
    names: Vec<Arc<str>>,
    /// Spans not yet read to their end.
    left: BTreeMap<i32, Span>,
    sender: mpsc::Sender<Record>,
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
                    return Err(client.silent(self.asked()));
                }
                continue;
            };
            match polled {
                Ok(message) => {
                    silence = Duration::ZERO;
                    self.take(client.consumer(), &message).map_err(|error| client.failed(self.asked(), error))?;
                }
                Err(KafkaError::PartitionEOF(partition)) => {
                    silence = Duration::ZERO;
                    self.left.remove(&partition);
                }
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
        for span in self.left.values() {
            list.add_partition_offset(&self.topic, span.partition, Offset::Offset(span.from))?;
        }
        consumer.assign(&list)
    }

    fn record(&mut self, message: &BorrowedMessage<'_>) -> Record {
        let place = TopicPartition { topic: Arc::clone(&self.topic), partition: message.partition() };
        queue::to_record(&place, message, &mut self.names)
    }

    /// Hands a record on, and stops its partition at the end of its span.
    fn take(&mut self, consumer: &BaseConsumer<Listener>, message: &BorrowedMessage<'_>) -> Result<(), KafkaError> {
        let Some(span) = self.left.get(&message.partition()).copied() else {
            return Ok(());
        };
        // A receiver that is gone ends the loop, which looks for it.
        if message.offset() < span.to {
            let record = self.record(message);
            if self.sender.blocking_send(record).is_err() {
                return Ok(());
            }
        }
        if message.offset() + 1 < span.to {
            return Ok(());
        }
        self.left.remove(&span.partition);
        let mut list = TopicPartitionList::with_capacity(1);
        list.add_partition(&self.topic, span.partition);
        consumer.pause(&list)
    }
}
