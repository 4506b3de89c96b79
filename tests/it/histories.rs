//! Histories that pipelines are known to get wrong.

use runtime::record::Timestamp;
use schemas::{Row, topics};
use store::cql::ProfileRow;
use tests::installation::Installation;
use tests::stack::Stack;

/// More would mean that updates of one user are written one by one.
const WRITES_MAX: u64 = 64;

const ADA: &str = r#""op": "upsert", "set": {"name": "Ada", "email": "ada@example.org", "plan": "pro"}"#;
const BOB: &str = r#""op": "upsert", "set": {"name": "Bob"}"#;
const RENAME: &str = r#""op": "patch", "set": {"name": "Grace"}"#;
const MOVE: &str = r#""op": "patch", "set": {"email": "grace@example.org"}"#;
const UNSET: &str = r#""op": "patch", "unset": ["plan"]"#;
const DELETE: &str = r#""op": "delete""#;

fn names(home: &Installation, row: &ProfileRow) -> [Option<String>; 3] {
    ["name", "email", "plan"].map(|field| home.text(row, field).map(str::to_owned))
}

fn some(names: [&str; 3]) -> [Option<String>; 3] {
    names.map(|name| (!name.is_empty()).then(|| name.to_owned()))
}

type Waiting = (&'static str, &'static [&'static str], Option<[&'static str; 3]>);

/// Who, what is waiting in the log when the workers start, and what it comes to; nothing if the user is gone.
const WAITING: [Waiting; 7] = [
    ("two-in-one-millisecond", &[ADA, RENAME], Some(["Grace", "ada@example.org", "pro"])),
    ("two-updates-in-one-batch", &[RENAME, MOVE], Some(["Grace", "grace@example.org", ""])),
    ("insert-delete-insert", &[ADA, DELETE, BOB], Some(["Bob", "", ""])),
    ("set-then-delete", &[ADA, DELETE], None),
    ("patch-after-delete", &[ADA, DELETE, RENAME], None),
    ("unset-then-set-another", &[ADA, UNSET, MOVE], Some(["Ada", "grace@example.org", ""])),
    ("upsert-replaces", &[ADA, BOB], Some(["Bob", "", ""])),
];

#[tokio::test]
async fn what_waited_together_comes_out_in_the_order_of_the_log() {
    let home = Installation::build(&Stack::of_run(), "waiting").await;
    let feed = home.feed(topics::RAW);
    for (user, changes, _) in WAITING {
        feed.changes(user, changes).await;
    }
    let appended: Vec<Timestamp> = home
        .records(topics::RAW)
        .await
        .iter()
        .filter(|record| record.key.as_deref() == Some(b"two-in-one-millisecond"))
        .map(|record| record.timestamp)
        .collect();
    assert!(matches!(appended[..], [Timestamp::LogAppend(first), Timestamp::LogAppend(second)] if first == second));

    let mut path = home.start_path();
    home.settled().await;
    for (user, _, expected) in WAITING {
        let row = home.row(user).await;
        assert_eq!(row.alive(), expected.is_some(), "{user}: {row:?}");
        if let Some(expected) = expected {
            assert_eq!(names(&home, &row), some(expected), "{user}");
        }
    }
    assert_eq!(home.row("set-then-delete").await.row, Row::default(), "nothing of the deleted is left");

    // Long after the deletion, and in batches of their own.
    for change in [RENAME, MOVE] {
        feed.change("set-then-delete", change).await;
        home.settled().await;
        assert!(!home.row("set-then-delete").await.alive(), "a patch brings nobody back");
    }
    feed.change("set-then-delete", BOB).await;
    home.settled().await;
    let row = home.row("set-then-delete").await;
    assert!(row.alive(), "an upsert does");
    assert_eq!(names(&home, &row), some(["Bob", "", ""]));
    home.assert_nothing_is_lost().await;
    home.assert_proven().await;
    assert!(path.iter_mut().all(|worker| worker.is_running()));
}

#[tokio::test]
async fn a_thousand_updates_of_one_user_that_wait_are_at_most_64_writes() {
    let home = Installation::build(&Stack::of_run(), "thousand").await;
    let feed = home.feed(topics::RAW);
    let updates: Vec<_> = (0..1_000)
        .map(|count| feed.of("busy", &format!(r#""op": "patch", "set": {{"name": "Ada {count}"}}"#)))
        .collect();
    feed.send(&updates).await;
    let _processors = ["validate", "enrich"].map(|worker| home.start(worker, &[]));
    home.settled_by("validate").await;
    home.settled_by("enrich").await;
    assert_eq!(writes(&home), 0);

    let _sink = home.start("sink", &[]);
    home.settled().await;
    let row = home.row("busy").await;
    assert_eq!(home.text(&row, "name"), Some("Ada 999"));
    let writes = writes(&home);
    assert!((1..=WRITES_MAX).contains(&writes), "1,000 updates took {writes} writes");
}

/// Mutations of the table as Cassandra has counted them.
fn writes(home: &Installation) -> u64 {
    let stats = home.stack.nodetool(&["tablestats", &format!("{}.profiles", home.name())]);
    let count = stats.lines().find_map(|line| line.trim().strip_prefix("Local write count: "));
    count.unwrap_or_else(|| panic!("no count in:\n{stats}")).parse().unwrap()
}
