//! A deleted user stays deleted, also when Cassandra has forgotten the deletion.

use schemas::{Change, FieldSet, FieldValue, Lane, Op, Origin, Row, Tenant, UserId, Version, headers, topics};
use std::time::Duration;
use store::cql::Writer;
use tests::feed::enriched;
use tests::installation::{Installation, PARTITIONS};
use tests::stack::Stack;
use tokio::time::sleep;
use uuid::Uuid;

const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// An upsert of 37 days ago: younger than any topic keeps it, older than 0.8 of what the table was made to remember.
fn old_change(home: &Installation, user: &str) -> Change {
    let now = runtime::Clock::system().now_ms() * 1000;
    let mut set = Row::default();
    set.set(home.profile.position("name").unwrap(), FieldValue::Text("Lazarus".to_owned()));
    Change {
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
    }
}

#[tokio::test]
async fn a_change_older_than_the_deletions_that_cassandra_remembers_brings_nobody_back() {
    let home = Installation::build(&Stack::of_run(), "zombie").await;
    let _path = home.start_path();
    let feed = home.feed(topics::RAW);
    let (dead, proof) = ("zombie-dead", "zombie-proof");
    for user in [dead, proof] {
        feed.change(user, r#""op": "upsert", "set": {"name": "Ada", "email": "ada@example.org"}"#).await;
    }
    home.settled().await;
    assert!(home.row(dead).await.alive() && home.row(proof).await.alive());

    // Behind the sink's back: it was read at the start.
    let table = format!("\"{}\".\"profiles\"", home.name());
    home.session.define(&format!("ALTER TABLE {table} WITH gc_grace_seconds = 0")).await.unwrap();
    for user in [dead, proof] {
        feed.change(user, r#""op": "delete""#).await;
    }
    home.settled().await;
    // A tombstone may be dropped in the second after the one it was written in.
    sleep(Duration::from_secs(2)).await;
    for verb in ["flush", "compact"] {
        let _done = home.stack.nodetool(&[verb, home.name(), "profiles"]);
    }

    let change = old_change(&home, dead);
    home.feed(topics::ENRICHED).send(&[enriched(&home.codec(), &change, PARTITIONS)]).await;
    home.settled().await;
    let row = home.row(dead).await;
    assert!(!row.alive() && row.row == Row::default(), "the user stays deleted: {row:?}");
    let letters = home.records(topics::DEAD).await;
    let [letter] = &letters[..] else { panic!("{letters:?}") };
    let header = |name| letter.headers.last(name).map(|value| String::from_utf8(value.to_vec()).unwrap());
    assert_eq!(header(headers::CODE).as_deref(), Some("change-too-old"));
    assert_eq!(header(headers::STAGE).as_deref(), Some("sink"));
    assert_eq!(header(headers::VERSION), Some(change.version.to_string()));
    assert_eq!(header(headers::ORIGIN), Some(change.origin.to_string()));
    assert_eq!(header(headers::ID), Some(change.id.to_string()));

    // And this is what it is kept from: the same change, written without that look, is there again.
    let writer = Writer::prepare(&home.session, &home.profile).await.unwrap();
    writer.write(&[&old_change(&home, proof)]).await.unwrap();
    let row = home.row(proof).await;
    assert_eq!(home.text(&row, "name"), Some("Lazarus"), "the deletion is forgotten, or this test shows nothing");
}
