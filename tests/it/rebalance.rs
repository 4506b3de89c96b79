//! Replicas that join and leave.

use crate::load::under_load;
use runtime::kafka::Span;
use schemas::{headers, topics};
use std::time::Duration;
use tests::history::History;
use tests::installation::Installation;
use tests::process::Worker;
use tests::stack::Stack;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn replicas_join_and_leave_under_load_and_no_commit_is_ahead_of_its_rows() {
    let home = Installation::build(&Stack::of_run(), "scaled").await;
    let mut path = vec![start(&home, "validate"), start(&home, "enrich"), start(&home, "sink")];
    for worker in &mut path {
        worker.ready().await;
    }
    let mut history = History::new(11, home.name(), 300);
    let enough = CancellationToken::new();
    let scaled = async {
        let codes = scale(&home).await;
        enough.cancel();
        codes
    };
    let both = async { tokio::join!(scaled, watch_commits(&home, &enough)) };
    let (codes, looked_at) = Box::pin(under_load(&home, &mut history, 80, both)).await;
    home.settled().await;

    assert!(looked_at > 100, "only {looked_at} committed changes were looked for");
    assert_eq!(codes, [0; 4], "every drain had the time it needed");
    home.assert_is(&history).await;
    // Whoever gives partitions up drains first: their frontier is then the head, and nobody redoes anything.
    let (raw, valid) = (home.records(topics::RAW).await.len(), home.records(topics::VALID).await.len());
    assert_eq!(valid, raw, "records were redone, or lost");
}

/// A worker that always has records in flight: a batch of `validate` takes half a second, and `sink` writes one change
/// at a time, with little waiting behind it. Nobody is too slow for the drain.
fn start(home: &Installation, worker: &'static str) -> Worker {
    let slow: &[(&str, &str)] = match worker {
        "validate" => &[("KAFKA__LINGER", "500ms")],
        "sink" => {
            &[("CASSANDRA__WRITES_IN_FLIGHT_MAX", "1"), ("LIMITS__BATCH_LEN_MAX", "1"), ("LIMITS__LANE_QUEUE_LEN", "4")]
        }
        _ => &[],
    };
    home.start(worker, &[&[("LIMITS__DRAIN", "10s")], slow].concat())
}

/// Second and third replicas of both ends of the path come and go; their exit codes.
async fn scale(home: &Installation) -> Vec<i32> {
    let mut codes = Vec::new();
    let mut more: Vec<Worker> = Vec::new();
    for _ in 0..2 {
        more.extend(["validate", "sink"].map(|worker| start(home, worker)));
        for worker in &mut more {
            worker.ready().await;
        }
        sleep(Duration::from_secs(1)).await;
    }
    for worker in more {
        codes.push(worker.leave().await);
        sleep(Duration::from_millis(500)).await;
    }
    codes
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
