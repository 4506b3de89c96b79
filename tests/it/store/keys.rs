//! I14 for idempotency keys: the scripts in a real Redis decide as `store::keys::protocol` does, and what the server and the
//! way to it may do costs nobody more than a wait.
//!
//! `SEED=17 cargo test -p tests --test it store::keys` repeats one sequence.

use super::agreement::{Dice, Reply, Wire, seeds};
use crate::servers::{Redis, Relay, redis_cli};
use schemas::Tenant;
use std::time::Duration;
use store::Credentials;
use store::keys::protocol::{
    ABANDON_SCRIPT, Abandoned, BEGIN_SCRIPT, Began, Entry, FINISH_SCRIPT, Finished, Foreign, as_stored,
};
use store::keys::{Begun, BodyDigest, Config, Fsync, IdempotencyKey, Keys, KeysError, RedisKeys, Retention, Scope};
use tokio::time::Instant;

/// How long the comparison goes on.
const TIME: Duration = Duration::from_millis(2_500);

const KEY: &[u8] = b"tw:i1:agreement";

const TOKENS: [&[u8; 16]; 3] = [b"token-of-asker-1", b"token-of-asker-2", b"\x00\xff\r\n$-1\r\nP000000"];

const BODIES: [&[u8; 32]; 3] =
    [&[7; 32], b"\x00a body with a digest that is so", b"A1795331264567token-of-asker-1\r\n"];

const ANSWERS: [&[u8]; 3] = [b"", b"202 {}", b"\x00\xff\r\n"];

const HOUR_MS: i64 = 3_600_000;

/// One step of a sequence.
#[derive(Clone, Debug)]
enum Step {
    Begin(usize, usize, Duration),
    Finish(usize, usize, &'static [u8], Duration),
    Abandon(usize),
    /// Redis takes it away.
    Expire,
    /// It stays, whatever it says of its time.
    Persist,
    Write(Vec<u8>),
    /// Something that is no string.
    Push,
}

/// What a step was answered.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Begin(Result<Began, Foreign>),
    Finish(Result<Finished, Foreign>),
    Abandon(Result<Abandoned, Foreign>),
}

fn step(dice: &mut Dice, now_ms: i64) -> Step {
    let token = dice.below(5).saturating_sub(2);
    let body = dice.below(6).saturating_sub(3);
    match dice.below(20) {
        0..6 => Step::Begin(token, body, Duration::from_millis(*dice.one_of(&[30_000, 30_000, 1]))),
        6..11 => {
            let keep_for = Duration::from_millis(*dice.one_of(&[86_400_000, 86_400_000, 1]));
            Step::Finish(token, body, dice.one_of::<&[u8]>(&ANSWERS), keep_for)
        }
        11..14 => Step::Abandon(token),
        14 => Step::Expire,
        15 => Step::Persist,
        16 => Step::Push,
        _ => Step::Write(foreign(dice, now_ms)),
    }
}

/// Bytes that are an entry, nearly one, or nothing of the kind.
fn foreign(dice: &mut Dice, now_ms: i64) -> Vec<u8> {
    let until_ms = now_ms + dice.one_of(&[-HOUR_MS, HOUR_MS]);
    let state = *dice.one_of(b"PPAAD");
    let answer: &[u8] = if state == b'A' { dice.one_of::<&[u8]>(&ANSWERS) } else { b"" };
    let (token, body) = (TOKENS[dice.below(2)], BODIES[dice.below(2)]);
    let mut bytes = [&[state], format!("{until_ms:013}").as_bytes(), token, body, answer].concat();
    if dice.below(3) == 0 {
        let odd = *dice.one_of(b"\0 .0x9ePAD\xff");
        let at = dice.below(bytes.len());
        match dice.below(3) {
            0 => bytes[at] = odd,
            1 => bytes.truncate(at),
            _ => bytes.insert(dice.below(2) * at, odd),
        }
    }
    bytes
}

/// What the pure code makes of a step that runs at `now_ms`.
fn pure(entry: &Entry, step: &Step, now_ms: i64) -> (Outcome, Entry) {
    let mut entry = entry.clone();
    let outcome = match step {
        Step::Begin(token, body, lease) => Outcome::Begin(entry.begin(now_ms, TOKENS[*token], BODIES[*body], *lease)),
        Step::Finish(token, body, answer, keep_for) => {
            Outcome::Finish(entry.finish(now_ms, (TOKENS[*token], BODIES[*body]), answer, *keep_for))
        }
        Step::Abandon(token) => Outcome::Abandon(entry.abandon(now_ms, TOKENS[*token])),
        Step::Persist => Outcome::Done,
        Step::Expire => {
            entry = Entry::Absent;
            Outcome::Done
        }
        Step::Write(bytes) => {
            entry = Entry::Bytes(bytes.clone());
            Outcome::Done
        }
        Step::Push => {
            entry = Entry::Foreign;
            Outcome::Done
        }
    };
    (outcome, entry)
}

/// What is stored, and when Redis takes it away; -1: never.
fn stored(wire: &mut Wire) -> (Entry, i64) {
    let entry = match wire.ask(&[b"GET", KEY]) {
        Reply::Bytes(bytes) => Entry::Bytes(bytes),
        Reply::Nil => Entry::Absent,
        Reply::Error(_) => Entry::Foreign,
        other @ (Reply::Int(_) | Reply::Array(_)) => panic!("GET answers {other:?}"),
    };
    let Reply::Int(at_ms) = wire.ask(&[b"PEXPIRETIME", KEY]) else { panic!("no time of expiry") };
    (entry, at_ms)
}

/// The scripts under comparison: begin, finish, abandon.
#[derive(Clone, PartialEq)]
struct Scripts([String; 3]);

impl Scripts {
    fn ours() -> Self {
        Self([BEGIN_SCRIPT, FINISH_SCRIPT, ABANDON_SCRIPT].map(|script| script.text.to_owned()))
    }

    fn run(&self, wire: &mut Wire, step: &Step) -> Outcome {
        let ms = |duration: &Duration| duration.as_millis().to_string().into_bytes();
        let [begin, finish, abandon] = &self.0;
        match step {
            Step::Begin(token, body, lease) => {
                let (token, body) = (TOKENS[*token], BODIES[*body]);
                let reply = wire.ask(&[b"EVAL", begin.as_bytes(), b"1", KEY, token, body, &ms(lease)]);
                let Reply::Array(parts) = &reply else { panic!("begin.lua answers {reply:?}") };
                return Outcome::Begin(match parts.as_slice() {
                    [Reply::Int(0)] => Ok(Began::Granted),
                    [Reply::Int(1), Reply::Bytes(answer)] => Ok(Began::Answered(answer.clone())),
                    [Reply::Int(2), Reply::Int(left_ms)] => {
                        Ok(Began::InFlight { left: Duration::from_millis(u64::try_from(*left_ms).unwrap()) })
                    }
                    [Reply::Int(3)] => Ok(Began::OtherBody),
                    [Reply::Int(4)] => Ok(Began::Done),
                    [Reply::Int(5)] => Err(Foreign),
                    other => panic!("begin.lua answers {other:?}"),
                });
            }
            Step::Finish(token, body, answer, keep_for) => {
                let (state, answer) = as_stored(answer);
                let (token, body) = (TOKENS[*token], BODIES[*body]);
                let words: [&[u8]; 9] =
                    [b"EVAL", finish.as_bytes(), b"1", KEY, token, body, &state, answer, &ms(keep_for)];
                let reply = wire.ask(&words);
                let Reply::Int(number) = reply else { panic!("finish.lua answers {reply:?}") };
                return Outcome::Finish(match number {
                    1 => Ok(Finished::Kept),
                    0 => Ok(Finished::Lost),
                    2 => Err(Foreign),
                    other => panic!("finish.lua answers {other}"),
                });
            }
            Step::Abandon(token) => {
                let reply = wire.ask(&[b"EVAL", abandon.as_bytes(), b"1", KEY, TOKENS[*token]]);
                let Reply::Int(number) = reply else { panic!("abandon.lua answers {reply:?}") };
                return Outcome::Abandon(match number {
                    1 => Ok(Abandoned::Freed),
                    0 => Ok(Abandoned::NotOurs),
                    2 => Err(Foreign),
                    other => panic!("abandon.lua answers {other}"),
                });
            }
            Step::Expire => wire.ask(&[b"PEXPIREAT", KEY, b"1"]),
            Step::Persist => wire.ask(&[b"PERSIST", KEY]),
            Step::Write(bytes) => wire.ask(&[b"SET", KEY, bytes]),
            Step::Push => {
                wire.ask(&[b"DEL", KEY]);
                wire.ask(&[b"RPUSH", KEY, b"garbage"])
            }
        };
        Outcome::Done
    }

    /// One sequence; says where the server and the pure code part.
    fn compare(&self, wire: &mut Wire, seed: u64) -> Result<usize, String> {
        let mut dice = Dice(seed);
        wire.ask(&[b"DEL", KEY]);
        let mut entry = Entry::Absent;
        let mut trail = Vec::new();
        for _ in 0..12 {
            let before_ms = wire.now_ms();
            let step = step(&mut dice, before_ms);
            let found = self.run(wire, &step);
            let (there, expires_ms) = stored(wire);
            let after_ms = wire.now_ms();
            trail.push(step.clone());
            let (early, low) = pure(&entry, &step, before_ms);
            let (late, high) = pure(&entry, &step, after_ms);
            // What Redis has taken away was over.
            let is_over = |entry: &Entry| entry.until_ms().is_some_and(|until_ms| until_ms <= after_ms);
            if !is_alike(&early, &late) || is_over(&low) != is_over(&high) || is_over(&low) && there == Entry::Absent {
                entry = there;
                continue;
            }
            let is_written = there != entry && matches!(step, Step::Begin(..) | Step::Finish(..));
            let is_in_time = !is_written || there.until_ms() == Some(expires_ms);
            if !is_between(&found, &early, &late) || !is_stored_between(&there, &low, &high) || !is_in_time {
                return Err(format!(
                    "SEED={seed}: {found:?}, {there:?}, gone at {expires_ms}; expected {early:?}, {low:?}: {trail:?}"
                ));
            }
            entry = there;
        }
        Ok(trail.len())
    }
}

/// The same but for the time that is left.
fn is_alike(one: &Outcome, other: &Outcome) -> bool {
    let is_in_flight = |outcome: &Outcome| matches!(outcome, Outcome::Begin(Ok(Began::InFlight { .. })));
    one == other || is_in_flight(one) && is_in_flight(other)
}

fn is_between(found: &Outcome, early: &Outcome, late: &Outcome) -> bool {
    match (found, early, late) {
        (
            Outcome::Begin(Ok(Began::InFlight { left })),
            Outcome::Begin(Ok(Began::InFlight { left: most })),
            Outcome::Begin(Ok(Began::InFlight { left: least })),
        ) => (least..=most).contains(&left),
        _ => found == early,
    }
}

/// Times have all their digits, and stand where the bytes first differ.
fn is_stored_between(there: &Entry, low: &Entry, high: &Entry) -> bool {
    match (there, low, high) {
        (Entry::Bytes(there), Entry::Bytes(low), Entry::Bytes(high)) => {
            there.len() == low.len() && low <= there && there <= high && there.get(14..) == low.get(14..)
        }
        _ => there == low && there == high,
    }
}

#[test]
fn the_scripts_of_the_keys_decide_as_the_pure_code_does() {
    let server = Redis::start(&[]);
    let mut wire = Wire::to(&server);
    let (started, mut steps) = (Instant::now(), 0);
    for seed in seeds().take_while(|_| started.elapsed() < TIME) {
        steps += Scripts::ours().compare(&mut wire, seed).unwrap_or_else(|difference| panic!("{difference}"));
    }
    println!("{steps} steps");
    assert!(steps > 0);
}

#[test]
fn scripts_of_the_keys_that_decide_otherwise_are_found_out() {
    let server = Redis::start(&[]);
    let mut wire = Wire::to(&server);
    let is_theirs = "if stored:sub(15, 30) ~= ARGV[1] then return {2, tonumber(till) - now} end";
    let cases = [
        ("a turn over a live lease", is_theirs, ""),
        ("an answer by whoever comes", "if stored:sub(15, 30) ~= ARGV[1] then return 0 end", ""),
        ("an answer for another body", "if stored:sub(31, 62) ~= ARGV[2] then return {3} end", ""),
        ("an answer that is replaced", "if state ~= 'P' then return 1 end", ""),
        ("an answer that is cut", "stored:sub(63)", "stored:sub(64)"),
        ("an answer that is forgotten with its turn", " or state ~= 'P'", ""),
        ("a turn that anybody gives back", " or stored:sub(15, 30) ~= ARGV[1] then return 0", " then return 0"),
        ("a turn that nobody gives back", "redis.call('DEL', KEYS[1])", ""),
        ("a lease that redis keeps for ever", "ARGV[2], 'PXAT', till)", "ARGV[2])"),
        ("an answer that redis keeps for ever", "ARGV[4], 'PXAT', till)", "ARGV[4])"),
        ("a lease of half the time", "now + ARGV[3]", "now + ARGV[3] / 2"),
        ("an answer of half the time", "now + ARGV[5]", "now + ARGV[5] / 2"),
        ("a lease that is never over", "tonumber(till) > now", "tonumber(till) > 0"),
        ("an entry that is over at once", "tonumber(till) > now", "tonumber(till) > now + 40000"),
        (
            "garbage that is forgotten",
            "(state ~= 'A' and #stored > 62) then return {5} end",
            "false then return {5} end",
        ),
        ("a list that is forgotten", "if stored then", "if type(stored) == 'string' then"),
        ("a state that nobody knows", "^([PAD])", "^(.)"),
    ];
    for (name, good, bad) in cases {
        let ours = Scripts::ours();
        let scripts = Scripts(ours.0.clone().map(|script| script.replace(good, bad)));
        assert!(scripts != ours, "{name}: the place is not there");
        // A script that no longer answers what it may has been found out as well.
        let found = (0..2_000_u64).find(|seed| {
            let compared = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scripts.compare(&mut wire, *seed)));
            !matches!(compared, Ok(Ok(_)))
        });
        assert!(found.is_some(), "{name} is not found out");
        println!("{name}: seed {}", found.unwrap_or_default());
    }
}

#[test]
fn a_token_or_a_digest_of_another_length_is_refused_and_changes_nothing() {
    let server = Redis::start(&[]);
    let mut wire = Wire::to(&server);
    let [begin, finish, abandon] = Scripts::ours().0;
    let (token, body): (&[u8], &[u8]) = (TOKENS[0], BODIES[0]);
    for (token, body) in [(&token[1..], body), (token, &body[1..]), (b"" as &[u8], body)] {
        let replies = [
            wire.ask(&[b"EVAL", begin.as_bytes(), b"1", KEY, token, body, b"30000"]),
            wire.ask(&[b"EVAL", finish.as_bytes(), b"1", KEY, token, body, b"A", b"", b"30000"]),
        ];
        assert!(replies.iter().all(|reply| matches!(reply, Reply::Error(_))), "{replies:?}");
    }
    assert!(matches!(wire.ask(&[b"EVAL", abandon.as_bytes(), b"1", KEY, b"7"]), Reply::Error(_)));
    assert_eq!(stored(&mut wire), (Entry::Absent, -2));
}

fn config(url: &str) -> Config {
    let (host, port) = url.trim_start_matches("redis://").split_once(':').unwrap();
    Config { host: host.to_owned(), port: port.parse().unwrap(), ..Config::default() }
}

fn keeper(url: &str) -> RedisKeys {
    RedisKeys::new(&config(url)).unwrap()
}

fn key(text: &str) -> IdempotencyKey {
    let text = format!("{text}-{}", std::process::id());
    Scope { tenant: &Tenant::default(), client: "it", method: "POST", path: "/v1/changes" }
        .key(text.as_bytes())
        .unwrap()
}

fn body() -> BodyDigest {
    BodyDigest::of(b"{}")
}

const KEEPS: [&str; 2] = ["--appendonly", "yes"];

#[tokio::test]
async fn a_server_that_is_killed_has_every_answer_that_it_confirmed() {
    for fsync in ["always", "everysec"] {
        let mut server = Redis::start(&[KEEPS[0], KEEPS[1], "--appendfsync", fsync]);
        let keys = keeper(&server.url());
        let mut tasks = tokio::task::JoinSet::new();
        let keys = std::sync::Arc::new(keys);
        for number in 0..64 {
            let keys = keys.clone();
            tasks.spawn(async move {
                let Begun::New(turn) = keys.begin(&key(&format!("{number}")), &body()).await.unwrap() else {
                    panic!("somebody was here")
                };
                keys.finish(turn, format!("answer {number}").as_bytes()).await.unwrap()
            });
        }
        assert!(tasks.join_all().await.into_iter().all(|finished| finished == Finished::Kept));
        let Begun::New(_in_flight) = keys.begin(&key("in-flight"), &body()).await.unwrap() else { panic!("no turn") };
        server.kill_and_start_again();
        for number in 0..64 {
            let again = keys.begin(&key(&format!("{number}")), &body()).await.unwrap();
            let expected = format!("answer {number}").into_bytes();
            assert!(matches!(again, Begun::Answered(answer) if answer == expected), "{fsync}, {number}");
        }
        let again = keys.begin(&key("in-flight"), &body()).await.unwrap();
        assert!(matches!(again, Begun::InFlight { .. }), "{again:?}");
    }
}

#[tokio::test]
async fn a_redis_that_would_forget_keys_is_told_apart() {
    let kept = |fsync| Retention::Kept { fsync: Some(fsync) };
    let forgets = |restarts_empty, evicts| Retention::Forgets { restarts_empty, evicts };
    let cases: [(&[&str], Retention); 5] = [
        (&["--appendonly", "yes", "--appendfsync", "always"], kept(Fsync::Always)),
        (&KEEPS, kept(Fsync::EverySecond)),
        (&[], forgets(true, false)),
        (&["--appendonly", "yes", "--maxmemory-policy", "volatile-ttl"], forgets(false, true)),
        (&["--maxmemory-policy", "allkeys-lru"], forgets(true, true)),
    ];
    for (arguments, expected) in cases {
        let server = Redis::start(arguments);
        assert_eq!(keeper(&server.url()).retention().await.unwrap(), expected, "{arguments:?}");
    }
    let user = ["--user", "app", "on", ">pw", "~tw:*", "+@scripting", "+get", "+set", "+del", "+time", "+client"];
    let restricted = Redis::start(&[&KEEPS[..], &user].concat());
    let credentials = Some(Credentials { user: "app".into(), password: "pw".into() });
    let app = RedisKeys::new(&Config { credentials, ..config(&restricted.url()) }).unwrap();
    assert_eq!(app.retention().await.unwrap(), Retention::Unproven);
    assert!(matches!(app.begin(&key("acl"), &body()).await, Ok(Begun::New(_))), "it needs no more rights");
    redis_cli(&restricted.url(), &["acl", "setuser", "app", "+info"]);
    assert_eq!(app.retention().await.unwrap(), Retention::Kept { fsync: None });
}

#[tokio::test]
async fn away_is_unavailable_and_back_is_noticed() {
    let mut server = Redis::start(&KEEPS);
    let keys = keeper(&server.url());
    let Begun::New(turn) = keys.begin(&key("away"), &body()).await.unwrap() else { panic!("no turn") };
    server.kill();
    let error = keys.begin(&key("away"), &body()).await.unwrap_err();
    assert!(matches!(error, KeysError::Unavailable(_)), "{error}");
    server.start_again();
    assert_eq!(keys.finish(turn, b"202").await, Ok(Finished::Kept));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_in_time() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let timeout = Duration::from_millis(200);
    let config = Config { connect_timeout: timeout, request_timeout: timeout, ..config(&url) };
    let keys = RedisKeys::new(&config).unwrap();
    let since = Instant::now();
    let error = keys.begin(&key("silent"), &body()).await.unwrap_err();
    assert!(matches!(error, KeysError::Unavailable(_)), "{error}");
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_connection_that_broke_since_costs_nobody_his_turn_or_his_answer() {
    let server = Redis::start(&KEEPS);
    let relay = Relay::to(server.url().trim_start_matches("redis://"));
    let keys = keeper(&format!("redis://{}", relay.address()));
    let break_it = || {
        relay.cut();
        relay.mend();
    };
    assert_eq!(keys.retention().await, Ok(Retention::Kept { fsync: Some(Fsync::EverySecond) }));
    break_it();
    let Begun::New(turn) = keys.begin(&key("broken"), &body()).await.unwrap() else { panic!("no turn") };
    break_it();
    assert_eq!(keys.finish(turn, b"202").await, Ok(Finished::Kept));
    break_it();
    let Begun::New(turn) = keys.begin(&key("broken-too"), &body()).await.unwrap() else { panic!("no turn") };
    break_it();
    keys.abandon(turn).await.unwrap();
    assert!(matches!(keys.begin(&key("broken-too"), &body()).await, Ok(Begun::New(_))));
    assert!(matches!(keys.begin(&key("broken"), &body()).await, Ok(Begun::Answered(_))));
}

#[tokio::test]
async fn a_full_memory_takes_no_new_key_and_forgets_none() {
    let server = Redis::start(&["--appendonly", "yes", "--maxmemory", "3mb"]);
    let keys = keeper(&server.url());
    let mut kept = 0;
    let error = loop {
        let turn = match keys.begin(&key(&format!("full-{kept}")), &body()).await {
            Ok(Begun::New(turn)) => turn,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        };
        match keys.finish(turn, &[b'x'; 32 << 10]).await {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, KeysError::Unavailable(_)), "{error}");
    assert!(kept > 10, "{kept}");
    for number in 0..kept {
        let again = keys.begin(&key(&format!("full-{number}")), &body()).await;
        assert!(matches!(again, Ok(Begun::Answered(_)) | Err(KeysError::Unavailable(_))), "{number}: {again:?}");
    }
    redis_cli(&server.url(), &["config", "set", "maxmemory", "0"]);
    for number in 0..kept {
        let again = keys.begin(&key(&format!("full-{number}")), &body()).await;
        assert!(matches!(again, Ok(Begun::Answered(_))), "{number}: {again:?}");
    }
}

#[tokio::test]
async fn without_the_password_nothing_helps_but_the_password() {
    let server = Redis::start(&["--requirepass", "s3cret"]);
    let error = keeper(&server.url()).begin(&key("password"), &body()).await.unwrap_err();
    assert!(matches!(error, KeysError::Refused(_)), "{error}");
    let credentials = Some(Credentials { user: "default".into(), password: "s3cret".into() });
    let keys = RedisKeys::new(&Config { credentials, ..config(&server.url()) }).unwrap();
    assert!(matches!(keys.begin(&key("password"), &body()).await, Ok(Begun::New(_))));
}

#[tokio::test]
async fn what_is_not_ours_stops_everybody_and_no_error_names_a_key() {
    let server = Redis::start(&KEEPS);
    let keys = keeper(&server.url());
    let name = key("foreign").in_redis();
    redis_cli(&server.url(), &["set", &name, "of a newer release"]);
    let error = keys.begin(&key("foreign"), &body()).await.unwrap_err();
    assert_eq!(error, KeysError::Foreign);
    assert_eq!(redis_cli(&server.url(), &["get", &name]), "of a newer release");
    let Begun::New(turn) = keys.begin(&key("silent"), &body()).await.unwrap() else { panic!("no turn") };
    redis_cli(&server.url(), &["acl", "setuser", "default", "-set"]);
    for error in [error, keys.finish(turn, b"202").await.unwrap_err()] {
        let text = format!("{error} {error:?}");
        assert!(!text.contains("tw:i1") && !text.contains("foreign-"), "{text}");
    }
}
