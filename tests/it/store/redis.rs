//! Invalidation.

use crate::servers::{self, Redis, Relay, redis_cli};
use schemas::{Tenant, UserId};
use std::time::Duration;
use store::Credentials;
use store::cache::{Class, Config, Invalidator, Key, Persistence};

fn config(url: &str) -> Config {
    let (host, port) = url.trim_start_matches("redis://").split_once(':').unwrap();
    Config { host: host.to_owned(), port: port.parse().unwrap(), ..Config::default() }
}

fn invalidator(url: &str) -> Invalidator {
    Invalidator::new(&config(url)).unwrap()
}

/// Users of one test, so that tests can share a server.
fn keys(test: &str, count: usize) -> Vec<Key> {
    let key = |user| Key::new(&Tenant::new(test).unwrap(), &UserId::new(&format!("user-{user}")).unwrap());
    (0..count).map(key).collect()
}

#[tokio::test]
async fn what_is_deleted_is_gone_whatever_its_type_and_nothing_else_is() {
    let url = servers::redis();
    let mut keys = keys("deleted", 1_000);
    let kept = keys.pop().unwrap();
    redis_cli(&url, &["set", kept.as_str(), "V"]);
    redis_cli(&url, &["set", keys[0].as_str(), "V"]);
    redis_cli(&url, &["rpush", keys[1].as_str(), "garbage"]);
    redis_cli(&url, &["hset", keys[2].as_str(), "a", "b"]);
    redis_cli(&url, &["set", keys[998].as_str(), "V"]);
    invalidator(&url).delete(&keys).await.unwrap();
    for key in &keys[..3] {
        assert_eq!(redis_cli(&url, &["type", key.as_str()]), "none");
    }
    assert_eq!(redis_cli(&url, &["type", keys[998].as_str()]), "none");
    assert_eq!(redis_cli(&url, &["del", kept.as_str()]), "1");
}

#[tokio::test]
async fn nothing_to_delete_asks_nobody() {
    let nowhere = format!("redis://127.0.0.1:{}", servers::free_port());
    invalidator(&nowhere).delete(&[]).await.unwrap();
}

#[tokio::test]
async fn many_lanes_share_one_connection() {
    let url = servers::redis();
    let invalidator = std::sync::Arc::new(invalidator(&url));
    let mut lanes = tokio::task::JoinSet::new();
    for lane in 0..64 {
        let invalidator = invalidator.clone();
        lanes.spawn(async move { invalidator.delete(&keys(&format!("lane-{lane}"), 10)).await });
    }
    for outcome in lanes.join_all().await {
        outcome.unwrap();
    }
}

/// I9: an invalidation that was not confirmed is done again, on a new connection.
#[tokio::test]
async fn away_is_ambiguous_and_back_is_noticed() {
    let server = Redis::start(&[]);
    let (url, port) = (server.url(), server.port());
    let (invalidator, keys) = (invalidator(&url), keys("away", 3));
    invalidator.delete(&keys).await.unwrap();
    drop(server);
    for _ in 0..2 {
        let error = invalidator.delete(&keys).await.unwrap_err();
        assert_eq!(error.class(), Class::Ambiguous, "{error}");
        assert!(!error.to_string().contains("user-"), "{error}");
    }
    let server = Redis::start_at(port, &[]);
    redis_cli(&server.url(), &["set", keys[0].as_str(), "V"]);
    invalidator.delete(&keys).await.unwrap();
    assert_eq!(redis_cli(&server.url(), &["exists", keys[0].as_str()]), "0");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let timeout = Duration::from_millis(200);
    let config = Config { connect_timeout: timeout, request_timeout: timeout, ..config(&url) };
    let (invalidator, keys) = (Invalidator::new(&config).unwrap(), keys("silent", 1));
    let outcome = tokio::time::timeout(Duration::from_secs(10), invalidator.delete(&keys));
    let error = outcome.await.expect("it does not wait for ever").unwrap_err();
    assert_eq!(error.class(), Class::Ambiguous, "{error}");
}

#[tokio::test]
async fn a_broken_connection_is_not_used_again() {
    let relay = Relay::to(servers::redis().trim_start_matches("redis://"));
    let (invalidator, keys) = (invalidator(&format!("redis://{}", relay.address())), keys("broken", 3));
    invalidator.delete(&keys).await.unwrap();
    relay.cut();
    assert_eq!(invalidator.delete(&keys).await.unwrap_err().class(), Class::Ambiguous);
    relay.mend();
    invalidator.delete(&keys).await.unwrap();
}

#[tokio::test]
async fn without_the_password_nothing_helps_but_the_password() {
    let server = Redis::start(&["--requirepass", "s3cret"]);
    let error = invalidator(&server.url()).delete(&keys("password", 1)).await.unwrap_err();
    assert_eq!(error.class(), Class::Stop, "{error}");
    let with = |password: &str| {
        let credentials = Some(Credentials { user: "default".into(), password: password.into() });
        Invalidator::new(&Config { credentials, ..config(&server.url()) }).unwrap()
    };
    let error = with("wrong").delete(&keys("password", 1)).await.unwrap_err();
    assert_eq!(error.class(), Class::Stop, "{error}");
    with("s3cret").delete(&keys("password", 1)).await.unwrap();
}

#[tokio::test]
async fn a_redis_that_would_bring_entries_back_is_told_apart() {
    let on = |snapshots, append_only| Persistence::On { snapshots, append_only };
    let cases: [(&[&str], Persistence); 4] = [
        (&[], Persistence::Off),
        (&["--save", "60 1"], on(true, false)),
        (&["--appendonly", "yes"], on(false, true)),
        (&["--save", "60 1", "--appendonly", "yes"], on(true, true)),
    ];
    for (arguments, expected) in cases {
        let server = Redis::start(arguments);
        assert_eq!(invalidator(&server.url()).persistence().await.unwrap(), expected, "{arguments:?}");
    }
}

#[tokio::test]
async fn where_config_is_forbidden_persistence_is_read_off_info_or_unproven() {
    let renamed = Redis::start(&["--rename-command", "CONFIG", ""]);
    assert_eq!(invalidator(&renamed.url()).persistence().await.unwrap(), Persistence::Unproven);
    let aof = ["--rename-command", "CONFIG", "", "--appendonly", "yes"];
    let append_only = Redis::start(&aof);
    let expected = Persistence::On { snapshots: false, append_only: true };
    assert_eq!(invalidator(&append_only.url()).persistence().await.unwrap(), expected);

    let restricted = Redis::start(&["--user", "app", "on", ">pw", "~tw:*", "+del", "+ping", "+client"]);
    let credentials = Some(Credentials { user: "app".into(), password: "pw".into() });
    let app = Invalidator::new(&Config { credentials, ..config(&restricted.url()) }).unwrap();
    assert_eq!(app.persistence().await.unwrap(), Persistence::Unproven);
    app.delete(&keys("acl", 1)).await.unwrap();
    redis_cli(&restricted.url(), &["acl", "setuser", "app", "-del"]);
    let error = app.delete(&keys("acl", 1)).await.unwrap_err();
    assert_eq!(error.class(), Class::Stop, "{error}");
}
