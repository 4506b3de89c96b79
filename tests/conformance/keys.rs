//! Idempotency keys: what whoever repeats a request is told is the same in plain data, in a directory and in Redis.
//!
//! Behaviours are written once, against the trait alone. That no interleaving of many askers breaks them is in [`linear`].

#[path = "keys/linear.rs"]
mod linear;
#[path = "keys/memory.rs"]
mod memory;

use embedded::{Durability, Founding, Home, Options, TableKeys};
use memory::{Flaw, Memory};
use runtime::Clock;
use schemas::{Profile, Tenant};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::keys::{
    ANSWER_LEN_MAX, Begun, BodyDigest, Config, Finished, IdempotencyKey, Keys, RedisKeys, Retention, Scope, Terms, Turn,
};
use tests::process::dir_of;
use tests::stack;
use tests::until;
use tokio::time::{Instant, sleep};

/// Of behaviours that wait for a lease to be over; still longer than a busy machine stands.
const SHORT: Duration = Duration::from_secs(1);

/// For what has to come by itself.
const SOON: Duration = Duration::from_secs(20);

fn terms() -> Terms {
    Terms::default()
}

fn short_lease() -> Terms {
    Terms { lease: SHORT, ..Terms::default() }
}

/// What an asker sees, without the right in it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    New,
    Answered(Vec<u8>),
    Done,
    InFlight,
    OtherBody,
}

fn seen(begun: &Begun) -> Seen {
    match begun {
        Begun::New(_) => Seen::New,
        Begun::Answered(answer) => Seen::Answered(answer.clone()),
        Begun::Done => Seen::Done,
        Begun::InFlight { .. } => Seen::InFlight,
        Begun::OtherBody => Seen::OtherBody,
    }
}

/// A text that no other test and no earlier run has.
fn text() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn key() -> IdempotencyKey {
    key_of(&text(), "/v1/changes")
}

fn key_of(text: &str, path: &str) -> IdempotencyKey {
    Scope { tenant: &Tenant::default(), client: "conformance", method: "POST", path }.key(text.as_bytes()).unwrap()
}

fn body() -> BodyDigest {
    BodyDigest::of(b"{}")
}

async fn look(keys: &impl Keys, key: &IdempotencyKey) -> Seen {
    seen(&keys.begin(key, &body()).await.unwrap())
}

async fn turn(keys: &impl Keys, key: &IdempotencyKey) -> Turn {
    let Begun::New(turn) = keys.begin(key, &body()).await.unwrap() else { panic!("somebody has the key") };
    turn
}

async fn the_first_answer_is_given_again_and_another_body_is_told_apart(keys: &impl Keys) {
    let (key, another) = (key(), BodyDigest::of(b"[]"));
    let mine = turn(keys, &key).await;
    assert_eq!(seen(&keys.begin(&key, &another).await.unwrap()), Seen::OtherBody, "in flight");
    assert_eq!(keys.finish(mine, b"202").await, Ok(Finished::Kept));
    for _ in 0..2 {
        assert_eq!(look(keys, &key).await, Seen::Answered(b"202".to_vec()));
    }
    assert_eq!(seen(&keys.begin(&key, &another).await.unwrap()), Seen::OtherBody, "answered");
}

async fn a_request_in_flight_is_said_to_be_and_for_how_long(keys: &impl Keys) {
    let key = key();
    let since = Instant::now();
    let _mine = turn(keys, &key).await;
    let Begun::InFlight { retry_after } = keys.begin(&key, &body()).await.unwrap() else { panic!("not in flight") };
    let least = terms().lease.saturating_sub(since.elapsed() + Duration::from_millis(2));
    assert!((least..=terms().lease).contains(&retry_after), "{retry_after:?}");
}

async fn an_abandoned_key_is_free_at_once(keys: &impl Keys) {
    let key = key();
    let mine = turn(keys, &key).await;
    keys.abandon(mine).await.unwrap();
    let second = turn(keys, &key).await;
    assert_eq!(keys.finish(second, b"202").await, Ok(Finished::Kept));
    assert_eq!(look(keys, &key).await, Seen::Answered(b"202".to_vec()));
}

async fn any_bytes_are_an_answer_and_of_one_that_is_too_long_is_kept_that_it_was_done(keys: &impl Keys) {
    for answer in [&b""[..], b"\0\r\n$-1\r\n\xff", &[b'x'; ANSWER_LEN_MAX]] {
        let key = key();
        let mine = turn(keys, &key).await;
        assert_eq!(keys.finish(mine, answer).await, Ok(Finished::Kept));
        let is_same = look(keys, &key).await == Seen::Answered(answer.to_vec());
        assert!(is_same, "of {} bytes", answer.len());
    }
    let key = key();
    let mine = turn(keys, &key).await;
    assert_eq!(keys.finish(mine, &[b'x'; ANSWER_LEN_MAX + 1]).await, Ok(Finished::Kept));
    assert_eq!(look(keys, &key).await, Seen::Done);
}

async fn the_same_text_for_something_else_is_another_key(keys: &impl Keys) {
    let text = text();
    let [first, second] = &["/v1/changes", "/v1/changes:batch"].map(|path| key_of(&text, path));
    let mine = turn(keys, first).await;
    let theirs = turn(keys, second).await;
    assert_eq!(keys.finish(mine, b"first").await, Ok(Finished::Kept));
    assert_eq!(keys.finish(theirs, b"second").await, Ok(Finished::Kept));
    assert_eq!(look(keys, first).await, Seen::Answered(b"first".to_vec()));
}

/// Whoever asks until he is let in; how long that took.
async fn let_in(keys: &impl Keys, key: &IdempotencyKey) -> Turn {
    until("the lease to be over", SOON, async || match keys.begin(key, &body()).await.unwrap() {
        Begun::New(turn) => Some(turn),
        Begun::InFlight { .. } => None,
        other @ (Begun::Answered(_) | Begun::Done | Begun::OtherBody) => panic!("{other:?}"),
    })
    .await
}

async fn a_holder_that_dies_costs_one_repetition_and_no_second(keys: &impl Keys) {
    let key = key();
    let since = Instant::now();
    let mut times_done = 1;
    // It has done it, and died before it said so.
    drop(turn(keys, &key).await);
    let second = let_in(keys, &key).await;
    times_done += 1;
    assert!(since.elapsed() > SHORT - Duration::from_millis(5), "let in after {:?}", since.elapsed());
    assert_eq!(look(keys, &key).await, Seen::InFlight);
    assert_eq!(keys.finish(second, b"second").await, Ok(Finished::Kept));
    sleep(SHORT + Duration::from_millis(100)).await;
    for _ in 0..5 {
        let seen = look(keys, &key).await;
        times_done += usize::from(seen == Seen::New);
        assert_eq!(seen, Seen::Answered(b"second".to_vec()));
    }
    assert_eq!(times_done, 2);
}

async fn a_holder_that_is_late_loses_to_the_next_one_and_to_nobody_else(keys: &impl Keys) {
    let (alone, taken) = (key(), key());
    let late = [turn(keys, &alone).await, turn(keys, &taken).await];
    let second = let_in(keys, &taken).await;
    let [late_alone, late_taken] = late;
    assert_eq!(keys.finish(late_taken, b"late").await, Ok(Finished::Lost));
    assert_eq!(keys.finish(second, b"second").await, Ok(Finished::Kept));
    assert_eq!(look(keys, &taken).await, Seen::Answered(b"second".to_vec()));
    assert_eq!(keys.finish(late_alone, b"late").await, Ok(Finished::Kept));
    assert_eq!(look(keys, &alone).await, Seen::Answered(b"late".to_vec()));
}

async fn a_late_holder_frees_nobody_elses_key(keys: &impl Keys) {
    let key = key();
    let late = turn(keys, &key).await;
    let second = let_in(keys, &key).await;
    keys.abandon(late).await.unwrap();
    assert_eq!(look(keys, &key).await, Seen::InFlight);
    assert_eq!(keys.finish(second, b"second").await, Ok(Finished::Kept));
    assert_eq!(look(keys, &key).await, Seen::Answered(b"second".to_vec()));
}

async fn an_answer_is_forgotten_after_its_time(keys: &impl Keys) {
    let key = key();
    let mine = turn(keys, &key).await;
    let since = Instant::now();
    assert_eq!(keys.finish(mine, b"202").await, Ok(Finished::Kept));
    until("the answer to be forgotten", SOON, async || {
        let seen = look(keys, &key).await;
        assert!(seen == Seen::New || seen == Seen::Answered(b"202".to_vec()), "{seen:?}");
        (seen == Seen::New).then_some(())
    })
    .await;
    assert!(since.elapsed() > SHORT - Duration::from_millis(5), "{:?}", since.elapsed());
}

fn briefly_kept() -> Terms {
    Terms { keep_for: SHORT, ..Terms::default() }
}

/// A directory of one test.
struct Directory {
    home: Home,
    keys: TableKeys,
    dir: PathBuf,
}

impl Directory {
    fn new(terms: Terms) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let dir = dir_of(&format!("keys{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let options = Options::new(Arc::new(Profile::embedded().unwrap()), Durability::Soon);
        let home = Home::open(&dir, Some(Founding::default()), &options).unwrap();
        let keys = TableKeys::with_terms(home.table.clone(), Clock::system(), home.durability, terms);
        Self { home, keys, dir }
    }

    async fn end(self) {
        let Self { home, keys, dir } = self;
        home.close().await.unwrap();
        drop((home, keys));
        std::fs::remove_dir_all(dir).unwrap();
        // The last one out; while others are there, it fails.
        std::fs::remove_dir(stack::scratch()).ok();
    }
}

fn real(terms: Terms) -> RedisKeys {
    let (host, port) = stack::keys();
    RedisKeys::with_terms(&Config { host, port, ..Config::default() }, terms).unwrap()
}

/// Runs each behaviour in every world, and in the memory with an error in it that it must find.
macro_rules! behaviours {
    ($($behaviour:ident $terms:ident: $($flaw:ident),+;)+) => {
        mod in_a_directory {$(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $behaviour() {
                let world = super::Directory::new(super::$terms());
                super::$behaviour(&world.keys).await;
                world.end().await;
            }
        )+}
        mod in_redis {$(
            #[tokio::test]
            async fn $behaviour() {
                super::$behaviour(&super::real(super::$terms())).await;
            }
        )+}
        mod finds_out {$(
            #[test]
            fn $behaviour() {
                let fails = |flaw| {
                    let test = move || super::memory::paused(async move {
                        super::$behaviour(&super::Memory::new(super::$terms(), flaw, 1)).await;
                    });
                    std::thread::spawn(test).join().is_err()
                };
                assert!(!fails(super::Flaw::Nothing));
                $(assert!(fails(super::Flaw::$flaw), "{}", stringify!($flaw));)+
            }
        )+}
    };
}

behaviours! {
    the_first_answer_is_given_again_and_another_body_is_told_apart terms: ForgetsTheBody, LosesTheAnswer;
    a_request_in_flight_is_said_to_be_and_for_how_long terms: TakesALiveLease, NoLease, EndlessLease;
    an_abandoned_key_is_free_at_once terms: KeepsWhatIsAbandoned;
    any_bytes_are_an_answer_and_of_one_that_is_too_long_is_kept_that_it_was_done terms: LosesTheAnswer, CutsTheAnswer;
    the_same_text_for_something_else_is_another_key terms: OneKeyForAll;
    a_holder_that_dies_costs_one_repetition_and_no_second short_lease: TakesALiveLease, NoLease, EndlessLease, LosesTheAnswer;
    a_holder_that_is_late_loses_to_the_next_one_and_to_nobody_else short_lease: FinishesWithoutToken, KeepsNothingLate, SaysKept;
    a_late_holder_frees_nobody_elses_key short_lease: AbandonsWithoutToken;
    an_answer_is_forgotten_after_its_time briefly_kept: KeepsForEver, LosesTheAnswer;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_holder_costs_one_repetition_in_every_world() {
    let (world, redis) = (Directory::new(short_lease()), real(short_lease()));
    tokio::join!(
        a_holder_that_dies_costs_one_repetition_and_no_second(&world.keys),
        a_holder_that_dies_costs_one_repetition_and_no_second(&redis),
    );
    world.end().await;
}

/// The servers that `make test` starts are set up as the documentation asks for.
#[tokio::test]
async fn the_redis_of_the_keys_keeps_and_that_of_the_cache_would_not() {
    let found = real(terms()).retention().await.unwrap();
    assert!(matches!(found, Retention::Kept { fsync: Some(_) }), "{found:?}");
    let url = stack::place("REDIS_URL");
    let port = url.rsplit_once(':').unwrap().1.parse().unwrap();
    let cache = RedisKeys::new(&Config { port, ..Config::default() }).unwrap();
    let found = cache.retention().await.unwrap();
    assert_eq!(found, Retention::Forgets { restarts_empty: true, evicts: true });
}
