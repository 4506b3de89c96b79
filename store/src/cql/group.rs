//! The changes of a batch, user by user.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use schemas::Change;
use std::hash::BuildHasher;

/// Sorts batches by user; keeps its memory from one batch to the next.
#[derive(Debug, Default)]
pub struct Groups {
    hasher: RandomState,
    /// For each user, its place in `groups`.
    users: HashTable<usize>,
    groups: Vec<Group>,
    spare: Vec<Vec<usize>>,
}

/// The changes of one user, as positions in the batch in ascending order; never empty.
#[derive(Debug, Default)]
pub struct Group {
    hash: u64,
    first: usize,
    positions: Vec<usize>,
}

impl Group {
    /// Positions in the batch.
    #[must_use]
    pub fn positions(&self) -> &[usize] {
        &self.positions
    }
}

impl Groups {
    /// One group for each user of `batch`, in order of first appearance.
    pub fn of(&mut self, batch: &[Change]) -> &[Group] {
        self.clear();
        for (position, change) in batch.iter().enumerate() {
            let hash = self.hasher.hash_one((&change.tenant, &change.user_id));
            let groups = &mut self.groups;
            let is_same = |at: &usize| {
                let first = groups.get(*at).and_then(|group| batch.get(group.first));
                first.is_some_and(|first| first.user_id == change.user_id && first.tenant == change.tenant)
            };
            let entry = self.users.entry(hash, is_same, |at| groups.get(*at).map_or(0, |group| group.hash));
            match entry {
                Entry::Occupied(at) => {
                    if let Some(group) = groups.get_mut(*at.get()) {
                        group.positions.push(position);
                    }
                }
                Entry::Vacant(free) => {
                    free.insert(groups.len());
                    let mut positions = self.spare.pop().unwrap_or_default();
                    positions.push(position);
                    groups.push(Group { hash, first: position, positions });
                }
            }
        }
        &self.groups
    }

    fn clear(&mut self) {
        self.users.clear();
        for mut group in self.groups.drain(..) {
            group.positions.clear();
            self.spare.push(group.positions);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cql::model::sample;
    use proptest::prelude::*;
    use schemas::{Op, Tenant, UserId};

    fn change(tenant: u8, user: u8) -> Change {
        let mut change = sample::change(Op::Patch, 8);
        change.tenant = Tenant::new(&format!("t{tenant}")).unwrap();
        change.user_id = UserId::new(&format!("u{user}")).unwrap();
        change
    }

    proptest! {
        #[test]
        fn every_change_is_in_the_group_of_its_user_in_order(
            batches in proptest::collection::vec(proptest::collection::vec((0..2u8, 0..6u8), 0..40), 1..4)
        ) {
            let mut groups = Groups::default();
            for batch in batches {
                let batch: Vec<Change> = batch.into_iter().map(|(tenant, user)| change(tenant, user)).collect();
                let groups = groups.of(&batch);
                let mut seen = vec![];
                for group in groups {
                    let positions = group.positions();
                    prop_assert!(positions.is_sorted() && !positions.is_empty());
                    let first = &batch[positions[0]];
                    let theirs = batch.iter().filter(|c| c.user_id == first.user_id && c.tenant == first.tenant);
                    prop_assert_eq!(theirs.count(), positions.len());
                    prop_assert!(positions.iter().all(|at| batch[*at].user_id == first.user_id && batch[*at].tenant == first.tenant));
                    seen.extend_from_slice(positions);
                }
                seen.sort_unstable();
                prop_assert_eq!(seen, (0..batch.len()).collect::<Vec<_>>());
            }
        }
    }
}
