//! I9, I13: no answer of the cache lacks a change that was settled before it.
//!
//! **In the model**: one user; two or three changes, in any order; a sink for each change, which can be stopped at any
//! point and taken over, and goes on as a zombie when it wakes; two readers. Under the user's key lies the product's own
//! `Entry`, with its bytes, and every look, lease, fill and deletion is a call of `store::cache::protocol`. Time passes in
//! steps of a lease, so a lease is taken over at its deadline and is gone behind it. Redis evicts, or restarts with
//! nothing; deletions arrive whose answer is lost; leases are taken whose answer is lost; somebody writes garbage.
//!
//! **Cassandra** is weaker here than it is: a read sees every change that was durable when it began, and of the others
//! that were begun by its end whichever it likes, even one that an earlier read saw or did not see. What a read sees is
//! chosen when it fills, which is the latest that it may be; so a read has no steps of its own.
//!
//! **Not in the model**: a Redis that loses what it has acknowledged (a fail-over: I10), several users (no operation
//! touches two keys), expiry of values (it is an eviction), tokens that repeat (they have 122 random bits).
//!
//! Readers are alike, so states that differ in who is who are one.

use crate::{assert_found, assert_holds, is_large};
use schemas::Version;
use stateright::{Model, Property};
use std::time::Duration;
use store::cache::Value;
use store::cache::protocol::{Entry, Filled, Get, LEASE, Leased, TOKEN_LEN};

const FRESH: &str = "every hit has all that was settled";
const OPEN: &str = "whoever comes when it is quiet can fill";

/// The protocol of the product, or one that is not sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Ours,
    /// A reader sets what it read, whatever has happened meanwhile.
    DeleteAndSet,
    /// Tokens are counted, and whatever empties Redis begins to count anew.
    CounterTokens,
    /// The sink counts a generation up instead of deleting; what was read in the present generation fills.
    Generations,
    /// The sink leaves its version as a marker, but not over a value that is newer; what is not older than that fills.
    SkipIfNewer,
    /// The sink deletes; what is newer than the value that is there fills.
    VersionCompare,
    /// Any lease lets any reader fill.
    FillWithoutToken,
    /// Leases lie under a key of their own, and an invalidation takes the value alone.
    LeaseApart,
    /// The sink deletes first and writes then.
    InvalidateFirst,
    /// The sink settles when the deletion is sent, not when it is confirmed.
    SettleBeforeConfirmed,
    /// What does not parse is an empty profile.
    GarbageAsHit,
    /// Garbage keeps everybody out, and nobody takes it away.
    GarbageBlocks,
}

/// How far one sink is with one change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Progress {
    #[default]
    Idle,
    /// The write is out; it may be durable or not.
    Writing,
    /// Confirmed at quorum.
    Durable,
    Settled,
}

/// A reader between its lease and its fill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Reading {
    token: u8,
    /// Changes that were durable when it began: a read at quorum has them.
    least: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Budget {
    leases: u8,
    lost: u8,
    evictions: u8,
    garbage: u8,
    time: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// Of each sink, for each change; the second takes over from the first.
    sinks: [[Progress; 3]; 2],
    is_taken_over: bool,
    /// Sets of changes, as bits: those that some write was sent for, those confirmed, those settled.
    begun: u8,
    durable: u8,
    settled: u8,
    entry: Entry,
    now_ms: i64,
    /// In order, since they are alike.
    readers: [Option<Reading>; 2],
    /// The token given last.
    token: u8,
    left: Budget,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Write {
        sink: usize,
        change: u8,
    },
    Confirm {
        sink: usize,
        change: u8,
    },
    /// Deleted, confirmed, settled.
    Delete {
        sink: usize,
        change: u8,
    },
    /// Deleted, but nobody hears of it: it will be done again.
    DeleteUnheard {
        change: u8,
    },
    TakeOver,
    Lease,
    /// Given, but nobody hears of it.
    LeaseUnheard,
    /// With what the read saw.
    Fill {
        reader: usize,
        seen: u8,
    },
    Evict,
    Spoil(&'static [u8]),
    Pass,
}

#[derive(Clone, Copy, Debug)]
struct World {
    protocol: Protocol,
    changes: u8,
    budget: Budget,
}

/// The token numbered `count`.
fn token(count: u8) -> [u8; TOKEN_LEN] {
    [count; TOKEN_LEN]
}

/// The version of the newest of a set of changes: what a row says of itself.
fn version(seen: u8) -> i64 {
    8 * (1 + i64::from(u8::BITS - seen.leading_zeros()))
}

/// The bytes of a profile that has a set of changes.
fn profile(seen: u8) -> Vec<u8> {
    let payload = format!("{{\"has\":{seen}}}");
    Value { version: Version::new(version(seen)).unwrap(), receipt: None, payload: &payload }.encode().unwrap()
}

/// The changes that a profile has.
fn has(payload: &str) -> u8 {
    payload.trim_start_matches("{\"has\":").trim_end_matches('}').parse().unwrap()
}

/// The number that a marker of the broken protocols holds.
fn marker(entry: &Entry, now_ms: i64) -> i64 {
    let text = entry.bytes(now_ms).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.and_then(|text| text.strip_prefix('M')?.parse().ok()).unwrap_or(0)
}

/// An hour: longer than the model lasts.
const KEEP: Duration = Duration::from_secs(3_600);

impl World {
    /// What a hit has at this moment; `None` if nobody has a hit.
    fn hit(&self, state: &State) -> Option<u8> {
        match state.entry.get(state.now_ms) {
            Get::Hit(value) => Some(has(value.payload)),
            Get::Garbage if self.protocol == Protocol::GarbageAsHit => Some(0),
            Get::Garbage | Get::Miss => None,
        }
    }

    /// What the sink does to the entry when `change` is durable.
    fn invalidate(&self, state: &mut State, change: u8) {
        let now_ms = state.now_ms;
        match self.protocol {
            Protocol::Generations => state.entry = Entry::of(format!("M{}", marker(&state.entry, now_ms) + 1)),
            Protocol::SkipIfNewer => {
                let own = version(1 << change);
                let is_newer = matches!(state.entry.get(now_ms), Get::Hit(value) if value.version.get() >= own);
                if !is_newer {
                    state.entry = Entry::of(format!("M{}", own.max(marker(&state.entry, now_ms))));
                }
            }
            Protocol::LeaseApart if self.hit(state).is_none() => {}
            Protocol::Ours
            | Protocol::DeleteAndSet
            | Protocol::CounterTokens
            | Protocol::VersionCompare
            | Protocol::FillWithoutToken
            | Protocol::LeaseApart
            | Protocol::InvalidateFirst
            | Protocol::SettleBeforeConfirmed
            | Protocol::GarbageAsHit
            | Protocol::GarbageBlocks => state.entry.delete(),
        }
    }

    /// Takes a lease; its token, if it was granted.
    fn lease(&self, state: &mut State) -> Option<u8> {
        let now_ms = state.now_ms;
        let is_miss = self.hit(state).is_none();
        match self.protocol {
            // Without tokens: what stands for one is what the reader has seen.
            Protocol::DeleteAndSet | Protocol::SkipIfNewer | Protocol::VersionCompare => is_miss.then_some(0),
            Protocol::Generations => is_miss.then(|| u8::try_from(marker(&state.entry, now_ms)).unwrap()),
            Protocol::GarbageBlocks if state.entry.get(now_ms) == Get::Garbage => None,
            Protocol::Ours
            | Protocol::CounterTokens
            | Protocol::FillWithoutToken
            | Protocol::LeaseApart
            | Protocol::InvalidateFirst
            | Protocol::SettleBeforeConfirmed
            | Protocol::GarbageAsHit
            | Protocol::GarbageBlocks => {
                if state.entry.get(now_ms) == Get::Garbage {
                    // As the reader does; this time it does not fill.
                    state.entry.delete();
                    return None;
                }
                let next = state.token + 1;
                let granted = state.entry.lease(now_ms, &token(next)) == Ok(Leased::Granted);
                granted.then(|| {
                    state.token = next;
                    next
                })
            }
        }
    }

    fn fill(&self, state: &mut State, given: u8, seen: u8) {
        let now_ms = state.now_ms;
        let newer = |than: i64| version(seen) > than;
        let is_allowed = match self.protocol {
            Protocol::DeleteAndSet => true,
            Protocol::Generations => marker(&state.entry, now_ms) == i64::from(given) && self.hit(state).is_none(),
            Protocol::SkipIfNewer => match state.entry.get(now_ms) {
                Get::Hit(value) => newer(value.version.get()),
                Get::Miss | Get::Garbage => version(seen) >= marker(&state.entry, now_ms),
            },
            Protocol::VersionCompare => match state.entry.get(now_ms) {
                Get::Hit(value) => newer(value.version.get()),
                Get::Miss | Get::Garbage => true,
            },
            Protocol::FillWithoutToken => !state.entry.is_absent(now_ms) && state.entry.get(now_ms) == Get::Miss,
            Protocol::Ours
            | Protocol::CounterTokens
            | Protocol::LeaseApart
            | Protocol::InvalidateFirst
            | Protocol::SettleBeforeConfirmed
            | Protocol::GarbageAsHit
            | Protocol::GarbageBlocks => {
                let filled = state.entry.fill(now_ms, &token(given), &profile(seen), KEEP);
                return debug_assert!(matches!(filled, Ok(Filled::Accepted | Filled::Refused)));
            }
        };
        if is_allowed {
            state.entry = Entry::of(profile(seen));
        }
    }

    fn sink_actions(&self, state: &State, actions: &mut Vec<Action>) {
        for sink in 0..if state.is_taken_over { 2 } else { 1 } {
            for change in 0..self.changes {
                let action = match state.sinks[sink][usize::from(change)] {
                    Progress::Idle => Action::Write { sink, change },
                    Progress::Writing => Action::Confirm { sink, change },
                    Progress::Durable => Action::Delete { sink, change },
                    Progress::Settled => continue,
                };
                actions.push(action);
            }
        }
        let is_durable = |change: &u8| state.sinks.iter().any(|sink| sink[usize::from(*change)] == Progress::Durable);
        if state.left.lost > 0 && !state.entry.is_absent(state.now_ms) {
            actions.extend((0..self.changes).filter(is_durable).map(|change| Action::DeleteUnheard { change }));
        }
        if !state.is_taken_over {
            actions.push(Action::TakeOver);
        }
    }

    fn reader_actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.left.leases > 0 && self.hit(state).is_none() {
            if state.readers.contains(&None) {
                actions.push(Action::Lease);
            }
            if state.left.lost > 0 {
                actions.push(Action::LeaseUnheard);
            }
        }
        for (reader, reading) in state.readers.iter().enumerate() {
            let Some(Reading { least, .. }) = reading else { continue };
            let maybe = state.begun & !least;
            actions.extend(
                (0..=maybe).filter(|more| more & !maybe == 0).map(|more| Action::Fill { reader, seen: least | more }),
            );
        }
    }

    fn apply_sink(&self, state: &mut State, sink: usize, change: u8) {
        let (at, bit) = (usize::from(change), 1 << change);
        let first = self.protocol == Protocol::InvalidateFirst;
        state.sinks[sink][at] = match state.sinks[sink][at] {
            Progress::Idle => {
                if first {
                    self.invalidate(state, change);
                }
                state.begun |= bit;
                Progress::Writing
            }
            Progress::Writing => {
                state.durable |= bit;
                if self.protocol == Protocol::SettleBeforeConfirmed {
                    state.settled |= bit;
                }
                Progress::Durable
            }
            Progress::Durable | Progress::Settled => {
                if !first {
                    self.invalidate(state, change);
                }
                state.settled |= bit;
                Progress::Settled
            }
        };
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            sinks: [[Progress::Idle; 3]; 2],
            is_taken_over: false,
            begun: 0,
            durable: 0,
            settled: 0,
            entry: Entry::default(),
            now_ms: 1_795_331_234_567,
            readers: [None; 2],
            token: 0,
            left: self.budget,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.sink_actions(state, actions);
        self.reader_actions(state, actions);
        if state.left.evictions > 0 && !state.entry.is_absent(state.now_ms) {
            actions.push(Action::Evict);
        }
        if state.left.garbage > 0 {
            // Neither of ours; and nearly a value.
            actions.extend([&b"garbage"[..], b"V{}"].map(Action::Spoil));
        }
        if state.left.time > 0 {
            actions.push(Action::Pass);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Write { sink, change } | Action::Confirm { sink, change } | Action::Delete { sink, change } => {
                self.apply_sink(&mut state, sink, change);
            }
            Action::DeleteUnheard { change } => {
                state.left.lost -= 1;
                self.invalidate(&mut state, change);
            }
            Action::TakeOver => {
                state.is_taken_over = true;
                // What was settled is committed; the rest is read again, while the first sink is not dead, only out.
                let settled = |progress: Progress| match progress {
                    Progress::Settled => Progress::Settled,
                    Progress::Idle | Progress::Writing | Progress::Durable => Progress::Idle,
                };
                state.sinks[1] = state.sinks[0].map(settled);
            }
            Action::Lease => {
                state.left.leases -= 1;
                let given = self.lease(&mut state);
                let free = state.readers.iter_mut().find(|reader| reader.is_none())?;
                *free = given.map(|token| Reading { token, least: last.durable });
                state.readers.sort_unstable();
            }
            Action::LeaseUnheard => {
                state.left.leases -= 1;
                state.left.lost -= 1;
                self.lease(&mut state);
            }
            Action::Fill { reader, seen } => {
                let Reading { token, .. } = state.readers[reader].take()?;
                state.readers.sort_unstable();
                self.fill(&mut state, token, seen);
            }
            Action::Evict => {
                state.left.evictions -= 1;
                state.entry.delete();
                if self.protocol == Protocol::CounterTokens {
                    state.token = 0;
                }
            }
            Action::Spoil(bytes) => {
                state.left.garbage -= 1;
                state.entry = Entry::of(bytes);
            }
            Action::Pass => {
                state.left.time -= 1;
                state.now_ms += i64::try_from(LEASE.as_millis()).unwrap();
            }
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(FRESH, |world: &Self, state: &State| {
                world.hit(state).is_none_or(|has| state.settled & !has == 0)
            }),
            // Two looks: the first may find garbage, and an hour later no lease is out.
            Property::always(OPEN, |world: &Self, state: &State| {
                let mut later = State { now_ms: state.now_ms + 3_600_000, ..state.clone() };
                let all = later.begun;
                for _ in 0..2 {
                    if let Some(given) = world.lease(&mut later) {
                        world.fill(&mut later, given, all);
                    }
                }
                world.hit(&later).is_some()
            }),
            Property::sometimes("a hit has all changes", |world: &Self, state: &State| {
                world.hit(state) == Some((1 << world.changes) - 1)
            }),
            Property::sometimes("two readers read at once", |_, state: &State| !state.readers.contains(&None)),
            Property::sometimes("two sinks settle the same change", |_, state: &State| {
                state.is_taken_over && state.sinks[0][0] == Progress::Settled && state.sinks[1][0] == Progress::Writing
            }),
        ]
    }
}

const SMALL: Budget = Budget { leases: 3, lost: 1, evictions: 1, garbage: 1, time: 1 };

/// I9.
#[test]
fn no_hit_lacks_a_settled_change_whatever_stops_vanishes_or_comes_twice() {
    let small = World { protocol: Protocol::Ours, changes: 2, budget: SMALL };
    assert_holds("cache", small);
    if is_large() {
        let budget = Budget { leases: 3, lost: 2, evictions: 2, garbage: 1, time: 2 };
        assert_holds("cache, more of everything", World { budget, ..small });
        assert_holds("cache, three changes", World { changes: 3, ..small });
    }
}

/// I9, I13: what is weaker is not sound.
#[test]
fn every_weaker_protocol_of_the_cache_is_found_out() {
    let clean = Budget { garbage: 0, ..SMALL };
    for protocol in [
        Protocol::DeleteAndSet,
        Protocol::CounterTokens,
        Protocol::Generations,
        Protocol::SkipIfNewer,
        Protocol::VersionCompare,
        Protocol::FillWithoutToken,
        Protocol::LeaseApart,
        Protocol::InvalidateFirst,
        Protocol::SettleBeforeConfirmed,
    ] {
        assert_found(protocol, FRESH, World { protocol, changes: 2, budget: clean });
    }
    for (protocol, property) in [(Protocol::GarbageAsHit, FRESH), (Protocol::GarbageBlocks, OPEN)] {
        assert_found(protocol, property, World { protocol, changes: 2, budget: SMALL });
    }
}
