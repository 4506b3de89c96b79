//! Real servers under fire: three replicas of each worker, load all the time, and one random fault after another.
//!
//! A fault counts only if records were in flight when it struck; else another is drawn. What one seed draws, it draws
//! again: `FIRE_SEED=17` repeats a schedule. While it lasts a witness looks whether any commit is ahead of its rows, and
//! reads through the cache as a reader of profiles does; when all is quiet again the log, the history and the table have
//! to agree. `FIRE_FAULTS=30` is the long form, which `make soak` repeats on a ring and several brokers; it has the
//! servers of the run to itself.
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a fault is struck in one of three ways, each of which knows its own kinds"
)]

mod crew;
mod fault;
mod load;
mod verdict;
mod witness;

use crate::outage;
use crew::Crew;
use fault::Schedule;
use load::Load;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::history::History;
use tests::installation::{Installation, PATH};
use tests::stack::{Stack, asked};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use verdict::Verdict;
use witness::Witness;

/// Faults of a run of `make test`.
const FAULTS: usize = 6;
/// What so many may take; alone on two cores it is a third of that.
const RUN_WITHIN: Duration = Duration::from_secs(300);
/// What one may take, the wait for records in flight included.
const FAULT_WITHIN: Duration = Duration::from_secs(600);
/// What everything that was fed may take once nothing goes wrong any more.
const QUIET_WITHIN: Duration = Duration::from_secs(300);
const USERS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_happens_to_workers_and_servers_nothing_is_lost_wrong_or_stale() {
    let seed = asked("FIRE_SEED", seed_of_the_moment());
    let count = asked("FIRE_FAULTS", FAULTS);
    tell(&format!("FIRE_SEED={seed} repeats the schedule"));
    if count == FAULTS {
        let (stack, _turn) = outage::servers().await;
        Box::pin(run(&stack, seed, count)).await;
    } else {
        Box::pin(run(&Stack::of_run(), seed, count)).await;
    }
}

async fn run(stack: &Stack, seed: usize, count: usize) {
    let since = Instant::now();
    let seed = u64::try_from(seed).unwrap();
    let home =
        Installation::build(stack, "fire").await.within(RUN_WITHIN * u32::try_from(count.div_ceil(FAULTS)).unwrap());
    let mut crew = Crew::start(&home).await;
    let load = Load::new(&home, History::new(seed, home.name(), USERS));
    let witness = Witness::new(&home).await;
    let enough = CancellationToken::new();

    let fire = async {
        let faults = burn(&mut crew, Schedule::new(seed), count).await;
        load.stop();
        quiet(&home, &mut crew).await;
        enough.cancel();
        faults
    };
    let (faults, (), seen, read) =
        tokio::join!(fire, load.run(), witness.watch_commits(&enough), witness.read_profiles(&enough));
    let history = load.into_history();
    let stale = witness.stale_entries(&history).await;
    let verdict = Verdict::of(&home, &history, seen, read, stale).await;
    verdict.record(seed, &faults, since.elapsed());
    verdict.assert_clean();
    home.assert_is(&history).await;
    crew.assert_running();
}

/// Strikes `count` times; how often each fault did.
async fn burn(crew: &mut Crew<'_>, mut schedule: Schedule, count: usize) -> BTreeMap<&'static str, usize> {
    let mut faults = BTreeMap::new();
    let mut struck = 0;
    while struck < count {
        let fault = schedule.next();
        let since = Instant::now();
        let hit = timeout(FAULT_WITHIN, crew.suffer(fault, schedule.random())).await;
        let hit = hit.unwrap_or_else(|_| panic!("{} s were not enough for {fault:?}", FAULT_WITHIN.as_secs()));
        tell(&format!("{} {:?}: {hit}, {} ms", struck + 1, fault, since.elapsed().as_millis()));
        if hit.in_flight {
            struck += 1;
            *faults.entry(fault.name()).or_default() += 1;
        }
        // Short, so that the next often strikes before all have recovered.
        sleep(Duration::from_millis(u64::try_from(schedule.random().below(2_000)).unwrap())).await;
    }
    faults
}

/// Everything that was fed goes the whole way.
async fn quiet(home: &Installation, crew: &mut Crew<'_>) {
    for (worker, _) in PATH {
        home.settled_by_within(worker, QUIET_WITHIN).await;
    }
    crew.ready().await;
}

fn seed_of_the_moment() -> usize {
    usize::try_from(runtime::Clock::system().now_ms()).unwrap() % 1_000_000
}

#[allow(clippy::print_stdout, reason = "the test harness shows what a failed test has printed")]
fn tell(text: &str) {
    println!("{text}");
}
