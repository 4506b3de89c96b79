//! Which users may share a request: those whose rows lie on the same nodes.
//!
//! A request costs Cassandra and us about as much as a row does. The nodes that have to answer for one user of a run have
//! to answer for the others as well, so nobody waits for a node that is not his.

use super::config::Keyspace;
use super::mutation::value_len;
use schemas::Change;
use scylla::cluster::ClusterState;
use scylla::cluster::metadata::Strategy;
use scylla::routing::Token;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher};

/// Most users of one request: Cassandra warns of more than ten partitions in one.
const USERS_MAX: usize = 8;

/// Most bytes of one request of several users, as Cassandra counts them: it warns from 5 KiB on, and refuses 50.
const LEN_MAX: usize = 5_000;

/// Cuts users into runs: `nodes` says for each which nodes keep his row (`None`: nobody knows), `lens` his bytes.
///
/// Positions, each in exactly one run; in order within a run.
pub(super) fn runs(users: impl IntoIterator<Item = (Option<u64>, usize)>) -> Vec<Vec<usize>> {
    let (mut done, mut open) = (Vec::new(), BTreeMap::<u64, (Vec<usize>, usize)>::new());
    for (at, (nodes, len)) in users.into_iter().enumerate() {
        let Some(nodes) = nodes.filter(|_| len <= LEN_MAX) else {
            done.push(vec![at]);
            continue;
        };
        let (run, sum) = open.entry(nodes).or_default();
        if run.len() >= USERS_MAX || *sum + len > LEN_MAX {
            done.push(std::mem::take(run));
            *sum = 0;
        }
        run.push(at);
        *sum += len;
    }
    done.extend(open.into_values().map(|(run, _)| run));
    done
}

/// Bytes of a user's changes as Cassandra counts them, from above: merged they are fewer.
pub(super) fn len_of(changes: &[&Change]) -> usize {
    /// A row's own and its deletion's, and our six cells of every row with what they hold.
    const ROW: usize = 32 + 6 * CELL + 44;
    /// A cell's beside its value: when it was written, for how long, and until when it lives.
    const CELL: usize = 20;
    /// Of a value that is no text.
    const FIXED: usize = 8;
    let of = |change: &&Change| {
        let set = change.named().iter().map(|field| CELL + change.set.get(field).map_or(0, value_len).max(FIXED));
        ROW + change.source.as_ref().map_or(0, String::len) + set.sum::<usize>()
    };
    changes.iter().map(of).sum()
}

/// Tells users apart by the nodes that keep their rows.
pub(super) struct Nodes<'s> {
    state: &'s ClusterState,
    keyspace: &'s Keyspace,
    spread: Spread,
}

/// What is known of where rows lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// Every node keeps every row.
    Everywhere,
    ByToken,
    Unknown,
}

impl Spread {
    /// `nodes` are the data centres of all nodes.
    fn of(strategy: &Strategy, nodes: &[Option<&str>]) -> Self {
        let is_everywhere = match strategy {
            Strategy::SimpleStrategy { replication_factor } => nodes.len() <= *replication_factor,
            Strategy::NetworkTopologyStrategy { datacenter_repfactors: copies } => nodes.iter().all(|place| {
                let here = nodes.iter().filter(|other| *other == place).count();
                place.and_then(|name| copies.get(name)).is_some_and(|copies| here <= *copies)
            }),
            Strategy::LocalStrategy | Strategy::Other { .. } | _ => return Self::Unknown,
        };
        if is_everywhere { Self::Everywhere } else { Self::ByToken }
    }
}

impl<'s> Nodes<'s> {
    pub(super) fn new(state: &'s ClusterState, keyspace: &'s Keyspace) -> Self {
        let nodes: Vec<_> = state.get_nodes_info().iter().map(|node| node.datacenter.as_deref()).collect();
        let strategy = state.get_keyspace(keyspace.as_str()).map(|keyspace| &keyspace.strategy);
        Self { state, keyspace, spread: strategy.map_or(Spread::Unknown, |strategy| Spread::of(strategy, &nodes)) }
    }

    /// Equal for users whose rows are on the same nodes. The token is asked for only if it matters.
    pub(super) fn of(&self, token: impl FnOnce() -> Option<Token>) -> Option<u64> {
        match self.spread {
            Spread::Everywhere => return Some(0),
            Spread::Unknown => return None,
            Spread::ByToken => {}
        }
        let endpoints = self.state.get_token_endpoints(self.keyspace.as_str(), super::table::TABLE, token()?);
        let mut ids: Vec<u128> = endpoints.iter().map(|(node, _)| node.host_id.as_u128()).collect();
        ids.sort_unstable();
        let mut hasher = foldhash::quality::FixedState::default().build_hasher();
        ids.iter().for_each(|id| hasher.write_u128(*id));
        (!ids.is_empty()).then(|| hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn users_on_the_same_nodes_share_requests_of_bounded_size() {
        let of = |nodes, len| (Some(nodes), len);
        assert_eq!(runs([of(1, 100), of(2, 100), of(1, 100), of(2, 100)]), [vec![0, 2], vec![1, 3]]);
        assert_eq!(runs(vec![of(1, 1); USERS_MAX + 1]).iter().map(Vec::len).collect::<Vec<_>>(), [USERS_MAX, 1]);
        assert_eq!(runs([of(1, LEN_MAX), of(1, 1), of(1, LEN_MAX - 1)]), [vec![0], vec![1, 2]]);
    }

    #[test]
    fn who_is_too_big_or_lives_nobody_knows_where_goes_alone() {
        assert_eq!(runs([(Some(1), LEN_MAX + 1), (None, 1), (None, 1), (Some(1), 1)]), [[0], [1], [2], [3]]);
        assert!(runs([]).is_empty());
    }

    #[test]
    fn rows_are_everywhere_where_no_data_centre_has_more_nodes_than_copies() {
        let by_name = |copies: &[(&str, usize)]| Strategy::NetworkTopologyStrategy {
            datacenter_repfactors: copies.iter().map(|(name, copies)| ((*name).to_owned(), *copies)).collect(),
        };
        let (north, south) = (Some("north"), Some("south"));
        for (strategy, nodes, spread) in [
            (Strategy::SimpleStrategy { replication_factor: 3 }, vec![north; 3], Spread::Everywhere),
            (Strategy::SimpleStrategy { replication_factor: 3 }, vec![north; 4], Spread::ByToken),
            (by_name(&[("north", 3)]), vec![north; 3], Spread::Everywhere),
            (by_name(&[("north", 3), ("south", 1)]), vec![north, south, north, north], Spread::Everywhere),
            // As many copies as nodes, and not where the nodes are.
            (by_name(&[("north", 3), ("south", 3)]), vec![north, north, north, north, south, south], Spread::ByToken),
            (by_name(&[("north", 3)]), vec![north, south], Spread::ByToken),
            (by_name(&[("north", 3)]), vec![north, None], Spread::ByToken),
            (Strategy::LocalStrategy, vec![north], Spread::Unknown),
        ] {
            assert_eq!(Spread::of(&strategy, &nodes), spread, "{strategy:?} {nodes:?}");
        }
    }

    proptest! {
        #[test]
        fn everybody_is_in_one_run_and_no_run_is_over_a_bound(
            users in proptest::collection::vec((proptest::option::of(0..4_u64), 0..2 * LEN_MAX), 0..100)
        ) {
            let runs = runs(users.clone());
            for run in &runs {
                let len: usize = run.iter().map(|at| users[*at].1).sum();
                prop_assert!(run.len() == 1 || run.len() <= USERS_MAX && len <= LEN_MAX);
                let nodes = users[run[0]].0;
                prop_assert!(run.is_sorted() && run.iter().all(|at| users[*at].0 == nodes));
                prop_assert!(nodes.is_some() || run.len() == 1);
            }
            let mut all: Vec<usize> = runs.into_iter().flatten().collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..users.len()).collect::<Vec<_>>());
        }
    }
}
