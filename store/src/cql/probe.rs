//! The probe row: whether Cassandra refuses a change, or everything of its shape.
//!
//! A change that is refused alone goes to the dead letters only if the same statements succeed for a row that belongs
//! to nobody. If they do not, the fault is ours (a dropped column, a broken index), and dead letters would be a loss.

use super::column::Columns;
use super::statement::Key;
use schemas::{Change, Row, Version};

/// The probe row's key. No change can have this tenant; whoever reads all rows skips it.
pub(super) const KEY: Key<'static> = Key { tenant: "_", user_id: "probe" };

/// Whose fault a refusal is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The store takes the same statements with other values: the change is to be rejected.
    Change,
    /// The store refuses the probe row too, for this reason (its own words: there is no user's data in the probe).
    Store { reason: Box<str> },
}

/// `change` with its shape, at version `now`, and the shortest legal value for each field it sets.
pub(super) fn like(change: &Change, columns: &Columns, now: Version) -> Change {
    let mut set = Row::default();
    for field in change.set.named().iter() {
        if let Some(encoding) = columns.encoding(field) {
            set.set(field, encoding.shortest());
        }
    }
    let source = change.source.as_ref().map(|_| String::new());
    Change { set, source, version: now, ..change.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cql::model::sample;
    use schemas::{FieldValue, Op, Tenant};

    #[test]
    fn no_change_can_have_the_tenant_of_the_probe_row() {
        assert!(Tenant::new(KEY.tenant).is_none());
    }

    #[test]
    fn the_probe_names_the_same_fields_with_values_of_nobody() {
        let mut change = sample::change(Op::Patch, 80);
        change.set.set(0, FieldValue::Text("ada@example.com".into()));
        change.unset.insert(2);
        change.source = Some("crm".into());
        let now = Version::new(8_000).unwrap();
        let probe = like(&change, &sample::columns(), now);
        assert_eq!(probe.named(), change.named());
        assert_eq!(probe.unset, change.unset);
        assert_eq!(probe.set.get(0), Some(&FieldValue::Text(String::new())));
        assert_eq!((probe.op, probe.version, probe.source.as_deref()), (Op::Patch, now, Some("")));
    }
}
