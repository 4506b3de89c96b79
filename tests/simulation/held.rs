//! What a worker holds of the records it was given: each is weighed until the last byte of it is let go.

use bytes::Bytes;
use runtime::limits::Limits;
use runtime::record::{Record, TopicPartition};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Records and bytes of one partition for one stretch of owning it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Held(Arc<Weights>);

#[derive(Debug, Default)]
struct Weights {
    records: AtomicU64,
    bytes: AtomicUsize,
    /// The heaviest record so far: one is always allowed.
    heaviest: Mutex<usize>,
}

/// Some bytes of a record; dropped when nobody holds them any more.
#[derive(Debug)]
struct Weighed {
    content: Bytes,
    bytes: usize,
    on: Arc<Weights>,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.content
    }
}

impl Drop for Weighed {
    fn drop(&mut self) {
        self.on.records.fetch_sub(1, Ordering::Relaxed);
        self.on.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl Held {
    /// The same record, counted from here on.
    pub(crate) fn weigh(&self, mut record: Record) -> Record {
        let bytes = record.bytes();
        let Some(content) = record.value.as_mut().or(record.key.as_mut()) else { return record };
        let on = self.0.clone();
        on.records.fetch_add(1, Ordering::Relaxed);
        on.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut heaviest = on.heaviest.lock().unwrap();
        *heaviest = (*heaviest).max(bytes);
        drop(heaviest);
        *content = Bytes::from_owner(Weighed { content: content.clone(), bytes, on });
        record
    }

    fn records(&self) -> u64 {
        self.0.records.load(Ordering::Relaxed)
    }

    fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    fn heaviest(&self) -> usize {
        *self.0.heaviest.lock().unwrap()
    }

    /// What of this partition is over its bounds. One record more than is admitted may wait.
    pub(crate) fn over(&self, limits: &Limits) -> Option<String> {
        let lanes = u64::try_from(limits.lanes * limits.lane_len_max()).unwrap();
        let records_max = limits.span_max.min(lanes) + 1;
        let bytes_max = limits.in_flight_bytes.max(self.heaviest()) + self.heaviest();
        let (records, bytes) = (self.records(), self.bytes());
        if records > records_max {
            return Some(format!("{records} records of a partition, and may hold {records_max},"));
        }
        (bytes > bytes_max).then(|| format!("{bytes} B of a partition, and may hold {bytes_max},"))
    }

    /// What of all partitions together is over the bounds. They share the bytes evenly; what was admitted while fewer
    /// were held is not given back, so that partitions that come one by one may hold the first share, half of it, a
    /// third, and so on.
    pub(crate) fn all_over(all: &BTreeMap<TopicPartition, Self>, limits: &Limits) -> Option<String> {
        let shares: usize = (1..=all.len()).map(|held| limits.in_flight_bytes / held).sum();
        let single: usize = all.values().map(|held| 2 * held.heaviest()).sum();
        let bytes: usize = all.values().map(Self::bytes).sum();
        (bytes > shares + single).then(|| format!("{bytes} B, and may hold {}, ", shares + single))
    }
}
