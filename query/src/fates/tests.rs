mod moving;

use super::*;
use crate::log::Hop;
use runtime::offsets::{Span, Watermarks};
use runtime::record::{Headers, Offset, Record, Timestamp, TopicPartition};
use schemas::headers;
use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex as Lock};
use tokio::time::sleep;

const HOPS: [Hop; 3] = [
    Hop { group: "validate", topic: topics::RAW },
    Hop { group: "enrich", topic: topics::VALID },
    Hop { group: "sink", topic: topics::ENRICHED },
];

/// A log of one partition in memory, and what workers have committed of it.
#[derive(Clone, Default)]
struct Memory(Arc<Kept>);

#[derive(Default)]
struct Kept {
    topics: Lock<BTreeMap<&'static str, Vec<Record>>>,
    /// Of a topic the first offset that is still there.
    lows: Lock<BTreeMap<&'static str, i64>>,
    commits: Lock<BTreeMap<&'static str, i64>>,
    read: AtomicUsize,
}

impl Memory {
    fn append(&self, topic: &'static str, headers: Headers) -> i64 {
        let mut topics = self.0.topics.lock().unwrap();
        let records = topics.entry(topic).or_default();
        let offset = i64::try_from(records.len()).unwrap();
        records.push(Record {
            place: TopicPartition::new(topic, 0),
            offset: Offset(offset),
            timestamp: Timestamp::LogAppend(10_000_000 + offset),
            key: None,
            value: None,
            headers,
            is_damaged: false,
        });
        offset
    }

    fn grow(&self, topic: &'static str, count: usize) {
        for _ in 0..count {
            self.append(topic, Headers::default());
        }
    }

    /// The letter of a raw record, behind `before` others.
    fn reject(&self, offset: i64, code: &str, before: usize) {
        self.grow(topics::DEAD, before);
        let mut letter = Headers::default();
        letter.push_text(headers::ORIGIN, format!("{}/0/{offset}", topics::RAW));
        letter.push_text(headers::CODE, code);
        self.append(topics::DEAD, letter);
    }

    fn commit(&self, group: &'static str, offset: i64) {
        self.0.commits.lock().unwrap().insert(group, offset);
    }
}

impl Log for Memory {
    fn partitions(&self) -> i32 {
        1
    }

    fn hops(&self) -> &'static [Hop] {
        &HOPS
    }

    async fn held(&self, topic: &'static str, partition: i32) -> Result<Watermarks, LogError> {
        let high = self.0.topics.lock().unwrap().get(topic).map_or(0, Vec::len);
        let low = self.0.lows.lock().unwrap().get(topic).copied().unwrap_or(0);
        Ok(Watermarks { partition, low, high: i64::try_from(high).unwrap() })
    }

    async fn committed(&self, hop: Hop, _: i32) -> Result<i64, LogError> {
        Ok(self.0.commits.lock().unwrap().get(hop.group).copied().unwrap_or(0))
    }

    async fn since(&self, topic: &'static str, _: i32, since_ms: i64) -> Result<i64, LogError> {
        let topics = self.0.topics.lock().unwrap();
        let records = topics.get(topic).map_or(&[][..], Vec::as_slice);
        let found = records.iter().position(|record| record.timestamp.millis() >= Some(since_ms));
        Ok(i64::try_from(found.unwrap_or(records.len())).unwrap())
    }

    async fn read(&self, topic: &'static str, span: Span) -> Result<Vec<Record>, LogError> {
        let topics = self.0.topics.lock().unwrap();
        let range = usize::try_from(span.from).unwrap()..usize::try_from(span.to.min(span.from + 100)).unwrap();
        self.0.read.fetch_add(range.len(), Ordering::Relaxed);
        Ok(topics[topic][range].to_vec())
    }
}

async fn told(fates: &Fates<Memory>, offset: i64) -> Fate {
    sleep(LOOK_EVERY).await;
    fates.fate(0, offset).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_change_is_settled_when_the_last_worker_is_behind_all_that_became_of_it() {
    let log = Memory::default();
    let fates = Fates::new(log.clone());
    assert_eq!(told(&fates, 0).await, Fate::Unknown);
    log.grow(topics::RAW, 2);
    assert_eq!(told(&fates, 1).await, Fate::NotYet);
    log.grow(topics::VALID, 2);
    log.commit("validate", 2);
    assert_eq!(told(&fates, 1).await, Fate::NotYet);
    // Others' changes come up behind it, all the time: what has to be waited for stays.
    log.grow(topics::VALID, 5);
    log.grow(topics::ENRICHED, 3);
    log.commit("enrich", 1);
    assert_eq!(told(&fates, 1).await, Fate::NotYet);
    log.commit("enrich", 3);
    assert_eq!(told(&fates, 1).await, Fate::NotYet);
    log.grow(topics::ENRICHED, 9);
    log.commit("sink", 2);
    assert_eq!(told(&fates, 1).await, Fate::NotYet);
    log.commit("sink", 3);
    assert_eq!(told(&fates, 1).await, Fate::Applied);
    assert_eq!(told(&fates, 0).await, Fate::Applied, "it came before");
    log.grow(topics::RAW, 1);
    assert_eq!(told(&fates, 2).await, Fate::NotYet, "and this one behind");
    assert_eq!((fates.fate(1, 0).await, fates.fate(-1, 0).await), (Ok(Fate::Unknown), Ok(Fate::Unknown)));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_has_committed_before_its_input_grew_settles_nothing() {
    let log = Memory::default();
    let fates = Fates::new(log.clone());
    log.grow(topics::RAW, 1);
    log.grow(topics::VALID, 1);
    log.commit("validate", 1);
    // Nothing of it has come to the sink yet, which is at the end of what there is.
    assert!(!fates.is_settled(0, 0).await.unwrap());
    log.grow(topics::ENRICHED, 1);
    log.commit("enrich", 1);
    sleep(LOOK_EVERY).await;
    assert!(!fates.is_settled(0, 0).await.unwrap());
    log.commit("sink", 1);
    assert!(!fates.is_settled(0, 0).await.unwrap(), "looked at a moment ago");
    sleep(LOOK_EVERY).await;
    assert!(fates.is_settled(0, 0).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_rejected_change_is_told_with_its_code_as_soon_as_there_is_a_letter() {
    let log = Memory::default();
    let fates = Fates::new(log.clone());
    log.grow(topics::RAW, 3);
    log.reject(0, "too-long", 7);
    assert_eq!(told(&fates, 1).await, Fate::NotYet, "the letter is another's");
    log.reject(1, "too-large", 250);
    assert_eq!(told(&fates, 1).await, Fate::Rejected(Some(RejectCode::TooLarge)));
    log.reject(2, "of-a-later-release", 0);
    assert_eq!(told(&fates, 2).await, Fate::Rejected(None));
}

#[tokio::test(start_paused = true)]
async fn a_letter_is_read_once_however_often_somebody_asks() {
    let log = Memory::default();
    let fates = Fates::new(log.clone());
    log.grow(topics::RAW, 1);
    log.grow(topics::DEAD, 25_000);
    for _ in 0..10 {
        assert_eq!(told(&fates, 0).await, Fate::NotYet);
    }
    assert_eq!(log.0.read.load(Ordering::Relaxed), 25_000 + 1, "and the raw record, for its time");
    for group in ["validate", "enrich", "sink"] {
        log.commit(group, 1);
    }
    log.reject(0, "too-large", 0);
    for _ in 0..3 {
        assert_eq!(told(&fates, 0).await, Fate::Rejected(Some(RejectCode::TooLarge)), "it was not read past");
    }
    assert_eq!(log.0.read.load(Ordering::Relaxed), 25_000 + 2);
}

#[tokio::test(start_paused = true)]
async fn of_a_change_whose_letter_may_be_gone_nothing_is_claimed() {
    let log = Memory::default();
    let fates = Fates::new(log.clone());
    log.grow(topics::RAW, 5);
    log.reject(2, "too-large", 9);
    for group in ["validate", "enrich", "sink"] {
        log.commit(group, 5);
    }
    log.0.lows.lock().unwrap().extend([(topics::RAW, 3), (topics::DEAD, 4)]);
    assert_eq!(told(&fates, 0).await, Fate::Gone);
    assert_eq!(told(&fates, 2).await, Fate::Rejected(Some(RejectCode::TooLarge)));
    assert_eq!(told(&fates, 3).await, Fate::Applied);
}

#[tokio::test(start_paused = true)]
async fn topics_that_were_made_anew_begin_anew() {
    let log = Memory::default();
    let fates = Fates::new(log.clone());
    log.grow(topics::RAW, 5);
    log.commit("validate", 5);
    assert_eq!(told(&fates, 4).await, Fate::Applied);
    // A rewind unsettles nothing.
    log.commit("validate", 1);
    assert!(fates.is_settled(0, 3).await.unwrap());
    sleep(LOOK_EVERY).await;
    assert!(!fates.is_settled(0, 7).await.unwrap() && fates.is_settled(0, 4).await.unwrap());
    log.0.topics.lock().unwrap().clear();
    log.grow(topics::RAW, 1);
    log.commit("validate", 0);
    sleep(LOOK_EVERY).await;
    assert!(!fates.is_settled(0, 7).await.unwrap());
    assert_eq!(told(&fates, 0).await, Fate::NotYet);
}
