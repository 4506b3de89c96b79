//! Tables, writes and reads.

use crate::servers::{self, Relay};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use schemas::profile::{CHANGE, ChangeSchema};
use schemas::{Change, FieldSet, FieldValue, Op, Origin, Profile, Row, Tenant, UserId, Version};
use std::time::Duration;
use store::cql::{
    Blame, Class, Config, ConnectError, Difference, GC_GRACE_MIN, Keyspace, Model, Plan, PrepareError, ProfileRow,
    ReadError, Reader, Replication, Session, Table, TableError, Writer, merge,
};
use uuid::Uuid;

fn replication() -> Replication {
    Replication::within("datacenter1", 1)
}

/// A field of every kind.
const EVERY_KIND: &str = r#"
    {"name": "flag", "type": ["null", "boolean"], "default": null},
    {"name": "count", "type": ["null", "int"], "default": null},
    {"name": "total", "type": ["null", "long"], "default": null},
    {"name": "ratio", "type": ["null", "float"], "default": null},
    {"name": "score", "type": ["null", "double"], "default": null},
    {"name": "name", "type": ["null", "string"], "default": null},
    {"name": "plan", "type": ["null", {"type": "enum", "name": "Plan", "symbols": ["free", "pro"]}], "default": null},
    {"name": "photo", "type": ["null", "bytes"], "default": null},
    {"name": "born", "type": ["null", {"type": "int", "logicalType": "date"}], "default": null},
    {"name": "seen", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": null},
    {"name": "device", "type": ["null", {"type": "string", "logicalType": "uuid"}], "default": null}"#;

const FOUR: &str = r#"
    {"name": "name", "type": ["null", "string"], "default": null},
    {"name": "email", "type": ["null", "string"], "default": null},
    {"name": "visits", "type": ["null", "long"], "default": null},
    {"name": "avatar", "type": ["null", "bytes"], "default": null}"#;

fn profile(fields: &str) -> Profile {
    let text = format!(r#"{{"type": "record", "name": "Profile", "namespace": "tidewater.v1", "fields": [{fields}]}}"#);
    let schema = ChangeSchema::splice(CHANGE, &text).unwrap();
    let kept = format!("{}.avsc", schema.fingerprint);
    Profile::load(CHANGE, &text, [(&*kept, &*schema.text)]).unwrap()
}

fn config(test: &str) -> Config {
    let keyspace = Keyspace::new(&format!("t{}_{test}", std::process::id())).unwrap();
    Config { nodes: servers::cassandra(), keyspace, ..Config::default() }
}

/// A keyspace of the test's own with the table of a profile.
struct House {
    session: Session,
    profile: Profile,
    writer: Writer,
    reader: Reader,
}

impl House {
    async fn build(test: &str, fields: &str) -> Self {
        Self::build_at(config(test), fields).await
    }

    async fn build_at(config: Config, fields: &str) -> Self {
        let profile = profile(fields);
        let session = Session::connect(&config).await.unwrap();
        Plan::draw(&session, &profile, &replication()).await.unwrap().apply(&session).await.unwrap();
        let writer = Writer::prepare(&session, &profile).await.unwrap();
        let reader = Reader::prepare(&session, &profile).await.unwrap();
        Self { session, profile, writer, reader }
    }

    async fn read(&self, user: &str) -> ProfileRow {
        let row = self.reader.read(&Tenant::default(), &UserId::new(user).unwrap()).await.unwrap();
        row.unwrap_or_else(|| ProfileRow { row: Row::with_width(self.profile.fields().len()), ..ProfileRow::default() })
    }

    /// Also after a failed test the keyspace does no harm: its name is never used again.
    async fn tear_down(self) {
        self.session.define(&format!("DROP KEYSPACE \"{}\"", self.session.keyspace())).await.unwrap();
    }

    /// `PROFILES` stands for the table.
    async fn define(&self, statement: &str) {
        self.session.define(&statement.replace("PROFILES", &self.table())).await.unwrap();
    }

    fn table(&self) -> String {
        format!("\"{}\".\"profiles\"", self.session.keyspace())
    }
}

fn change(user: &str, op: Op, version: i64) -> Change {
    Change {
        id: Uuid::from_u128(u128::from(version.unsigned_abs())),
        tenant: Tenant::default(),
        user_id: UserId::new(user).unwrap(),
        op,
        set: Row::default(),
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Version::new(version).unwrap(),
        origin: Origin::new(schemas::origin::RAW, 3, version).unwrap(),
    }
}

fn text(value: &str) -> FieldValue {
    FieldValue::Text(value.to_owned())
}

fn setting(mut change: Change, field: usize, value: FieldValue) -> Change {
    change.set.set(field, value);
    change
}

#[tokio::test]
async fn migrating_twice_is_migrating_once_and_a_new_field_is_a_new_column() {
    let session = Session::connect(&config("migrate")).await.unwrap();
    let (few, more) = (
        profile(FOUR),
        profile(&format!("{FOUR}, {}", EVERY_KIND.replace("\"name\": \"name\"", "\"name\": \"nick\""))),
    );
    let missing = Table::inspect(&session, &few).await.unwrap_err();
    assert!(missing.to_string().contains("profiles is missing: run `tidewater migrate`"), "{missing}");

    let plan = Plan::draw(&session, &few, &replication()).await.unwrap();
    assert_eq!(plan.statements().len(), 2, "{plan:?}");
    plan.apply(&session).await.unwrap();
    plan.apply(&session).await.unwrap();
    assert_eq!(Plan::draw(&session, &few, &replication()).await.unwrap(), Plan::default());
    assert_eq!(Table::inspect(&session, &few).await.unwrap(), Table { gc_grace: GC_GRACE_MIN });

    let missing = Table::inspect(&session, &more).await.unwrap_err();
    assert!(missing.to_string().contains("column photo is missing"), "{missing}");
    let plan = Plan::draw(&session, &more, &replication()).await.unwrap();
    assert_eq!(plan.statements().len(), 11, "{plan:?}");
    plan.apply(&session).await.unwrap();
    Table::inspect(&session, &more).await.unwrap();

    let plan = Plan::draw(&session, &few, &replication()).await.unwrap();
    assert_eq!(
        (plan.statements().len(), plan.notes().len()),
        (0, 11),
        "fields taken away keep their columns: {plan:?}"
    );
    Table::inspect(&session, &few).await.unwrap();
    session.define(&format!("DROP KEYSPACE \"{}\"", session.keyspace())).await.unwrap();
}

#[tokio::test]
async fn drift_is_refused_with_every_difference_and_changes_nothing() {
    let session = Session::connect(&config("drift")).await.unwrap();
    let keyspace = session.keyspace().clone();
    session
        .define(&format!(
            "CREATE KEYSPACE {keyspace} WITH replication = {{'class': 'SimpleStrategy', 'replication_factor': 1}}"
        ))
        .await
        .unwrap();
    session
        .define(&format!(
            "CREATE TABLE {keyspace}.profiles (tenant text, user_id text, name int, visits counter, PRIMARY KEY (tenant, user_id)) WITH gc_grace_seconds = 0"
        ))
        .await
        .unwrap_err();
    session
        .define(&format!(
            "CREATE TABLE {keyspace}.profiles (tenant text, user_id text, name int, visits timestamp, tw_next int, PRIMARY KEY (tenant, user_id)) WITH gc_grace_seconds = 0"
        ))
        .await
        .unwrap();
    let profile = profile(FOUR);
    let expected = [
        Difference::PrimaryKey { found: "((tenant), user_id)".into() },
        Difference::ColumnType { column: "name".into(), found: "int".into(), wanted: "text" },
        Difference::ColumnType { column: "visits".into(), found: "timestamp".into(), wanted: "bigint" },
        Difference::ColumnForeign { column: "tw_next".into() },
        Difference::GcGrace { found: Duration::ZERO },
    ];
    for _ in 0..2 {
        match Plan::draw(&session, &profile, &replication()).await {
            Err(TableError::Drift { differences, .. }) => assert_eq!(differences, expected),
            other => panic!("no drift: {other:?}"),
        }
    }
    let found = Table::inspect(&session, &profile).await.unwrap_err();
    assert!(found.to_string().contains("gc_grace_seconds is 0, it must be at least 3888000"), "{found}");
    assert!(matches!(Writer::prepare(&session, &profile).await, Err(PrepareError::Drift(_))));
    session.define(&format!("DROP KEYSPACE {keyspace}")).await.unwrap();
}

#[tokio::test]
async fn a_table_that_forgets_deletions_too_early_is_refused() {
    let house = House::build("gc_grace", FOUR).await;
    house.define("ALTER TABLE PROFILES WITH gc_grace_seconds = 3887999").await;
    match Table::inspect(&house.session, &house.profile).await {
        Err(TableError::Drift { differences, .. }) => {
            assert_eq!(differences, [Difference::GcGrace { found: GC_GRACE_MIN - Duration::from_secs(1) }]);
        }
        other => panic!("no drift: {other:?}"),
    }
    house.define("ALTER TABLE PROFILES WITH gc_grace_seconds = 8640000").await;
    let longer = Table { gc_grace: Duration::from_secs(8_640_000) };
    assert_eq!(Table::inspect(&house.session, &house.profile).await.unwrap(), longer);
    house.tear_down().await;
}

#[tokio::test]
async fn only_definitions_go_through_the_door_for_definitions() {
    let house = House::build("door", FOUR).await;
    let delete = format!("DELETE FROM {} WHERE tenant = 'main' AND user_id = 'ada'", house.table());
    assert!(matches!(house.session.define(&delete).await, Err(TableError::Refused(_))));
    house.tear_down().await;
}

#[tokio::test]
async fn every_kind_comes_back_as_it_went() {
    let house = House::build("kinds", EVERY_KIND).await;
    let device = "6fa459ea-ee8a-3ca4-894e-db77e160355e";
    let full = [
        FieldValue::Bool(true),
        FieldValue::Int(i32::MIN),
        FieldValue::Long(i64::MIN),
        FieldValue::Float(-0.1),
        FieldValue::Double(f64::MAX),
        text("Zoë 👩‍🚀 \u{1F1E6}'\";--"),
        text("pro"),
        FieldValue::Bytes((0..=255).collect()),
        FieldValue::Int(-719_162),
        FieldValue::Long(1_795_331_234_567_891),
        text(device),
    ];
    let least = [
        FieldValue::Bool(false),
        FieldValue::Int(i32::MAX),
        FieldValue::Long(i64::MAX),
        FieldValue::Float(f32::INFINITY),
        FieldValue::Double(-0.0),
        text(""),
        text("free"),
        FieldValue::Bytes(vec![]),
        FieldValue::Int(i32::MAX),
        FieldValue::Long(-1),
        text("00000000-0000-0000-0000-000000000000"),
    ];
    for (user, values) in [("full", full), ("least", least)] {
        for (op, version) in [(Op::Upsert, 8), (Op::Patch, 16)] {
            let mut change = change(user, op, version);
            for (field, value) in values.iter().cloned().enumerate() {
                change.set.set(field, value);
            }
            change.source = Some("crm".into());
            house.writer.write(&[&change]).await.unwrap();
            let row = house.read(user).await;
            assert_eq!(row.row.iter().map(|(_, value)| value.clone()).collect::<Vec<_>>(), values);
            assert_eq!(
                (row.version, row.change, row.source),
                (Some(change.version), Some(change.id), Some("crm".into()))
            );
            assert_eq!((row.partition, row.offset), (Some(3), Some(version)));
        }
    }
    house.tear_down().await;
}

/// I1, I4 in plain words.
#[tokio::test]
async fn an_upsert_replaces_a_patch_touches_and_a_delete_stays_deleted() {
    let house = House::build("semantics", FOUR).await;
    let write = async |change: &Change| {
        house.writer.write(&[change]).await.unwrap();
        house.read("ada").await
    };
    let patch = setting(change("ada", Op::Patch, 8), 0, text("Ada"));
    let row = write(&patch).await;
    assert!(row.alive(), "a patch creates who never existed");

    let upsert = setting(setting(change("ada", Op::Upsert, 16), 1, text("ada@example.com")), 2, FieldValue::Long(7));
    let row = write(&upsert).await;
    assert_eq!(row.row.named(), FieldSet::from_iter([1, 2]), "an upsert replaces the whole profile");
    assert_eq!(row.live, Some(upsert.version));

    let mut patch = setting(change("ada", Op::Patch, 24), 0, text("Ada L."));
    patch.unset.insert(2);
    let row = write(&patch).await;
    assert_eq!(row.row.named(), FieldSet::from_iter([0, 1]), "a patch clears what it unsets and leaves the rest");

    let row = write(&change("ada", Op::Delete, 32)).await;
    assert!(!row.alive() && row.row.named().is_empty());
    assert_eq!((row.dead, row.live, row.version), (Version::new(32), None, Version::new(32)));

    let row = write(&setting(change("ada", Op::Patch, 40), 0, text("Ada"))).await;
    assert!(!row.alive(), "a patch never brings back who was deleted");
    let row = write(&upsert).await;
    assert!(!row.alive(), "late is nothing");
    let row = write(&setting(change("ada", Op::Upsert, 48), 0, text("Ada II"))).await;
    assert!(row.alive() && row.dead.is_none());

    let mut pinned = change("ada", Op::Upsert, 56);
    pinned.origin = Origin::new("changes.pinned.v1", 0, 5).unwrap();
    let row = write(&pinned).await;
    assert_eq!((row.partition, row.offset), (None, None), "an upsert from elsewhere erases the receipt");
    house.tear_down().await;
}

/// A history with late, repeated and equal versions, cut into batches.
fn batches() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let op = prop_oneof![2 => Just(Op::Upsert), 4 => Just(Op::Patch), 1 => Just(Op::Delete)];
    let cells = proptest::array::uniform4(prop_oneof![2 => Just(None), 3 => (0..3u8).prop_map(Some)]);
    let one = (op, cells, 1..6i64, 0..3u8, proptest::option::of("[ab]"), any::<bool>());
    let one = one.prop_map(|(op, cells, place, id, source, is_pinned)| {
        let mut change = change("nobody", op, 8 * place);
        for (field, cell) in cells.into_iter().enumerate() {
            match (op, cell) {
                (Op::Delete, _) | (_, None) => {}
                (Op::Patch, Some(0)) => change.unset.insert(field),
                (_, Some(digit)) => change.set.set(field, tied(field, digit)),
            }
        }
        change.id = Uuid::from_u128(id.into());
        change.source = source;
        if is_pinned {
            change.origin = Origin::new("changes.pinned.v1", 3, place).unwrap();
        }
        change
    });
    proptest::collection::vec(proptest::collection::vec(one, 1..5), 1..4)
}

fn tied(field: usize, digit: u8) -> FieldValue {
    match field {
        2 => FieldValue::Long(i64::from(digit) - 1),
        3 => FieldValue::Bytes(vec![digit; usize::from(digit)]),
        _ => FieldValue::Text("x".repeat(digit.into())),
    }
}

/// The model is what the merge is proved against: it must be right about Cassandra, ties included.
#[tokio::test]
async fn cassandra_decides_as_the_model_does() {
    let house = House::build("model", FOUR).await;
    let (mut runner, strategy) = (TestRunner::deterministic(), batches());
    for history in 0..150 {
        let user = format!("user-{history}");
        let mut model = Model::new(&house.profile);
        for mut batch in strategy.new_tree(&mut runner).unwrap().current() {
            batch.iter_mut().for_each(|change| change.user_id = UserId::new(&user).unwrap());
            let batch: Vec<&Change> = batch.iter().collect();
            house.writer.write(&batch).await.unwrap();
            merge(&batch).iter().for_each(|statement| model.apply(statement));
            assert_eq!(house.read(&user).await, model.read(), "history {history}: {batch:?}");
        }
    }
    house.tear_down().await;
}

#[tokio::test]
async fn a_merge_over_a_mebibyte_is_written_whole() {
    let house = House::build("large", FOUR).await;
    let large = |field, version, len| setting(change("ada", Op::Patch, version), field, text(&"x".repeat(len)));
    let photo = setting(change("ada", Op::Upsert, 24), 3, FieldValue::Bytes(vec![7; 1_500_000]));
    let changes = [
        photo,
        large(0, 32, 700_000),
        large(1, 40, 700_000),
        setting(change("ada", Op::Patch, 48), 2, FieldValue::Long(1)),
    ];
    house.writer.write(&changes.iter().collect::<Vec<_>>()).await.unwrap();
    let row = house.read("ada").await;
    assert_eq!(row.row.named(), FieldSet::from_iter([0, 1, 2, 3]));
    assert_eq!((row.live, row.version, row.offset), (Version::new(24), Version::new(48), Some(48)));
    house.tear_down().await;
}

/// I8: one refused change neither blocks nor takes its neighbours.
#[tokio::test]
async fn a_refused_change_is_told_from_a_store_that_refuses_everything() {
    let house = House::build("refused", FOUR).await;
    house.define("CREATE INDEX by_email ON PROFILES (email)").await;
    let good = setting(change("ada", Op::Patch, 8), 0, text("Ada"));
    // An index takes values below 64 KiB.
    let mut bad = setting(change("ada", Op::Patch, 16), 1, text(&"x".repeat(70_000)));
    bad.unset.insert(2);
    let newer = setting(change("ada", Op::Patch, 24), 2, FieldValue::Long(1));
    let error = house.writer.write(&[&good, &bad, &newer]).await.unwrap_err();
    assert_eq!(error.class(), Class::Refused, "{error}");
    assert_eq!(house.read("ada").await.version, None, "a refused merge leaves nothing behind");

    house.writer.write(&[&good]).await.unwrap();
    assert_eq!(house.writer.write(&[&bad]).await.unwrap_err().class(), Class::Refused);
    house.writer.write(&[&newer]).await.unwrap();
    let now = Version::new(8_000).unwrap();
    assert_eq!(house.writer.probe(&bad, now).await.unwrap(), Blame::Change);
    assert_eq!(house.read("ada").await.row.named(), FieldSet::from_iter([0, 2]));

    let mut scan = house.reader.scan();
    let mut users = vec![];
    while let Some((tenant, user_id, _)) = scan.next().await.unwrap() {
        users.push((tenant, user_id));
    }
    assert_eq!(users, [(Tenant::default(), UserId::new("ada").unwrap())], "the probe row is nobody's");

    house.define("ALTER TABLE PROFILES DROP visits").await;
    let error = house.writer.write(&[&good]).await.unwrap_err();
    assert_eq!(error.class(), Class::Refused, "{error}");
    match house.writer.probe(&good, now).await.unwrap() {
        Blame::Store { reason } => assert!(reason.contains("visits"), "{reason}"),
        Blame::Change => panic!("the table lacks a column, and the change is blamed"),
    }
    house.tear_down().await;
}

#[tokio::test]
async fn a_value_of_another_type_is_refused_before_it_is_sent() {
    let house = House::build("mistyped", FOUR).await;
    let bad = setting(change("ada", Op::Patch, 8), 2, text("seven"));
    let error = house.writer.write(&[&bad]).await.unwrap_err();
    assert_eq!(error.class(), Class::Refused, "{error}");
    assert!(!error.to_string().contains("seven"), "{error}");
    assert_eq!(house.writer.probe(&bad, Version::new(8_000).unwrap()).await.unwrap(), Blame::Change);
    house.tear_down().await;
}

/// I8: what may have been applied is written again, and is then there once.
#[tokio::test]
async fn a_cut_connection_is_ambiguous_and_the_same_bytes_go_through_later() {
    let relay = Relay::to(&servers::cassandra()[0]);
    let config = Config { nodes: vec![relay.address()], ..config("cut") };
    let house = House::build_at(config, FOUR).await;
    let change = setting(change("ada", Op::Upsert, 8), 0, text("Ada"));
    house.writer.write(&[&change]).await.unwrap();
    relay.cut();
    for _ in 0..3 {
        let error = house.writer.write(&[&change]).await.unwrap_err();
        assert_eq!(error.class(), Class::Ambiguous, "{error}");
        assert!(!error.to_string().contains("ada"), "{error}");
    }
    relay.mend();
    let mut attempts = 0;
    while let Err(error) = house.writer.write(&[&change]).await {
        assert_eq!(error.class(), Class::Ambiguous, "{error}");
        attempts += 1;
        assert!(attempts < 200, "it does not come back");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(house.read("ada").await.version, Some(change.version));
    house.tear_down().await;
}

#[tokio::test]
async fn no_server_and_no_such_data_centre_are_said_plainly() {
    let nowhere = format!("127.0.0.1:{}", servers::free_port());
    let error = Session::connect(&Config { nodes: vec![nowhere.clone()], ..config("nowhere") }).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&nowhere), "{error}");

    let error = Session::connect(&Config { local_dc: "mars".into(), ..config("mars") }).await.unwrap_err();
    assert!(matches!(error, ConnectError::NoSuchDatacenter { .. }), "{error}");
    assert!(error.to_string().contains("datacenter1"), "{error}");
}

#[tokio::test]
async fn each_value_is_read_with_the_version_that_wrote_it() {
    let house = House::build("versions", FOUR).await;
    let mut patch = setting(change("ada", Op::Patch, 24), 1, text("ada@example.com"));
    patch.unset.insert(2);
    let changes = [
        setting(setting(change("ada", Op::Upsert, 16), 0, text("Ada")), 2, FieldValue::Long(7)),
        patch,
        setting(change("ada", Op::Patch, 8), 3, FieldValue::Bytes(vec![1])),
        change("bob", Op::Delete, 8),
        setting(change("bob", Op::Patch, 20), 0, text("Bob")),
    ];
    for change in &changes {
        house.writer.write(&[change]).await.unwrap();
    }
    let read = async |user: &str| {
        let row = house.reader.read_versions(&Tenant::default(), &UserId::new(user).unwrap()).await.unwrap();
        row.inspect(|row| assert_eq!(row.versions.len(), 4))
    };
    let ada = read("ada").await.unwrap();
    assert_eq!(ada.row, house.read("ada").await);
    assert_eq!(ada.versions, [Version::new(16), Version::new(24), None, None], "nothing is told of what is cleared");
    let bob = read("bob").await.unwrap();
    assert_eq!((bob.row.dead, bob.version_of(0)), (Version::new(8), Version::new(20)));
    assert_eq!(bob.version_of(1), None);
    assert_eq!(read("eve").await, None);

    let mut scan = house.reader.scan_versions();
    let mut scanned = std::collections::HashMap::new();
    while let Some((_, user_id, row)) = scan.next().await.unwrap() {
        scanned.insert(user_id, row);
    }
    assert_eq!(scanned.len(), 2);
    assert_eq!(scanned[&UserId::new("ada").unwrap()], ada);
    assert_eq!(scanned[&UserId::new("bob").unwrap()], bob);
    house.tear_down().await;
}

#[tokio::test]
async fn everybody_is_scanned_once_over_many_pages() {
    let house = House::build("scan", FOUR).await;
    let users = 12_000;
    let mut lanes = tokio::task::JoinSet::new();
    let writer = std::sync::Arc::new(Writer::prepare(&house.session, &house.profile).await.unwrap());
    for lane in 0..24 {
        let writer = writer.clone();
        lanes.spawn(async move {
            for user in (lane..users).step_by(24) {
                writer.write(&[&change(&format!("user-{user}"), Op::Upsert, 8)]).await.unwrap();
            }
        });
    }
    lanes.join_all().await;
    let (mut scan, mut seen) = (house.reader.scan(), std::collections::HashSet::new());
    while let Some((_, user_id, row)) = scan.next().await.unwrap() {
        assert!(row.alive());
        assert!(seen.insert(user_id), "nobody is seen twice");
    }
    assert_eq!(seen.len(), users);

    // The same through a wire that breaks every now and then: nobody is left out, nobody comes twice.
    let relay = Relay::to(&servers::cassandra()[0]);
    let session = Session::connect(&Config { nodes: vec![relay.address()], ..config("scan") }).await.unwrap();
    let reader = Reader::prepare(&session, &house.profile).await.unwrap();
    let (mut scan, mut again, mut breaks) = (reader.scan_versions(), std::collections::HashSet::new(), 0);
    loop {
        match scan.next().await {
            Ok(None) => break,
            Ok(Some((_, user_id, row))) => {
                assert_eq!(row.row.version, Version::new(8));
                assert!(again.insert(user_id), "nobody is seen twice");
                if again.len() % 4_000 == 0 {
                    relay.cut();
                }
            }
            Err(error) => {
                assert!(matches!(error, ReadError::Unreachable(_)), "{error}");
                breaks += 1;
                assert!(breaks < 200, "it does not come back");
                relay.mend();
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    assert!(breaks > 0, "the wire was never cut in the middle of a request");
    assert_eq!(again, seen);
    house.tear_down().await;
}
