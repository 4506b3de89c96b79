//! Looking up and filling: whatever happens to Redis, a reader gets an answer that is right, or is sent to the row (I9, I13).

use crate::servers::{self, Redis, Relay, redis_cli};
use schemas::{Tenant, UserId, Version};
use std::time::Duration;
use store::Credentials;
use store::cache::protocol::Filled;
use store::cache::{Answer, Bypass, CacheError, Config, Invalidator, Key, Lease, Reader, Value};
use tokio::time::Instant;

fn config(port: u16) -> Config {
    Config { port, ..Config::default() }
}

fn reader(server: &Redis) -> Reader {
    Reader::new(&config(server.port())).unwrap()
}

fn key(user: &str) -> Key {
    Key::new(&Tenant::new("readers").unwrap(), &UserId::new(user).unwrap())
}

fn value(payload: &str) -> Value<'_> {
    Value { version: Version::new(16).unwrap(), receipt: Some((7, 42)), payload }
}

async fn leased(reader: &Reader, key: &Key) -> Lease {
    let answer = reader.look_up(key).await;
    let Answer::Miss(lease) = answer else { panic!("no lease: {answer:?}") };
    lease
}

fn is_fault(answer: &Answer) -> bool {
    matches!(answer, Answer::Bypass(Bypass::Fault(_)))
}

#[tokio::test]
async fn what_was_filled_is_the_answer_until_it_expires_or_is_deleted() {
    let server = Redis::start(&[]);
    let (reader, ada) = (reader(&server), key("ada"));
    let lease = leased(&reader, &ada).await;
    assert_eq!(reader.fill(lease, &value(r#"{"plan":"pro"}"#)).await, Ok(Filled::Accepted));
    let answer = reader.look_up(&ada).await;
    let Answer::Hit(cached) = answer else { panic!("no hit: {answer:?}") };
    let found = (cached.version.get(), cached.receipt, cached.payload.as_str());
    assert_eq!(found, (16, Some((7, 42)), r#"{"plan":"pro"}"#));
    assert!(!format!("{cached:?}").contains("pro"));
    let ttl_ms: u64 = redis_cli(&server.url(), &["pttl", ada.as_str()]).parse().unwrap();
    assert!((3_200_000..=3_960_000).contains(&ttl_ms), "{ttl_ms}");
    Invalidator::new(&config(server.port())).unwrap().delete(std::slice::from_ref(&ada)).await.unwrap();
    let _unused = leased(&reader, &ada).await;

    let nobody = key("nobody");
    let lease = leased(&reader, &nobody).await;
    assert_eq!(reader.fill(lease, &value("")).await, Ok(Filled::Accepted));
    assert!(matches!(reader.look_up(&nobody).await, Answer::Hit(cached) if cached.payload.is_empty()));
    let ttl_ms: u64 = redis_cli(&server.url(), &["pttl", nobody.as_str()]).parse().unwrap();
    assert!((40_000..=60_000).contains(&ttl_ms), "{ttl_ms}");
}

/// I9: what was read before a deletion never comes into the cache after it.
#[tokio::test]
async fn whatever_takes_the_lease_away_takes_the_fill_away() {
    let server = Redis::start(&[]);
    let (reader, url) = (reader(&server), server.url());
    let invalidator = Invalidator::new(&config(server.port())).unwrap();
    for way in ["deleted", "flushed", "expired", "deleted and leased anew", "overwritten"] {
        let ada = key(way);
        let lease = leased(&reader, &ada).await;
        match way {
            "deleted" => invalidator.delete(std::slice::from_ref(&ada)).await.unwrap(),
            "flushed" => assert_eq!(redis_cli(&url, &["flushall"]), "OK"),
            "expired" => assert_eq!(redis_cli(&url, &["pexpireat", ada.as_str(), "1"]), "1"),
            "overwritten" => assert_eq!(redis_cli(&url, &["set", ada.as_str(), "L"]), "OK"),
            _ => {
                invalidator.delete(std::slice::from_ref(&ada)).await.unwrap();
                let _unused = leased(&reader, &ada).await;
            }
        }
        assert_eq!(reader.fill(lease, &value("{}")).await, Ok(Filled::Refused), "{way}");
        assert!(!matches!(reader.look_up(&ada).await, Answer::Hit(_)), "{way}");
    }
}

#[tokio::test]
async fn one_reader_fills_and_the_others_read_the_row_without_waiting() {
    let server = Redis::start(&[]);
    let (reader, other, ada) = (reader(&server), reader(&server), key("ada"));
    let lease = leased(&reader, &ada).await;
    assert_eq!(other.look_up(&ada).await, Answer::Bypass(Bypass::Busy));
    assert_eq!(reader.fill(lease, &value("{}")).await, Ok(Filled::Accepted));
    assert!(matches!(other.look_up(&ada).await, Answer::Hit(_)));
}

/// I13.
#[tokio::test]
async fn garbage_is_no_answer_is_not_filled_over_and_does_not_stay() {
    let server = Redis::start(&[]);
    let (reader, url) = (reader(&server), server.url());
    let write: [&[&str]; 6] = [
        &["set", "KEY", ""],
        &["set", "KEY", "garbage"],
        &["set", "KEY", "V0000000000000008999990000000000000000000["],
        &["set", "KEY", "L1795331237567short"],
        &["rpush", "KEY", "garbage"],
        &["hset", "KEY", "a", "b"],
    ];
    for (at, words) in write.into_iter().enumerate() {
        let ada = key(&format!("garbage-{at}"));
        let words: Vec<&str> = words.iter().map(|word| if *word == "KEY" { ada.as_str() } else { word }).collect();
        redis_cli(&url, &words);
        assert_eq!(reader.look_up(&ada).await, Answer::Bypass(Bypass::Garbage), "{words:?}");
        let lease = leased(&reader, &ada).await;
        assert_eq!(reader.fill(lease, &value("{}")).await, Ok(Filled::Accepted), "{words:?}");
    }
}

/// I13: the row is read, soon.
#[tokio::test]
async fn a_redis_that_is_away_silent_cut_or_paused_costs_time_and_no_answer() {
    let server = Redis::start(&[]);
    let relay = Relay::to(server.url().trim_start_matches("redis://"));
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let patience = Duration::from_millis(300);
    let at =
        |port| Reader::new(&Config { connect_timeout: patience, request_timeout: patience, ..config(port) }).unwrap();
    let (away, mute, through) = (
        at(servers::free_port()),
        at(silent.local_addr().unwrap().port()),
        at(relay.address().rsplit(':').next().unwrap().parse().unwrap()),
    );
    let ada = key("ada");
    let began = Instant::now();
    assert!(is_fault(&away.look_up(&ada).await));
    assert!(is_fault(&mute.look_up(&ada).await));

    let lease = leased(&through, &ada).await;
    relay.cut();
    assert!(through.fill(lease, &value("{}")).await.is_err());
    assert!(is_fault(&through.look_up(&ada).await));
    relay.mend();
    assert_eq!(through.look_up(&ada).await, Answer::Bypass(Bypass::Busy), "the lease is still out");

    redis_cli(&server.url(), &["del", ada.as_str()]);
    redis_cli(&server.url(), &["client", "pause", "1000"]);
    assert!(is_fault(&through.look_up(&ada).await));
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    while is_fault(&through.look_up(&ada).await) {
        assert!(began.elapsed() < Duration::from_secs(40), "it does not come back");
    }
}

/// I13: what the server refuses sends to the row as well.
#[tokio::test]
async fn a_redis_that_refuses_sends_to_the_row() {
    let closed = Redis::start(&["--requirepass", "s3cret"]);
    let ada = key("ada");
    assert!(matches!(reader(&closed).look_up(&ada).await, Answer::Bypass(Bypass::Fault(CacheError::Stop(_)))));
    let credentials = Some(Credentials { user: "default".into(), password: "s3cret".into() });
    let known = Reader::new(&Config { credentials, ..config(closed.port()) }).unwrap();
    let _unused = leased(&known, &ada).await;

    let full = Redis::start(&["--maxmemory", "1", "--maxmemory-policy", "noeviction"]);
    let answer = reader(&full).look_up(&ada).await;
    let Answer::Bypass(Bypass::Fault(fault)) = answer else { panic!("no fault: {answer:?}") };
    assert!(!fault.to_string().contains("ada"), "{fault}");
    redis_cli(&full.url(), &["config", "set", "maxmemory", "0"]);
    let _unused = leased(&reader(&full), &ada).await;
}

/// A restart, or `SCRIPT FLUSH`, forgets the scripts; each is sent once more, and known by its sum from then on.
#[tokio::test]
async fn scripts_are_sent_only_when_the_server_does_not_know_them() {
    let server = Redis::start(&[]);
    let (reader, url) = (reader(&server), server.url());
    for round in 1..=2 {
        redis_cli(&url, &["script", "flush"]);
        for user in 0..5 {
            let lease = leased(&reader, &key(&format!("user-{round}-{user}"))).await;
            assert_eq!(reader.fill(lease, &value("{}")).await, Ok(Filled::Accepted));
        }
        let stats = redis_cli(&url, &["info", "commandstats"]);
        let calls = |command: &str| {
            let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.and_then(|line| line.split(',').next()?.parse::<u32>().ok())
        };
        assert_eq!((calls("eval"), calls("evalsha")), (Some(2 * round), Some(10 * round)), "{stats}");
    }
}

#[tokio::test]
async fn numbers_that_no_entry_can_hold_are_not_cached() {
    let server = Redis::start(&[]);
    let (reader, ada) = (reader(&server), key("ada"));
    let lease = leased(&reader, &ada).await;
    let late = Value { version: Version::new(10_i64.pow(16)).unwrap(), receipt: None, payload: "{}" };
    assert_eq!(reader.fill(lease, &late).await, Ok(Filled::Refused));
}
