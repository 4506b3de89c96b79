//! One change that Cassandra refuses, among others of its user that it takes.

use runtime::record::Outgoing;
use schemas::{Change, FieldSet, FieldValue, Lane, Op, Origin, Row, Tenant, UserId, Version, headers, topics};
use tests::feed::enriched;
use tests::installation::{Installation, PARTITIONS};
use tests::stack::Stack;
use uuid::Uuid;

const USER: &str = "refusal-user";

/// Change `n` of the user, as enrich puts it out: it names one field.
fn change(home: &Installation, n: u8, field: &str, value: String) -> Outgoing {
    let now = runtime::Clock::system().now_ms() * 1000;
    let mut set = Row::default();
    set.set(home.profile.position(field).unwrap(), FieldValue::Text(value));
    let change = Change {
        id: Uuid::from_u128(u128::from(n)),
        tenant: Tenant::default(),
        user_id: UserId::new(USER).unwrap(),
        op: Op::Patch,
        set,
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Version::at(now - 1_000_000 + i64::from(n) * 8, Lane::Live).unwrap(),
        origin: Origin::new(schemas::origin::RAW, 0, i64::from(n)).unwrap(),
    };
    enriched(&home.codec(), &change, PARTITIONS)
}

/// I8. An index makes Cassandra refuse long values; no change of the shipped profile is refused without one.
#[tokio::test]
async fn a_change_that_cassandra_refuses_is_a_dead_letter_and_takes_no_neighbour_with_it() {
    let home = Installation::build(&Stack::of_run(), "refusal").await;
    home.session.define(&format!("CREATE INDEX ON \"{}\".\"profiles\" (\"bio\")", home.name())).await.unwrap();
    let waiting = [
        change(&home, 1, "name", "Ada".to_owned()),
        change(&home, 2, "bio", "x".repeat(70_000)),
        change(&home, 3, "country", "DE".to_owned()),
    ];
    home.feed(topics::ENRICHED).send(&waiting).await;
    let _sink = home.start("sink", &[]);
    home.settled_by("sink").await;
    let row = home.row(USER).await;
    assert_eq!(home.text(&row, "name"), Some("Ada"));
    assert_eq!(home.text(&row, "country"), Some("DE"));
    assert_eq!(home.text(&row, "bio"), None);
    let letters = home.records(topics::DEAD).await;
    let codes: Vec<_> = letters.iter().map(|letter| letter.headers.last(headers::CODE).unwrap().to_vec()).collect();
    assert_eq!(codes, [b"store-refused".to_vec()]);
    assert_eq!(letters[0].value, waiting[1].value, "kept byte for byte");
}
