//! Starts that cannot go well: each says what to do and ends, or waits where everybody can see it.

use crate::servers::{Redis, free_port};
use runtime::kafka::{Admin, Config, Plan, TopicSpec};
use schemas::topics::{self, Replication};
use std::collections::BTreeMap;
use std::time::Duration;
use tests::installation::{Installation, PARTITIONS};
use tests::stack::Stack;
use tests::until;

/// Asked or configured wrongly.
const USAGE: i32 = 64;

/// A start with some options must end at once, and its last words must have all of `told` in them.
async fn assert_refused(home: &Installation, worker: &'static str, options: &[(&str, &str)], told: &[&str]) {
    let mut process = home.start(worker, options);
    let code = process.exit().await;
    let log = process.log();
    assert_eq!(code, USAGE, "{worker} with {options:?}:\n{log}");
    for words in told {
        assert!(log.contains(words), "{worker} with {options:?} does not say `{words}`:\n{log}");
    }
}

#[tokio::test]
async fn what_a_configuration_gets_wrong_is_told_all_at_once_and_nothing_starts() {
    let home = Installation::build(&Stack::of_run(), "config").await;
    let options = [("KAFKA__BROKER", "b:1"), ("LIMITS__DRAIN", "3 parsecs"), ("LIMITS__LANES", "0")];
    for worker in ["validate", "enrich", "sink"] {
        let told =
            ["KAFKA__BROKER: no such key; did you mean kafka.brokers?", "LIMITS__DRAIN: is", "LIMITS__LANES: is"];
        assert_refused(&home, worker, &options, &told).await;
    }
    let ahead = [("VERSION__FLOOR", "2200-01-01T00:00:00Z")];
    assert_refused(&home, "validate", &ahead, &["version.floor lies in the future"]).await;
    let nowhere = [("ENRICH__TABLES", "/nowhere")];
    assert_refused(&home, "enrich", &nowhere, &["/nowhere", "set enrich.tables"]).await;
}

#[tokio::test]
async fn topics_that_are_missing_or_wrong_are_named_with_the_cure() {
    let home = Installation::build(&Stack::of_run(), "topics").await;
    let apply = "tidewater topics apply";
    let missing = [("KAFKA__TOPIC_PREFIX", "nowhere.")];
    for worker in ["validate", "enrich", "sink"] {
        assert_refused(&home, worker, &missing, &["topic nowhere.changes.", "does not exist", apply]).await;
        assert_refused(&home, worker, &[("KAFKA__PARTITIONS", "7")], &["has 4 partitions, not 7"]).await;
    }

    let prefix = format!("{}.producer.", home.name());
    let kafka = Config { brokers: home.stack.brokers.clone(), ..Config::default() };
    let specs: Vec<TopicSpec> = topics::ALL
        .iter()
        .map(|topic| {
            let mut configs: BTreeMap<String, String> =
                topic.settings(Replication::LOCAL).map(|(key, value)| (key.to_owned(), value)).into();
            configs.insert("message.timestamp.type".into(), "CreateTime".into());
            TopicSpec { name: format!("{prefix}{}", topic.name), partitions: PARTITIONS, replication: 1, configs }
        })
        .collect();
    let admin = Admin::new(&kafka).unwrap();
    admin.apply(&Plan::between(&specs, &BTreeMap::new()).unwrap()).await.unwrap();
    let created = [("KAFKA__TOPIC_PREFIX", &*prefix)];
    assert_refused(&home, "validate", &created, &["message.timestamp.type=CreateTime, not LogAppendTime"]).await;
}

#[tokio::test]
async fn a_table_that_drifted_and_a_cache_that_remembers_stop_the_sink() {
    let home = Installation::build(&Stack::of_run(), "drift").await;
    let keeps = Redis::start(&["--save", "3600 1"]);
    let port = keeps.port().to_string();
    assert_refused(&home, "sink", &[("REDIS__PORT", &port)], &["redis would bring stale entries back", "set `save"])
        .await;

    let table = format!("\"{}\".\"profiles\"", home.name());
    home.session.define(&format!("ALTER TABLE {table} WITH gc_grace_seconds = 864000")).await.unwrap();
    home.session.define(&format!("ALTER TABLE {table} DROP \"name\"")).await.unwrap();
    let told = ["column name is missing", "gc_grace_seconds", "tidewater migrate"];
    assert_refused(&home, "sink", &[], &told).await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_waited_for_and_ready_says_so() {
    let home = Installation::build(&Stack::of_run(), "absent").await;
    let (kafka, cassandra, redis) = (free_port(), free_port(), free_port());
    let address = |port: u16| format!("127.0.0.1:{port}");
    let (kafka, cassandra, port) = (address(kafka), format!("[\"{}\"]", address(cassandra)), redis.to_string());
    let mut waiting = [
        (home.start("validate", &[("KAFKA__BROKERS", &kafka)]), "topics"),
        (home.start("sink", &[("CASSANDRA__NODES", &cassandra)]), "cassandra"),
        (home.start("sink", &[("REDIS__PORT", &port)]), "redis"),
    ];
    for (worker, condition) in &mut waiting {
        let said = until(&format!("/ready to say {condition}"), Duration::from_secs(60), async || {
            assert!(worker.is_running(), "{}", worker.log());
            // The first words of every condition say only that nobody was asked yet.
            worker.waits_for(condition).filter(|said| !said.ends_with("reached yet"))
        })
        .await;
        assert!(said.contains("127.0.0.1") || said.contains("redis"), "{condition}: {said}");
        assert!(matches!(worker.get("/ready"), Some((503, _))));
        assert!(matches!(worker.get("/live"), Some((200, _))), "nobody is restarted for a dependency");
    }

    let _server = Redis::start_at(redis, &[]);
    let [_, _, (sink, _)] = &mut waiting;
    sink.ready().await;
}
