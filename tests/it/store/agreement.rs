//! I14: the scripts in a real Redis, and the reader around them, decide as `store::cache::protocol` does.
//!
//! Random sequences of look-ups, leases, fills, deletions, expiry, flushes and foreign writes run against both; each
//! answer is compared, and behind each step what is stored and until when. What depends on the server's clock has to lie
//! between what the pure code says for the time before the step and for the time behind it.
//!
//! `SEED=17 cargo test -p tests --test it agreement` repeats one sequence of each.

use crate::servers::{Redis, redis_cli};
use schemas::{Tenant, UserId, Version};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use store::cache::protocol::{self, Entry, FILL_SCRIPT, Filled, Get, LEASE, LEASE_SCRIPT, Leased, TokenMalformed};
use store::cache::{Answer, Bypass, Config, Invalidator, Key, Lease, Reader, Value};
use tokio::time::Instant;

/// How long each comparison goes on.
const TIME: Duration = Duration::from_millis(2_500);

const KEY: &str = "tw:p1:{agreement/ada}";

const TOKENS: [&[u8]; 7] = [
    b"token-of-reader1",
    b"token-of-reader2",
    b"\x00\xff\r\n$-1\r\nL000000",
    b"",
    b"7",
    b"fifteen bytes..",
    b"seventeen bytes..",
];

const HOUR_MS: i64 = 3_600_000;

/// Splitmix: a seed is a sequence.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % sides as u64).unwrap()
    }

    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// One step of a sequence.
#[derive(Clone, Debug)]
enum Step {
    Get,
    Lease(&'static [u8]),
    Fill(&'static [u8], Vec<u8>, Duration),
    Delete,
    /// Its time is up.
    Expire,
    /// It stays until it is taken away, whatever it says of its deadline.
    Persist,
    /// Like any restart: Redis comes back with nothing.
    Flush,
    /// Somebody else writes under our key.
    Write(Vec<u8>),
    /// The same, and it is over after a millisecond.
    WriteBriefly(Vec<u8>),
    /// Something that is no string.
    Push,
}

/// What a step was answered.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Got(Seen),
    Lease(Result<Leased, TokenMalformed>),
    Fill(Result<Filled, TokenMalformed>),
}

/// [`Get`] without its borrow.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Hit(i64, String),
    Miss,
    Garbage,
}

impl From<Get<'_>> for Seen {
    fn from(get: Get<'_>) -> Self {
        match get {
            Get::Hit(value) => Self::Hit(value.version.get(), value.payload.to_owned()),
            Get::Miss => Self::Miss,
            Get::Garbage => Self::Garbage,
        }
    }
}

fn value(version: i64, payload: &str) -> Value<'_> {
    Value { version: Version::new(version).unwrap(), receipt: None, payload }
}

fn step(dice: &mut Dice, now_ms: i64) -> Step {
    let token = match dice.below(8) {
        0..4 => TOKENS[0],
        4..6 => TOKENS[1],
        _ => dice.one_of(&TOKENS),
    };
    match dice.below(24) {
        0..4 => Step::Get,
        4..10 => Step::Lease(token),
        10..16 => {
            let payload = *dice.one_of(&["", "{}", r#"{"plan":"pro"}"#]);
            let keep_for = Duration::from_millis(*dice.one_of(&[60_000, 3_600_000]));
            Step::Fill(token, value(8, payload).encode().unwrap(), keep_for)
        }
        16..18 => Step::Delete,
        18 => Step::Expire,
        19 => Step::Persist,
        20 => Step::Flush,
        21 => Step::Push,
        22 => Step::WriteBriefly(foreign(dice, now_ms)),
        _ => Step::Write(foreign(dice, now_ms)),
    }
}

/// Bytes that are a lease, a value, nearly one, or nothing of the kind.
fn foreign(dice: &mut Dice, now_ms: i64) -> Vec<u8> {
    let deadline_ms = now_ms + dice.one_of(&[-HOUR_MS, HOUR_MS]);
    let mut bytes = match dice.below(4) {
        0 => {
            let payload: &str = dice.one_of::<&str>(&["", "{}"]);
            value(16, payload).encode().unwrap()
        }
        1 => [*dice.one_of(&[&b"V"[..], b"L", b"", b"garbage", b"L0x1fffffffffftoken-of-reader1"])].concat(),
        _ => [format!("L{deadline_ms:013}").as_bytes(), *dice.one_of(&TOKENS)].concat(),
    };
    if dice.below(3) == 0 && !bytes.is_empty() {
        let at = dice.below(bytes.len());
        match dice.below(3) {
            0 => bytes[at] = *dice.one_of(b"\0 .0x9eLV\xff"),
            1 => bytes.truncate(at),
            _ => bytes.insert(at, *dice.one_of(b"\0 .0x9eLV\xff")),
        }
    }
    bytes
}

/// What the pure code makes of a step that runs at `now_ms`.
fn pure(entry: &Entry, step: &Step, now_ms: i64) -> (Outcome, Entry) {
    let mut entry = entry.clone();
    let outcome = match step {
        Step::Get => Outcome::Got(entry.get(now_ms).into()),
        Step::Lease(token) => Outcome::Lease(entry.lease(now_ms, token)),
        Step::Fill(token, value, keep_for) => Outcome::Fill(entry.fill(now_ms, token, value, *keep_for)),
        Step::Delete | Step::Expire | Step::Flush | Step::WriteBriefly(_) => {
            entry.delete();
            Outcome::Done
        }
        Step::Persist => {
            if !entry.is_absent(now_ms) {
                entry = entry.bytes(now_ms).map_or_else(Entry::foreign, Entry::of);
            }
            Outcome::Done
        }
        Step::Write(bytes) => {
            entry = Entry::of(bytes.clone());
            Outcome::Done
        }
        Step::Push => {
            entry = Entry::foreign();
            Outcome::Done
        }
    };
    (outcome, entry)
}

/// A connection that speaks no more of the protocol than this test needs.
pub(super) struct Wire {
    stream: BufReader<TcpStream>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Nil,
    Int(i64),
    Bytes(Vec<u8>),
    Error(String),
    Array(Vec<Reply>),
}

impl Wire {
    pub(super) fn to(server: &Redis) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream: BufReader::new(stream) }
    }

    pub(super) fn ask(&mut self, words: &[&[u8]]) -> Reply {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).unwrap();
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let (tag, rest) = line.trim_end().split_at(1);
        match tag {
            "+" => Reply::Bytes(rest.into()),
            "-" => Reply::Error(rest.to_owned()),
            ":" => Reply::Int(rest.parse().unwrap()),
            "$" if rest == "-1" => Reply::Nil,
            "$" => {
                let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
                self.stream.read_exact(&mut bytes).unwrap();
                bytes.truncate(bytes.len() - 2);
                Reply::Bytes(bytes)
            }
            "*" => Reply::Array((0..rest.parse::<usize>().unwrap()).map(|_| self.reply()).collect()),
            _ => panic!("not an answer of Redis: {line}"),
        }
    }

    /// The server's clock.
    pub(super) fn now_ms(&mut self) -> i64 {
        let Reply::Array(parts) = self.ask(&[b"TIME"]) else { panic!("no time") };
        let number = |part: &Reply| {
            let Reply::Bytes(bytes) = part else { panic!("no number: {part:?}") };
            String::from_utf8_lossy(bytes).parse::<i64>().unwrap()
        };
        number(&parts[0]) * 1_000 + number(&parts[1]) / 1_000
    }

    /// What is stored, and until when.
    fn entry(&mut self) -> Entry {
        let entry = match self.ask(&[b"GET", KEY.as_bytes()]) {
            Reply::Bytes(bytes) => Entry::of(bytes),
            Reply::Nil => return Entry::default(),
            Reply::Error(_) => Entry::foreign(),
            other @ (Reply::Int(_) | Reply::Array(_)) => panic!("GET answers {other:?}"),
        };
        let Reply::Int(at_ms) = self.ask(&[b"PEXPIRETIME", KEY.as_bytes()]) else { panic!("no time of expiry") };
        if at_ms < 0 { entry } else { entry.until(at_ms) }
    }
}

/// That a script has refused a token of another length; anything else that is no answer is told.
fn malformed(reply: &Reply) -> Result<TokenMalformed, String> {
    let is_refusal = matches!(reply, Reply::Error(error) if error.contains("a token has 16 bytes"));
    if is_refusal { Ok(TokenMalformed) } else { Err(format!("a script answers {reply:?}")) }
}

/// The scripts under comparison.
struct Scripts {
    lease: String,
    fill: String,
}

impl Scripts {
    fn ours() -> Self {
        Self { lease: LEASE_SCRIPT.text.to_owned(), fill: FILL_SCRIPT.text.to_owned() }
    }

    fn run(&self, wire: &mut Wire, step: &Step) -> Result<Outcome, String> {
        let key = KEY.as_bytes();
        let ms = |duration: &Duration| duration.as_millis().to_string().into_bytes();
        match step {
            Step::Get => {
                let seen = match wire.ask(&[b"GET", key]) {
                    Reply::Bytes(bytes) => protocol::get(Some(&bytes)).into(),
                    Reply::Nil => protocol::get(None).into(),
                    Reply::Error(_) => Seen::Garbage,
                    other @ (Reply::Int(_) | Reply::Array(_)) => panic!("GET answers {other:?}"),
                };
                return Ok(Outcome::Got(seen));
            }
            Step::Lease(token) => {
                let reply = wire.ask(&[b"EVAL", self.lease.as_bytes(), b"1", key, token, &ms(&LEASE)]);
                let Reply::Array(parts) = reply else {
                    return Ok(Outcome::Lease(Err(malformed(&reply)?)));
                };
                return Ok(Outcome::Lease(Ok(match parts.as_slice() {
                    [Reply::Int(0)] => Leased::Granted,
                    [Reply::Int(1), Reply::Bytes(stored)] => Leased::Found(stored.clone()),
                    [Reply::Int(2)] => Leased::Busy,
                    other => return Err(format!("lease.lua answers {other:?}")),
                })));
            }
            Step::Fill(token, value, keep_for) => {
                let reply = wire.ask(&[b"EVAL", self.fill.as_bytes(), b"1", key, token, value, &ms(keep_for)]);
                let Reply::Int(number) = reply else {
                    return Ok(Outcome::Fill(Err(malformed(&reply)?)));
                };
                return Ok(Outcome::Fill(Ok(if number == 1 { Filled::Accepted } else { Filled::Refused })));
            }
            Step::Delete => wire.ask(&[b"DEL", key]),
            Step::Expire => wire.ask(&[b"PEXPIREAT", key, b"1"]),
            Step::Persist => wire.ask(&[b"PERSIST", key]),
            Step::Flush => wire.ask(&[b"FLUSHALL"]),
            Step::Write(bytes) => wire.ask(&[b"SET", key, bytes]),
            Step::WriteBriefly(bytes) => {
                let reply = wire.ask(&[b"SET", key, bytes, b"PX", b"1"]);
                let until_ms = wire.now_ms() + 1;
                while wire.now_ms() <= until_ms {}
                reply
            }
            Step::Push => {
                wire.ask(&[b"DEL", key]);
                wire.ask(&[b"RPUSH", key, b"garbage"])
            }
        };
        Ok(Outcome::Done)
    }

    /// One sequence; says where the server and the pure code part.
    fn compare(&self, wire: &mut Wire, seed: u64) -> Result<usize, String> {
        let mut dice = Dice(seed);
        wire.ask(&[b"FLUSHALL"]);
        let mut entry = Entry::default();
        let mut trail = Vec::new();
        for _ in 0..12 {
            let before_ms = wire.now_ms();
            let step = step(&mut dice, before_ms);
            let found =
                self.run(wire, &step).map_err(|odd| format!("SEED={seed}: {odd}: {step:?} behind {trail:?}"))?;
            let stored = wire.entry();
            let after_ms = wire.now_ms();
            trail.push(step.clone());
            let (early, low) = pure(&entry, &step, before_ms);
            let (late, high) = pure(&entry, &step, after_ms);
            if early != late || low.is_absent(after_ms) != high.is_absent(after_ms) {
                // Something ran out in the very moment: either is right.
                entry = stored;
                continue;
            }
            let is_between = low.bytes(before_ms) <= stored.bytes(before_ms)
                && stored.bytes(before_ms) <= high.bytes(before_ms)
                && low.is_absent(before_ms) == stored.is_absent(before_ms)
                && low.expires_ms() <= stored.expires_ms()
                && stored.expires_ms() <= high.expires_ms();
            if found != early || !is_between {
                return Err(format!("SEED={seed}: {found:?}, {stored:?}; expected {early:?}, {low:?}: {trail:?}"));
            }
            entry = stored;
        }
        Ok(trail.len())
    }
}

/// The sequence that somebody asked for, or all of them.
pub(super) fn seeds() -> Box<dyn Iterator<Item = u64>> {
    #[allow(clippy::disallowed_methods, reason = "typed by a person to see one sequence again")]
    let wanted = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    wanted
        .map_or_else(|| Box::new(0_u64..) as Box<dyn Iterator<Item = u64>>, |seed: u64| Box::new(std::iter::once(seed)))
}

#[test]
fn the_scripts_decide_as_the_pure_code_does() {
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
fn scripts_that_decide_otherwise_are_found_out() {
    let server = Redis::start(&[]);
    let mut wire = Wire::to(&server);
    let cases = [
        ("a fill by whatever lease is there", "if stored:sub(15) ~= ARGV[1] then return 0 end", ""),
        ("a fill without a lease", "then return 0 end", "then end"),
        ("a lease that never expires", ", 'PX', ARGV[2])", ")"),
        ("a value that never expires", ", 'PX', ARGV[3])", ")"),
        ("a lease that blocks for ever", "tonumber(deadline) > now", "tonumber(deadline) > 0"),
        ("a lease that keeps nobody out", "then return {2} end", "then end"),
        ("a lease over a value", "if stored:byte(1) == 86", "if stored:byte(1) == 1"),
        ("tokens of any length", "if #ARGV[1] ~= 16", "if #ARGV[1] ~= 16 and #ARGV[1] ~= 15"),
        (
            "garbage that blocks",
            "#stored == 30 and stored:match('^L(' .. ('%d'):rep(13) .. ')')",
            "#stored > 0 and 1e15",
        ),
    ];
    for (name, good, bad) in cases {
        let ours = Scripts::ours();
        let scripts = Scripts { lease: ours.lease.replace(good, bad), fill: ours.fill.replace(good, bad) };
        assert_ne!((&scripts.lease, &scripts.fill), (&ours.lease, &ours.fill), "{name}: the place is not there");
        let found = (0..2_000_u64).find_map(|seed| scripts.compare(&mut wire, seed).err().map(|_| seed));
        assert!(found.is_some(), "{name} is not found out");
        println!("{name}: seed {}", found.unwrap_or_default());
    }
}

/// What a reader has to do by the pure code, with a token of our own in place of its random one.
fn expected(entry: &mut Entry, token: &[u8; 16]) -> &'static str {
    match entry.get(0) {
        Get::Hit(_) => "hit",
        Get::Garbage => {
            entry.delete();
            "garbage"
        }
        Get::Miss => match entry.lease(0, token) {
            Ok(Leased::Granted) => "miss",
            Ok(Leased::Busy) => "busy",
            other => panic!("behind a miss comes {other:?}"),
        },
    }
}

#[tokio::test]
async fn the_reader_decides_as_the_pure_code_does() {
    let server = Redis::start(&[]);
    let config = Config { port: server.port(), ..Config::default() };
    let (reader, invalidator) = (Reader::new(&config).unwrap(), Invalidator::new(&config).unwrap());
    let mut wire = Wire::to(&server);
    let key = Key::new(&Tenant::new("agreement").unwrap(), &UserId::new("ada").unwrap());
    assert_eq!(key.as_str(), KEY);
    let started = Instant::now();
    let mut count = 0;
    for seed in seeds().take_while(|_| started.elapsed() < TIME) {
        let mut dice = Dice(seed);
        wire.ask(&[b"FLUSHALL"]);
        let began = Instant::now();
        let (mut entry, mut leases): (Entry, Vec<(Lease, [u8; 16])>) = (Entry::default(), Vec::new());
        let mut differences = Vec::new();
        for at in 0..10_u8 {
            match dice.below(8) {
                0..3 => {
                    let token = [at; 16];
                    let wanted = expected(&mut entry, &token);
                    let found = match reader.look_up(&key).await {
                        Answer::Hit(_) => "hit",
                        Answer::Miss(lease) => {
                            leases.push((lease, token));
                            "miss"
                        }
                        Answer::Bypass(Bypass::Busy) => "busy",
                        Answer::Bypass(Bypass::Garbage) => "garbage",
                        Answer::Bypass(Bypass::Fault(fault)) => panic!("{fault}"),
                    };
                    differences.extend((found != wanted).then(|| format!("{at}: {found}, not {wanted}")));
                }
                3..6 if !leases.is_empty() => {
                    let (lease, token) = leases.swap_remove(dice.below(leases.len()));
                    let value = value(8, "{}");
                    let bytes = value.encode().unwrap();
                    let wanted = entry.fill(0, &token, &bytes, protocol::keep_for(&value, &token)).unwrap();
                    let found = reader.fill(lease, &value).await.unwrap();
                    differences.extend((found != wanted).then(|| format!("{at}: {found:?}, not {wanted:?}")));
                }
                6 => {
                    invalidator.delete(std::slice::from_ref(&key)).await.unwrap();
                    entry.delete();
                }
                7 => {
                    let bytes = foreign(&mut dice, wire.now_ms());
                    // A lease that somebody else has, of another time than ours, is not what is compared here.
                    if Entry::of(bytes.clone()).get(0) != Get::Miss {
                        wire.ask(&[b"SET", KEY.as_bytes(), &bytes]);
                        entry = Entry::of(bytes);
                    }
                }
                _ => {}
            }
            count += 1;
        }
        // On a machine that stood still leases have run out.
        if began.elapsed() < LEASE / 2 {
            assert!(differences.is_empty(), "SEED={seed}: {differences:?}");
        }
    }
    println!("{count} steps");
    assert_ne!(redis_cli(&server.url(), &["ping"]), "", "the server is still there");
}
