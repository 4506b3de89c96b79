//! What a change costs in allocations, which no noise of a machine can move: one more on the way of every change is seen
//! here before it is seen on a bill.
//!
//! The bounds are what was counted when they were set. Whoever makes it cheaper lowers them; whoever has a reason to make
//! it dearer says so where the bound stands.
#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use allocation_counter::measure;
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
const COUNT: usize = 1_000;
const BATCH: usize = 64;

/// Allocations for each change, in hundredths, and bytes that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
struct Bound {
    hundredths: u64,
    bytes: u64,
}

/// The work on all of `items`, counted; the first run fills what is filled once.
fn counted<T>(items: &[T], work: impl Fn(&T)) -> Bound {
    items.iter().for_each(&work);
    let found = measure(|| items.iter().for_each(&work));
    let count = u64::try_from(items.len()).unwrap();
    Bound { hundredths: 100 * found.count_total / count, bytes: found.bytes_total / count }
}

fn hold(what: &str, found: Bound, bound: Bound) {
    println!(
        "{what}: {}.{:02} allocations a change, {} bytes",
        found.hundredths / 100,
        found.hundredths % 100,
        found.bytes
    );
    let is_within = found.hundredths <= bound.hundredths && found.bytes <= bound.bytes;
    assert!(is_within, "{what} takes {found:?} a change and may take {bound:?}");
    // Bounds that nothing comes near hold nothing.
    assert!(4 * found.hundredths >= 3 * bound.hundredths, "{what} takes {found:?}: the bound {bound:?} can be lowered");
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
    let text = std::fs::read_to_string(tests::stack::root().join("schemas/reference").join(name)).unwrap();
    assert!(tables.insert(&name.parse().unwrap(), Reference::parse(&text).unwrap()));
    tables
}

#[test]
fn a_change_takes_no_more_allocations_than_it_did() {
    let profile = Arc::new(Profile::embedded().unwrap());
    let clock = Clock::fixed(NOW_MS);
    let raw = raw();
    let validate = Validate::new(profile.clone(), clock.clone(), 12, FLOOR_MICROS);
    hold("decode, check, encode (validate)", counted(&raw, |it| drop(apply(&validate, it))), VALIDATE);

    let valid: Vec<Admitted> = raw.iter().map(|it| read(topics::VALID, forward(&validate, it), it)).collect();
    let enrich = Enrich::new(profile.clone(), Shelf::new(tables()));
    hold("decode, enrich, encode (enrich)", counted(&valid, |it| drop(apply(&enrich, it))), ENRICH);

    let enriched: Vec<Admitted> = valid.iter().map(|it| read(topics::ENRICHED, forward(&enrich, it), it)).collect();
    let horizon = Horizon::new(Duration::from_secs(45 * 86_400), FLOOR_MICROS);
    let decode = Decode::new(Codec::new(profile), horizon, clock);
    hold("decode (sink)", counted(&enriched, |it| drop(apply(&decode, it))), DECODE);

    let changes: Vec<Change> = enriched.iter().map(|it| forward(&decode, it)).collect();
    let batches: Vec<&[Change]> = changes.chunks(BATCH).collect();
    let of_batches = counted(&batches, |batch| {
        let mut groups = Groups::default();
        for group in groups.of(batch) {
            let of_user: Vec<&Change> = group.positions().iter().filter_map(|at| batch.get(*at)).collect();
            std::hint::black_box(merge(&of_user));
        }
    });
    let (batches, changes) = (u64::try_from(batches.len()).unwrap(), u64::try_from(changes.len()).unwrap());
    let merged =
        Bound { hundredths: of_batches.hundredths * batches / changes, bytes: of_batches.bytes * batches / changes };
    hold("group and merge (sink)", merged, MERGE);
}

const VALIDATE: Bound = Bound { hundredths: 1_875, bytes: 1_650 };
const ENRICH: Bound = Bound { hundredths: 1_250, bytes: 1_500 };
const DECODE: Bound = Bound { hundredths: 950, bytes: 740 };
const MERGE: Bound = Bound { hundredths: 540, bytes: 360 };
