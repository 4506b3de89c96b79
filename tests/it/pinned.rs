//! Records that bring their place in history.

use runtime::record::{Outgoing, Record};
use schemas::{Lane, RejectCode, Version, headers, topics};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::fs;
use tests::feed::Feed;
use tests::installation::{Installation, PATH};
use tests::stack::{Stack, root};

/// As the examples have it.
const PARTITIONS: i32 = 12;

/// A header of the producer's: it names the example, and is kept in its dead letter.
const EXAMPLE: &str = "x-example";

/// One of the files of `schemas/examples/pinned`, and the record it stands for.
struct Example {
    name: String,
    record: Outgoing,
    expect: Value,
}

fn examples(feed: &Feed) -> Vec<Example> {
    let mut examples = Vec::new();
    for entry in fs::read_dir(root().join("schemas/examples/pinned")).unwrap() {
        let path = entry.unwrap().path();
        // Avro is a matter of the codec, which unit tests hold; this package reads no base64.
        if path.extension().is_none_or(|end| end != "json") || path.ends_with("avro.json") {
            continue;
        }
        let example: Map<String, Value> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let value = example.get("value").filter(|value| !value.is_null()).map(Value::to_string);
        let key = example["key"].as_str().unwrap();
        let mut record = feed.record(Some(key.as_bytes()), value.as_deref().map(str::as_bytes));
        for (name, text) in example.get("headers").and_then(Value::as_object).into_iter().flatten() {
            record.headers.push_text(&**name, text.as_str().unwrap());
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        record.headers.push_text(EXAMPLE, &*name);
        if let Some(partition) = example.get("partition").and_then(Value::as_i64) {
            record.partition = i32::try_from(partition).unwrap();
        }
        examples.push(Example { name, record, expect: example["expect"].clone() });
    }
    examples
}

fn text<'r>(record: &'r Record, name: &str) -> Option<&'r str> {
    record.headers.last(name).map(|value| std::str::from_utf8(value).unwrap())
}

#[tokio::test]
async fn every_pinned_example_becomes_a_change_or_a_dead_letter_with_what_it_brought() {
    let home = Installation::build_wide(&Stack::of_run(), "pinnedexamples", PARTITIONS).await;
    let feed = home.feed(topics::PINNED);
    let examples = examples(&feed);
    for example in &examples {
        feed.send(std::slice::from_ref(&example.record)).await;
    }
    let _validate = home.start("validate", &[]);
    home.settled_by("validate").await;

    let sent = home.records(topics::PINNED).await;
    let valid = home.records(topics::VALID).await;
    let letters = home.records(topics::DEAD).await;
    assert_eq!((sent.len(), valid.len() + letters.len()), (examples.len(), examples.len()));
    let mut codes = BTreeSet::new();
    for Example { name, record, expect } in &examples {
        let stands = sent.iter().find(|sent| text(sent, EXAMPLE) == Some(name)).unwrap();
        let own = format!("{}/{}/{}", topics::PINNED, stands.place.partition, stands.offset);
        let brought = |header: &str| record.headers.last(header).map(|text| String::from_utf8(text.to_vec()).unwrap());
        if let Some(change) = expect.get("change") {
            let origin = brought(headers::ORIGIN).unwrap_or(own);
            let version = change["version"].to_string();
            let is_it = |valid: &&Record| text(valid, headers::ORIGIN) == Some(&*origin);
            let mut found = valid.iter().filter(is_it).map(|valid| text(valid, headers::VERSION));
            assert!(found.any(|found| found == Some(&*version)), "{name}: {origin} at {version}");
            continue;
        }
        let letter = letters.iter().find(|letter| text(letter, EXAMPLE) == Some(name));
        let letter = letter.unwrap_or_else(|| panic!("{name} has no letter"));
        let code = expect["reject"]["code"].as_str().unwrap();
        codes.insert(code);
        assert_eq!(text(letter, headers::CODE), Some(code), "{name}");
        assert_eq!(text(letter, headers::FIELD), expect["reject"]["field"].as_str(), "{name}");
        assert_eq!(text(letter, headers::TOPIC), Some(&*home.topic(topics::PINNED)), "{name}");
        assert!((&letter.key, &letter.value) == (&record.key, &record.value), "{name}: kept byte for byte");
        let origin = brought(headers::ORIGIN).filter(|origin| origin.matches('/').count() == 2).unwrap_or(own);
        assert_eq!(text(letter, headers::ORIGIN), Some(&*origin), "{name}");
    }
    for code in [RejectCode::VersionInvalid, RejectCode::VersionInFuture] {
        assert!(codes.contains(code.as_str()), "{code}");
    }
}

/// A change of `user` at `version`, with `change` as JSON beside the user.
fn at(feed: &Feed, user: &str, change: &str, version: Version) -> Outgoing {
    let mut record = feed.of(user, change);
    record.headers.push_text(headers::VERSION, version.to_string());
    record
}

/// I12: the offset of a record of pinned is no receipt, and a row that it has replaced has none.
#[tokio::test]
async fn a_pinned_upsert_or_delete_erases_the_receipt_and_a_pinned_patch_leaves_it() {
    let home = Installation::build(&Stack::of_run(), "pinnedreceipt").await;
    let _path = home.start_path();
    let (raw, pinned) = (home.feed(topics::RAW), home.feed(topics::PINNED));
    let users = ["patched", "replaced", "deleted"];
    for user in users {
        raw.change(user, r#""op": "upsert", "set": {"name": "Ada", "bio": "old"}"#).await;
    }
    home.settled().await;
    let receipt = |row: &store::cql::ProfileRow| row.partition.zip(row.offset);
    let mut before = Vec::new();
    for user in users {
        before.push(home.row(user).await);
    }
    assert!(before.iter().all(|row| receipt(row).is_some()));

    let after = |row: &store::cql::ProfileRow| Version::new(row.version.unwrap().get() + Version::STEP).unwrap();
    let patch = r#""op": "patch", "set": {"bio": "new"}"#;
    let upsert = r#""op": "upsert", "set": {"name": "Eve"}"#;
    let records = [patch, upsert, r#""op": "delete""#].into_iter().zip(users).zip(&before);
    let records: Vec<Outgoing> = records.map(|((change, user), row)| at(&pinned, user, change, after(row))).collect();
    pinned.send(&records).await;
    home.settled().await;
    for (user, before) in users.into_iter().zip(&before) {
        let row = home.row(user).await;
        assert_eq!(row.version, Some(after(before)), "{user}");
        let kept = if user == "patched" { receipt(before) } else { None };
        assert_eq!(receipt(&row), kept, "{user}");
    }

    // The next change that comes by raw is a receipt again.
    raw.change("replaced", patch).await;
    home.settled().await;
    let row = home.row("replaced").await;
    assert!(receipt(&row) > receipt(&before[1]), "{row:?}");
    assert_eq!((home.text(&row, "name"), home.text(&row, "bio")), (Some("Eve"), Some("new")));
    home.assert_proven().await;
}

/// I3.
#[tokio::test]
async fn backfill_never_wins_over_live_in_whatever_order_they_come_and_twice_is_once() {
    let home = Installation::build(&Stack::of_run(), "pinnedbackfill").await;
    // Backfill is taken for 36 days from the floor on.
    let floor = headers::format_instant((runtime::Clock::system().now_ms() - 24 * 60 * 60 * 1000) * 1000);
    let _path = PATH.map(|(worker, _)| home.start(worker, &[("VERSION__FLOOR", &floor)]));
    let (raw, pinned) = (home.feed(topics::RAW), home.feed(topics::PINNED));
    // 2020-01-01, below the floor.
    let old = Version::at(1_577_836_800_000_000, Lane::Backfill).unwrap();
    let backfill = r#""op": "upsert", "set": {"name": "Old", "bio": "of the old system"}"#;
    let backfilled = async |user: &str| {
        pinned.send(&[at(&pinned, user, backfill, old), at(&pinned, user, backfill, old)]).await;
    };
    for user in ["first", "both"] {
        backfilled(user).await;
    }
    home.settled().await;
    for user in ["first", "last", "both"] {
        raw.change(user, r#""op": "patch", "set": {"name": "New"}"#).await;
    }
    raw.change("gone", r#""op": "upsert", "set": {"name": "New"}"#).await;
    raw.change("gone", r#""op": "delete""#).await;
    home.settled().await;
    for user in ["last", "both", "gone"] {
        backfilled(user).await;
    }
    home.settled().await;

    for user in ["first", "last", "both"] {
        let row = home.row(user).await;
        let fields = (home.text(&row, "name"), home.text(&row, "bio"));
        assert_eq!(fields, (Some("New"), Some("of the old system")), "{user}");
        assert!(row.alive() && row.version.unwrap().lane() == Lane::Live, "{user}");
    }
    let gone = home.row("gone").await;
    assert!(!gone.alive() && gone.row == schemas::Row::default(), "deleted stays deleted");
    home.assert_proven().await;
}
