//! The product's own workers in a simulated world: memory logs, three replicas, a cache, readers, virtual time. One seed
//! is one run.
//!
//! As many seeds as `make test` has time for; `SEEDS=20000` runs so many, `MINUTES=60` for so long, and `SEED=17` one, with
//! its history. A seed that fails is run again with fewer and fewer steps, until what is left is short enough to read. A
//! seed that ever failed is kept in `simulation/seeds.txt` and runs first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, and so does what it is built from"
)]

#[path = "simulation/audit.rs"]
mod audit;
#[path = "simulation/broker.rs"]
mod broker;
#[path = "simulation/cassandra.rs"]
mod cassandra;
#[path = "simulation/crew.rs"]
mod crew;
#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/frost.rs"]
mod frost;
#[path = "simulation/held.rs"]
mod held;
#[path = "simulation/known.rs"]
mod known;
#[path = "simulation/oracle.rs"]
mod oracle;
#[path = "simulation/path.rs"]
mod path;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/promise.rs"]
mod promise;
#[path = "simulation/reader.rs"]
mod reader;
#[path = "simulation/redis.rs"]
mod redis;
#[path = "simulation/replica.rs"]
mod replica;
#[path = "simulation/sabotage.rs"]
mod sabotage;
#[path = "simulation/scaling.rs"]
mod scaling;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/schedule.rs"]
mod schedule;
#[path = "simulation/script.rs"]
mod script;
#[path = "simulation/shrink.rs"]
mod shrink;
#[path = "simulation/suite.rs"]
mod suite;
#[path = "simulation/tally.rs"]
mod tally;
#[path = "simulation/watched.rs"]
mod watched;
#[path = "simulation/wrapped.rs"]
mod wrapped;

use sabotage::Sabotage;
use schedule::{Outcome, Scene, play, run};
use script::Script;
use shrink::shrink;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tally::Tally;

/// Seeds that once failed.
const KEPT: &str = include_str!("simulation/seeds.txt");

/// How long `make test` goes on.
const TIME: Duration = Duration::from_secs(60);

/// Seeds that it must come to, however slow the machine.
const SEEDS_MIN: u64 = 1_000;

#[allow(clippy::disallowed_methods, reason = "the one place of this test that reads the environment")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn kept() -> Vec<u64> {
    KEPT.lines().filter_map(|line| line.split('#').next()?.trim().parse().ok()).collect()
}

/// Which seeds are run.
enum Budget {
    One(u64),
    Count(u64),
    /// So long, and at least so many.
    Time(Duration, u64),
}

impl Budget {
    fn asked() -> Self {
        if let Some(seed) = asked("SEED") {
            return Self::One(seed);
        }
        match (asked("SEEDS"), asked("MINUTES")) {
            (Some(seeds), _) => Self::Count(seeds),
            (None, Some(minutes)) => Self::Time(Duration::from_secs(60 * minutes), SEEDS_MIN),
            (None, None) => Self::Time(TIME, SEEDS_MIN),
        }
    }

    /// The seed to run after `count` others, in the `elapsed` time.
    fn seed(&self, count: u64, elapsed: Duration) -> Option<u64> {
        match self {
            Self::One(seed) => (count == 0).then_some(*seed),
            Self::Count(most) => (count < *most).then_some(count + 1),
            Self::Time(time, least) => (elapsed < *time || count < *least).then_some(count + 1),
        }
    }
}

/// Fails with the seed, the shortest schedule that still fails, and what happened in it.
fn fail(script: &Script) -> ! {
    let seed = script.seed;
    let promise_of = |script: &Script| play(script, Sabotage::None, false).broken.map(|broken| broken.promise);
    let promise = promise_of(script);
    let short = shrink(script, |script| promise_of(script) == promise);
    let Outcome { broken, history, .. } = play(&short, Sabotage::None, true);
    println!("{}\n\n{}", short.lines().join("\n"), history.join("\n"));
    panic!("SEED={seed} breaks a promise: {}", broken.map_or_else(|| "not when told".into(), |what| what.to_string()));
}

#[test]
fn any_schedule_of_any_seed_keeps_the_promises() {
    let budget = Budget::asked();
    let since = tokio::time::Instant::now();
    let kept = if matches!(budget, Budget::One(_)) { Vec::new() } else { kept() };
    let (next, failed, tally) = (AtomicU64::new(0), Mutex::new(None), Mutex::new(Tally::default()));
    let runs = AtomicU64::new(0);
    let work = || {
        while failed.lock().unwrap().is_none() {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let old = usize::try_from(at).ok().and_then(|at| kept.get(at).copied());
            let new = || budget.seed(at - kept.len() as u64, since.elapsed());
            let Some(seed) = old.or_else(new) else { return };
            let script = Script::of(seed);
            let outcome = play(&script, Sabotage::None, false);
            runs.fetch_add(1, Ordering::Relaxed);
            *tally.lock().unwrap() += outcome.tally;
            if outcome.broken.is_some() {
                failed.lock().unwrap().get_or_insert(script);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some(script) = failed.into_inner().unwrap() {
        fail(&script);
    }
    let (runs, tally) = (runs.into_inner(), tally.into_inner().unwrap());
    println!("{runs} runs in {:?}: {tally:?}", since.elapsed());
    if runs >= 100 {
        let never = tally.counts().into_iter().find(|(_, count)| *count == 0);
        assert_eq!(never, None, "some of it never happened");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 3, 4, 5, 6, 7, 8] {
        let first = play(&Script::of(seed), Sabotage::None, true).history;
        let second = play(&Script::of(seed), Sabotage::None, true).history;
        assert!(!first.is_empty());
        let same = first.iter().zip(&second).take_while(|(a, b)| a == b).count();
        assert_eq!(first.get(same), second.get(same), "SEED={seed} differs from line {same}");
    }
}

fn hold(seeds: u64, scenario: impl AsyncFn(&mut Scene)) {
    for seed in 1..=seeds {
        let outcome = |is_told| run(seed, Sabotage::None, is_told, async |scene: &mut Scene| scenario(scene).await);
        if outcome(false).broken.is_some() {
            let Outcome { broken, history, .. } = outcome(true);
            println!("{}", history.join("\n"));
            panic!("seed {seed} breaks a promise: {broken:?}");
        }
    }
}

/// I16.
#[test]
fn a_stuck_user_delays_its_own_lane_then_its_partition_and_nobody_else() {
    hold(50, scenario::stuck_user);
}

/// I15.
#[test]
fn whatever_the_backlog_no_worker_holds_more_than_its_limits_say() {
    hold(50, scenario::backlog);
}

/// I17.
#[test]
fn scale_steps_redo_nothing_and_crashes_no_more_than_what_was_out() {
    hold(50, scenario::scale);
}
