//! What outsiders are told to write, run as they would run it: the producer of `docs/producers`, the reader of
//! `docs/consumers`.

use runtime::record::{Outgoing, Record};
use schemas::{FieldValue, topics};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tests::history::User;
use tests::installation::{Installation, told};
use tests::stack::{Stack, root};

type Texts = BTreeMap<String, String>;

#[tokio::test(flavor = "multi_thread")]
async fn what_the_python_producer_sends_arrives_and_readers_come_to_the_rows_of_cassandra() {
    let python = python();
    let house = Installation::build(&Stack::of_run(), "producers").await;
    let mut workers = house.start_path();
    let raw = house.topic(topics::RAW);
    let arguments = ["docs/producers/produce.py", "--brokers", &house.stack.brokers, "--topic", &raw, "--count", "500"];
    let sent = told(&run(&python, &arguments));
    let last: Value = serde_json::from_str(sent.lines().last().unwrap()).unwrap();
    assert_eq!(last, json!({"sent": 500, "failed": 0}));
    house.settled().await;
    assert_eq!(house.records(topics::DEAD).await.len(), 0, "the partitioner and every change are right");
    house.assert_nothing_is_lost().await;
    let rows = alive(&house).await;
    assert!(rows.len() > 50, "{} users", rows.len());
    assert_eq!(fold(&python, &house, topics::ENRICHED), rows);

    // Everything twice, and from the start again.
    let enrich = workers.remove(1);
    assert_eq!(enrich.leave().await, 0);
    told(&house.tidewater(&["rewind", "enrich", "--to", "START"]));
    let _enrich = house.start("enrich", &[]);
    house.settled().await;
    assert_eq!(house.records(topics::ENRICHED).await.len(), 1_000);
    assert_eq!(fold(&python, &house, topics::ENRICHED), rows);
    assert_eq!(alive(&house).await, rows);

    // And backwards, in a topic that nobody else reads: every change is older than all before it.
    let mut backwards: Vec<Outgoing> = house.records(topics::ENRICHED).await.into_iter().map(again).collect();
    backwards.reverse();
    house.feed(topics::PINNED).send(&backwards).await;
    assert_eq!(fold(&python, &house, topics::PINNED), rows);
}

fn again(record: Record) -> Outgoing {
    let Record { place, key, value, headers, .. } = record;
    Outgoing { partition: place.partition, key, value, headers }
}

/// What the documented rule makes of a topic of enriched changes.
fn fold(python: &Path, house: &Installation, topic: &str) -> BTreeMap<User, Texts> {
    let topic = house.topic(topic);
    let brokers = &house.stack.brokers;
    let schemas = "schemas/avro/history";
    let arguments = ["docs/consumers/fold.py", "--brokers", brokers, "--topic", &topic, "--schemas", schemas];
    let output = run(python, &arguments);
    let read = |line: &str| {
        let user: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| user[key].as_str().unwrap().to_owned();
        ((text("tenant"), text("user_id")), serde_json::from_value(user["profile"].clone()).unwrap())
    };
    told(&output);
    String::from_utf8(output.stdout).unwrap().lines().map(read).collect()
}

/// What Cassandra has of those who are not deleted. The producer sets texts alone.
async fn alive(house: &Installation) -> BTreeMap<User, Texts> {
    let name = |position: usize| house.profile.fields()[position].name.to_string();
    let rows = house.rows().await.into_iter().filter(|(_, row)| row.alive());
    rows.map(|(user, row)| {
        let fields = row.row.iter().map(|(position, value)| {
            let FieldValue::Text(text) = value else { panic!("{}: {value:?}", name(position)) };
            (name(position), text.clone())
        });
        (user, fields.collect())
    })
    .collect()
}

/// An interpreter with what the two programs ask for, beside what cargo builds.
fn python() -> PathBuf {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
    let python = venv.join("bin/python");
    if !python.is_file() {
        told(&Command::new("python3").args(["-m", "venv"]).arg(&venv).output().expect("python3 is installed"));
    }
    told(&run(&python, &["-m", "pip", "install", "--quiet", "-r", "docs/consumers/requirements.txt"]));
    python
}

fn run(python: &Path, arguments: &[&str]) -> Output {
    Command::new(python).args(arguments).current_dir(root()).output().expect("python runs")
}
