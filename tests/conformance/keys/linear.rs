//! Many askers of few keys: whatever they are told is what one keeper would have told them, one after the other.
//!
//! Askers finish, finish late, give back, or die with their turn. What each was told, and when he asked and was answered, is
//! judged for each key by a checker of linearizability against [`Keeper`]. When exactly a lease was over nobody outside
//! knows: a call is wrong only if no moment between its begin and its end can explain it.

use super::memory::{Flaw, Memory, paused};
use super::{Directory, real};
use schemas::Tenant;
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::keys::{Begun, BodyDigest, Finished, IdempotencyKey, Keys, Scope, Terms, Turn};
use tests::history::Random;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// Short, so that many run out.
const LEASE: Duration = Duration::from_millis(60);

/// By how much clocks that count milliseconds may differ on one lease.
const SLACK: Duration = Duration::from_millis(10);

/// How long each world is asked.
const TIME: Duration = Duration::from_secs(4);

/// Keys that are asked for side by side, each by so many askers who call so often at most. With more calls of one key the
/// checker would take minutes to refute a history.
const KEYS: usize = 8;
const ASKERS: usize = 4;
const CALLS: usize = 4;

fn terms() -> Terms {
    Terms { lease: LEASE, ..Terms::default() }
}

/// Number of a turn, which is also the answer of whoever has it.
type Number = u32;

/// From when to when a call was out; the ticks are in order where moments are the same, as they often are on paused time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    from: Duration,
    first: u64,
    to: Duration,
    last: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Begin,
    Finish,
    Abandon,
}

#[derive(Clone, Debug, PartialEq)]
struct Call {
    what: What,
    turn: Number,
    body: u8,
    span: Span,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Told {
    New,
    Answered(Number),
    InFlight,
    OtherBody,
    Kept,
    Lost,
    Freed,
}

/// One keeper of one key, who is asked one thing after the other.
#[derive(Clone, Debug, Default)]
enum Keeper {
    #[default]
    Free,
    Taken {
        turn: Number,
        body: u8,
        since: Span,
    },
    Answered {
        turn: Number,
        body: u8,
    },
}

impl Keeper {
    /// Whether somebody may have had no lease any more while `span` was out.
    fn may_be_over(since: Span, span: Span) -> bool {
        span.to + SLACK >= since.from + LEASE
    }

    fn may_be_live(since: Span, span: Span) -> bool {
        span.from <= since.to + LEASE + SLACK
    }
}

impl SequentialSpec for Keeper {
    type Op = Call;
    type Ret = Told;

    fn invoke(&mut self, call: &Call) -> Told {
        panic!("every call has returned, and yet here is {call:?}");
    }

    fn is_valid_step(&mut self, call: &Call, told: &Told) -> bool {
        let is_valid = match (&*self, told) {
            (Self::Free, Told::New | Told::Kept | Told::Freed) => true,
            (Self::Free, _) => false,
            (Self::Taken { since, .. }, Told::New) => Self::may_be_over(*since, call.span),
            (Self::Taken { body, since, .. }, Told::InFlight) => {
                *body == call.body && Self::may_be_live(*since, call.span)
            }
            (Self::Taken { body, since, .. }, Told::OtherBody) => {
                *body != call.body && Self::may_be_live(*since, call.span)
            }
            (Self::Taken { turn, since, .. }, Told::Kept) => *turn == call.turn || Self::may_be_over(*since, call.span),
            (Self::Taken { turn, since, .. }, Told::Lost) => *turn != call.turn && Self::may_be_live(*since, call.span),
            (Self::Taken { .. }, Told::Answered(_)) => false,
            (Self::Answered { turn, body }, Told::Answered(answer)) => turn == answer && *body == call.body,
            (Self::Answered { body, .. }, Told::OtherBody) => *body != call.body,
            (Self::Answered { turn, .. }, Told::Lost) => *turn != call.turn,
            (Self::Answered { turn, .. }, Told::Kept) => *turn == call.turn,
            (Self::Answered { .. }, Told::New | Told::InFlight) => false,
            (Self::Taken { .. } | Self::Answered { .. }, Told::Freed) => true,
        };
        if is_valid {
            match (told, &*self) {
                (Told::New, _) => *self = Self::Taken { turn: call.turn, body: call.body, since: call.span },
                (Told::Kept, _) => *self = Self::Answered { turn: call.turn, body: call.body },
                (Told::Freed, Self::Taken { turn, .. }) if *turn == call.turn => *self = Self::Free,
                _ => {}
            }
        }
        is_valid
    }
}

/// What was asked of one key and told, each call as it came back.
#[derive(Clone, Default)]
struct History(Arc<Mutex<Vec<(usize, Call, Told)>>>);

impl History {
    fn note(&self, asker: usize, call: Call, told: Told) {
        self.0.lock().unwrap().push((asker, call, told));
    }

    fn told(&self, told: impl Fn(Told) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|(_, _, found)| told(*found)).count()
    }

    /// Whether one keeper could have told all of it.
    fn is_explained(&self) -> bool {
        let calls = self.0.lock().unwrap();
        let begins = calls.iter().map(|(asker, call, _)| (call.span.first, *asker, Err(call.clone())));
        let ends = calls.iter().map(|(asker, call, told)| (call.span.last, *asker, Ok(*told)));
        let mut events: Vec<_> = begins.chain(ends).collect();
        events.sort_by_key(|(tick, ..)| *tick);
        let mut tester = LinearizabilityTester::new(Keeper::default());
        for (_, asker, event) in events {
            let noted = match event {
                Err(call) => tester.on_invoke(asker, call),
                Ok(told) => tester.on_return(asker, told),
            };
            noted.expect("an asker has one call out at a time");
        }
        tester.is_consistent()
    }
}

/// Who asks for one key.
struct Asker<K> {
    keys: Arc<K>,
    key: IdempotencyKey,
    number: usize,
    random: Random,
    history: History,
    epoch: Instant,
}

impl<K: Keys> Asker<K> {
    fn turn_number() -> Number {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        COUNT.fetch_add(1, Ordering::Relaxed)
    }

    /// What a call gave, and from when to when it was out.
    async fn out<T>(&self, call: impl Future<Output = T>) -> (T, Span) {
        static TICKS: AtomicU64 = AtomicU64::new(0);
        let tick = || TICKS.fetch_add(1, Ordering::SeqCst);
        let (from, first) = (self.epoch.elapsed(), tick());
        let given = call.await;
        (given, Span { from, first, last: tick(), to: self.epoch.elapsed() })
    }

    async fn ask(mut self) {
        let mut calls = 0;
        while calls < CALLS {
            // Some soon, so that calls overlap, and some when leases are over.
            let ms_max = [4, 60][self.random.below(2)];
            self.wait(ms_max).await;
            let (turn, body) = (Self::turn_number(), u8::from(self.random.below(8) == 0));
            let (begun, span) = self.out(self.keys.begin(&self.key, &BodyDigest([body; 32]))).await;
            let begun = begun.unwrap();
            let told = match &begun {
                Begun::New(_) => Told::New,
                Begun::Answered(answer) => Told::Answered(Number::from_be_bytes(answer[..].try_into().unwrap())),
                Begun::InFlight { .. } => Told::InFlight,
                Begun::OtherBody => Told::OtherBody,
                Begun::Done => panic!("no answer is so long"),
            };
            self.history.note(self.number, Call { what: What::Begin, turn, body, span }, told);
            calls += 1;
            if let Begun::New(right) = begun {
                self.go_on(right, turn, body).await;
                calls += 1;
            }
        }
    }

    async fn go_on(&mut self, right: Turn, turn: Number, body: u8) {
        let (is_late, end) = (self.random.below(2) == 0, self.random.below(8));
        if is_late {
            sleep(LEASE - Duration::from_millis(5)).await;
        }
        self.wait(if is_late { 60 } else { 4 }).await;
        match end {
            0..5 => {}
            5..7 => return self.give_back(right, turn, body).await,
            // Dies with it.
            _ => return drop(right),
        }
        let (finished, span) = self.out(self.keys.finish(right, &turn.to_be_bytes())).await;
        let told = match finished.unwrap() {
            Finished::Kept => Told::Kept,
            Finished::Lost => Told::Lost,
        };
        self.history.note(self.number, Call { what: What::Finish, turn, body, span }, told);
    }

    async fn give_back(&self, right: Turn, turn: Number, body: u8) {
        let (abandoned, span) = self.out(self.keys.abandon(right)).await;
        abandoned.unwrap();
        self.history.note(self.number, Call { what: What::Abandon, turn, body, span }, Told::Freed);
    }

    async fn wait(&mut self, ms_max: usize) {
        let ms = u64::try_from(self.random.below(ms_max)).unwrap();
        sleep(Duration::from_millis(ms)).await;
    }
}

/// Some keys, and what their askers were told.
async fn round<K: Keys + 'static>(keys: &Arc<K>, seed: u64) -> Vec<History> {
    let mut askers = JoinSet::new();
    let (mut histories, epoch) = (Vec::new(), Instant::now());
    for at in 0..KEYS {
        let history = History::default();
        let scope = Scope { tenant: &Tenant::default(), client: "linear", method: "POST", path: "/v1/changes" };
        let key = scope.key(format!("{}-{seed}-{at}", std::process::id()).as_bytes()).unwrap();
        for number in 0..ASKERS {
            let random = Random::new(seed * 1_000 + u64::try_from(at * ASKERS + number).unwrap());
            let (keys, key, history) = (keys.clone(), key.clone(), history.clone());
            askers.spawn(Asker { keys, key, number, random, history, epoch }.ask());
        }
        histories.push(history);
    }
    askers.join_all().await;
    histories
}

/// How often each was told over all rounds, so that a run in which nothing happened proves nothing.
#[derive(Debug, Default)]
struct Tally {
    histories: usize,
    new: usize,
    answered: usize,
    in_flight: usize,
    other_body: usize,
    lost: usize,
}

impl Tally {
    fn add(&mut self, history: &History) {
        self.histories += 1;
        self.new += history.told(|told| told == Told::New);
        self.answered += history.told(|told| matches!(told, Told::Answered(_)));
        self.in_flight += history.told(|told| told == Told::InFlight);
        self.other_body += history.told(|told| told == Told::OtherBody);
        self.lost += history.told(|told| told == Told::Lost);
    }

    fn assert_is_a_test(&self) {
        println!("{self:?}");
        let least = [self.answered, self.in_flight, self.other_body, self.lost].into_iter().min();
        assert!(least >= Some(5) && self.new > self.histories, "{self:?}");
    }
}

async fn is_linearizable<K: Keys + 'static>(keys: K) {
    let (keys, started, mut tally) = (Arc::new(keys), Instant::now(), Tally::default());
    for seed in (0_u64..).take_while(|_| started.elapsed() < TIME) {
        for history in round(&keys, seed).await {
            tally.add(&history);
            let calls = history.0.lock().unwrap().clone();
            assert!(history.is_explained(), "seed {seed}: no keeper tells that: {calls:#?}");
        }
    }
    tally.assert_is_a_test();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_many_askers_are_told_by_redis_one_keeper_could_have_told_them() {
    is_linearizable(real(terms())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_many_askers_are_told_by_a_directory_one_keeper_could_have_told_them() {
    let world = Directory::new(terms());
    is_linearizable(world.keys.clone()).await;
    world.end().await;
}

/// The first seed whose round no keeper without this flaw explains; of 100.
fn found_at(flaw: Flaw) -> Option<u64> {
    (0..100).find(|seed| {
        paused(async {
            let keys = Arc::new(Memory::new(terms(), flaw, *seed));
            round(&keys, *seed).await.iter().any(|history| !history.is_explained())
        })
    })
}

#[test]
fn plain_data_is_linearizable_too_and_each_planted_error_is_found() {
    assert_eq!(found_at(Flaw::Nothing), None);
    let flaws = [
        Flaw::TakesALiveLease,
        Flaw::FinishesWithoutToken,
        Flaw::AbandonsWithoutToken,
        Flaw::KeepsWhatIsAbandoned,
        Flaw::ForgetsTheBody,
        Flaw::LosesTheAnswer,
        Flaw::SaysKept,
        Flaw::KeepsNothingLate,
        Flaw::NoLease,
        Flaw::EndlessLease,
        Flaw::LooksBefore,
    ];
    for flaw in flaws {
        let found = found_at(flaw);
        println!("{flaw:?}: seed {found:?}");
        assert!(found.is_some(), "{flaw:?} is not found");
    }
}
