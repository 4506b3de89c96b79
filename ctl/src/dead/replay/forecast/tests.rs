use super::*;
use schemas::{FieldSet, FieldValue, Lane, Origin, Row, Tenant, UserId};
use std::sync::LazyLock;
use store::cql::ProfileRow;
use uuid::Uuid;

static PROFILE: LazyLock<Profile> = LazyLock::new(|| Profile::embedded().unwrap());

const NEXT: i64 = 8;

fn position(name: &str) -> usize {
    PROFILE.position(name).unwrap()
}

fn version(place: i64) -> Version {
    Version::at(NEXT * place, Lane::Live).unwrap()
}

fn text(text: &str) -> FieldValue {
    FieldValue::Text(text.into())
}

/// A change at place 10.
fn change(op: Op, set: &[(&str, &str)], unset: &[&str]) -> Change {
    let mut row = Row::default();
    set.iter().for_each(|(name, value)| row.set(position(name), text(value)));
    Change {
        id: Uuid::nil(),
        tenant: Tenant::default(),
        user_id: UserId::new("ada").unwrap(),
        op,
        set: row,
        unset: unset.iter().map(|name| position(name)).collect::<FieldSet>(),
        occurred_at: None,
        source: None,
        version: version(10),
        origin: Origin::new(schemas::origin::RAW, 0, 7).unwrap(),
    }
}

/// Fields with the places that wrote them; the newest of all, upsert and delete.
fn row(fields: &[(&str, &str, i64)], newest: i64, live: Option<i64>, dead: Option<i64>) -> VersionedRow {
    let mut row = ProfileRow {
        version: Some(version(newest)),
        live: live.map(version),
        dead: dead.map(version),
        ..ProfileRow::default()
    };
    let mut versions = vec![None; PROFILE.fields().len()];
    for (name, value, place) in fields {
        row.row.set(position(name), text(value));
        versions[position(name)] = Some(version(*place));
    }
    VersionedRow { row, versions }
}

fn over(change: &Change, row: &VersionedRow) -> (&'static str, [u64; 3]) {
    let forecast = Forecast::over(&PROFILE, change, Some(row));
    let cells = forecast.cells();
    (forecast.as_str(), [cells.changed, cells.superseded, cells.unsure])
}

#[test]
fn a_change_of_nobody_known_changes_all_it_sets() {
    let upsert = change(Op::Upsert, &[("name", "Ada"), ("bio", "x")], &[]);
    let cells = Cells { changed: 2, ..Cells::default() };
    assert_eq!(Forecast::over(&PROFILE, &upsert, None), Forecast::Changes(cells));
    assert_eq!(Forecast::over(&PROFILE, &change(Op::Delete, &[], &[]), None), Forecast::Changes(Cells::default()));
}

/// I2, I3.
#[test]
fn a_patch_into_the_past_shows_only_in_cells_that_are_not_newer() {
    let row = row(&[("name", "Eve", 12), ("bio", "old", 5), ("country", "DE", 5)], 12, Some(5), None);
    let patch = change(Op::Patch, &[("name", "Ada"), ("bio", "new")], &["country"]);
    assert_eq!(over(&patch, &row), ("changes", [2, 1, 0]));
    assert_eq!(over(&change(Op::Patch, &[("name", "Ada")], &[]), &row), ("superseded", [0, 1, 0]));
}

#[test]
fn what_something_newer_erased_stays_erased() {
    for (live, dead) in [(Some(12), None), (None, Some(12))] {
        let row = row(&[], 12, live, dead);
        assert_eq!(over(&change(Op::Patch, &[("name", "Ada")], &[]), &row), ("superseded", [0, 1, 0]));
        assert_eq!(over(&change(Op::Upsert, &[("name", "Ada")], &[]), &row), ("superseded", [0, 1, 0]));
        assert_eq!(over(&change(Op::Delete, &[], &[]), &row), ("superseded", [0, 0, 0]));
    }
}

/// The table does not tell when a field was cleared.
#[test]
fn an_empty_cell_of_a_user_with_something_newer_is_told_as_unsure() {
    let patch = change(Op::Patch, &[("bio", "x")], &[]);
    assert_eq!(over(&patch, &row(&[("name", "Eve", 12)], 12, None, None)), ("changes", [0, 0, 1]));
    assert_eq!(over(&patch, &row(&[("name", "Eve", 8)], 8, None, None)), ("changes", [1, 0, 0]));
}

#[test]
fn twice_is_once() {
    let patch = change(Op::Patch, &[("name", "Ada")], &["bio"]);
    assert_eq!(over(&patch, &row(&[("name", "Ada", 10)], 10, None, None)), ("same", [0; 3]));
    let upsert = change(Op::Upsert, &[("name", "Ada")], &[]);
    assert_eq!(over(&upsert, &row(&[("name", "Ada", 10)], 10, Some(10), None)), ("same", [0; 3]));
    let delete = change(Op::Delete, &[], &[]);
    assert_eq!(over(&delete, &row(&[], 10, None, Some(10))), ("same", [0; 3]));
    let edited = change(Op::Patch, &[("name", "Eve")], &[]);
    assert_eq!(over(&edited, &row(&[("name", "Ada", 10)], 10, None, None)), ("changes", [0, 0, 1]));
}

#[test]
fn an_upsert_and_a_delete_clear_what_is_older_and_spare_what_is_newer() {
    let row = row(&[("name", "Eve", 12), ("bio", "old", 5)], 12, Some(5), None);
    assert_eq!(over(&change(Op::Upsert, &[("plan", "pro")], &[]), &row), ("changes", [1, 1, 1]));
    assert_eq!(over(&change(Op::Delete, &[], &[]), &row), ("changes", [1, 1, 0]));
}

#[test]
fn an_upsert_brings_back_whom_an_older_delete_took() {
    let row = row(&[], 5, None, Some(5));
    assert_eq!(over(&change(Op::Upsert, &[], &[]), &row), ("changes", [0; 3]));
    assert_eq!(over(&change(Op::Patch, &[], &["bio"]), &row), ("same", [0; 3]), "a patch does not");
}

#[test]
fn derived_fields_are_not_counted() {
    let patch = change(Op::Patch, &[("country", "DE"), ("region", "Europe")], &[]);
    assert_eq!(over(&patch, &row(&[], 5, Some(5), None)), ("changes", [1, 0, 0]));
}
