use super::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use schemas::{FieldSet, FieldValue, Op, Origin, Row, Version};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use store::cql::Model;
use uuid::Uuid;

/// Removed when it is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tidewater-table-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).ok();
    }
}

fn profile() -> Arc<Profile> {
    Arc::new(Profile::embedded().unwrap())
}

/// A change of one of a few users, at one of a few versions.
fn change() -> impl Strategy<Value = Change> {
    let ops = prop_oneof![8 => Just(Op::Patch), 2 => Just(Op::Upsert), 1 => Just(Op::Delete)];
    let values = proptest::collection::vec((0..2_usize, proptest::option::of("[a-c]{1,2}")), 0..3);
    (0..3_u8, ops, 1..12_i64, values, any::<bool>(), proptest::option::of("[xy]")).prop_map(
        |(user, op, place, values, is_raw, source)| {
            let profile = profile();
            let mut set = Row::with_width(profile.fields().len());
            let mut unset = FieldSet::EMPTY;
            let fields = ["name", "bio"].map(|name| profile.position(name).unwrap());
            for (field, value) in values.into_iter().filter(|_| op != Op::Delete) {
                match value {
                    Some(value) => set.set(fields[field], FieldValue::Text(value)),
                    None if op == Op::Patch => unset.insert(fields[field]),
                    None => {}
                }
            }
            let unset = unset.minus(set.named());
            let topic = if is_raw { schemas::topics::RAW } else { schemas::topics::PINNED };
            Change {
                id: Uuid::from_u128(u128::from(place.unsigned_abs())),
                tenant: Tenant::default(),
                user_id: UserId::new(&format!("u{user}")).unwrap(),
                op,
                set,
                unset,
                occurred_at: None,
                source,
                version: Version::new(place * 8).unwrap(),
                origin: Origin::new(topic, 3, place).unwrap(),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// I1, I4: whatever order, grouping and repetition, the row is the one that Cassandra's rules give.
    #[test]
    fn a_row_is_what_the_model_of_cassandra_has(
        changes in proptest::collection::vec(change(), 1..40),
        cuts in proptest::collection::vec(1..8_usize, 1..8),
    ) {
        let (dir, profile) = (Dir::new(), profile());
        let table = Table::open(&dir.0, &profile).unwrap();
        let mut models = BTreeMap::<UserId, Model>::new();
        for change in &changes {
            let model = models.entry(change.user_id.clone()).or_insert_with(|| Model::new(&profile));
            merge(&[change]).iter().for_each(|statement| model.apply(statement));
        }
        let mut rest = &changes[..];
        for cut in cuts.iter().cycle() {
            let (batch, left) = rest.split_at((*cut).min(rest.len()));
            table.write(batch, 1_000).unwrap();
            rest = left;
            if rest.is_empty() { break }
        }
        // And all of it once more.
        table.write(&changes, 2_000).unwrap();
        for (user, model) in models {
            let row = table.read(&Tenant::default(), &user).unwrap().unwrap();
            prop_assert_eq!(row.row, model.read());
        }
    }
}

fn any_change() -> Change {
    change().new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

fn place(offset: i64) -> Place {
    Place { topic: "changes.raw.v1".into(), partition: 3, offset, metadata: format!("v1:{offset}:8") }
}

#[test]
fn commits_and_profiles_come_back_after_a_new_start() {
    let (dir, profile) = (Dir::new(), profile());
    let mut named = any_change();
    named.op = Op::Upsert;
    let table = Table::open(&dir.0, &profile).unwrap();
    table.write(std::slice::from_ref(&named), 0).unwrap();
    table.commit("validate", &[place(7)]).unwrap();
    table.commit("validate", &[place(9)]).unwrap();
    let before = table.read(&named.tenant, &named.user_id).unwrap().unwrap();
    drop(table);
    let table = Table::open(&dir.0, &profile).unwrap();
    assert_eq!(table.read(&named.tenant, &named.user_id).unwrap().unwrap(), before);
    let place = TopicPartition::new("changes.raw.v1", 3);
    assert_eq!(table.committed("validate", &place).unwrap(), Some((9, "v1:9:8".to_owned())));
    assert_eq!(table.committed("sink", &place).unwrap(), None);
    assert_eq!(table.committed("validate", &TopicPartition::new("changes.raw.v1", 4)).unwrap(), None);
}

#[test]
fn pages_are_all_of_the_table_in_order_and_nothing_else() {
    let (dir, profile) = (Dir::new(), profile());
    let table = Table::open(&dir.0, &profile).unwrap();
    let base = any_change();
    let users: Vec<UserId> = (0..50).map(|at| UserId::new(&format!("u{at:02}")).unwrap()).collect();
    let changes: Vec<Change> =
        users.iter().map(|user_id| Change { user_id: user_id.clone(), ..base.clone() }).collect();
    table.write(&changes, 0).unwrap();
    table.commit("sink", &[place(1)]).unwrap();
    let (mut seen, mut mark) = (Vec::new(), None);
    loop {
        let page = table.page(mark.as_ref(), 200).unwrap();
        let Some(last) = page.last() else { break };
        mark = Some(Bookmark(last.key.clone()));
        seen.extend(page.iter().map(|stored| user_of(&stored.key).unwrap().1));
    }
    assert_eq!(seen, users);
}

#[test]
fn a_field_that_changed_its_type_is_refused_and_a_new_one_is_added() {
    let (dir, profile) = (Dir::new(), profile());
    let (first, text) = Shape::reconcile(&dir.0, &profile, None).unwrap();
    let kept = text.unwrap();
    let (again, nothing) = Shape::reconcile(&dir.0, &profile, Some(kept.as_bytes())).unwrap();
    assert_eq!((again.text(), nothing), (first.text(), None));
    let other = kept.replacen("\"text\"", "\"bigint\"", 1);
    assert!(matches!(Shape::reconcile(&dir.0, &profile, Some(other.as_bytes())), Err(Error::Drift { .. })));
    let fewer = format!("{}]", kept.rsplit_once(",[").unwrap().0);
    let (_, text) = Shape::reconcile(&dir.0, &profile, Some(fewer.as_bytes())).unwrap();
    assert_eq!(text.as_deref(), Some(&*kept));
}
