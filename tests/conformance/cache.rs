//! The cache of a user's profile: what readers observe is the same in plain data, in a process's memory and in Redis.
//!
//! Random sequences of look-ups, fills by the right, an old and a foreign lease, deletions and foreign writes run in all
//! three, step by step. `SEED=17` repeats one.

use embedded::Cache;
use runtime::Clock;
use schemas::{Tenant, UserId, Version};
use std::collections::HashMap;
use std::time::Duration;
use store::cache::protocol::{self, Entry, Filled, Get, LEASE, Leased};
use store::cache::{Answer, Bypass, Cached, Config, Invalidator, Key, Lease, Reader, Value};
use tests::history::Random;
use tests::stack::{Stack, text_asked};
use tokio::time::{Instant, sleep};

/// How long the comparison goes on.
const TIME: Duration = Duration::from_secs(4);

const STEPS: usize = 16;

/// Users of one sequence.
const USERS: usize = 2;

/// What somebody else writes under a key.
#[derive(Clone, Debug)]
enum Planted {
    Text(String),
    /// Something that is no string.
    List,
}

/// One world's cache.
trait World {
    async fn look_up(&mut self, key: &Key) -> Answer;
    async fn fill(&mut self, lease: Lease, value: &Value<'_>) -> Filled;
    async fn delete(&mut self, key: &Key);
    async fn plant(&mut self, key: &Key, planted: &Planted);
}

/// The decisions as they are written down, by key.
#[derive(Default)]
struct Memory(HashMap<Key, Entry>);

impl World for Memory {
    async fn look_up(&mut self, key: &Key) -> Answer {
        let now_ms = Clock::system().now_ms();
        let entry = self.0.entry(key.clone()).or_default();
        match entry.get(now_ms) {
            Get::Hit(value) => return Answer::Hit(Cached::from(value)),
            Get::Garbage => {
                entry.delete();
                return Answer::Bypass(Bypass::Garbage);
            }
            Get::Miss => {}
        }
        let lease = Lease::ask(key.clone());
        match entry.lease(now_ms, lease.token()).unwrap() {
            Leased::Granted => Answer::Miss(lease),
            Leased::Busy => Answer::Bypass(Bypass::Busy),
            Leased::Found(_) => panic!("nobody has come between"),
        }
    }

    async fn fill(&mut self, lease: Lease, value: &Value<'_>) -> Filled {
        let Some(bytes) = value.encode() else { return Filled::Refused };
        let keep_for = protocol::keep_for(value, lease.token());
        let entry = self.0.entry(lease.key().clone()).or_default();
        entry.fill(Clock::system().now_ms(), lease.token(), &bytes, keep_for).unwrap()
    }

    async fn delete(&mut self, key: &Key) {
        self.0.entry(key.clone()).or_default().delete();
    }

    async fn plant(&mut self, key: &Key, planted: &Planted) {
        self.0.insert(key.clone(), entry_of(planted));
    }
}

fn entry_of(planted: &Planted) -> Entry {
    match planted {
        Planted::Text(text) => Entry::of(text.as_str()),
        Planted::List => Entry::foreign(),
    }
}

impl World for Cache {
    async fn look_up(&mut self, key: &Key) -> Answer {
        Self::look_up(self, key)
    }

    async fn fill(&mut self, lease: Lease, value: &Value<'_>) -> Filled {
        Self::fill(self, &lease, value)
    }

    async fn delete(&mut self, key: &Key) {
        Self::delete(self, key);
    }

    async fn plant(&mut self, key: &Key, planted: &Planted) {
        Self::plant(self, key.clone(), entry_of(planted));
    }
}

/// The Redis of the run.
struct Real {
    stack: Stack,
    reader: Reader,
    invalidator: Invalidator,
}

impl Real {
    fn new() -> Self {
        let stack = Stack::of_run();
        let (host, port) = stack.redis_address();
        let config = Config { host: host.to_owned(), port: port.parse().unwrap(), ..Config::default() };
        Self { reader: Reader::new(&config).unwrap(), invalidator: Invalidator::new(&config).unwrap(), stack }
    }
}

impl World for Real {
    async fn look_up(&mut self, key: &Key) -> Answer {
        self.reader.look_up(key).await
    }

    async fn fill(&mut self, lease: Lease, value: &Value<'_>) -> Filled {
        self.reader.fill(lease, value).await.unwrap()
    }

    async fn delete(&mut self, key: &Key) {
        self.invalidator.delete(std::slice::from_ref(key)).await.unwrap();
    }

    async fn plant(&mut self, key: &Key, planted: &Planted) {
        match planted {
            Planted::Text(text) => assert_eq!(self.stack.redis(&["set", key.as_str(), text]), "OK"),
            Planted::List => {
                self.delete(key).await;
                assert_eq!(self.stack.redis(&["rpush", key.as_str(), "garbage"]), "1");
            }
        }
    }
}

/// One step of a sequence, about one of its users.
#[derive(Clone, Debug)]
enum Step {
    LookUp,
    Fill(Right, Filling),
    Delete,
    Plant(Planted),
}

/// By which lease somebody fills.
#[derive(Clone, Copy, Debug)]
enum Right {
    /// The last one that was given.
    Newest,
    /// The first one that is still unused.
    Oldest,
    /// One that was asked for and never given.
    Foreign,
}

/// What somebody fills with: version, receipt, payload.
type Filling = (i64, Option<(i32, i64)>, &'static str);

const FILLINGS: [Filling; 4] = [
    (8, Some((7, 42)), "{}"),
    (16, None, r#"{"plan":"pro"}"#),
    (24, Some((0, 0)), ""),
    // A number that no entry can hold.
    (10_i64.pow(16), None, "{}"),
];

fn step(random: &mut Random) -> Step {
    match random.below(16) {
        0..7 => Step::LookUp,
        7..12 => {
            let right = [Right::Newest, Right::Newest, Right::Oldest, Right::Foreign][random.below(4)];
            Step::Fill(right, FILLINGS[random.below(FILLINGS.len())])
        }
        12..14 => Step::Delete,
        _ => Step::Plant(planted(random)),
    }
}

/// A value, a lease that is out or was, nearly one of them, or nothing of the kind.
fn planted(random: &mut Random) -> Planted {
    let now_ms = Clock::system().now_ms();
    let value = String::from_utf8(value(&FILLINGS[random.below(3)]).encode().unwrap()).unwrap();
    let lease = |deadline_ms: i64| format!("L{deadline_ms:013}token-of-another");
    let mut text = match random.below(7) {
        0 => value,
        1 => lease(now_ms + 3_600_000),
        2 => lease(now_ms - 3_600_000),
        3 => ["", "V", "L", "garbage", "{}"][random.below(5)].to_owned(),
        4 => format!("{value}x"),
        5 => lease(now_ms + 3_600_000) + "x",
        _ => return Planted::List,
    };
    if random.below(3) == 0 && !text.is_empty() {
        let (at, odd) = (random.below(text.len()), ['0', ' ', 'x', '9', 'L', 'V'][random.below(6)]);
        text.replace_range(at..at + 1, odd.encode_utf8(&mut [0; 4]));
    }
    Planted::Text(text)
}

fn value(filling: &Filling) -> Value<'static> {
    let (version, receipt, payload) = *filling;
    Value { version: Version::new(version).unwrap(), receipt, payload }
}

/// What whoever takes a step sees of it.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Hit(i64, Option<(i32, i64)>, String),
    Miss,
    Busy,
    Garbage,
    Filled(Filled),
    Done,
}

/// A world, and the leases that its readers were given for each user.
struct Run<W> {
    world: W,
    leases: [Vec<Lease>; USERS],
}

impl<W: World> Run<W> {
    fn new(world: W) -> Self {
        Self { world, leases: Default::default() }
    }

    async fn take(&mut self, step: &Step, user: usize, key: &Key) -> Seen {
        let leases = &mut self.leases[user];
        match step {
            Step::LookUp => match self.world.look_up(key).await {
                Answer::Hit(Cached { version, receipt, payload }) => Seen::Hit(version.get(), receipt, payload),
                Answer::Miss(lease) => {
                    leases.push(lease);
                    Seen::Miss
                }
                Answer::Bypass(Bypass::Busy) => Seen::Busy,
                Answer::Bypass(Bypass::Garbage) => Seen::Garbage,
                Answer::Bypass(Bypass::Fault(fault)) => panic!("{fault}"),
            },
            Step::Fill(right, filling) => {
                let lease = match right {
                    Right::Newest => leases.pop(),
                    Right::Oldest if !leases.is_empty() => Some(leases.remove(0)),
                    Right::Oldest | Right::Foreign => None,
                };
                let lease = lease.unwrap_or_else(|| Lease::ask(key.clone()));
                Seen::Filled(self.world.fill(lease, &value(filling)).await)
            }
            Step::Delete => {
                self.world.delete(key).await;
                Seen::Done
            }
            Step::Plant(planted) => {
                self.world.plant(key, planted).await;
                Seen::Done
            }
        }
    }
}

fn key(sequence: &str, user: usize) -> Key {
    let user = format!("{}-{sequence}-{user}", std::process::id());
    Key::new(&Tenant::new("conformance").unwrap(), &UserId::new(&user).unwrap())
}

/// I9, I13: in all worlds.
#[tokio::test]
async fn readers_observe_the_same_in_plain_data_in_memory_and_in_redis() {
    let asked = text_asked("SEED").map(|seed| seed.parse::<u64>().expect("a number"));
    let (mut real, started) = (Real::new(), Instant::now());
    let (mut compared, mut hits, mut accepted) = (0, 0, 0);
    for seed in asked.map_or(0..u64::MAX, |seed| seed..seed + 1).take_while(|_| started.elapsed() < TIME) {
        let mut random = Random::new(seed);
        let keys = [0, 1].map(|user| key(&seed.to_string(), user));
        let (mut memory, mut embedded) = (Run::new(Memory::default()), Run::new(Cache::new(Clock::system())));
        let mut there = Run::new(real);
        let began = Instant::now();
        let mut trail = Vec::new();
        for _ in 0..STEPS {
            let (step, user) = (step(&mut random), random.below(USERS));
            let wanted = memory.take(&step, user, &keys[user]).await;
            let found = [embedded.take(&step, user, &keys[user]).await, there.take(&step, user, &keys[user]).await];
            // Leases run out on a machine that stands still: from then on nothing is compared.
            if began.elapsed() > LEASE / 2 {
                break;
            }
            trail.push((user, step));
            let [embedded, real] = &found;
            assert!(
                *embedded == wanted && *real == wanted,
                "SEED={seed}: by the protocol {wanted:?}, embedded {embedded:?}, real {real:?}: {trail:#?}"
            );
            compared += 1;
            hits += usize::from(matches!(wanted, Seen::Hit(..)));
            accepted += usize::from(wanted == Seen::Filled(Filled::Accepted));
        }
        real = there.world;
    }
    println!("{compared} steps, {hits} hits, {accepted} fills");
    assert!(asked.is_some() || hits > 10 && accepted > 10, "{compared} steps, {hits} hits, {accepted} fills");
}

async fn a_lease_that_ran_out_goes_to_the_next_reader(world: impl World) {
    let (mut run, key) = (Run::new(world), key("over", 0));
    let by = |right| Step::Fill(right, FILLINGS[0]);
    assert_eq!(run.take(&Step::LookUp, 0, &key).await, Seen::Miss);
    assert_eq!(run.take(&Step::LookUp, 0, &key).await, Seen::Busy);
    sleep(LEASE + Duration::from_millis(100)).await;
    assert_eq!(run.take(&Step::LookUp, 0, &key).await, Seen::Miss);
    assert_eq!(run.take(&by(Right::Oldest), 0, &key).await, Seen::Filled(Filled::Refused));
    assert_eq!(run.take(&by(Right::Newest), 0, &key).await, Seen::Filled(Filled::Accepted));
    assert!(matches!(run.take(&Step::LookUp, 0, &key).await, Seen::Hit(8, Some((7, 42)), _)));
}

#[tokio::test]
async fn a_lease_that_ran_out_goes_to_the_next_reader_in_all_worlds() {
    tokio::join!(
        a_lease_that_ran_out_goes_to_the_next_reader(Memory::default()),
        a_lease_that_ran_out_goes_to_the_next_reader(Cache::new(Clock::system())),
        a_lease_that_ran_out_goes_to_the_next_reader(Real::new()),
    );
}
