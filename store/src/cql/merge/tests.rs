use super::*;
use crate::cql::model::sample;
use crate::cql::{Model, ProfileRow};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use schemas::{Origin, Row, Version};
use uuid::Uuid;

const FIELDS: usize = 4;

/// What one change may be, before it has its place.
fn change() -> impl Strategy<Value = Change> {
    let op = prop_oneof![2 => Just(Op::Upsert), 4 => Just(Op::Patch), 1 => Just(Op::Delete)];
    let cells = proptest::array::uniform4(prop_oneof![3 => Just(None), 4 => (0..3u8).prop_map(Some)]);
    let source = proptest::option::of("[ab]");
    (op, cells, 0..3u8, source, any::<bool>()).prop_map(|(op, cells, id, source, is_pinned)| {
        let mut change = sample::change(op, 8);
        for (field, cell) in cells.into_iter().enumerate() {
            match (op, cell) {
                (Op::Delete, _) | (_, None) => {}
                (Op::Patch, Some(0)) => change.unset.insert(field),
                (_, Some(digit)) => change.set.set(field, value(field, digit)),
            }
        }
        change.id = Uuid::from_u128(id.into());
        change.source = source;
        if is_pinned {
            change.origin = Origin::new("changes.pinned.v1", 3, 1).unwrap();
        }
        change
    })
}

fn value(field: usize, digit: u8) -> FieldValue {
    match field {
        2 => FieldValue::Long(i64::from(digit) - 1),
        3 => FieldValue::Bytes(vec![digit; usize::from(digit)]),
        _ => FieldValue::Text("x".repeat(digit.into())),
    }
}

/// Changes of one user, each at a place of its own in history.
fn history() -> impl Strategy<Value = Vec<Change>> {
    proptest::collection::vec(change(), 1..8).prop_map(|mut changes| {
        for (place, change) in (1..).zip(&mut changes) {
            at(change, place);
        }
        changes
    })
}

/// Changes of one user of which some share a version, as only `pinned` could do.
fn tied_history() -> impl Strategy<Value = Vec<Change>> {
    proptest::collection::vec((change(), 1..4i64), 1..8).prop_map(|changes| {
        changes
            .into_iter()
            .map(|(mut change, place)| {
                at(&mut change, place);
                change
            })
            .collect()
    })
}

fn at(change: &mut Change, place: i64) {
    change.version = Version::new(8 * place).unwrap();
    if change.origin.raw().is_some() {
        change.origin = Origin::new(schemas::origin::RAW, 3, place).unwrap();
    }
}

/// Every change at least once, in any order, cut into batches anywhere.
fn schedule(changes: Vec<Change>) -> impl Strategy<Value = (Vec<Change>, Vec<Vec<Change>>)> {
    let again = proptest::sample::subsequence(changes.clone(), 0..=changes.len());
    let order = again.prop_map(move |again| [changes.clone(), again].concat()).prop_shuffle();
    order.prop_flat_map(|order| {
        let cuts = proptest::collection::vec(any::<bool>(), order.len());
        cuts.prop_map(move |cuts| {
            let mut batches: Vec<Vec<Change>> = vec![vec![]];
            for (change, cut) in order.iter().zip(cuts) {
                if cut {
                    batches.push(vec![]);
                }
                batches.last_mut().unwrap().push(change.clone());
            }
            (order.clone(), batches)
        })
    })
}

/// The row after each batch was written by `write`.
fn run(batches: &[Vec<Change>], write: impl Fn(&[&Change], &mut Model)) -> ProfileRow {
    let mut model = sample::model();
    for batch in batches {
        write(&batch.iter().collect::<Vec<_>>(), &mut model);
    }
    model.read()
}

fn merged(batch: &[&Change], model: &mut Model) {
    merge(batch).iter().for_each(|statement| model.apply(statement));
}

fn one_by_one(batch: &[&Change], model: &mut Model) {
    batch.iter().for_each(|change| merged(&[change], model));
}

/// What upsert, patch and delete mean, folded in the order of the versions; knows nothing of timestamps.
fn oracle(changes: &[Change]) -> ProfileRow {
    let mut ordered: Vec<_> = changes.iter().collect();
    ordered.sort_by_key(|change| change.version);
    ordered.dedup();
    let mut state = ProfileRow { row: Row::with_width(FIELDS), ..ProfileRow::default() };
    for change in ordered {
        if change.op != Op::Patch {
            state = ProfileRow { row: Row::with_width(FIELDS), ..ProfileRow::default() };
        }
        match change.op {
            Op::Upsert => state.live = Some(change.version),
            Op::Delete => state.dead = Some(change.version),
            Op::Patch => {}
        }
        for field in change.named().iter() {
            state.row.take(field);
            if let Some(value) = change.set.get(field) {
                state.row.set(field, value.clone());
            }
        }
        (state.version, state.change, state.source) = (Some(change.version), Some(change.id), change.source.clone());
        if let Some((partition, offset)) = change.origin.raw() {
            (state.partition, state.offset) = (Some(partition), Some(offset));
        }
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// I1, I4.
    #[test]
    fn any_order_duplication_and_grouping_of_the_same_changes_ends_in_the_same_row(
        (order, batches) in history().prop_flat_map(schedule)
    ) {
        prop_assert_eq!(run(&batches, merged), oracle(&order));
    }

    /// I1 where versions are not unique: what Cassandra decides between the single writes, it decides between merges.
    #[test]
    fn a_merge_leaves_the_row_that_its_changes_one_by_one_would_leave(
        (order, batches) in tied_history().prop_flat_map(schedule)
    ) {
        prop_assert_eq!(run(&batches, merged), run(&[order], one_by_one));
    }

    #[test]
    fn no_more_is_sent_than_survives(changes in history()) {
        let statements = merge(&changes.iter().collect::<Vec<_>>());
        let mut written = FieldSet::EMPTY;
        let cells = statements.iter().filter_map(|statement| match statement {
            Statement::Cells(cells) => Some(cells),
            Statement::Erase { .. } => None,
        });
        for cells in cells.clone() {
            prop_assert!(written.intersection(cells.keep).is_empty(), "no field is written twice");
            written = written.union(cells.keep);
        }
        prop_assert_eq!(cells.clone().filter(|cells| cells.stamp).count(), 1);
        prop_assert!(cells.clone().filter(|cells| cells.receipt).count() <= 1);
        let is_erase = |statement: &&Statement<'_>| matches!(statement, Statement::Erase { .. });
        prop_assert!(statements.iter().filter(is_erase).count() <= 1);
        prop_assert!(cells.map(|cells| cells.at).is_sorted(), "oldest first");
    }
}

/// How many of 400 histories end in another row than they must, when every merge is `spoiled`.
fn diverging(histories: impl Strategy<Value = Vec<Change>>, spoiled: impl Fn(&[&Change], &mut Model) + Copy) -> usize {
    let mut runner = TestRunner::deterministic();
    let schedules = histories.prop_flat_map(schedule);
    let diverges = |_: &u32| {
        let (order, batches) = schedules.new_tree(&mut runner).unwrap().current();
        run(&batches, spoiled) != run(&[order], one_by_one)
    };
    (0..400).filter(diverges).count()
}

/// A write whose statements are changed before they are applied.
fn with(spoil: impl Fn(&mut Vec<Statement<'_>>) + Copy) -> impl Fn(&[&Change], &mut Model) + Copy {
    move |batch, model| {
        let mut statements = merge(batch);
        spoil(&mut statements);
        statements.iter().for_each(|statement| model.apply(statement));
    }
}

fn each_cells(statements: &mut [Statement<'_>], mut how: impl FnMut(&mut Cells<'_>)) {
    for statement in statements {
        if let Statement::Cells(cells) = statement {
            how(cells);
        }
    }
}

#[test]
fn unspoiled_no_history_diverges() {
    assert_eq!(diverging(history(), merged), 0);
    assert_eq!(diverging(tied_history(), merged), 0);
}

#[test]
fn cells_at_the_version_of_their_own_row_delete_are_found_out() {
    let spoiled = with(|statements| each_cells(statements, |cells| cells.at = cells.change.version.get()));
    assert!(diverging(history(), spoiled) > 0);
}

#[test]
fn one_timestamp_for_a_whole_merge_is_found_out() {
    let spoiled = with(|statements| {
        let mut newest = 0;
        each_cells(statements, |cells| newest = newest.max(cells.at));
        each_cells(statements, |cells| cells.at = newest);
    });
    assert!(diverging(history(), spoiled) > 0);
}

#[test]
fn an_upsert_without_its_row_delete_is_found_out() {
    let spoiled = with(|statements| {
        let is_upsert =
            |statement: &Statement<'_>| matches!(statement, Statement::Cells(cells) if cells.live().is_some());
        if statements.iter().any(is_upsert) {
            statements.retain(|statement| !matches!(statement, Statement::Erase { .. }));
        }
    });
    assert!(diverging(history(), spoiled) > 0);
}

#[test]
fn letting_the_first_of_equal_versions_win_is_found_out() {
    let spoiled = |batch: &[&Change], model: &mut Model| {
        let mut firsts: Vec<&Change> = vec![];
        for change in batch {
            if firsts.iter().all(|first| first.version != change.version) {
                firsts.push(change);
            }
        }
        merged(&firsts, model);
    };
    assert!(diverging(tied_history(), spoiled) > 0);
}

/// I4.
#[test]
fn null_for_what_is_absent_is_found_out() {
    let spoiled = with(|statements| each_cells(statements, |cells| cells.keep = (0..FIELDS).collect()));
    assert!(diverging(history(), spoiled) > 0);
}

#[test]
fn an_upsert_that_is_dropped_with_its_last_field_is_found_out() {
    let spoiled = with(|statements| {
        statements
            .retain(|statement| !matches!(statement, Statement::Cells(cells) if cells.keep.is_empty() && !cells.stamp));
    });
    assert!(diverging(history(), spoiled) > 0);
}

#[test]
fn a_receipt_on_the_newest_change_alone_is_found_out() {
    let spoiled = with(|statements| each_cells(statements, |cells| cells.receipt &= cells.stamp));
    assert!(diverging(history(), spoiled) > 0);
}

#[test]
fn a_source_that_is_not_cleared_is_found_out() {
    let spoiled = with(|statements| {
        each_cells(statements, |cells| cells.stamp &= cells.change.source.is_some());
    });
    assert!(diverging(history(), spoiled) > 0);
}

#[test]
fn an_empty_upsert_still_writes_who_is_alive() {
    let upsert = sample::change(Op::Upsert, 8);
    let Some(Statement::Cells(cells)) = merge(&[&upsert]).pop() else { panic!("an upsert ends with its cells") };
    assert_eq!((cells.at, cells.live(), cells.receipt()), (9, Some(8), Some((3, 8))));
    assert!(cells.keep.is_empty() && cells.stamp);
}
