//! Dead letters, sent once more.

use runtime::record::Outgoing;
use schemas::{Change, FieldSet, FieldValue, Lane, Op, Origin, Row, Tenant, UserId, Version, topics};
use serde_json::Value;
use std::process::Output;
use tests::feed::enriched;
use tests::installation::{Installation, PARTITIONS, told};
use tests::stack::Stack;
use uuid::Uuid;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

fn exit(output: &Output) -> i32 {
    output.status.code().expect("the command ends by itself")
}

/// The objects that it has printed, one a line.
fn objects(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// I2, I3.
#[tokio::test]
async fn a_replay_lands_in_its_old_place_and_twice_is_once() {
    let home = Installation::build(&Stack::of_run(), "replayed").await;
    let _path = home.start_path();
    let feed = home.feed(topics::RAW);
    feed.changes(
        "ada",
        &[
            r#""op": "upsert", "set": {"name": "Ada", "bio": "first"}"#,
            r#""op": "patch", "set": {"email": "nobody", "bio": "wrong", "plan": "pro"}"#,
            r#""op": "patch", "set": {"bio": "newest"}"#,
        ],
    )
    .await;
    // Of this one everything is newer by the time it is sent again.
    feed.changes(
        "bob",
        &[r#""op": "upsert", "set": {"email": "nobody"}"#, r#""op": "upsert", "set": {"name": "Bob"}"#],
    )
    .await;
    feed.change("cut", r#""op": "delete""#).await;
    feed.send(&[feed.record(Some(b"cut"), Some(b"nonsense"))]).await;
    home.settled().await;
    let (ada, bob) = (home.row("ada").await, home.row("bob").await);
    assert_eq!(home.records(topics::DEAD).await.len(), 3);

    let edit = "sed s/nobody/ada@example.org/";
    let email = ["dead", "replay", "--field", "set.email", "--code", "format-invalid", "--edit", edit];
    let dry = home.tidewater(&[&email[..], &["--dry-run", "--json"]].concat());
    assert_eq!(exit(&dry), 0, "{dry:?}");
    let lines = objects(&dry);
    let counts = lines.last().unwrap();
    assert_eq!(
        (&counts["found"], &counts["foreseen"]["changes"], &counts["foreseen"]["superseded"]),
        (&2.into(), &1.into(), &1.into())
    );
    // Of ada plan and e-mail are empty, and she has a newer change, which might have cleared them.
    assert_eq!(counts["cells"], serde_json::json!({"changed": 0, "superseded": 3, "unsure": 2}));
    let again = home.tidewater(&["dead", "replay", "--code", "format-invalid", "--dry-run"]);
    assert!(told(&again).contains("refused: format-invalid"), "{again:?}");
    assert_eq!(home.records(topics::PINNED).await.len(), 0, "a dry run sends nothing");
    assert_eq!((home.row("ada").await, home.row("bob").await), (ada.clone(), bob.clone()));

    let mut once = None;
    for run in 1..=2 {
        let sent = home.tidewater(&email);
        let said = told(&sent);
        assert!(said.contains("2  sent to") && !said.contains("nobody") && !said.contains("ada"), "{said}");
        home.settled().await;
        let row = home.row("ada").await;
        assert_eq!(home.text(&row, "email"), Some("ada@example.org"), "run {run}");
        assert_eq!((home.text(&row, "bio"), home.text(&row, "plan")), (Some("newest"), Some("pro")), "run {run}");
        let newest = |row: &store::cql::ProfileRow| (row.version, row.change, row.partition, row.offset);
        assert_eq!(newest(&row), newest(&ada), "run {run}: what is newer is still the newest");
        assert_eq!(home.row("bob").await, bob, "run {run}: all of it was superseded");
        assert_eq!(*once.get_or_insert_with(|| row.clone()), row, "run {run}");
    }
    let versions = home.versions(topics::ENRICHED).await;
    assert_eq!(versions.len(), 6, "copies of a change have its version and id");
    assert_eq!(home.records(topics::DEAD).await.len(), 3, "nothing was refused again");

    let failed = home.tidewater(&["dead", "replay", "--user", "cut", "--edit", "exit 1", "--json"]);
    assert_eq!((exit(&failed), objects(&failed)[0]["left"]["edit-failed"].as_u64()), (1, Some(1)));
    let fresh = r#"printf '{"user_id":"cut","op":"upsert","set":{"name":"Back"}}'"#;
    told(&home.tidewater(&["dead", "replay", "--user", "cut", "--edit", fresh]));
    home.settled().await;
    let cut = home.row("cut").await;
    assert!(cut.alive() && home.text(&cut, "name") == Some("Back"), "its place is behind the delete");
    home.assert_proven().await;
}

/// An upsert of 37 days ago, as `enrich` would have put it out.
fn old_change(home: &Installation, user: &str) -> Outgoing {
    let now = runtime::Clock::system().now_ms() * 1000;
    let mut set = Row::default();
    for (field, value) in [("name", "Lazarus"), ("country", "DE"), ("region", "Europe")] {
        set.set(home.profile.position(field).unwrap(), FieldValue::Text(value.to_owned()));
    }
    let change = Change {
        id: Uuid::from_u128(37),
        tenant: Tenant::default(),
        user_id: UserId::new(user).unwrap(),
        op: Op::Upsert,
        set,
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Version::at(now - 37 * DAY_MICROS, Lane::Live).unwrap(),
        origin: Origin::new(schemas::origin::RAW, 0, 1_000_000).unwrap(),
    };
    enriched(&home.codec(), &change, PARTITIONS)
}

#[tokio::test]
async fn what_has_no_old_place_is_sent_as_a_change_of_now_and_only_when_told() {
    let home = Installation::build(&Stack::of_run(), "renewed").await;
    let _path = home.start_path();
    let feed = home.feed(topics::RAW);
    let mut mislaid = feed.of("mislaid", r#""op": "upsert", "set": {"name": "Ada"}"#);
    mislaid.partition = (mislaid.partition + 1) % PARTITIONS;
    feed.send(&[mislaid]).await;
    home.feed(topics::ENRICHED).send(&[old_change(&home, "old")]).await;
    home.settled().await;
    assert_eq!(home.records(topics::DEAD).await.len(), 2);

    for code in ["misplaced", "change-too-old"] {
        let refused = home.tidewater(&["dead", "replay", "--code", code]);
        let said = String::from_utf8(refused.stderr.clone()).unwrap();
        assert!(exit(&refused) == 64 && said.contains("--as-new") && said.contains("two changes"), "{said}");
    }
    let left = home.tidewater(&["dead", "replay", "--all"]);
    assert_eq!(exit(&left), 1, "{left:?}");
    assert_eq!(home.records(topics::PINNED).await.len(), 0);

    let dry = objects(&home.tidewater(&["dead", "replay", "--all", "--as-new", "--dry-run", "--json"]));
    assert_eq!(dry.last().unwrap()["cells"]["changed"], 3, "{dry:?}");
    told(&home.tidewater(&["dead", "replay", "--all", "--as-new"]));
    home.settled().await;
    for (user, name) in [("mislaid", "Ada"), ("old", "Lazarus")] {
        let row = home.row(user).await;
        assert_eq!(home.text(&row, "name"), Some(name), "{user}");
        assert!(
            row.version.unwrap().millis() > runtime::Clock::system().now_ms() - 600_000,
            "{user} is a change of now"
        );
        assert!(row.partition.zip(row.offset).is_some(), "{user} has a receipt of its own");
    }
    assert_eq!(home.text(&home.row("old").await, "region"), Some("Europe"), "derived anew");
    assert_eq!(home.records(topics::DEAD).await.len(), 2, "nothing was refused again");
}
