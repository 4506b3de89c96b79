//! What a worker does with a change besides reading and writing: the part of its cost that nothing outside can move.

use futures_util::FutureExt as _;
use processors::enrich::{Enrich, Shelf};
use processors::validate::Validate;
use runtime::Clock;
use runtime::fault::{Fault, Verdict};
use runtime::record::{Headers, Offset, Outgoing, Record, Timestamp, TopicPartition};
use runtime::stage::{Admitted, Stage};
use schemas::reference::{Table as Reference, Tables};
use schemas::topics::{self, partition_for};
use schemas::{Change, Codec, Profile};
use sinks::{Decode, Horizon};
use std::sync::Arc;
use std::time::Duration;
use store::cql::{Groups, merge};

const NOW_MS: i64 = 1_767_225_600_000;
const FLOOR_MICROS: i64 = 1_704_067_200_000_000;
/// Changes of one round.
pub const COUNT: usize = 1_000;
const BATCH: usize = 64;

/// The stages, and a round of changes before each of them.
#[derive(Debug)]
pub struct Work {
    validate: Validate,
    enrich: Enrich,
    decode: Decode,
    raw: Vec<Admitted>,
    valid: Vec<Admitted>,
    enriched: Vec<Admitted>,
    changes: Vec<Change>,
}

impl Default for Work {
    fn default() -> Self {
        let profile = Arc::new(Profile::embedded().unwrap());
        let clock = Clock::fixed(NOW_MS);
        let validate = Validate::new(profile.clone(), clock.clone(), 12, FLOOR_MICROS);
        let enrich = Enrich::new(profile.clone(), Shelf::new(tables()));
        let horizon = Horizon::new(Duration::from_secs(45 * 86_400), FLOOR_MICROS);
        let decode = Decode::new(Codec::new(profile), horizon, clock);
        let raw = raw();
        let valid: Vec<Admitted> = raw.iter().map(|it| read(topics::VALID, forward(&validate, it), it)).collect();
        let enriched: Vec<Admitted> = valid.iter().map(|it| read(topics::ENRICHED, forward(&enrich, it), it)).collect();
        let changes = enriched.iter().map(|it| forward(&decode, it)).collect();
        Self { validate, enrich, decode, raw, valid, enriched, changes }
    }
}

impl Work {
    /// Decode, check, encode, as `validate` does.
    pub fn validate(&self) {
        self.raw.iter().for_each(|it| drop(apply(&self.validate, it)));
    }

    /// Decode, enrich, encode, as `enrich` does.
    pub fn enrich(&self) {
        self.valid.iter().for_each(|it| drop(apply(&self.enrich, it)));
    }

    /// Decode, as `sink` does.
    pub fn decode(&self) {
        self.enriched.iter().for_each(|it| drop(apply(&self.decode, it)));
    }

    /// Group by user and merge, a batch at a time, as `sink` does.
    pub fn merge(&self) {
        for batch in self.changes.chunks(BATCH) {
            let mut groups = Groups::default();
            for group in groups.of(batch) {
                let of_user: Vec<&Change> = group.positions().iter().filter_map(|at| batch.get(*at)).collect();
                std::hint::black_box(merge(&of_user));
            }
        }
    }
}

/// Upserts and patches of 400 bytes, of users some of whom come again.
fn raw() -> Vec<Admitted> {
    let topic: Arc<str> = topics::RAW.into();
    (0..COUNT)
        .map(|at| {
            let user = format!("u{:07}", at % 300);
            let bio = "writes about tides, maps and old harbours; ".repeat(5);
            let set = match at % 4 {
                0 => format!(r#""email":"m{at}@example.org","marketing_opt_in":true,"bio":"{bio}""#),
                _ => format!(
                    r#""name":"User {at}","email":"m{at}@example.org","phone":"+49151{at:08}","country":"DE","locale":"de-DE","time_zone":"Europe/Berlin","bio":"{bio}""#
                ),
            };
            let op = if at % 4 == 0 { "patch" } else { "upsert" };
            let value = format!(r#"{{"user_id":"{user}","op":"{op}","set":{{{set}}}}}"#);
            let place = TopicPartition { topic: topic.clone(), partition: partition_for(user.as_bytes(), 12) };
            let record = Record {
                place,
                offset: Offset(i64::try_from(at).unwrap()),
                key: Some(user.into()),
                value: Some(value.into()),
                headers: Headers::default(),
                timestamp: Timestamp::LogAppend(NOW_MS),
                is_damaged: false,
            };
            Admitted { record, mark: NOW_MS * 1_000 + 8 * i64::try_from(at).unwrap() }
        })
        .collect()
}

/// A stage here never waits.
fn apply<S: Stage<In = Admitted>>(stage: &S, admitted: &Admitted) -> Result<Verdict<S::Out>, Fault> {
    stage.apply(admitted).now_or_never().expect("a stage of ours does not wait")
}

fn forward<S: Stage<In = Admitted>>(stage: &S, admitted: &Admitted) -> S::Out {
    match apply(stage, admitted) {
        Ok(Verdict::Forward(out)) => out,
        Ok(Verdict::Reject(rejection)) => panic!("{} of {:?}", rejection.code, rejection.field),
        Err(fault) => panic!("{fault:?}"),
    }
}

/// What a stage put out, as the next one reads it.
fn read(topic: &str, out: Outgoing, from: &Admitted) -> Admitted {
    let Outgoing { partition, key, value, headers } = out;
    let record = Record {
        place: TopicPartition::new(topic, partition),
        offset: from.record.offset,
        key,
        value,
        headers,
        timestamp: Timestamp::LogAppend(NOW_MS),
        is_damaged: false,
    };
    Admitted { record, mark: 0 }
}

fn tables() -> Tables {
    let mut tables = Tables::default();
    let name = "countries@20260101T000000Z.csv";
    let text = std::fs::read_to_string(crate::stack::root().join("schemas/reference").join(name)).unwrap();
    assert!(tables.insert(&name.parse().unwrap(), Reference::parse(&text).unwrap()));
    tables
}
