//! `kill -9` at any moment, again and again, under load.

use crate::house::{House, raw, settled};
use embedded::control::Access;
use runtime::offsets::Span;
use runtime::record::Offset;
use schemas::{headers, topics};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::history::Random;
use tests::stack::asked;
use tokio::time::{sleep, timeout};

/// Users that the changes are of: few, so that they meet.
const USERS: usize = 40;

/// What is fed until the process is gone: changes that were acknowledged, with their places.
async fn feed(access: &Access, random: &mut Random, number: &mut u64, acked: &mut BTreeMap<(i32, i64), u64>) {
    loop {
        let mut items = Vec::new();
        let first = *number;
        for _ in 0..1 + random.below(40) {
            let user = format!("u{}", random.below(USERS));
            let rest = match random.below(20) {
                0 => r#""op":"delete""#.to_owned(),
                1..4 => format!(r#""op":"upsert","set":{{"name":"n{number}","bio":"b{number}"}}"#),
                4 => format!(r#""op":"patch","set":{{"email":"no address {number}"}}"#),
                5..12 => format!(r#""op":"patch","set":{{"name":"n{number}"}}"#),
                _ => format!(r#""op":"patch","set":{{"bio":"b{number}"}},"unset":["name"]"#),
            };
            items.push(raw(&user, &rest));
            *number += 1;
        }
        let Ok(offsets) = access.append(topics::RAW, &items).await else { return };
        for ((item, Offset(offset)), number) in items.iter().zip(offsets).zip(first..) {
            let known = acked.insert((item.partition, offset), number);
            assert_eq!(known, None, "an offset was given twice");
        }
    }
}

/// Versions that changes have in a topic, by origin: each has one, however often it was read.
async fn versions(access: &Access) -> BTreeMap<String, String> {
    let held = access.watermarks(topics::ENRICHED).await.unwrap();
    let spans: Vec<Span> =
        held.iter().map(|held| Span { partition: held.partition, from: held.low, to: held.high }).collect();
    let mut records = access.records(topics::ENRICHED, &spans);
    let mut versions = BTreeMap::new();
    while let Some(record) = records.next().await.unwrap() {
        let text = |name| String::from_utf8(record.headers.last(name).unwrap().to_vec()).unwrap();
        let (origin, version) = (text(headers::ORIGIN), text(headers::VERSION));
        let known = versions.insert(origin.clone(), version.clone());
        assert!(known.is_none_or(|known| known == version), "{origin} has two versions");
    }
    versions
}

/// I2, I7, I23: nothing that was acknowledged is lost, no version changes, no row is wrong.
#[tokio::test]
async fn a_process_that_is_killed_at_any_moment_loses_nothing() {
    let kills = asked("KILLS", 10);
    for sync in ["always", "10ms", "os"] {
        let mut house = House::new(&format!("kills-{sync}"));
        let (mut random, mut number, mut acked) = (Random::new(7), 0, BTreeMap::new());
        let mut before = BTreeMap::new();
        for _ in 0..kills.div_ceil(3) {
            let (worker, access) = house.up(sync).await;
            let found = versions(&access).await;
            for (origin, version) in &before {
                assert_eq!(found.get(origin), Some(version), "{origin}: a settled change changed its version");
            }
            before = found;
            let life = Duration::from_millis(50 + random.below(700) as u64);
            // Cut off in the middle of whatever it does.
            let feeding = feed(&access, &mut random, &mut number, &mut acked);
            let fed = timeout(life, feeding).await;
            assert!(fed.is_err(), "it ended by itself");
            worker.kill();
            sleep(Duration::from_millis(20)).await;
        }
        let (worker, access) = house.up(sync).await;
        settled(&access).await;
        let verdict = house.verdict().await;
        assert!(verdict.holds(), "{sync}: {verdict:?}");
        assert!(!acked.is_empty());
        let held = access.watermarks(topics::RAW).await.unwrap();
        for (partition, offset) in acked.keys() {
            let high = held[usize::try_from(*partition).unwrap()].high;
            assert!(*offset < high, "{sync}: {partition}/{offset} was acknowledged and is gone");
        }
        assert!(verdict.changes >= acked.len() as u64);
        drop(access);
        assert_eq!(worker.leave().await, 0);
        assert!(house.verdict().await.holds(), "and at rest");
    }
}
