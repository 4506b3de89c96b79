//! Everything once more.

use schemas::topics;
use std::collections::BTreeSet;
use std::time::Duration;
use tests::history::History;
use tests::installation::{Installation, PATH, told};
use tests::stack::Stack;
use tests::until;

#[tokio::test]
async fn a_full_rewind_leaves_every_row_unchanged_at_every_instant_and_gives_the_same_versions() {
    let home = Installation::build(&Stack::of_run(), "rewound").await;
    let path = home.start_path();
    let mut history = History::new(23, home.name(), 60);
    let feed = home.feed(topics::RAW);
    for _ in 0..4 {
        feed.send(&history.next(500, &feed)).await;
    }
    home.settled().await;
    home.assert_is(&history).await;
    let (rows, versions) = (home.rows().await, home.versions(topics::ENRICHED).await);
    let once = home.records(topics::ENRICHED).await.len();
    let mut codes = BTreeSet::new();
    for worker in path {
        codes.insert(worker.leave().await);
    }
    assert_eq!(codes, BTreeSet::from([0]), "idle workers have nothing to drain");
    for group in ["validate", "sink"] {
        until("the group to be empty", Duration::from_secs(20), async || {
            home.tidewater(&["rewind", group, "--to", "START", "--dry-run"]).status.success().then_some(())
        })
        .await;
        told(&home.tidewater(&["rewind", group, "--to", "START"]));
    }
    assert_eq!(home.lag("validate").await, Some(2_000));

    // One change at a time, so that nothing is hidden by a merge and there is time to look.
    let one_by_one = [("CASSANDRA__WRITES_IN_FLIGHT_MAX", "1"), ("LIMITS__BATCH_LEN_MAX", "1")];
    let _path = [home.start("validate", &[]), home.start("enrich", &[]), home.start("sink", &one_by_one)];
    let mut looks = 0;
    for (worker, _) in PATH {
        while home.lag(worker).await != Some(0) {
            let now = home.rows().await;
            for (user, row) in &rows {
                assert_eq!(now.get(user), Some(row), "look {looks}: the row of {user:?} has changed");
            }
            assert_eq!(now.len(), rows.len(), "look {looks}: a row is new");
            looks += 1;
            assert!(looks < 5_000, "the rewind does not come to its end");
        }
    }

    assert!(looks >= 10, "the rows were looked at {looks} times only");
    assert_eq!(home.records(topics::ENRICHED).await.len(), 2 * once, "everything was done twice");
    assert_eq!(home.rows().await, rows);
    assert_eq!(home.versions(topics::ENRICHED).await, versions, "a record done again has the version it had");
    home.assert_is(&history).await;
}
