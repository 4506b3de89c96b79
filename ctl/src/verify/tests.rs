//! Histories written by hand, and damage planted in them.

use super::Verdict;
use super::expected::Rows;
use super::history::History;
use bytes::Bytes;
use runtime::record::{Headers, Offset, Record, Timestamp, TopicPartition};
use schemas::{Change, Codec, FieldValue, Op, Origin, Profile, Row, Tenant, UserId, Version, headers, topics};
use std::sync::{Arc, LazyLock};
use store::cql::ProfileRow;
use uuid::Uuid;

static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::embedded().unwrap()));

const FLOOR: i64 = 1_000_000;
const PARTITION: i32 = 3;

type TableRow = (Tenant, UserId, ProfileRow);

/// What is altered, and how.
type Alteration<T> = (&'static str, fn(&mut T));

/// An installation at rest: what its topics and its table hold.
#[derive(Default)]
struct World {
    raw: Vec<Record>,
    pinned: Vec<Record>,
    enriched: Vec<Record>,
    dead: Vec<Record>,
    table: Vec<TableRow>,
}

fn position(name: &str) -> usize {
    PROFILE.position(name).unwrap()
}

fn text(text: &str) -> FieldValue {
    FieldValue::Text(text.into())
}

fn record(topic: &str, offset: usize, key: Option<&str>, value: Option<Vec<u8>>) -> Record {
    Record {
        place: TopicPartition::new(topic, PARTITION),
        offset: Offset(i64::try_from(offset).unwrap()),
        timestamp: Timestamp::Missing,
        key: key.map(|key| Bytes::from(key.to_owned())),
        value: value.map(Bytes::from),
        headers: Headers::default(),
        is_damaged: false,
    }
}

fn origin(offset: usize) -> Origin {
    Origin::new(topics::RAW, PARTITION, i64::try_from(offset).unwrap()).unwrap()
}

fn id(offset: usize) -> Uuid {
    Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("tidewater:changes.raw.v1/{PARTITION}/{offset}").as_bytes())
}

impl World {
    /// Appends to `raw` at 2, 3, 4, … seconds, so that the version of offset n is 2_000_004 + n million.
    fn append(&mut self, key: Option<&str>, json: Option<&str>) -> usize {
        let offset = self.raw.len();
        let mut record = record(topics::RAW, offset, key, json.map(|json| json.as_bytes().to_vec()));
        record.timestamp = Timestamp::LogAppend(2_000 + 1_000 * i64::try_from(offset).unwrap());
        self.raw.push(record);
        offset
    }

    fn version(offset: usize) -> i64 {
        2_000_004 + 1_000_000 * i64::try_from(offset).unwrap()
    }

    fn accept(&mut self, change: &Change) {
        let mut value = Vec::new();
        Codec::new(Arc::clone(&PROFILE)).encode(change, &mut value).unwrap();
        let mut record = record(topics::ENRICHED, self.enriched.len(), Some(change.user_id.as_str()), Some(value));
        record.headers.push_text(headers::ORIGIN, change.origin.to_string());
        record.headers.push_text(headers::VERSION, change.version.to_string());
        self.enriched.push(record);
    }

    fn reject(&mut self, offset: usize, stage: &str, code: &str) {
        let raw = &self.raw[offset];
        let mut record = Record { headers: Headers::default(), ..raw.clone() };
        record.headers.push_text(headers::STAGE, stage);
        record.headers.push_text(headers::CODE, code);
        record.headers.push_text(headers::ORIGIN, origin(offset).to_string());
        record.headers.push_text(headers::VERSION, Self::version(offset).to_string());
        self.dead.push(record);
    }

    fn verdict(&self) -> Verdict {
        let mut history = History::new(Codec::new(Arc::clone(&PROFILE)), FLOOR);
        self.raw.iter().for_each(|record| history.raw(record));
        self.pinned.iter().for_each(|record| history.pinned(record));
        self.enriched.iter().for_each(|record| history.enriched(record));
        self.dead.iter().for_each(|record| history.dead(record));
        let mut rows = Rows::new(&PROFILE);
        let mut outcomes = history.close(&mut rows);
        for (tenant, user_id, row) in self.table.clone() {
            rows.compare(tenant, user_id, &row, &mut outcomes.findings);
        }
        rows.close(&mut outcomes.findings);
        Verdict::of(outcomes, u64::try_from(self.table.len()).unwrap())
    }

    /// Counts of lost and wrong, and the examples as one text.
    fn found(&self) -> (u64, u64, String) {
        let verdict = self.verdict();
        assert_eq!(verdict.holds(), verdict.examples.is_empty());
        (verdict.lost, verdict.wrong, verdict.examples.join("\n"))
    }
}

fn change(user: &str, offset: usize, op: Op) -> Change {
    Change {
        id: id(offset),
        tenant: Tenant::default(),
        user_id: UserId::new(user).unwrap(),
        op,
        set: Row::default(),
        unset: schemas::FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Version::new(World::version(offset)).unwrap(),
        origin: origin(offset),
    }
}

fn row(newest: usize) -> ProfileRow {
    ProfileRow {
        version: Version::new(World::version(newest)),
        change: Some(id(newest)),
        partition: Some(PARTITION),
        offset: i64::try_from(newest).ok(),
        ..ProfileRow::default()
    }
}

fn user(name: &str) -> (Tenant, UserId) {
    (Tenant::default(), UserId::new(name).unwrap())
}

/// Ada: upsert, patch that clears and sets, delete, patch. Bob: patch, upsert. Eve: one that nobody can read.
fn world() -> World {
    let mut world = World::default();
    let ada = r#"{"user_id":"ada","op":"upsert","set":{"name":"Ada","email":"ada@EXAMPLE.org"},"source":"crm"}"#;
    let offset = world.append(Some("ada"), Some(ada));
    let mut accepted = change("ada", offset, Op::Upsert);
    accepted.set.set(position("name"), text("Ada"));
    accepted.set.set(position("email"), text("ada@example.org"));
    accepted.set.set(position("email_domain"), text("example.org"));
    accepted.source = Some("crm".into());
    world.accept(&accepted);

    let offset = world.append(Some("bob"), Some(r#"{"user_id":"bob","op":"patch","set":{"bio":"x","name":"B"}}"#));
    let mut accepted = change("bob", offset, Op::Patch);
    accepted.set.set(position("bio"), text("x"));
    accepted.set.set(position("name"), text("B"));
    world.accept(&accepted);

    let offset = world.append(Some("eve"), Some("{"));
    world.reject(offset, "validate", "undecodable");

    let patch = r#"{"user_id":"ada","op":"patch","set":{"email":null,"country":"zz"},"unset":["bio"]}"#;
    let offset = world.append(Some("ada"), Some(patch));
    let mut accepted = change("ada", offset, Op::Patch);
    accepted.set.set(position("country"), text("ZZ"));
    for cleared in ["email", "email_domain", "bio", "region"] {
        accepted.unset.insert(position(cleared));
    }
    world.accept(&accepted);

    let offset = world.append(Some("bob"), Some(r#"{"user_id":"bob","op":"upsert","set":{"name":"Bob","bio":null}}"#));
    let mut accepted = change("bob", offset, Op::Upsert);
    accepted.set.set(position("name"), text("Bob"));
    world.accept(&accepted);
    let mut of_bob = ProfileRow { live: Version::new(World::version(offset)), ..row(offset) };
    of_bob.row.set(position("name"), text("Bob"));

    let offset = world.append(Some("ada"), None);
    world.accept(&change("ada", offset, Op::Delete));
    let dead = Version::new(World::version(offset));
    let offset = world.append(Some("ada"), Some(r#"{"user_id":"ada","op":"patch","set":{"plan":"pro"}}"#));
    let mut accepted = change("ada", offset, Op::Patch);
    accepted.set.set(position("plan"), text("pro"));
    world.accept(&accepted);
    let mut of_ada = ProfileRow { dead, ..row(offset) };
    of_ada.row.set(position("plan"), text("pro"));

    for (name, row) in [("ada", of_ada), ("bob", of_bob)] {
        let (tenant, user_id) = user(name);
        world.table.push((tenant, user_id, row));
    }
    world
}

#[test]
fn a_history_that_was_kept_is_proven() {
    let verdict = world().verdict();
    assert_eq!(verdict.examples, Vec::<String>::new());
    assert!(verdict.holds());
    assert_eq!((verdict.changes, verdict.profiles, verdict.dead), (7, 2, 1));
    assert_eq!(verdict.by_code.into_iter().collect::<Vec<_>>(), [("undecodable".to_owned(), 1)]);
}

#[test]
fn order_on_the_topic_of_results_does_not_matter_and_copies_count_once() {
    let mut world = world();
    let copies = world.enriched.clone();
    world.enriched.reverse();
    world.enriched.extend(copies);
    world.dead.push(world.dead[0].clone());
    assert_eq!(world.verdict(), self::world().verdict());
}

#[test]
fn a_row_in_which_anything_was_altered_is_wrong() {
    let alter: [Alteration<ProfileRow>; 10] = [
        ("name", |row| row.row.set(position("name"), text("Rob"))),
        ("name", |row| drop(row.row.take(position("name")))),
        ("bio", |row| row.row.set(position("bio"), text("x"))),
        ("tw_live", |row| row.live = Version::new(8)),
        ("tw_dead", |row| row.dead = Version::new(8)),
        ("tw_version", |row| row.version = Version::new(8)),
        ("tw_change", |row| row.change = None),
        ("tw_source", |row| row.source = Some("crm".into())),
        ("tw_partition", |row| row.partition = None),
        ("tw_offset", |row| row.offset = Some(1)),
    ];
    for (column, alter) in alter {
        let mut world = world();
        alter(&mut world.table[1].2);
        let place = "wrong: changes.raw.v1/3/4, version 6000004: the row of its user differs in";
        assert_eq!(world.found(), (0, 1, format!("{place} {column}")));
    }
}

#[test]
fn a_user_who_came_back_from_the_dead_is_wrong() {
    let mut world = world();
    world.table[0].2.dead = None;
    let (lost, wrong, examples) = world.found();
    assert_eq!((lost, wrong), (0, 1));
    assert!(examples.ends_with("differs in alive, tw_dead"), "{examples}");
}

#[test]
fn a_row_that_is_missing_is_lost_and_one_too_many_is_wrong() {
    let mut missing = world();
    missing.table.remove(1);
    assert_eq!(missing.found(), (1, 0, "lost: changes.raw.v1/3/4, version 6000004: its user has no row".to_owned()));
    let mut many = world();
    let (tenant, eve) = user("eve");
    many.table.push((tenant, eve, row(2)));
    let (lost, wrong, examples) = many.found();
    assert_eq!((lost, wrong), (0, 1));
    assert!(examples.contains("nothing in the log is a reason for it"), "{examples}");
}

#[test]
fn the_same_user_id_under_another_tenant_is_another_user() {
    let mut world = world();
    world.table[1].0 = Tenant::new("other").unwrap();
    assert_eq!((world.verdict().lost, world.verdict().wrong), (1, 1));
}

#[test]
fn a_raw_record_without_an_outcome_is_lost() {
    let mut world = world();
    world.append(Some("ada"), Some(r#"{"user_id":"ada","op":"patch"}"#));
    assert_eq!(world.found(), (1, 0, "lost: changes.raw.v1/3/7: it is neither in enriched nor in dead".to_owned()));
}

#[test]
fn an_origin_with_two_outcomes_is_wrong() {
    for stage in ["validate", "enrich"] {
        let mut world = world();
        world.reject(1, stage, "too-large");
        let (lost, wrong, examples) = world.found();
        assert_eq!((lost, wrong), (0, 1), "{examples}");
        assert!(examples.contains("changes.raw.v1/3/1: it is in enriched, and a dead letter"), "{examples}");
    }
}

#[test]
fn what_the_sink_refused_is_in_both_and_has_left_no_trace_in_the_table() {
    let mut refused = world();
    refused.reject(4, "sink", "store-refused");
    let (lost, wrong, examples) = refused.found();
    assert_eq!((lost, wrong), (0, 1), "the row of its user still has it: {examples}");

    refused.table[1].2 = row(1);
    refused.table[1].2.row.set(position("bio"), text("x"));
    refused.table[1].2.row.set(position("name"), text("B"));
    let verdict = refused.verdict();
    assert!(verdict.holds(), "{:?}", verdict.examples);
    assert_eq!((verdict.dead, verdict.by_code["store-refused"]), (2, 1));

    refused.enriched.remove(3);
    assert!(refused.found().2.contains("sink refused it, and it is not in enriched"));
}

#[test]
fn an_outcome_from_nowhere_is_wrong() {
    let mut enriched = world();
    enriched.accept(&change("ada", 40, Op::Patch));
    assert!(enriched.found().2.contains("changes.enriched.v1/3/6: there is no record"));
    let mut dead = world();
    dead.dead[0].headers = Headers::default();
    let (lost, wrong, examples) = dead.found();
    assert_eq!((lost, wrong), (1, 1), "{examples}");
}

#[test]
fn a_version_that_the_append_times_do_not_give_is_wrong() {
    let mut world = world();
    world.raw[1].timestamp = Timestamp::LogAppend(3_001);
    assert!(world.found().2.contains("what was asked for and enriched differ in tw-version, version"));
    world.raw[1].timestamp = Timestamp::Create(3_000);
    assert!(world.found().2.contains("it carries no append time"));
}

#[test]
fn a_change_that_does_something_else_than_was_asked_for_is_wrong() {
    let alter: [Alteration<Change>; 9] = [
        ("id", |change| change.id = Uuid::nil()),
        ("tenant", |change| change.tenant = Tenant::new("other").unwrap()),
        ("key, user_id", |change| change.user_id = UserId::new("eve").unwrap()),
        ("op", |change| change.op = Op::Upsert),
        ("source", |change| change.source = Some("x".into())),
        ("the fields it sets", |change| drop(change.set.take(position("bio")))),
        ("the fields it clears", |change| change.unset.insert(position("plan"))),
        ("the fields it derives", |change| change.set.set(position("region"), text("Europe"))),
        ("the fields it derives", |change| change.unset.insert(position("region"))),
    ];
    for (part, alter) in alter {
        let mut world = world();
        let mut other = change("bob", 1, Op::Patch);
        other.set.set(position("bio"), text("x"));
        other.set.set(position("name"), text("B"));
        alter(&mut other);
        let key = world.enriched[1].key.clone();
        world.accept(&other);
        world.enriched[1] = Record { key, ..world.enriched.pop().unwrap() };
        assert!(
            world.found().2.contains(&format!("changes.raw.v1/3/1: what was asked for and enriched differ in {part}")),
            "{part}"
        );
    }
}

#[test]
fn copies_that_differ_are_wrong() {
    let mut enriched = world();
    let mut copy = change("bob", 1, Op::Patch);
    copy.set.set(position("bio"), text("x"));
    copy.set.set(position("name"), text("C"));
    enriched.accept(&copy);
    assert!(enriched.found().2.contains("changes.raw.v1/3/1: two copies of it in enriched are not the same"));
    let mut dead = world();
    dead.reject(2, "validate", "too-large");
    assert!(dead.found().2.contains("changes.raw.v1/3/2: two dead letters of it are not the same"));
}

#[test]
fn a_dead_letter_keeps_the_bytes_and_the_place_of_its_record() {
    let mut altered = world();
    altered.dead[0].value = Some(Bytes::from_static(b"["));
    assert!(altered.found().2.contains("what was asked for and its dead letter differ in key or value"));
    altered.dead[0].headers.push_text(headers::DROPPED_BYTES, "1");
    assert!(altered.verdict().holds(), "what no topic would take may be missing");
    let mut moved = world();
    moved.dead[0].headers.push_text(headers::VERSION, "8");
    moved.dead[0].place.partition = 4;
    assert!(moved.found().2.contains("what was asked for and its dead letter differ in partition, tw-version"));
}

#[test]
fn a_change_that_should_never_have_been_let_through_is_wrong() {
    let broken = ["[]", "{", r#"{"user_id":"bob"}"#, r#"{"user_id":"bob","op":"patch","set":{"nick":"x"}}"#];
    for json in broken.into_iter().chain([r#"{"user_id":"eve","op":"patch"}"#]) {
        let mut world = world();
        world.raw[1].value = Some(Bytes::from_static(json.as_bytes()));
        assert!(world.found().2.contains("differ in whether it is a change at all"), "{json}");
    }
}

#[test]
fn examples_are_few_and_the_counts_are_whole() {
    let mut world = world();
    for _ in 0..100 {
        world.append(Some("ada"), None);
    }
    let verdict = world.verdict();
    assert_eq!((verdict.lost, verdict.examples.len()), (100, 20));
}

impl World {
    /// Asks for a change by the pinned topic, at `version`, for that of `origin` if there is one already.
    fn pin(&mut self, json: &str, version: i64, origin: Option<usize>) -> Origin {
        let offset = self.pinned.len();
        let mut record = record(topics::PINNED, offset, Some("bob"), Some(json.as_bytes().to_vec()));
        record.headers.push_text(headers::VERSION, version.to_string());
        let own = Origin::new(topics::PINNED, PARTITION, i64::try_from(offset).unwrap()).unwrap();
        let origin = origin.map_or(own, self::origin);
        record.headers.push_text(headers::ORIGIN, origin.to_string());
        self.pinned.push(record);
        origin
    }
}

const LATE: &str = r#"{"user_id":"bob","op":"patch","set":{"bio":"late"}}"#;

/// A world in which offset 7 was refused, and what was wrong with it is put right by a replay.
fn replayed() -> World {
    let mut world = world();
    world.append(Some("bob"), Some("nonsense"));
    world.reject(7, "validate", "undecodable");
    world.pin(LATE, World::version(7), Some(7));
    let mut late = change("bob", 7, Op::Patch);
    late.set.set(position("bio"), text("late"));
    world.accept(&late);
    let mut bob = row(7);
    bob.live = world.table[1].2.live;
    bob.row = world.table[1].2.row.clone();
    bob.row.set(position("bio"), text("late"));
    world.table[1].2 = bob;
    world
}

#[test]
fn what_a_replay_put_right_is_accepted_in_its_old_place_and_dead_no_more() {
    let verdict = replayed().verdict();
    assert!(verdict.holds(), "{:?}", verdict.examples);
    assert_eq!((verdict.changes, verdict.dead), (8, 1));
    let mut twice = replayed();
    twice.pin(LATE, World::version(7), Some(7));
    twice.enriched.push(twice.enriched.last().unwrap().clone());
    assert!(twice.verdict().holds(), "twice is once");
}

#[test]
fn a_replay_that_came_to_nothing_or_elsewhere_is_told() {
    let mut lost = replayed();
    lost.pin(&LATE.replace("late", "later"), World::version(7), Some(7));
    let again = lost.pin(&LATE.replace("patch", "upsert"), World::version(7), Some(7));
    assert_eq!(lost.found().0, 1, "an edit that nobody has seen is not known by its fields: {again}");
    let mut moved = replayed();
    let at = moved.enriched.len() - 1;
    moved.enriched[at].headers.push_text(headers::VERSION, "8");
    assert!(moved.found().2.contains("differ in tw-version"), "{:?}", moved.found());
    let mut forged = world();
    forged.append(Some("bob"), Some("nonsense"));
    forged.pin(LATE, World::version(7), Some(7));
    assert!(forged.found().0 == 1, "neither the record nor its replay has an outcome: {:?}", forged.found());
}

#[test]
fn a_pinned_change_has_its_own_origin_and_takes_the_receipt_of_what_it_replaces() {
    let upsert = r#"{"user_id":"bob","op":"upsert","set":{"name":"Rob"}}"#;
    let mut world = world();
    let origin = world.pin(upsert, World::version(9), None);
    let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("tidewater:{origin}").as_bytes());
    let mut pinned = Change { id, origin, ..change("bob", 9, Op::Upsert) };
    pinned.set.set(position("name"), text("Rob"));
    world.accept(&pinned);
    let version = Version::new(World::version(9));
    let mut bob = ProfileRow { version, live: version, change: Some(id), ..ProfileRow::default() };
    bob.row.set(position("name"), text("Rob"));
    world.table[1].2 = bob;
    assert!(world.verdict().holds(), "{:?}", world.verdict().examples);
    // I12: the offset of a pinned record is no receipt.
    (world.table[1].2.partition, world.table[1].2.offset) = (Some(PARTITION), Some(0));
    assert!(world.found().2.ends_with("differs in tw_partition, tw_offset"), "{:?}", world.found());
}

#[test]
fn backfill_that_is_not_below_the_floor_is_wrong() {
    for (version, is_wrong) in [(FLOOR - 8, false), (FLOOR, true)] {
        let mut world = world();
        let origin = world.pin(LATE, version, None);
        let id = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("tidewater:{origin}").as_bytes());
        let mut old = Change { id, origin, version: Version::new(version).unwrap(), ..change("bob", 0, Op::Patch) };
        old.set.set(position("bio"), text("late"));
        world.accept(&old);
        let told = world.found().2;
        assert_eq!(told.contains("it is backfill and not below the floor"), is_wrong, "{told}");
    }
}
