//! A user's row: the model of Cassandra's rules, the table of a directory and Cassandra itself come to the same, whatever the
//! order, grouping and repetition of the changes.
//!
//! `SEED=17` repeats one history.

use embedded::Table;
use futures_util::{StreamExt as _, stream};
use runtime::Clock;
use schemas::profile::{CHANGE, ChangeSchema};
use schemas::version::Lane;
use schemas::{Change, FieldSet, FieldValue, Op, Origin, Profile, Row, Tenant, UserId, Version, topics};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use store::cql::{Config, Keyspace, Model, Plan, Reader, Replication, Session, VersionedRow, Writer, merge};
use tests::history::Random;
use tests::process::dir_of;
use tests::stack::{Stack, scratch, text_asked};
use uuid::Uuid;

/// Each takes some hundredths of a second.
const HISTORIES: u64 = 150;

/// Of one history and each of two tenants; they share batches.
const USERS: usize = 2;

/// A place as it is given now, and not in the first year of the epoch.
const TODAY: i64 = 1_795_331_234_567_888 / 8;

/// Writes that are out to Cassandra at a time.
const WRITES_OUT: usize = 16;

/// A field of every kind, so that every encoding decides ties.
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
const FIELDS: usize = 11;

fn profile() -> Arc<Profile> {
    let text =
        format!(r#"{{"type": "record", "name": "Profile", "namespace": "tidewater.v1", "fields": [{EVERY_KIND}]}}"#);
    let schema = ChangeSchema::splice(CHANGE, &text).unwrap();
    let kept = format!("{}.avsc", schema.fingerprint);
    let profile = Profile::load(CHANGE, &text, [(&*kept, &*schema.text)]).unwrap();
    assert_eq!(profile.fields().len(), FIELDS);
    Arc::new(profile)
}

/// One of a few values of a field: small and large, of either sign, empty, and as long as rows keep them in another form.
fn value(random: &mut Random, field: usize) -> FieldValue {
    let at = random.below(6);
    let number = [0, 1, -1, i64::MIN, i64::MAX, 1_795_331_234_567_891][at];
    let int = [0, 1, -1, i32::MIN, i32::MAX, -719_162][at];
    let float = [0.0, -0.0, 1.5, -1.5, f32::INFINITY, f32::NEG_INFINITY][at];
    let long = [252, 253, 254, 255, 256, 70_000][random.below(6)];
    let text = || ["", "a", "a\0", "Zoë", "\u{10ffff}", &"x".repeat(long)][at].to_owned();
    match field {
        0 => FieldValue::Bool(at < 3),
        1 => FieldValue::Int(int),
        2 | 9 => FieldValue::Long(number),
        3 => FieldValue::Float(float),
        4 => FieldValue::Double(float.into()),
        5 => FieldValue::Text(text()),
        6 => FieldValue::Text(["free", "pro"][at % 2].into()),
        7 => FieldValue::Bytes(text().into_bytes()),
        8 => FieldValue::Int(int),
        10 => FieldValue::Text(Uuid::from_u128([0, 1, 1 << 127, u128::MAX, 7 << 64, 8][at]).to_string()),
        _ => unreachable!("there are {FIELDS}"),
    }
}

/// A change of somebody at one of `places` places from `since` on: few of them make versions that are equal.
fn change(random: &mut Random, seed: u64, (since, places): (i64, usize)) -> Change {
    let op = [Op::Patch, Op::Patch, Op::Patch, Op::Patch, Op::Upsert, Op::Upsert, Op::Delete][random.below(7)];
    let (mut set, mut unset) = (Row::with_width(FIELDS), FieldSet::EMPTY);
    for field in (0..FIELDS).filter(|_| op != Op::Delete) {
        match random.below(6) {
            0 | 1 => set.set(field, value(random, field)),
            2 if op == Op::Patch => unset.insert(field),
            _ => {}
        }
    }
    let place = since + i64::try_from(1 + random.below(places)).unwrap();
    let lane = [Lane::Live, Lane::Live, Lane::Live, Lane::Backfill, Lane::SourcePinned][random.below(5)];
    let topic = if random.below(4) == 0 { topics::PINNED } else { topics::RAW };
    Change {
        id: Uuid::from_u64_pair(seed, random.number() % 4),
        tenant: Tenant::new(["main", "acme-eu"][random.below(2)]).unwrap(),
        user_id: UserId::new(&format!("{seed}/{}", random.below(USERS))).unwrap(),
        op,
        set,
        unset,
        occurred_at: None,
        source: [None, Some("crm".into()), Some(String::new())][random.below(3)].clone(),
        version: Version::at(8 * place, lane).unwrap(),
        origin: Origin::new(topic, i32::try_from(random.below(3)).unwrap(), place).unwrap(),
    }
}

/// All of them in any order, some more than once, cut into batches.
fn batches(random: &mut Random, changes: &[Change]) -> Vec<Vec<Change>> {
    let mut order: Vec<usize> = (0..changes.len()).collect();
    order.extend((0..changes.len() / 4).map(|_| random.below(changes.len())));
    // Half of the histories are nearly in order, as they are on the way.
    let reach = if random.below(2) == 0 { order.len() } else { 3 };
    for at in 0..order.len() {
        let other = (at + random.below(reach)).min(order.len() - 1);
        order.swap(at, other);
    }
    let mut rest = &order[..];
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let (batch, left) = rest.split_at((1 + random.below(9)).min(rest.len()));
        batches.push(batch.iter().map(|at| changes[*at].clone()).collect());
        rest = left;
    }
    batches
}

type User = (Tenant, UserId);

/// What one user has of a batch, for all users of it.
fn by_user(batch: &[Change]) -> BTreeMap<User, Vec<&Change>> {
    let mut users = BTreeMap::<User, Vec<&Change>>::new();
    for change in batch {
        users.entry((change.tenant.clone(), change.user_id.clone())).or_default().push(change);
    }
    users
}

/// The three, side by side.
struct Worlds {
    profile: Arc<Profile>,
    models: BTreeMap<User, Model>,
    table: Table,
    dir: PathBuf,
    session: Session,
    writer: Writer,
    reader: Reader,
}

impl Worlds {
    async fn build() -> Self {
        let profile = profile();
        let dir = dir_of("profiles");
        let table = Table::open(&dir, &profile).unwrap();
        let keyspace = Keyspace::new(&format!("t{}_conformance", std::process::id())).unwrap();
        let config = Config { nodes: Stack::of_run().cassandra, keyspace, ..Config::default() };
        let session = Session::connect(&config).await.unwrap();
        let copies = Replication::within("datacenter1", 1);
        Plan::draw(&session, &profile, &copies).await.unwrap().apply(&session).await.unwrap();
        let writer = Writer::prepare(&session, &profile).await.unwrap();
        let reader = Reader::prepare(&session, &profile).await.unwrap();
        Self { profile, models: BTreeMap::new(), table, dir, session, writer, reader }
    }

    /// Also after a failed test what was made does no harm: its name is never used again.
    async fn tear_down(self) {
        self.session.define(&format!("DROP KEYSPACE \"{}\"", self.session.keyspace())).await.unwrap();
        drop(self.table);
        std::fs::remove_dir_all(self.dir).unwrap();
        // The last one out; while others are there, it fails.
        std::fs::remove_dir(scratch()).ok();
    }

    /// Writes the changes in an order and in batches that each world has for itself.
    async fn write(&mut self, random: &mut Random, changes: &[Change]) {
        for batch in batches(random, changes) {
            for (user, of_user) in by_user(&batch) {
                let model = self.models.entry(user).or_insert_with(|| Model::new(&self.profile));
                merge(&of_user).iter().for_each(|statement| model.apply(statement));
            }
        }
        for batch in batches(random, changes) {
            self.table.write(&batch, Clock::system().now_ms()).unwrap();
        }
        let writer = &self.writer;
        let batches = batches(random, changes);
        let writes = stream::iter(&batches).enumerate().map(async |(at, batch)| {
            let users: Vec<Vec<&Change>> = by_user(batch).into_values().collect();
            if at % 2 == 0 {
                for of_user in &users {
                    writer.write(of_user).await.unwrap();
                }
                return;
            }
            for run in writer.runs(&users) {
                let users: Vec<&[&Change]> = run.iter().map(|at| &*users[*at]).collect();
                writer.write_together(&users).await.unwrap();
            }
        });
        writes.buffer_unordered(WRITES_OUT).collect::<()>().await;
    }

    /// The row of every user of a history, the same in all three; panics with `what` where it is not.
    async fn rows(&self, what: &str, changes: &[Change]) -> BTreeMap<User, VersionedRow> {
        let mut rows = BTreeMap::new();
        for (user, of_user) in by_user(changes) {
            let model = self.models[&user].read();
            let embedded = self.table.read(&user.0, &user.1).unwrap().expect("a row");
            let real = self.reader.read_versions(&user.0, &user.1).await.unwrap().expect("a row");
            // As text, too: 0.0 and -0.0 are equal and not the same.
            let same =
                |one: &dyn std::fmt::Debug, other: &dyn std::fmt::Debug| format!("{one:#?}") == format!("{other:#?}");
            let row = &real.row;
            assert!(model == *row && same(&model, row), "{what}: {model:#?}, in Cassandra {row:#?} of {of_user:#?}");
            assert!(
                embedded == real && same(&embedded, &real),
                "{what}: {embedded:#?}, in Cassandra {real:#?} of {of_user:#?}"
            );
            assert_eq!(self.reader.read(&user.0, &user.1).await.unwrap().as_ref(), Some(row), "{what}");
            rows.insert(user, real);
        }
        rows
    }
}

/// I1, I3, I4: in all worlds.
#[tokio::test]
async fn every_user_has_one_row_in_memory_on_disk_and_in_cassandra_whatever_the_order_and_grouping() {
    let mut worlds = Worlds::build().await;
    let asked = text_asked("SEED").map(|seed| seed.parse::<u64>().expect("a number"));
    let seeds = asked.map_or(0..HISTORIES, |seed| seed..seed + 1);
    let nobody = (Tenant::default(), UserId::new("nobody").unwrap());
    let (mut gone, mut ties) = (0, 0);
    for seed in seeds {
        let mut random = Random::new(seed);
        let (count, places) = (20 + random.below(60), [3, 12, 60][random.below(3)]);
        let since = [0, TODAY][random.below(2)];
        let changes: Vec<Change> = (0..count).map(|_| change(&mut random, seed, (since, places))).collect();
        worlds.write(&mut random, &changes).await;
        let rows = worlds.rows(&format!("SEED={seed}"), &changes).await;
        gone += rows.values().filter(|found| !found.row.alive()).count();
        ties += usize::from(places == 3);
        worlds.write(&mut random, &changes).await;
        let again = worlds.rows(&format!("SEED={seed}, twice"), &changes).await;
        assert_eq!(again, rows, "SEED={seed}: twice is once");
    }
    assert!(asked.is_some() || gone > 10 && ties > 10, "{gone} were deleted, {ties} histories had few versions");
    assert_eq!(worlds.table.read(&nobody.0, &nobody.1).unwrap(), None);
    assert_eq!(worlds.reader.read_versions(&nobody.0, &nobody.1).await.unwrap(), None);
    worlds.tear_down().await;
}
