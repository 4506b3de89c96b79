//! Servers that go away and come back, under load.
//!
//! Each of these hurts the servers, so they have a set of their own, one after another: Cassandra and Kafka are stopped
//! under the feet of nobody else. It is started by the first of them and ends with the process.

use crate::load::under_load;
use schemas::{Tenant, UserId, topics};
use std::sync::OnceLock;
use std::time::Duration;
use store::cache::Key;
use tests::history::History;
use tests::installation::Installation;
use tests::process::Worker;
use tests::stack::Stack;
use tests::until;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::sleep;

/// The servers, and the right to stop them.
pub(crate) async fn servers() -> (Stack, MutexGuard<'static, ()>) {
    static TURN: Mutex<()> = Mutex::const_new(());
    static SERVERS: OnceLock<Stack> = OnceLock::new();
    let turn = TURN.lock().await;
    (SERVERS.get_or_init(|| Stack::own("outage")).clone(), turn)
}

async fn ready(path: &mut [Worker]) {
    for worker in path {
        worker.ready().await;
    }
}

fn assert_running(path: &mut [Worker]) {
    for worker in path {
        assert!(worker.is_running(), "{} has ended:\n{}", worker.name(), worker.log());
    }
}

#[tokio::test]
async fn cassandra_away_for_20_s_costs_time_and_nothing_else() {
    let (stack, _turn) = servers().await;
    let home = Installation::build(&stack, "nocql").await;
    let mut path = home.start_path();
    ready(&mut path).await;
    let mut history = History::new(13, home.name(), 200);
    under_load(&home, &mut history, 20, async {
        sleep(Duration::from_secs(1)).await;
        stack.server("stop", "cassandra").await;
        sleep(Duration::from_secs(12)).await;
        let waits = path[2].waits_for("cassandra").expect("/ready of the sink says what it waits for");
        assert!(waits.contains("open"), "{waits}");
        assert_ne!(path[2].shown("breaker_state", "cassandra"), Some(0.0));
        let before = path[2].shown("breaker_tries", "cassandra").unwrap();
        sleep(Duration::from_secs(8)).await;
        let tries = path[2].shown("breaker_tries", "cassandra").unwrap() - before;
        assert!(tries <= 20.0, "{tries} writes in 8 s to a store that is away");
        assert!(path[2].waits_for("cassandra").is_some());
        assert_ne!(home.lag("sink").await, Some(0), "what was not written is not committed");
        stack.server("start", "cassandra").await;
        until("the sink to be ready again", Duration::from_secs(60), async || {
            matches!(path[2].get("/ready"), Some((200, _))).then_some(())
        })
        .await;
    })
    .await;
    home.settled().await;

    assert_running(&mut path);
    assert_eq!(path[2].shown("breaker_state", "cassandra"), Some(0.0));
    assert!(path[2].shown("breaker_opens", "cassandra") >= Some(1.0));
    home.assert_is(&history).await;
    let dead = home.records(topics::DEAD).await.len();
    assert_eq!(dead, 0, "an outage dead-letters nothing");
}

#[tokio::test]
async fn whatever_happens_to_redis_no_entry_of_a_changed_user_outlives_the_change() {
    let (stack, _turn) = servers().await;
    let home = Installation::build(&stack, "noredis").await;
    let mut path = home.start_path();
    ready(&mut path).await;
    let keys: Vec<String> = (0..60).map(|user| key(&format!("{}-{user}", home.name()))).collect();
    let mut history = History::new(17, home.name(), keys.len());
    under_load(&home, &mut history, 20, async {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(stack.redis(&["FLUSHALL"]), "OK");
        sleep(Duration::from_secs(1)).await;
        stack.server("stop", "redis").await;
        sleep(Duration::from_secs(4)).await;
        assert!(path[2].waits_for("redis").is_some(), "/ready of the sink says what it waits for");
        assert_ne!(path[2].shown("breaker_state", "redis"), Some(0.0));
        assert_eq!(path[2].shown("breaker_state", "cassandra"), Some(0.0), "each store has its own");
        stack.server("start", "redis").await;
        sleep(Duration::from_secs(1)).await;
    })
    .await;
    home.settled().await;

    assert_running(&mut path);
    home.assert_is(&history).await;

    plant(&stack, &keys);
    let exist: Vec<&str> = ["EXISTS"].into_iter().chain(keys.iter().map(|key| &**key)).collect();
    assert_eq!(stack.redis(&exist), keys.len().to_string(), "garbage is planted");
    let feed = home.feed(topics::RAW);
    let patch = |user: usize| feed.of(&format!("{}-{user}", home.name()), r#""op": "patch", "set": {"plan": "pro"}"#);
    feed.send(&(0..keys.len()).map(patch).collect::<Vec<_>>()).await;
    home.settled().await;
    assert_eq!(stack.redis(&exist), "0", "what is no entry of ours goes too");
    assert_running(&mut path);
    home.assert_proven().await;
}

/// Garbage, and values of every other type.
fn plant(stack: &Stack, keys: &[String]) {
    for (at, key) in keys.iter().enumerate() {
        let planted = match at % 5 {
            0 => stack.redis(&["SET", key, "\u{fffd} garbage"]),
            1 => stack.redis(&["RPUSH", key, "a", "list"]),
            2 => stack.redis(&["HSET", key, "a", "hash"]),
            3 => stack.redis(&["SADD", key, "a set"]),
            _ => stack.redis(&["ZADD", key, "1", "a sorted set"]),
        };
        assert!(planted == "OK" || planted.parse::<u8>().is_ok(), "{planted}");
    }
}

fn key(user: &str) -> String {
    Key::new(&Tenant::default(), &UserId::new(user).unwrap()).as_str().to_owned()
}

#[tokio::test]
async fn a_broker_that_restarts_under_load_loses_nothing_and_stops_no_worker() {
    let (stack, _turn) = servers().await;
    let home = Installation::build(&stack, "nokafka").await;
    let mut path = home.start_path();
    ready(&mut path).await;
    let mut history = History::new(19, home.name(), 200);
    under_load(&home, &mut history, 20, async {
        sleep(Duration::from_secs(1)).await;
        stack.server("stop", "kafka").await;
        sleep(Duration::from_secs(2)).await;
        stack.server("start", "kafka").await;
        ready(&mut path).await;
        stack.server("kill", "kafka").await;
        stack.server("start", "kafka").await;
        sleep(Duration::from_secs(2)).await;
    })
    .await;
    home.settled().await;

    assert_running(&mut path);
    home.assert_is(&history).await;
}
