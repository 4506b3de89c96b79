//! Memory is bounded, however much waits.

use runtime::kafka::{Config, KafkaSink, SinkConfig};
use runtime::stage::Sink as _;
use schemas::topics::partition_for;
use schemas::{Change, FieldSet, FieldValue, Lane, Op, Origin, Row, Tenant, UserId, Version, topics};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;
use tests::feed::enriched;
use tests::history::Random;
use tests::installation::Installation;
use tests::process::Worker;
use tests::relay::Relay;
use tests::stack::{Stack, asked, place};
use tests::until;
use tokio::time::sleep;
use uuid::Uuid;

/// Records that wait; `MEMORY_RECORDS` asks for more.
const RECORDS: usize = 200_000;
/// So few that a good deal of what waits together is merged, as it is in a drain.
const USERS: usize = 2_000;
const PARTITIONS: i32 = 12;
/// Records written at once.
const CHUNK: usize = 10_000;

/// What a process takes besides the sum it prints: its code, its threads, the clients' own state, what the allocator
/// keeps, and what a record weighs beyond its bytes. An idle sink has a third of it.
const CONSTANT: u64 = 96 << 20;

/// How long the store hangs, and then is gone: each longer than the driver's time-out.
const HANGS: Duration = Duration::from_secs(7);

#[tokio::test]
async fn a_backlog_before_a_store_that_is_away_takes_no_more_than_the_printed_sum_and_is_read_once() {
    let count = asked("MEMORY_RECORDS", RECORDS);
    let home = Installation::build_wide(&Stack::of_run(), "memory", PARTITIONS).await;
    let cassandra = Relay::to_cassandra(&home.stack.cassandra);
    let mut sink = home.start("sink", &[("CASSANDRA__NODES", &cassandra.address())]);
    sink.ready().await;
    let idle = sink.memory_peak();

    cassandra.lose_one_in(1);
    let last = write_backlog(&home, count).await;
    sleep(HANGS).await;
    cassandra.cut();
    sleep(HANGS).await;
    assert!(sink.waits_for("cassandra").is_some(), "/ready of the sink says what it waits for");
    assert!(home.lag("sink").await > Some(i64::try_from(count / 2).unwrap()), "most of it waits");
    let bound = printed_sum(&sink) + CONSTANT;
    assert_within(&sink, bound, idle);

    cassandra.lose_one_in(0);
    cassandra.mend();
    home.settled_by_within("sink", Duration::from_secs(60 + u64::try_from(count / 2_000).unwrap())).await;
    assert_within(&sink, bound, idle);
    let rows = home.rows().await;
    for (user, version) in last.iter().enumerate().filter(|(_, version)| version.is_some()) {
        let row = rows.get(&("main".to_owned(), user_name(user)));
        assert_eq!(row.and_then(|row| row.version), *version, "user {user} is not what was written last");
    }
    assert_read_once(&home, &sink).await;
    assert_eq!(sink.leave().await, 0);
}

#[allow(clippy::print_stderr, reason = "figures that a person asks for")]
fn assert_within(sink: &Worker, bound: u64, idle: u64) {
    let peak = sink.memory_peak();
    eprintln!("memory: {} MiB of {}, idle {}", peak >> 20, bound >> 20, idle >> 20);
    assert!(peak <= bound, "{} MiB, and the bound is {} MiB; idle it was {}", peak >> 20, bound >> 20, idle >> 20);
}

/// What its first lines say it may hold: of what it writes to Kafka, nothing is there.
fn printed_sum(sink: &Worker) -> u64 {
    let log = sink.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut told = lines.filter(|line| line["message"] == "memory is bounded by the sum of these");
    let line = told.next().expect("it says so");
    let of = |name: &str| line[name].as_u64().unwrap_or_else(|| panic!("no {name} in {line}"));
    of("unsettled_bytes") + of("fetch_bytes_per_partition") * u64::try_from(PARTITIONS).unwrap()
}

/// Panics if the brokers sent more than a fifth over what the log holds.
async fn assert_read_once(home: &Installation, sink: &Worker) {
    let held = log_bytes(Path::new(&place("STACK_DIR")), &format!("{}-", home.topic(topics::ENRICHED)));
    assert!(held > 0, "the log is not where it is looked for");
    let fetched = || sink.metric("fetched_bytes_total").filter(|fetched| *fetched >= as_f64(held));
    until("the client to say what it has received", Duration::from_secs(20), async || fetched()).await;
    // It says so every two seconds.
    sleep(Duration::from_secs(3)).await;
    let ratio = fetched().unwrap() / as_f64(held);
    assert!(ratio <= 1.2, "{ratio:.2} bytes were fetched for each that there is");
}

fn as_f64(count: u64) -> f64 {
    f64::from(u32::try_from(count >> 10).unwrap()) * 1024.0
}

/// Bytes of the segments below `dir` in folders that start with `topic`: they go over the wire as they lie there.
fn log_bytes(dir: &Path, topic: &str) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(about) = entry.metadata() else { continue };
        let is_ours = dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(topic));
        if about.is_dir() {
            sum += log_bytes(&path, topic);
        } else if is_ours && path.extension().is_some_and(|end| end == "log") {
            sum += about.len();
        }
    }
    sum
}

/// Writes changes as `enrich` does. The last version of each user.
async fn write_backlog(home: &Installation, count: usize) -> Vec<Option<Version>> {
    let kafka = Config { brokers: home.stack.brokers.clone(), ..Config::default() };
    let own = SinkConfig {
        topic: home.topic(topics::ENRICHED),
        compression: "lz4",
        message_bytes_max: 2 << 20,
        queue_kbytes: 64 << 10,
        linger: Duration::from_millis(5),
    };
    let writer = KafkaSink::new(&kafka, own).unwrap();
    let codec = home.codec();
    let (name, bio) = (home.profile.position("name").unwrap(), home.profile.position("bio").unwrap());
    let start = runtime::Clock::system().now_ms() * 1000 - 600_000_000;
    let mut random = Random::new(31);
    let mut last = vec![None; USERS];
    let mut batch = Vec::with_capacity(CHUNK);
    for at in 0..count {
        let user = random.below(USERS);
        let version = Version::at(start + 8 * i64::try_from(at).unwrap(), Lane::Live).unwrap();
        last[user] = Some(version);
        let mut set = Row::default();
        set.set(name, FieldValue::Text(format!("{:016x}", random.number())));
        set.set(bio, FieldValue::Text((0..12).map(|_| format!("{:016x}", random.number())).collect()));
        let user_id = UserId::new(&user_name(user)).unwrap();
        let partition = partition_for(user_id.as_str().as_bytes(), PARTITIONS);
        let change = Change {
            id: Uuid::from_u64_pair(random.number(), random.number()),
            tenant: Tenant::default(),
            user_id,
            op: Op::Upsert,
            set,
            unset: FieldSet::EMPTY,
            occurred_at: None,
            source: None,
            version,
            origin: Origin::new(schemas::origin::RAW, partition, i64::try_from(at).unwrap()).unwrap(),
        };
        batch.push(enriched(&codec, &change, PARTITIONS));
        if batch.len() == CHUNK || at + 1 == count {
            let refused = writer.write(&batch).await.unwrap();
            assert!(refused.is_empty());
            batch.clear();
        }
    }
    last
}

fn user_name(user: usize) -> String {
    format!("waiting-{user}")
}
