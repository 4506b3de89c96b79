//! The `tidewater` command against a real broker: what it prints, what it exits with, and what is true afterwards.

use crate::servers;
use bytes::Bytes;
use runtime::Health;
use runtime::kafka::{Admin, Cluster, Config, Group, KafkaSource, Membership, Reader, SourceConfig, sink_to};
use runtime::offsets::{Committed, Span};
use runtime::record::{Headers, Outgoing, Timestamp};
use runtime::source::{Demand, Event, Source};
use runtime::stage::Sink;
use schemas::{headers, topics, version};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;
use uuid::Uuid;

const PARTITIONS: i32 = 3;

/// 2023-11-14T22:13:20Z, a multiple of 8.
const FLOOR_MICROS: i64 = 1_700_000_000_000_000;
const FLOOR: &str = "2023-11-14T22:13:20Z";

/// Topics and groups of one test's own, on the broker that all share.
struct Installation {
    cluster: Cluster,
}

impl Installation {
    /// With topics.
    async fn new() -> Self {
        let installation = Self::bare();
        let applied = installation.tidewater(&["topics", "apply", "--profile", "local"]);
        assert_eq!(exit(&applied), 0, "{}", err(&applied));
        installation
    }

    fn bare() -> Self {
        let prefix = format!("ctl-{}.", Uuid::new_v4().simple());
        let cluster = Cluster {
            client: Config { brokers: servers::brokers(), ..Config::default() },
            topic_prefix: prefix.clone(),
            group_prefix: prefix,
            partitions: PARTITIONS,
            membership: Membership::default(),
            linger: Duration::ZERO,
        };
        Self { cluster }
    }

    fn topic(&self, name: &str) -> String {
        self.cluster.topic(name)
    }

    fn tidewater(&self, args: &[&str]) -> Output {
        Command::new(binary())
            .args(args)
            .env("TIDEWATER__KAFKA__BROKERS", &self.cluster.client.brokers)
            .env("TIDEWATER__KAFKA__TOPIC_PREFIX", &self.cluster.topic_prefix)
            .env("TIDEWATER__KAFKA__GROUP_PREFIX", &self.cluster.group_prefix)
            .env("TIDEWATER__KAFKA__PARTITIONS", PARTITIONS.to_string())
            .env("TIDEWATER__VERSION__FLOOR", FLOOR)
            .output()
            .expect("the command runs; build it with `cargo build -p ctl`")
    }

    async fn write(&self, name: &str, records: &[Outgoing]) {
        let sink = sink_to(&self.cluster, self.topic(name)).unwrap();
        assert!(sink.write(records).await.unwrap().is_empty());
    }

    async fn committed(&self, group: &str, name: &str) -> Vec<Option<Committed>> {
        let group = Group::new(&self.cluster.client, &self.cluster.group(group)).unwrap();
        group.committed(&self.topic(name), PARTITIONS).await.unwrap()
    }

    async fn commit(&self, group: &str, name: &str, commits: &[Committed]) {
        Group::new(&self.cluster.client, &self.cluster.group(group))
            .unwrap()
            .commit(&self.topic(name), commits)
            .await
            .unwrap();
    }

    /// When the broker appended each record of a partition of the raw topic.
    async fn appended_ms(&self, partition: i32) -> Vec<i64> {
        let topic = self.topic(topics::RAW);
        let held = Admin::new(&self.cluster.client).unwrap().watermarks(&topic).await.unwrap();
        let held = held.into_iter().find(|held| held.partition == partition).unwrap();
        let span = Span { partition, from: held.low, to: held.high };
        let mut reader = Reader::open(&self.cluster.client, &topic, &[span]).unwrap();
        let mut times = Vec::new();
        while let Some(record) = reader.next().await.unwrap() {
            let Timestamp::LogAppend(ms) = record.timestamp else { panic!("{record:?} has no append time") };
            times.push(ms);
        }
        times
    }
}

/// Beside this test's own directory: cargo puts every binary of the workspace there.
fn binary() -> PathBuf {
    let mut path = std::env::current_exe().unwrap();
    path.pop();
    path.pop();
    path.join("tidewater")
}

fn exit(output: &Output) -> i32 {
    output.status.code().expect("the command ends by itself")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn record(partition: i32, facts: &[(&'static str, String)]) -> Outgoing {
    let mut kept = Headers::default();
    for (name, value) in facts {
        kept.push_text(*name, value.clone());
    }
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    Outgoing { partition, key: text("ada-of-the-keys"), value: text("the-value"), headers: kept }
}

/// What `validate` leaves of a raw record.
fn validated(partition: i32, offset: i64, place: i64) -> Outgoing {
    let origin = format!("{}/{partition}/{offset}", topics::RAW);
    record(partition, &[(headers::ORIGIN, origin), (headers::VERSION, (place | 4).to_string())])
}

fn at(partition: i32, offset: i64) -> Committed {
    Committed { partition, offset, metadata: String::new() }
}

#[tokio::test]
async fn topics_are_made_once_and_mended_without_harm() {
    let installation = Installation::new().await;
    let again = installation.tidewater(&["topics", "apply", "--profile", "local"]);
    assert!(out(&again).contains("every topic is as it should be"), "{}", out(&again));

    let admin = Admin::new(&installation.cluster.client).unwrap();
    let name = installation.topic(topics::RAW);
    let names = [name.clone()];
    let spoilt = runtime::kafka::TopicSpec {
        name: name.clone(),
        partitions: PARTITIONS,
        replication: 1,
        configs: [("retention.ms".to_owned(), "1000".to_owned()), ("segment.ms".to_owned(), "77777".to_owned())].into(),
    };
    let plan = runtime::kafka::Plan::between(&[spoilt], &admin.describe(&names).await.unwrap()).unwrap();
    admin.apply(&plan).await.unwrap();

    let dry = installation.tidewater(&["topics", "apply", "--profile", "local", "--dry-run"]);
    assert!(out(&dry).contains("retention.ms"), "{}", out(&dry));
    assert_eq!(admin.describe(&names).await.unwrap()[&name].configs["retention.ms"].value, "1000");
    let mended = installation.tidewater(&["topics", "apply", "--profile", "local"]);
    assert_eq!(exit(&mended), 0, "{}", err(&mended));
    let state = admin.describe(&names).await.unwrap().remove(&name).unwrap();
    assert_eq!(state.configs["retention.ms"].value, "604800000");
    assert_eq!(state.configs["segment.ms"].value, "77777", "a setting that nobody asked about is gone");
}

#[tokio::test]
async fn another_partition_count_is_refused_and_nothing_is_changed() {
    let installation = Installation::new().await;
    let refused = installation.tidewater(&["topics", "apply", "--profile", "local", "--partitions", "4"]);
    assert_eq!(exit(&refused), 64);
    assert!(err(&refused).contains("has 3 partitions, not 4"), "{}", err(&refused));
    let admin = Admin::new(&installation.cluster.client).unwrap();
    assert_eq!(admin.partitions(&installation.topic(topics::RAW)).await.unwrap(), PARTITIONS);
}

#[tokio::test]
async fn without_topics_every_verb_names_the_one_that_makes_them() {
    let installation = Installation::bare();
    for args in [&["lag"][..], &["dead", "list"], &["dead", "show", "0/0"], &["rewind", "sink", "--to", "START"]] {
        let refused = installation.tidewater(args);
        assert_eq!(exit(&refused), 64, "{args:?}");
        assert!(err(&refused).contains("`tidewater topics apply`"), "{args:?}: {}", err(&refused));
    }
}

#[tokio::test]
async fn a_group_with_a_member_is_not_moved() {
    let installation = Installation::new().await;
    let topic = installation.topic(topics::VALID);
    installation.write(topics::VALID, &[record(0, &[]), record(0, &[])]).await;
    installation.commit("enrich", topics::VALID, &[at(0, 2), at(1, 0), at(2, 0)]).await;
    let own = SourceConfig {
        worker: "enrich",
        group: installation.cluster.group("enrich"),
        only: String::new(),
        topic,
        first_metadata: String::new(),
        membership: Membership::default(),
        fetched_bytes: runtime::telemetry::Counter::default(),
        release_within: Duration::from_secs(1),
        rejoin_after: runtime::kafka::source::REJOIN,
    };
    let health = Health::new();
    let heartbeat = health.heartbeat("poll", Duration::from_secs(30));
    let condition = health.condition("kafka", "joining");
    let mut member = KafkaSource::join(&installation.cluster.client, own, condition, heartbeat).unwrap();
    loop {
        if let Some(Event::Assigned(_)) = member.next(&Demand::default()).await.unwrap() {
            break;
        }
    }

    let group = Group::new(&installation.cluster.client, &installation.cluster.group("enrich")).unwrap();
    assert_eq!(group.members().await.unwrap().len(), 1);
    let refused = installation.tidewater(&["rewind", "enrich", "--to", "START"]);
    assert_eq!(exit(&refused), 64);
    assert!(err(&refused).contains("enrich has members ("), "{}", err(&refused));
    assert_eq!(installation.committed("enrich", topics::VALID).await[0], Some(at(0, 2)));

    member.close().await;
    let moved = installation.tidewater(&["rewind", "enrich", "--to", "START"]);
    assert_eq!(exit(&moved), 0, "{}", err(&moved));
    assert_eq!(installation.committed("enrich", topics::VALID).await[0], Some(at(0, 0)));
}

#[tokio::test]
async fn a_rewound_raw_group_gives_the_same_versions_again() {
    let installation = Installation::new().await;
    let raw = vec![record(1, &[]); 200];
    installation.write(topics::RAW, &raw).await;
    let times = installation.appended_ms(1).await;
    assert_eq!(times.len(), raw.len());
    let mut places = Vec::new();
    for append_ms in &times {
        places.push(version::next_place(places.last().copied().unwrap_or(FLOOR_MICROS), *append_ms));
    }
    assert!(places.windows(2).any(|pair| pair[1] - pair[0] == 8), "no two records of one millisecond: proves nothing");
    installation
        .commit(
            "validate",
            topics::RAW,
            &[Committed { metadata: format!("v1:{}:{FLOOR_MICROS}", places[199]), ..at(1, 200) }],
        )
        .await;
    let left = [3_usize, 60, 90, 61, 150].map(|offset| validated(1, i64::try_from(offset).unwrap(), places[offset]));
    let (dead, valid) = left.split_at(2);
    installation.write(topics::VALID, valid).await;
    installation.write(topics::DEAD, dead).await;

    for (target, basis) in [
        (150, "the version of 150"),
        (91, "the version of 90"),
        (62, "the version of 61"),
        (61, "the version of 61"),
        (40, "the version of 3"),
        (2, "the floor"),
        (0, "the floor"),
        (199, "the version of 150"),
    ] {
        let offset = target.to_string();
        let args = ["rewind", "validate", "--partition", "1", "--skip", "--to", &offset];
        let moved = installation.tidewater(&args);
        assert_eq!(exit(&moved), 0, "{target}: {}", err(&moved));
        assert!(out(&moved).contains(basis), "{target}: {}", out(&moved));
        let committed = installation.committed("validate", topics::RAW).await[1].clone().unwrap();
        assert_eq!(committed.offset, i64::try_from(target).unwrap());
        let (mark, floor) = committed.metadata.strip_prefix("v1:").unwrap().split_once(':').unwrap();
        assert_eq!(floor, FLOOR_MICROS.to_string());
        assert_eq!(version::next_place(mark.parse().unwrap(), times[target]), places[target], "{target}");
    }
}

#[tokio::test]
async fn a_rewind_goes_to_a_time_or_the_start_and_forward_only_when_told() {
    let installation = Installation::new().await;
    installation.write(topics::ENRICHED, &[record(2, &[]), record(2, &[])]).await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    let between = headers::format_instant(runtime::Clock::system().now_ms() * 1_000);
    tokio::time::sleep(Duration::from_millis(20)).await;
    installation.write(topics::ENRICHED, &[record(2, &[]), record(0, &[])]).await;

    let first = installation.tidewater(&["rewind", "sink", "--to", &between]);
    assert_eq!(exit(&first), 0, "{}", err(&first));
    let offsets = async || {
        let committed = installation.committed("sink", topics::ENRICHED).await;
        committed.into_iter().map(|committed| committed.map(|committed| committed.offset)).collect::<Vec<_>>()
    };
    assert_eq!(offsets().await, [Some(0), Some(0), Some(2)]);
    let dry = installation.tidewater(&["rewind", "sink", "--to", "START", "--dry-run"]);
    assert_eq!((exit(&dry), offsets().await), (0, vec![Some(0), Some(0), Some(2)]));
    let back = installation.tidewater(&["rewind", "sink", "--to", "START"]);
    assert_eq!((exit(&back), offsets().await), (0, vec![Some(0), Some(0), Some(0)]));
    let forward = installation.tidewater(&["rewind", "sink", "--to", &between]);
    assert_eq!(exit(&forward), 64);
    assert!(err(&forward).contains("leave 2 records out for good"), "{}", err(&forward));
    assert_eq!(offsets().await, [Some(0), Some(0), Some(0)]);
    let whole = installation.tidewater(&["rewind", "sink", "--to", "1"]);
    assert!(exit(&whole) == 64 && err(&whole).contains("--partition"), "{}", err(&whole));
}

#[tokio::test]
async fn lag_counts_what_is_not_settled_and_tells_the_age_of_the_oldest() {
    let installation = Installation::new().await;
    installation.write(topics::ENRICHED, &[record(1, &[]), record(1, &[]), record(1, &[])]).await;
    installation.commit("sink", topics::ENRICHED, &[at(1, 1)]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let told = installation.tidewater(&["lag", "--stage", "sink", "--json"]);
    assert_eq!(exit(&told), 0, "{}", err(&told));
    let rows: serde_json::Value = serde_json::from_str(&out(&told)).unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!((&rows[1]["committed"], &rows[1]["end"], &rows[1]["records"]), (&1.into(), &3.into(), &2.into()));
    let oldest_ms = rows[1]["oldest_ms"].as_i64().unwrap();
    assert!((300..60_000).contains(&oldest_ms), "{oldest_ms}");
    assert!(rows[0]["oldest_ms"].is_null() && rows[0]["committed"].is_null());
    let table = installation.tidewater(&["lag"]);
    assert!(out(&table).contains("validate 0 records; enrich 0 records; sink 2 records"), "{}", out(&table));
}

fn letter(partition: i32, code: &str, stage: &str, offset: i64, at: &str) -> Outgoing {
    let fact = |name, value: &str| (name, value.to_owned());
    record(
        partition,
        &[
            fact(headers::CODE, code),
            fact(headers::FIELD, "set.email"),
            fact(headers::REASON, "because"),
            fact(headers::STAGE, stage),
            fact(headers::TOPIC, "anything.changes.raw.v1"),
            (headers::PARTITION, partition.to_string()),
            (headers::OFFSET, offset.to_string()),
            (headers::ORIGIN, format!("{}/{partition}/{offset}", topics::RAW)),
            fact(headers::VERSION, "1700000000000004"),
            fact(headers::AT, at),
            fact("their-header", "secret-of-theirs"),
        ],
    )
}

#[tokio::test]
async fn dead_letters_are_listed_by_age_and_filtered_without_a_word_of_user_data() {
    let installation = Installation::new().await;
    let (early, late) = ("2026-05-04T00:00:00Z", "2026-05-04T00:00:01Z");
    installation.write(topics::DEAD, &[letter(0, "too-large", "validate", 7, late)]).await;
    installation.write(topics::DEAD, &[letter(2, "format-invalid", "enrich", 9, early)]).await;
    let list = |args: &[&str]| {
        let listed = installation.tidewater(&[&["dead", "list"], args].concat());
        assert_eq!(exit(&listed), 0, "{}", err(&listed));
        out(&listed)
    };
    let all = list(&[]);
    let lines = all.lines().collect::<Vec<_>>();
    assert!(lines[1].contains("format-invalid") && lines[2].contains("too-large"), "{all}");
    assert!(lines[2].contains("anything.changes.raw.v1/0/7"), "{all}");
    assert!(!all.contains("ada-of-the-keys") && !all.contains("the-value") && !all.contains("secret-of-theirs"));
    assert!(list(&["--show-key"]).contains("ada-of-the-keys"));
    assert_eq!(list(&["--stage", "enrich", "--json"]).lines().count(), 1);
    assert_eq!(list(&["--code", "undecodable", "--json"]), "");
    assert_eq!(list(&["--since", "2999-01-01T00:00:00Z", "--json"]), "");
    let newest = list(&["--limit", "1"]);
    assert!(newest.contains("too-large") && newest.contains("1 older ones are left out"), "{newest}");
}

#[tokio::test]
async fn a_dead_letter_is_shown_by_its_place_or_its_origin_and_its_content_only_when_asked() {
    let installation = Installation::new().await;
    installation.write(topics::DEAD, &[letter(1, "too-large", "validate", 7, "2026-05-04T00:00:00Z")]).await;
    installation.write(topics::DEAD, &[letter(1, "store-refused", "sink", 8, "2026-05-04T00:00:00Z")]).await;
    let by_place = installation.tidewater(&["dead", "show", "1/1"]);
    let shown = out(&by_place);
    assert!(shown.contains("code: store-refused") && shown.contains("their-header: 16 bytes"), "{shown}");
    assert!(!shown.contains("ada-of-the-keys") && !shown.contains("the-value") && !shown.contains("secret-of-theirs"));
    let by_origin = installation.tidewater(&["dead", "show", "changes.raw.v1/1/7", "--json", "--value"]);
    let shown: serde_json::Value = serde_json::from_str(&out(&by_origin)).unwrap();
    assert_eq!((&shown["code"], &shown["value"]), (&"too-large".into(), &"the-value".into()));
    assert_eq!(shown["headers"]["their-header"], "secret-of-theirs");
    for missing in ["1/2", "9/0", "changes.raw.v1/1/70"] {
        let refused = installation.tidewater(&["dead", "show", missing]);
        assert_eq!(exit(&refused), 64, "{missing}: {}", out(&refused));
    }
}

#[tokio::test]
async fn a_broker_that_is_away_is_named_with_what_to_look_at() {
    let mut installation = Installation::bare();
    installation.cluster.client.brokers = "127.0.0.1:1".into();
    let failed = installation.tidewater(&["lag"]);
    assert_eq!(exit(&failed), 70);
    let text = err(&failed);
    assert!(text.contains("127.0.0.1:1") && text.contains("Connection refused") && text.contains("[kafka]"), "{text}");
}

#[test]
fn the_table_is_made_once_and_a_dry_run_makes_nothing() {
    let keyspace = format!("ctl_{}", Uuid::new_v4().simple());
    let migrate = |args: &[&str]| {
        let migrated = Command::new(binary())
            .args([&["migrate", "--profile", "local"], args].concat())
            .env("TIDEWATER__CASSANDRA__NODES", servers::cassandra().join(","))
            .env("TIDEWATER__CASSANDRA__KEYSPACE", &keyspace)
            .output()
            .unwrap();
        assert_eq!(exit(&migrated), 0, "{}", err(&migrated));
        out(&migrated)
    };
    let dry = migrate(&["--dry-run"]);
    assert!(dry.contains("CREATE KEYSPACE") && dry.contains("CREATE TABLE"), "{dry}");
    assert_eq!(migrate(&[]).replace("done", "nothing was changed: --dry-run"), dry, "the dry run made something");
    assert_eq!(migrate(&[]), "the table is as it should be\n");
}
