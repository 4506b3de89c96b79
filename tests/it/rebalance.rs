//! Replicas that join, leave and are killed.

use crate::handover::{Unsettled, catch_up, in_mid_flight};
use crate::load::under_load;
use runtime::offsets::Span;
use schemas::{headers, topics};
use std::collections::VecDeque;
use std::time::Duration;
use tests::history::History;
use tests::installation::Installation;
use tests::process::Worker;
use tests::stack::{Stack, asked};
use tests::until;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Replicas that come or go, of `enrich` and `sink` together; `SCALE_STEPS` asks for more.
const STEPS: usize = 12;
/// Two replicas come and two go.
const STEPS_A_ROUND: usize = 4;

#[tokio::test]
async fn replicas_come_and_go_under_load_and_only_what_a_kill_left_is_done_again() {
    let rounds = asked("SCALE_STEPS", STEPS).div_ceil(STEPS_A_ROUND);
    let home = Installation::build(&Stack::of_run(), "scaled").await;
    let mut validate = start(&home, "validate");
    validate.ready().await;
    let mut history = History::new(11, home.name(), 300);
    let mut unsettled = Unsettled::default();
    let enough = CancellationToken::new();
    let scaled = async {
        let codes = scale(&home, rounds, &mut unsettled).await;
        enough.cancel();
        codes
    };
    let both = async { tokio::join!(scaled, watch_commits(&home, &enough)) };
    let ((codes, replicas), looked_at) = Box::pin(under_load(&home, &mut history, 80, both)).await;
    home.settled().await;

    assert!(looked_at > 100, "only {looked_at} committed changes were looked for");
    assert!(codes.iter().all(|code| *code == 0), "every drain had the time it needed: {codes:?}");
    home.assert_is(&history).await;
    let redone = unsettled.assert_nothing_else_was_redone(&home).await;
    assert!(redone > 0, "nothing was done twice, so nobody was killed in mid-flight");
    assert!(redone <= unsettled.records(), "{redone} redone, and {} were not committed", unsettled.records());
    drop(replicas);
}

/// The group shares out `raw` by itself, however many partitions of the idle `pinned` there are to balance it with (ADR 11).
#[tokio::test]
async fn a_second_validate_takes_its_share_of_raw() {
    let home = Installation::build(&Stack::of_run(), "shared").await;
    let mut replicas = vec![home.start("validate", &[])];
    replicas[0].ready().await;
    let mut history = History::new(12, home.name(), 50);
    Box::pin(under_load(&home, &mut history, 100, async {
        replicas.push(home.start("validate", &[]));
        let has_shared = async || {
            let share = replicas[1].metric("records_in_total").filter(|admitted| *admitted >= 20.0)?;
            Some((share, replicas[0].metric("records_in_total")?))
        };
        let (_, before) = until("the second replica to have a share", Duration::from_secs(30), has_shared).await;
        let goes_on = async || replicas[0].metric("records_in_total").filter(|admitted| *admitted >= before + 20.0);
        until("the first replica to keep one", Duration::from_secs(30), goes_on).await;
    }))
    .await;
    for replica in replicas {
        assert_eq!(replica.leave().await, 0);
    }
}

/// A worker that always has records in flight: a batch of `enrich` takes a fifth of a second, and it commits once in
/// three, and `sink` writes one change at a time, with little waiting behind it. Nobody is too slow for the drain.
fn start(home: &Installation, worker: &'static str) -> Worker {
    let slow: &[(&str, &str)] = match worker {
        "enrich" => &[("KAFKA__LINGER", "200ms"), ("LIMITS__COMMIT_EVERY", "3s")],
        "sink" => {
            &[("CASSANDRA__WRITES_IN_FLIGHT_MAX", "1"), ("LIMITS__BATCH_LEN_MAX", "1"), ("LIMITS__LANE_QUEUE_LEN", "4")]
        }
        _ => &[],
    };
    // Whoever is killed is missed soon; `validate` is not, and keeps its share however busy the machine is.
    let session = if worker == "validate" { "60s" } else { "3s" };
    home.start(worker, &[&[("LIMITS__DRAIN", "10s"), ("KAFKA__SESSION_TIMEOUT", session)], slow].concat())
}

/// In each round a further replica of both workers comes, and the older one goes: in every other round it is killed. The
/// exit codes of those that were asked, and who is there in the end.
async fn scale(home: &Installation, rounds: usize, unsettled: &mut Unsettled) -> (Vec<i32>, VecDeque<[Worker; 2]>) {
    let both = || ["enrich", "sink"].map(|worker| start(home, worker));
    let mut replicas = VecDeque::from([both()]);
    let mut codes = Vec::new();
    for round in 0..rounds {
        replicas.push_back(both());
        for worker in replicas.iter_mut().flatten() {
            worker.ready().await;
        }
        sleep(Duration::from_millis(500)).await;
        let Some([enrich, sink]) = replicas.pop_front() else { break };
        if round % 2 == 1 {
            in_mid_flight(home).await;
            enrich.kill();
            unsettled.note(home).await;
            sink.kill();
        } else {
            codes.push(enrich.leave().await);
            codes.push(sink.leave().await);
        }
        for worker in ["enrich", "sink"] {
            catch_up(home, worker).await;
        }
    }
    (codes, replicas)
}

/// Looks for each newly committed change in its row; how many were looked for.
async fn watch_commits(home: &Installation, enough: &CancellationToken) -> usize {
    let codec = home.codec();
    let mut seen = home.committed("sink").await;
    let mut looked_at = 0;
    while !enough.is_cancelled() {
        let committed = home.committed("sink").await;
        let spans: Vec<Span> = (0..).zip(seen.iter().zip(&committed)).map(span).collect();
        for record in home.read(topics::ENRICHED, &spans).await {
            let origin = record.headers.last(headers::ORIGIN).map(|origin| &origin[..]);
            let change = codec.decode_own(record.value.as_deref(), origin).unwrap();
            let row = home.row_of(&change.tenant, &change.user_id).await;
            assert!(row.version >= Some(change.version), "{} is committed and not in its row", change.origin);
            looked_at += 1;
        }
        seen = committed.iter().zip(&seen).map(|(now, before)| *now.max(before)).collect();
        sleep(Duration::from_millis(50)).await;
    }
    looked_at
}

/// The last of what was committed since: not all, so that looking keeps up.
fn span((partition, (seen, committed)): (i32, (&i64, &i64))) -> Span {
    Span { partition, from: *seen.max(&(committed - 10)), to: *committed }
}
