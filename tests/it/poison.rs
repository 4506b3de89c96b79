//! Records that are wrong in every way that can really happen, among others that are not.

use base64_of::decode;
use bytes::Bytes;
use runtime::record::{Headers, Outgoing, Record};
use schemas::{RejectCode, headers, topics};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use tests::feed::Feed;
use tests::installation::{Installation, told};
use tests::stack::{Stack, root};

/// As the examples have it: one of them stands in partition 11.
const PARTITIONS: i32 = 12;

/// A header of the producer's: it names the example, and is kept in its dead letter.
const EXAMPLE: &str = "x-example";

/// Codes that nothing which stands on `raw`, `valid` or `enriched` can get: those of the pinned topic, of a pattern that
/// no shipped field has, and of a store that refuses. `change-too-old` and
/// `store-refused` have tests of their own (`zombie`, `refusal`).
const NOT_HERE: [RejectCode; 5] = [
    RejectCode::VersionInvalid,
    RejectCode::VersionInFuture,
    RejectCode::PatternMismatch,
    RejectCode::ChangeTooOld,
    RejectCode::StoreRefused,
];

/// A record, and the code and field it is rejected with, if it is.
struct Poison {
    name: String,
    record: Outgoing,
    rejected: Option<(String, Option<String>)>,
}

impl Poison {
    fn new(name: &str, mut record: Outgoing, rejected: Option<(&str, Option<&str>)>) -> Self {
        record.headers = Headers::default();
        record.headers.push_text(EXAMPLE, name);
        // Not theirs to say: dropped, and ours stand in their place.
        record.headers.push_text(headers::VERSION, "1");
        record.headers.push("x-null", None);
        let rejected = rejected.map(|(code, field)| (code.to_owned(), field.map(str::to_owned)));
        Self { name: name.to_owned(), record, rejected }
    }

    /// One of the files of `schemas/examples/change`; its README says what they hold.
    fn example(name: &str, example: &Map<String, Value>, feed: &Feed) -> Self {
        let text = |key: &str| example.get(key).and_then(Value::as_str);
        let key = text("key_base64").map(decode).or_else(|| text("key").map(|key| key.as_bytes().to_vec()));
        let object = example.get("value").filter(|value| !value.is_null()).map(|value| value.to_string().into_bytes());
        let given = text("value_text").map(|value| value.as_bytes().to_vec());
        let mut value = object.or(given).or_else(|| text("value_base64").map(decode));
        if let (Some(size), Some(value)) = (example.get("pad_to").and_then(Value::as_u64), &mut value) {
            // Headers count as well.
            let beside =
                key.as_ref().map_or(0, Vec::len) + Self::new(name, feed.record(None, None), None).record.bytes();
            value.resize(usize::try_from(size).unwrap() - beside, b' ');
        }
        let mut record = feed.record(key.as_deref(), value.as_deref());
        if let Some(partition) = example.get("partition").and_then(Value::as_i64) {
            record.partition = i32::try_from(partition).unwrap();
        }
        let reject = &example["expect"]["reject"];
        Self::new(name, record, reject["code"].as_str().map(|code| (code, reject["field"].as_str())))
    }
}

fn poisons(feed: &Feed) -> Vec<Poison> {
    let mut poisons = Vec::new();
    for entry in fs::read_dir(root().join("schemas/examples/change")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|end| end == "json") {
            let example: Map<String, Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            poisons.push(Poison::example(path.file_stem().unwrap().to_str().unwrap(), &example, feed));
        }
    }
    poisons.sort_by(|one, other| one.name.cmp(&other.name));
    let mut huge = br#"{"user_id": "u-huge", "op": "delete"}"#.to_vec();
    huge.resize(8 << 20, b' ');
    let huge = feed.record(Some(b"u-huge"), Some(&huge));
    poisons.push(Poison::new("8 MiB that compression took below the topic's limit", huge, Some(("too-large", None))));
    poisons
}

#[tokio::test]
async fn every_wrong_record_is_a_dead_letter_with_all_it_had_and_blocks_nobody() {
    let home = Installation::build_wide(&Stack::of_run(), "poison", PARTITIONS).await;
    let mut path = home.start_path();
    let feed = home.feed(topics::RAW);
    let poisons = poisons(&feed);
    let mut healthy = Vec::new();
    for poison in &poisons {
        feed.send(std::slice::from_ref(&poison.record)).await;
        let user = neighbour(&feed, &poison.name, poison.record.partition);
        feed.change(&user, r#""op": "upsert", "set": {"name": "Ada"}"#).await;
        healthy.push(user);
    }
    home.settled().await;

    for user in &healthy {
        assert!(home.row(user).await.alive(), "{user} stands behind a wrong record and must not wait for it");
    }
    assert!(path.iter_mut().all(|worker| worker.is_running()));
    assert_dead(&home, &poisons).await;
    home.assert_nothing_is_lost().await;
    home.assert_proven().await;
    let codes: BTreeSet<&str> = poisons.iter().filter_map(|poison| Some(&*poison.rejected.as_ref()?.0)).collect();
    for code in RejectCode::ALL {
        assert_eq!(codes.contains(code.as_str()), !NOT_HERE.contains(code), "{code}");
    }
    let listed = told(&home.tidewater(&["dead", "list", "--json", "--limit", "1000"]));
    assert_eq!(listed.lines().count(), poisons.iter().filter(|poison| poison.rejected.is_some()).count());
}

/// A user whose changes stand in that partition.
fn neighbour(feed: &Feed, name: &str, partition: i32) -> String {
    let users = (0..).map(|n| format!("behind-{name}-{n}"));
    users.take(10_000).find(|user| feed.record(Some(user.as_bytes()), None).partition == partition).unwrap()
}

async fn assert_dead(home: &Installation, poisons: &[Poison]) {
    let raw = by_example(home.records(topics::RAW).await);
    let letters = home.records(topics::DEAD).await;
    let count = letters.len();
    let letters = by_example(letters);
    assert_eq!(letters.len(), count, "one letter for each record");
    for poison in poisons {
        let Some((code, field)) = &poison.rejected else {
            assert!(!letters.contains_key(&poison.name), "{} is well formed", poison.name);
            continue;
        };
        let name = &poison.name;
        let letter = letters.get(name).unwrap_or_else(|| panic!("{name} has no letter"));
        assert_kept(name, &poison.record, letter);
        let record = &raw[name];
        let origin = format!("{}/{}/{}", topics::RAW, record.place.partition, record.offset);
        let reason = RejectCode::ALL.iter().find(|known| known.as_str() == code).unwrap().reason();
        let topic = home.topic(topics::RAW);
        for (header, expected) in [
            (headers::CODE, Some(&**code)),
            (headers::FIELD, field.as_deref()),
            (headers::REASON, Some(reason)),
            (headers::STAGE, Some("validate")),
            (headers::TOPIC, Some(&*topic)),
            (headers::PARTITION, Some(&*record.place.partition.to_string())),
            (headers::OFFSET, Some(&*record.offset.to_string())),
            (headers::ORIGIN, Some(&*origin)),
            (headers::DROPPED_BYTES, None),
        ] {
            assert_eq!(texts(letter, header), expected.into_iter().collect::<Vec<_>>(), "{name}: {header}");
        }
        let [version] = &texts(letter, headers::VERSION)[..] else { panic!("{name} has no version of its own") };
        let appended = record.timestamp.millis().unwrap() * 1000;
        assert!(version.parse::<i64>().unwrap() >= appended & !7, "{name}: {version} is not the fold's");
        let [at] = &texts(letter, headers::AT)[..] else { panic!("{name} was rejected at no time") };
        assert!(headers::instant(at.as_bytes()).is_some(), "{name}: {at}");
    }
}

/// Key, value and the producer's headers, byte for byte.
fn assert_kept(name: &str, sent: &Outgoing, letter: &Record) {
    assert!(letter.key == sent.key && letter.value == sent.value, "{name}: key or value are not what they were");
    assert_eq!(letter.place.partition, sent.partition, "{name}");
    let foreign = |headers: &Headers| {
        let theirs = headers.iter().filter(|(name, _)| !name.starts_with("tw-"));
        theirs.map(|(name, value)| (name.to_string(), value.cloned())).collect::<Vec<(String, Option<Bytes>)>>()
    };
    assert_eq!(foreign(&letter.headers), foreign(&sent.headers), "{name}");
}

fn by_example(records: Vec<Record>) -> BTreeMap<String, Record> {
    let name = |record: &Record| Some(String::from_utf8(record.headers.last(EXAMPLE)?.to_vec()).unwrap());
    records.into_iter().filter_map(|record| Some((name(&record)?, record))).collect()
}

fn texts<'a>(record: &'a Record, name: &str) -> Vec<&'a str> {
    let values = record.headers.iter().filter(|(known, _)| &***known == name).filter_map(|(_, value)| value);
    values.map(|value| std::str::from_utf8(value).unwrap()).collect()
}

#[tokio::test]
async fn what_nobody_of_ours_wrote_to_our_own_topics_is_a_dead_letter_of_the_stage_that_reads_it() {
    let home = Installation::build(&Stack::of_run(), "stranger").await;
    let _path = home.start_path();
    let stages = [("enrich", topics::VALID), ("sink", topics::ENRICHED)];
    let origin = "changes.raw.v1/0/7";
    for (_, topic) in stages {
        let feed = home.feed(topic);
        let mut unreadable = feed.record(Some(b"u-1"), Some(b"garbage"));
        unreadable.headers.push_text(headers::ORIGIN, origin);
        let from_nowhere = feed.record(Some(b"u-2"), Some(b"garbage"));
        let empty = feed.record(None, None);
        feed.send(&[unreadable, from_nowhere, empty]).await;
    }
    let feed = home.feed(topics::RAW);
    for partition in 0..4 {
        feed.change(&neighbour(&feed, "stranger", partition), r#""op": "upsert", "set": {"name": "Ada"}"#).await;
    }
    home.settled().await;

    assert_eq!(home.rows().await.len(), 4, "strangers block nobody");
    let letters = home.records(topics::DEAD).await;
    for (stage, topic) in stages {
        let told = |letter: &&Record| texts(letter, headers::STAGE) == [stage];
        let of_stage: Vec<&Record> = letters.iter().filter(told).collect();
        assert_eq!(of_stage.len(), 3, "{stage}");
        for letter in of_stage {
            assert_eq!(texts(letter, headers::CODE), ["undecodable"]);
            assert_eq!(texts(letter, headers::TOPIC), [home.topic(topic)]);
            let is_first = letter.key.as_deref() == Some(b"u-1");
            let field: &[&str] = if is_first { &[] } else { &[headers::ORIGIN] };
            assert_eq!(texts(letter, headers::FIELD), field);
            assert_eq!(texts(letter, headers::ORIGIN), if is_first { vec![origin] } else { vec![] });
            assert_eq!(letter.value.as_deref(), letter.key.as_ref().map(|_| &b"garbage"[..]));
        }
    }
}

/// The examples' form of bytes; the package has no other use for it.
mod base64_of {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub(super) fn decode(text: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (mut bits, mut held) = (0_u32, 0);
        for letter in text.bytes().filter(|letter| *letter != b'=') {
            let value = LETTERS.iter().position(|known| *known == letter).expect("base64");
            bits = bits << 6 | u32::try_from(value).unwrap();
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held & 0xff) as u8);
            }
        }
        bytes
    }
}
