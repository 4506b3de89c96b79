//! Every error of the design is planted, and the check of the promise that it breaks must find it: that one, no other.

use crate::promise::Broken;
use crate::sabotage::{Arena, Sabotage};
use crate::scenario;
use crate::schedule::{Outcome, play, run};
use crate::script::Script;
use crate::shrink::shrink;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs that are enough to find any of them.
const SEEDS: u64 = 1_000;

/// What is planted elsewhere: promise, error, and the test that fails if nobody finds it.
const ELSEWHERE: [(&str, &str, &str); 4] = [
    (
        "I1",
        "the first of equal versions wins",
        "store::cql::merge::tests::letting_the_first_of_equal_versions_win_is_found_out",
    ),
    (
        "I7",
        "every error around the ledger, in its model",
        "tests::model::handover::every_error_around_the_ledger_is_found",
    ),
    (
        "I9",
        "every weaker protocol, in the model of the cache",
        "tests::model::cache::every_weaker_protocol_of_the_cache_is_found_out",
    ),
    ("I14", "nine altered scripts", "tests::it::store::agreement::scripts_that_decide_otherwise_are_found_out"),
];

/// Which errors are found, and where: what `docs/guarantees.md` may say.
const GOLDEN: &str = "goldens/sabotages.md";

const THIS: &str = "tests::simulation::suite::every_sabotage_is_found_by_the_check_of_the_promise_it_breaks";

fn outcome(sabotage: Sabotage, seed: u64) -> Outcome {
    match sabotage.arena() {
        Arena::Anything => play(&Script::of(seed), sabotage, false),
        Arena::StuckUser => run(seed, sabotage, false, scenario::stuck_user),
        Arena::Backlog => run(seed, sabotage, false, scenario::backlog),
        Arena::Scale => run(seed, sabotage, false, scenario::scale),
    }
}

/// The first seed whose run breaks a promise, and how.
fn caught(sabotage: Sabotage) -> Option<(u64, Broken)> {
    (1..=SEEDS).find_map(|seed| outcome(sabotage, seed).broken.map(|broken| (seed, broken)))
}

/// On as many threads as there are cores; in the order of the list.
fn caught_all() -> Vec<(Sabotage, Option<(u64, Broken)>)> {
    let (next, found) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some(sabotage) = Sabotage::ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let caught = caught(*sabotage);
                    found.lock().unwrap().push((*sabotage, caught));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let of = |sabotage: &Sabotage| found.iter().find(|(found, _)| found == sabotage).cloned().unwrap();
    Sabotage::ALL.iter().map(of).collect()
}

fn table() -> String {
    let mut rows: Vec<(&str, &str, &str)> = ELSEWHERE.to_vec();
    rows.extend(Sabotage::ALL.iter().map(|sabotage| (sabotage.breaks().number(), sabotage.says(), THIS)));
    rows.sort_by_key(|(promise, ..)| promise.trim_start_matches('I').parse::<u32>().unwrap());
    let mut text =
        "# Planted errors, and the tests that find them\n\n| promise | error | tests |\n|---|---|---|\n".to_owned();
    for (promise, error, test) in rows {
        writeln!(text, "| {promise} | {} | `{test}` |", error.replace('|', "\\|")).unwrap();
    }
    text
}

#[test]
fn every_sabotage_is_found_by_the_check_of_the_promise_it_breaks() {
    let mut wrong = Vec::new();
    for (sabotage, caught) in caught_all() {
        let Some((seed, broken)) = caught else {
            wrong.push(format!("{sabotage:?} is found by nobody"));
            continue;
        };
        println!("{:<80} -> {:<3} -> seed {seed:>3}: {}", sabotage.says(), broken.promise, broken.what);
        if broken.promise != sabotage.breaks() {
            wrong.push(format!("{sabotage:?} breaks {}, and SEED={seed} calls it {broken}", sabotage.breaks()));
        }
    }
    for (promise, error, test) in ELSEWHERE {
        println!("{error:<80} -> {promise:<3} -> {test}");
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_table_of_sabotages_is_the_one_that_is_written_down() {
    let place = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(GOLDEN);
    #[allow(clippy::disallowed_methods, reason = "how the file is asked to be written")]
    let writes = std::env::var("UPDATE_GOLDENS").is_ok();
    if writes {
        std::fs::write(&place, table()).unwrap();
    }
    let kept = std::fs::read_to_string(place).unwrap_or_default();
    assert_eq!(kept, table(), "write it anew: UPDATE_GOLDENS=1 cargo test -p tests --test simulation table");
}

/// A history that nobody reads helps nobody.
#[test]
fn a_failing_schedule_is_cut_down_to_the_steps_that_matter() {
    for sabotage in [Sabotage::NullForAbsent, Sabotage::CommitOnDispatch, Sabotage::GarbageAsHit] {
        let (seed, broken) = caught(sabotage).unwrap();
        let script = Script::of(seed);
        let breaks = |script: &Script| play(script, sabotage, false).broken.map(|broken| broken.promise);
        let short = shrink(&script, |script| breaks(script) == Some(broken.promise));
        assert_eq!(breaks(&short), Some(broken.promise), "{sabotage:?}: it fails as it did");
        let len = short.steps.len();
        assert!(len <= 8 && len < script.steps.len(), "{sabotage:?}: {len} of {} are left", script.steps.len());
        assert!(short.users <= 3, "{sabotage:?}: {} users are left", short.users);
        let told = play(&short, sabotage, true).history;
        assert!(told.iter().any(|line| line.contains("BROKEN")) && told.len() < 120, "{}", told.join("\n"));
    }
}
