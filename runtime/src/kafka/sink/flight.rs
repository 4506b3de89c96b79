//! One batch on its way to the brokers: how many of its records are out, and where they arrived.

use crate::record::{Offset, Outgoing};
use rdkafka::error::KafkaError;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// What became of one record of [`super::KafkaSink::append`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    At(Offset),
    /// It is there, and the broker did not tell where: it was asked twice for the same record.
    Somewhere,
    /// The topic does not take records of that size.
    TooLarge,
}

/// One batch on its way. Shared by its records, so that an acknowledgement costs a reference count.
#[derive(Debug, Default)]
pub(crate) struct Flight {
    pub(super) out: AtomicUsize,
    failed: Mutex<Option<KafkaError>>,
    landed: Notify,
    /// Partition and offset of each record in the order of acknowledgement, which in a partition is that of sending; kept if
    /// somebody wants to know.
    places: Option<Mutex<Vec<(i32, i64)>>>,
}

impl Flight {
    /// One of which it is told where its records are.
    pub(super) fn telling() -> Self {
        Self { places: Some(Mutex::default()), ..Self::default() }
    }

    pub(super) fn place(&self, partition: i32, offset: i64) {
        if let Some(places) = &self.places {
            places.lock().unwrap_or_else(PoisonError::into_inner).push((partition, offset));
        }
    }

    /// Where the records of `batch` are, all of which have landed.
    pub(super) fn places(&self, batch: &[Outgoing]) -> Vec<Appended> {
        let places = self.places.as_ref().map(|places| places.lock().unwrap_or_else(PoisonError::into_inner));
        let mut by_partition: HashMap<i32, VecDeque<i64>> = HashMap::new();
        for (partition, offset) in places.iter().flat_map(|places| places.iter()) {
            by_partition.entry(*partition).or_default().push_back(*offset);
        }
        let mut next = |partition| by_partition.get_mut(&partition).and_then(VecDeque::pop_front);
        let told = |offset: i64| if offset < 0 { Appended::Somewhere } else { Appended::At(Offset(offset)) };
        batch.iter().map(|item| next(item.partition).map_or(Appended::Somewhere, told)).collect()
    }

    pub(super) fn land(&self, error: Option<KafkaError>) {
        if let Some(error) = error {
            self.failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
        if self.out.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.landed.notify_one();
        }
    }

    /// Until no record is out. A landing between the look and the wait is kept by the notification.
    pub(super) async fn wait(&self) {
        while self.out.load(Ordering::Acquire) > 0 {
            self.landed.notified().await;
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    pub(super) fn error(&self) -> Option<KafkaError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Headers;

    #[test]
    fn each_record_is_told_the_place_that_its_own_partition_gave_it() {
        let flight = Flight::telling();
        for (partition, offset) in [(1, 70), (0, 5), (1, 71), (0, -1001)] {
            flight.place(partition, offset);
        }
        let item = |partition| Outgoing { partition, key: None, value: None, headers: Headers::default() };
        let batch = [0, 1, 0, 1, 2].map(item);
        let at = |offset| Appended::At(Offset(offset));
        assert_eq!(flight.places(&batch), [at(5), at(70), Appended::Somewhere, at(71), Appended::Somewhere]);
    }
}
