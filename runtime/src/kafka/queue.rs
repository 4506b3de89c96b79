//! One partition's queue, and how its messages become records.

use super::assignment::Context;
use crate::record::{Headers, Names, Offset, Record, Timestamp, TopicPartition};
use bytes::Bytes;
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

pub(super) struct Queue {
    place: TopicPartition,
    queue: PartitionQueue<Context>,
    /// Set by the client's thread when the queue stops being empty.
    ready: Arc<AtomicBool>,
    names: Names,
}

impl Queue {
    pub(super) fn new(place: TopicPartition, mut queue: PartitionQueue<Context>, wake: Arc<Notify>) -> Self {
        // Ready from the start: what came before the callback was set has called nobody.
        let ready = Arc::new(AtomicBool::new(true));
        let flag = ready.clone();
        // Runs on the client's thread under the queue's lock: it may set a flag and wake, nothing else.
        queue.set_nonempty_callback(move || {
            flag.store(true, Ordering::Release);
            wake.notify_one();
        });
        Self { place, queue, ready, names: Names::default() }
    }

    pub(super) fn place(&self) -> &TopicPartition {
        &self.place
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Marks the queue as worth a look.
    pub(super) fn call(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// The next record, without waiting.
    pub(super) fn take(&mut self) -> Option<Result<Record, KafkaError>> {
        // Cleared before the look, so that a call that comes during it is kept.
        self.ready.store(false, Ordering::Release);
        let message = match self.queue.poll(Duration::ZERO)? {
            Ok(message) => message,
            Err(error) => {
                self.call();
                return Some(Err(error));
            }
        };
        let record = to_record(&self.place, &message, &mut self.names);
        self.call();
        Some(Ok(record))
    }
}

/// Copies a message out of the client's memory, in one buffer.
pub(super) fn to_record(place: &TopicPartition, message: &BorrowedMessage<'_>, names: &mut Names) -> Record {
    let (key, value) = (message.key(), message.payload());
    let found = headers_of(message);
    let is_damaged = found.is_none();
    let found = found.unwrap_or_default();
    let parts = || [key, value].into_iter().chain(found.iter().map(|header| header.value)).flatten();
    let mut buffer = Vec::with_capacity(parts().map(<[u8]>::len).sum());
    parts().for_each(|part| buffer.extend_from_slice(part));
    let buffer = Bytes::from(buffer);
    let mut end = 0;
    let mut cut = |part: Option<&[u8]>| {
        let start = end;
        end += part.map_or(0, <[u8]>::len);
        part.map(|_| buffer.slice(start..end))
    };
    let (key, value) = (cut(key), cut(value));
    let mut headers = Headers::with_capacity(found.len());
    for header in &found {
        headers.push(names.of(header.key), cut(header.value));
    }
    Record {
        place: place.clone(),
        offset: Offset(message.offset()),
        timestamp: match message.timestamp() {
            rdkafka::Timestamp::LogAppendTime(ms) => Timestamp::LogAppend(ms),
            rdkafka::Timestamp::CreateTime(ms) => Timestamp::Create(ms),
            rdkafka::Timestamp::NotAvailable => Timestamp::Missing,
        },
        key,
        value,
        headers,
        is_damaged,
    }
}

/// The headers, or `None` if a name is not UTF-8: the client then panics, because it gives names as text only. One
/// record of anybody's must not end a process, let alone every process that is given its partition next.
fn headers_of<'m>(message: &'m BorrowedMessage<'_>) -> Option<Vec<Header<'m, &'m [u8]>>> {
    let Some(headers) = message.headers() else { return Some(Vec::new()) };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| headers.iter().collect())).ok()
}
