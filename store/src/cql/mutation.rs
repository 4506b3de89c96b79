//! Merged statements in requests of bounded size.

use super::merge::{Cells, Statement};
use schemas::FieldValue;

/// Most bytes of statements in one request, unless a single change has more. One request to one partition is one
/// mutation, which Cassandra applies whole and limits to half a commit-log segment (16 MiB by default).
pub(super) const LEN_MAX: usize = 1 << 20;

/// Cuts `statements` into runs of at most `len_max` bytes, in order. A row delete stays with the cells that follow it.
pub(super) fn split<'s, 'a>(
    statements: &'s [Statement<'a>],
    len_max: usize,
) -> impl Iterator<Item = &'s [Statement<'a>]> {
    let mut rest = statements;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (run, left) = rest.split_at_checked(run_len(rest, len_max)).unwrap_or((rest, &[]));
        rest = left;
        Some(run)
    })
}

/// How many of the first statements go together: one change at least, then as many whole changes as fit.
fn run_len(statements: &[Statement<'_>], len_max: usize) -> usize {
    let (mut count, mut len, mut change_len) = (0, 0, 0);
    for (position, statement) in statements.iter().enumerate() {
        change_len += len_of(statement);
        // A change ends with its cells.
        if matches!(statement, Statement::Cells(_)) {
            len += change_len;
            change_len = 0;
            if len > len_max && count > 0 {
                return count;
            }
            count = position + 1;
        }
    }
    statements.len()
}

/// Bytes of a statement in a request, from above: the key, fixed-size columns and lengths are rounded up.
fn len_of(statement: &Statement<'_>) -> usize {
    const OVERHEAD: usize = 512;
    match statement {
        Statement::Erase { .. } => OVERHEAD,
        Statement::Cells(cells) => OVERHEAD + 12 * schemas::FieldSet::CAPACITY + values_len(cells),
    }
}

fn values_len(cells: &Cells<'_>) -> usize {
    let fields = cells.keep.iter().filter_map(|field| cells.value(field));
    fields.map(value_len).sum::<usize>() + cells.change.source.as_ref().map_or(0, String::len)
}

/// Bytes of a value beyond those that every column has.
pub(super) fn value_len(value: &FieldValue) -> usize {
    match value {
        FieldValue::Text(text) => text.len(),
        FieldValue::Bytes(bytes) => bytes.len(),
        FieldValue::Bool(_)
        | FieldValue::Int(_)
        | FieldValue::Long(_)
        | FieldValue::Float(_)
        | FieldValue::Double(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cql::merge;
    use crate::cql::model::sample;
    use schemas::{Change, Op};

    fn texts(lens: &[usize], op: Op) -> Vec<Change> {
        let texts = lens.iter().enumerate();
        texts
            .map(|(i, len)| {
                let mut change = sample::change(op, 8 * (i as i64 + 1));
                change.set.set(i % 4, FieldValue::Text("x".repeat(*len)));
                change
            })
            .collect()
    }

    fn runs(changes: &[Change], len_max: usize) -> Vec<usize> {
        let statements = merge(&changes.iter().collect::<Vec<_>>());
        let runs: Vec<usize> = split(&statements, len_max).map(<[_]>::len).collect();
        assert_eq!(runs.iter().sum::<usize>(), statements.len(), "every statement goes out exactly once");
        runs
    }

    #[test]
    fn what_fits_goes_in_one_request() {
        assert_eq!(runs(&texts(&[10, 10, 10, 10], Op::Patch), LEN_MAX), [4]);
    }

    #[test]
    fn a_request_is_cut_before_the_change_that_would_pass_the_limit() {
        let sixth = 200_000;
        assert_eq!(runs(&texts(&[sixth * 2, sixth * 2, sixth * 2, 10], Op::Patch), LEN_MAX), [2, 2]);
        assert_eq!(runs(&texts(&[LEN_MAX, 1, LEN_MAX, 1], Op::Patch), LEN_MAX), [1, 1, 1, 1]);
    }

    #[test]
    fn a_row_delete_is_never_parted_from_its_cells() {
        let mut changes = texts(&[10, 900_000, 900_000], Op::Patch);
        changes[0].op = Op::Upsert;
        assert_eq!(runs(&changes, LEN_MAX), [3, 1]);
        assert_eq!(runs(&changes, 1), [2, 1, 1]);
    }

    #[test]
    fn nothing_to_write_is_no_request() {
        assert_eq!(split(&[], LEN_MAX).count(), 0);
    }
}
