//! The product's own workers in a simulated world: memory logs, model tables, virtual time. One seed is one run.
//!
//! `SEEDS=20000` runs more of them, `SEED=17` one, with its history. A seed that ever failed is kept in
//! `simulation/seeds.txt` and runs first.
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
#[path = "simulation/crew.rs"]
mod crew;
#[path = "simulation/dice.rs"]
mod dice;
#[path = "simulation/path.rs"]
mod path;
#[path = "simulation/plan.rs"]
mod plan;
#[path = "simulation/sabotage.rs"]
mod sabotage;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/schedule.rs"]
mod schedule;
#[path = "simulation/table.rs"]
mod table;
#[path = "simulation/wrapped.rs"]
mod wrapped;

use sabotage::Sabotage;
use schedule::{Outcome, Scene, Tally, anything, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds that once failed.
const KEPT: &str = include_str!("simulation/seeds.txt");

/// Runs of the schedules in `make test`.
const SEEDS: u64 = 2_000;

/// Runs that are enough to find any sabotage.
const SEEDS_OF_SABOTAGE: u64 = 1_000;

#[allow(clippy::disallowed_methods, reason = "the one place of this test that reads the environment")]
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

fn seeds() -> Vec<u64> {
    if let Some(seed) = asked("SEED") {
        return vec![seed];
    }
    let kept = KEPT.lines().filter_map(|line| line.split('#').next()?.trim().parse::<u64>().ok());
    kept.chain(1..=asked("SEEDS").unwrap_or(SEEDS)).collect()
}

/// Fails with the seed and what happened.
fn fail(seed: u64, sabotage: Sabotage, scenario: impl AsyncFnOnce(&mut Scene)) -> ! {
    let Outcome { broken, history, .. } = run(seed, sabotage, true, scenario);
    println!("{}", history.join("\n"));
    panic!("SEED={seed} breaks a promise: {}", broken.unwrap_or_else(|| "not when told".into()));
}

#[test]
fn any_schedule_of_any_seed_keeps_the_promises() {
    let seeds = seeds();
    let (next, failed, tally) = (AtomicU64::new(0), Mutex::new(None), Mutex::new(Tally::default()));
    let work = || {
        while failed.lock().unwrap().is_none() {
            let at = usize::try_from(next.fetch_add(1, Ordering::Relaxed)).unwrap();
            let Some(seed) = seeds.get(at) else { return };
            let outcome = run(*seed, Sabotage::None, false, anything);
            *tally.lock().unwrap() += outcome.tally;
            if outcome.broken.is_some() {
                failed.lock().unwrap().get_or_insert(*seed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    if let Some(seed) = failed.into_inner().unwrap() {
        fail(seed, Sabotage::None, anything);
    }
    let tally = tally.into_inner().unwrap();
    println!("{} runs: {tally:?}", seeds.len());
    if seeds.len() >= 100 {
        let Tally { changes, repeated, taken_over, crashes, losses, rewinds, leaps, purges } = tally;
        let all = [changes, repeated, taken_over, crashes, losses, rewinds, leaps, purges];
        assert!(all.iter().all(|count| *count > 0), "some of it never happened");
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in [1, 2, 3, 4, 5, 6, 7, 8] {
        let first = run(seed, Sabotage::None, true, anything).history;
        let second = run(seed, Sabotage::None, true, anything).history;
        assert!(!first.is_empty());
        let same = first.iter().zip(&second).take_while(|(a, b)| a == b).count();
        assert_eq!(first.get(same), second.get(same), "SEED={seed} differs from line {same}");
    }
}

/// The first seed whose run breaks a promise.
fn caught_by(sabotage: Sabotage, scenario: impl AsyncFn(&mut Scene)) -> Option<(u64, String)> {
    (1..=SEEDS_OF_SABOTAGE).find_map(|seed| {
        let outcome = run(seed, sabotage, false, async |scene: &mut Scene| scenario(scene).await);
        outcome.broken.map(|what| (seed, what))
    })
}

/// Each sabotage is found. Those of the merge on its own, first-wins among them, are in `store::cql::merge`.
#[test]
fn every_sabotage_is_found() {
    let mut missed = Vec::new();
    let mut report = |sabotage, caught: Option<(u64, String)>| match caught {
        Some((seed, what)) => println!("{:<20} caught by seed {seed:>3}: {what}", format!("{sabotage:?}")),
        None => missed.push(sabotage),
    };
    for sabotage in Sabotage::OF_SCHEDULES {
        report(sabotage, caught_by(sabotage, anything));
    }
    for sabotage in [Sabotage::SharedLanes, Sabotage::GlobalPark, Sabotage::OneByteBudget] {
        report(sabotage, caught_by(sabotage, scenario::stuck_user));
    }
    report(Sabotage::NoDrainOnRevoke, caught_by(Sabotage::NoDrainOnRevoke, scenario::scale));
    assert!(missed.is_empty(), "nobody found {missed:?}");
}

/// I16.
#[test]
fn a_stuck_user_delays_its_own_lane_then_its_partition_and_nobody_else() {
    for seed in 1..=50 {
        if run(seed, Sabotage::None, false, scenario::stuck_user).broken.is_some() {
            fail(seed, Sabotage::None, scenario::stuck_user);
        }
    }
}

/// I17.
#[test]
fn scale_steps_redo_nothing_and_crashes_no_more_than_what_was_out() {
    for seed in 1..=50 {
        if run(seed, Sabotage::None, false, scenario::scale).broken.is_some() {
            fail(seed, Sabotage::None, scenario::scale);
        }
    }
}
