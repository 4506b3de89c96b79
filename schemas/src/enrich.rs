//! The fields that the pipeline derives: each a function of one other field of the same change.
//!
//! Cells are last-writer-wins one by one, so a derived field must be written by exactly the changes that write its
//! source: then both always tell of the same change.

use crate::profile::{Derivation, Derived, Profile};
use crate::reference::Tables;
use crate::rules::domain_of;
use crate::{Change, FieldValue, Op};

/// The change with its derived fields set, unset or left alone as their sources are.
///
/// A miss unsets; in an upsert, which has no `unset`, it leaves the field absent. Derived fields that `change` names
/// are overwritten, so twice is once. Tables are taken as they were at the change's version.
#[must_use]
pub fn enrich(profile: &Profile, tables: &Tables, mut change: Change) -> Change {
    if change.op == Op::Delete {
        return change;
    }
    for (position, field) in profile.fields().iter().enumerate() {
        let Some(derived) = &field.derived else { continue };
        let (Derived::Derive { from, .. } | Derived::Lookup { from, .. }) = derived;
        let from = *from;
        let value = match change.set.get(from) {
            Some(FieldValue::Text(source)) => value_of(derived, tables, source, &change),
            _ => None,
        };
        let source_named = change.named().contains(from);
        change.set.take(position);
        change.unset.remove(position);
        match value {
            Some(value) => change.set.set(position, FieldValue::Text(value)),
            None if source_named && change.op == Op::Patch => change.unset.insert(position),
            None => {}
        }
    }
    change
}

fn value_of(derived: &Derived, tables: &Tables, source: &str, change: &Change) -> Option<String> {
    match derived {
        Derived::Derive { function: Derivation::Domain, .. } => domain_of(source).map(str::to_owned),
        Derived::Lookup { table, column, .. } => {
            tables.lookup(table, column, source, change.version).map(str::to_owned)
        }
    }
}

#[cfg(test)]
mod tests;
