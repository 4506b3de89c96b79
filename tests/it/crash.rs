//! Workers that are killed.

use crate::load::under_load;
use runtime::offsets::Watermarks;
use schemas::topics;
use tests::history::History;
use tests::installation::{Installation, PATH};
use tests::stack::Stack;

/// Kills of each worker that must have hit records in flight.
const KILLS: usize = 3;

/// Kills that hit nothing are done again, for so many rounds at most: `validate` is often through with all there is.
const ROUNDS_MAX: usize = 10 * KILLS;

#[tokio::test]
async fn workers_killed_in_mid_flight_lose_nothing_and_give_each_change_one_version() {
    let home = Installation::build(&Stack::of_run(), "killed").await;
    let mut path = home.start_path();
    let mut history = History::new(9, home.name(), 300);
    let (hits, redone_max) = under_load(&home, &mut history, 60, async {
        let (mut hits, mut redone_max) = ([0; 3], 0);
        for _round in 0..ROUNDS_MAX {
            for worker in &mut path {
                worker.ready().await;
            }
            // From the end, so that what comes before still sends.
            for at in [2, 1, 0] {
                let (name, topic) = PATH[at];
                let ends = home.watermarks(topic).await;
                std::mem::replace(&mut path[at], home.start(name, &[])).kill();
                // What was there before the kill, and is not committed by the dead.
                let settled = home.committed(name).await;
                hits[at] += usize::from(between(&settled, &ends) > 0);
                if at == 0 {
                    redone_max += between(&settled, &home.watermarks(topic).await);
                }
            }
            if hits.iter().all(|hits| *hits >= KILLS) {
                break;
            }
        }
        (hits, redone_max)
    })
    .await;
    assert!(hits.iter().all(|hits| *hits >= KILLS), "kills in mid-flight by worker: {hits:?}");
    home.settled().await;

    home.assert_is(&history).await;
    let raw = home.records(topics::RAW).await.len();
    let redone = home.records(topics::VALID).await.len() - raw;
    assert!(redone > 0, "nothing was done twice, so nothing was killed in mid-flight");
    assert!(i64::try_from(redone).unwrap() <= redone_max, "{redone} redone, and {redone_max} were not committed");
    assert!(path.iter_mut().all(|worker| worker.is_running()));
}

/// Records from what was committed to the ends.
fn between(settled: &[i64], ends: &[Watermarks]) -> i64 {
    ends.iter().zip(settled).map(|(end, settled)| (end.high - settled).max(0)).sum()
}
