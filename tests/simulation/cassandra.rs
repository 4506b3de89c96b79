//! The table of the simulated world: three replicas that take each write at times of their own, or not at all, behind
//! a coordinator that answers as soon as two have it, or that too many have not in time.

use crate::audit::Audit;
use crate::dice::Dice;
use crate::plan::{POISON, PROFILE, Place};
use crate::promise::Promise;
use crate::replica::Partial;
use crate::sabotage::Sabotage;
use schemas::{Change, FieldSet, FieldValue, Op, Version, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::cql::{Blame, ProfileRow, Statement, WriteError, merge};
use tokio::time::sleep;

/// How long the table remembers deletions: longer than any run before its epilogue. A fifth of it, the slack that the
/// sink leaves, is more than the minute that versions may run ahead.
pub(crate) const GC_GRACE_MS: i64 = 400_000;

/// How many replicas there are.
const REPLICAS: usize = 3;

/// For so long the coordinator waits for two of them.
const PATIENCE_MS: u64 = 40;

/// How bad the table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mood {
    /// One write in so many goes wrong; 0 for none.
    pub(crate) strikes: u64,
    /// Every write is refused, the probe row's too.
    pub(crate) is_broken: bool,
    /// Every replica takes this long at most.
    pub(crate) slow_ms: u64,
    /// The first of the replicas that are away, and how many.
    pub(crate) away: (usize, usize),
}

impl Mood {
    fn is_away(&self, replica: usize) -> bool {
        let (first, count) = self.away;
        (replica + REPLICAS - first) % REPLICAS < count
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Cassandra(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    audit: Audit,
    sabotage: Sabotage,
    dice: Dice,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    replicas: [Replica; REPLICAS],
    sent: u64,
    mood: Mood,
    /// It was broken and is no more. It does not break twice: a refusal, a probe and another refusal of one change would
    /// be needed to fall into both times, and nobody can tell them from a change that is wrong.
    is_mended: bool,
    /// Writes to this user hang.
    stuck: Option<String>,
    /// Changes that sabotage refuses.
    tainted: BTreeSet<Place>,
    /// The newest version in the last write of each user.
    written: BTreeMap<String, Version>,
}

#[derive(Debug, Default)]
struct Replica {
    rows: BTreeMap<String, Partial>,
    /// What is on its way to it, by the time it arrives.
    coming: BTreeMap<(i64, u64), Arc<Mutation>>,
    /// What is kept for it while it is away.
    hints: Vec<Arc<Mutation>>,
}

/// One write: it is applied whole.
#[derive(Debug)]
struct Mutation {
    user: String,
    effect: Partial,
}

/// What two replicas have of a user.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) row: ProfileRow,
    /// The changes that went into it.
    pub(crate) places: BTreeSet<Place>,
}

/// Too few replicas answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unavailable;

impl Cassandra {
    pub(crate) fn new(audit: Audit, sabotage: Sabotage, dice: Dice) -> Self {
        Self(Arc::new(Shared { audit, sabotage, dice, state: Mutex::default() }))
    }

    fn now_ms(&self) -> i64 {
        self.0.audit.clock.now_ms()
    }

    /// The state as it is now: what was to arrive by now has arrived.
    fn state(&self) -> MutexGuard<'_, State> {
        let now_ms = self.now_ms();
        let mut state = self.0.state.lock().unwrap();
        for at in 0..REPLICAS {
            while let Some(entry) = state.replicas[at].coming.first_entry() {
                if entry.key().0 > now_ms {
                    break;
                }
                let mutation = entry.remove();
                self.deliver(&mut state.replicas[at], at, &mutation);
            }
        }
        state
    }

    fn deliver(&self, replica: &mut Replica, at: usize, mutation: &Mutation) {
        let Mutation { user, effect } = mutation;
        let row = replica.rows.entry(user.clone()).or_default();
        let is_again = !effect.places.is_empty() && effect.places.is_subset(&row.places);
        let before = is_again.then(|| row.visible());
        row.absorb(effect);
        let audit = &self.0.audit;
        if before.is_some_and(|before| before != row.visible()) {
            let promise = if row.is_purged { Promise::NoZombie } else { Promise::Convergence };
            let places = &effect.places;
            audit.break_promise(promise, format!("{places:?} of {user} were applied before, and change the row again"));
        }
        audit.tell(|| format!("replica {at} takes {:?} of {user}", effect.places));
        audit.known().taken(&effect.places, at);
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        let now_ms = self.now_ms();
        let mut state = self.state();
        state.is_mended |= state.mood.is_broken && !mood.is_broken;
        state.mood = Mood { is_broken: mood.is_broken && !state.is_mended, ..mood };
        for at in (0..REPLICAS).filter(|at| !mood.is_away(*at)) {
            for mutation in std::mem::take(&mut state.replicas[at].hints) {
                let due_ms = now_ms + i64::try_from(self.0.dice.roll(60)).unwrap();
                state.send(at, due_ms, mutation);
            }
        }
    }

    pub(crate) fn set_stuck(&self, user: Option<&str>) {
        self.state().stuck = user.map(str::to_owned);
    }

    /// The newest version of each user in the last write of them.
    pub(crate) fn written(&self) -> BTreeMap<String, Version> {
        self.state().written.clone()
    }

    /// What each pair of replicas makes of a user; `None` for one of whom nothing was ever written.
    pub(crate) fn every_quorum(&self, user: &str) -> Vec<Option<(ProfileRow, bool)>> {
        let state = self.state();
        let pair = |one: usize, other: usize| {
            let rows = [one, other].map(|at| state.replicas[at].rows.get(user));
            let mut both = rows.into_iter().flatten();
            let mut row = both.next()?.clone();
            both.for_each(|other| row.absorb(other));
            Some((row.read(), row.is_purged))
        };
        vec![pair(0, 1), pair(1, 2), pair(2, 0)]
    }

    /// Compacts: forgets tombstones that are older than gc_grace. Each replica for itself.
    pub(crate) fn compact(&self, replicas: &[usize]) {
        let before_ms = match self.0.sabotage {
            Sabotage::GcGraceZero => i64::MAX,
            _ => self.now_ms() - GC_GRACE_MS,
        };
        let mut state = self.state();
        for at in replicas {
            state.replicas[*at].rows.values_mut().for_each(|row| row.compact(before_ms));
        }
    }

    /// Repairs: every replica gets what any has. Cassandra must be repaired within gc_grace, and so is this one.
    pub(crate) fn repair(&self) {
        let mut state = self.state();
        for at in 0..REPLICAS {
            let left = std::mem::take(&mut state.replicas[at].coming).into_values();
            let left: Vec<_> = left.chain(std::mem::take(&mut state.replicas[at].hints)).collect();
            left.iter().for_each(|mutation| self.deliver(&mut state.replicas[at], at, mutation));
        }
        let mut all: BTreeMap<String, Partial> = BTreeMap::new();
        for replica in &state.replicas {
            for (user, row) in &replica.rows {
                all.entry(user.clone()).or_default().absorb(row);
            }
        }
        for (user, row) in &all {
            for at in 0..REPLICAS {
                state.replicas[at].rows.entry(user.clone()).or_default().absorb(row);
                self.0.audit.known().taken(&row.places, at);
            }
        }
    }

    /// Reads at quorum: two replicas, one after the other. Both have the answer before it is given: Cassandra's own
    /// blocking read repair.
    pub(crate) async fn read(&self, user: &str) -> Result<Read, Unavailable> {
        let dice = &self.0.dice;
        let (mood, first) = (self.state().mood, dice.index(REPLICAS));
        let here = (0..REPLICAS).map(|at| (first + at) % REPLICAS).filter(|at| !mood.is_away(*at));
        let asked: Vec<usize> = here.take(2).collect();
        if asked.len() < 2 || (mood.strikes > 0 && dice.one_in(mood.strikes * 2)) {
            self.delay(mood.slow_ms).await;
            return Err(Unavailable);
        }
        let mut row = Partial::default();
        for at in &asked {
            self.delay(mood.slow_ms).await;
            if let Some(theirs) = self.state().replicas[*at].rows.get(user) {
                row.absorb(theirs);
            }
        }
        let mutation = Mutation { user: user.to_owned(), effect: row.clone() };
        let mut state = self.state();
        asked.into_iter().for_each(|at| self.deliver(&mut state.replicas[at], at, &mutation));
        drop(state);
        Ok(Read { row: row.read(), places: row.places })
    }

    async fn delay(&self, most_ms: u64) {
        if most_ms > 0 {
            sleep(Duration::from_millis(self.0.dice.roll(most_ms + 1))).await;
        }
    }

    /// Sends a write out. Returns in how many milliseconds two replicas have it, if ever.
    fn send(&self, mutation: &Arc<Mutation>) -> Option<u64> {
        let (dice, now_ms) = (&self.0.dice, self.now_ms());
        let mut state = self.state();
        let mood = state.mood;
        let goes_wrong = mood.strikes > 0 && dice.one_in(mood.strikes);
        let mut acks = Vec::new();
        for at in 0..REPLICAS {
            let delay_ms = match dice.roll(if goes_wrong { 8 } else { 1 }) {
                1..=3 => dice.between(PATIENCE_MS, 3 * PATIENCE_MS),
                4 | 5 => dice.between(100, 900),
                6 => continue,
                _ => dice.roll(mood.slow_ms + 1),
            };
            if mood.is_away(at) {
                state.replicas[at].hints.push(mutation.clone());
                continue;
            }
            acks.push(delay_ms);
            state.send(at, now_ms + i64::try_from(delay_ms).unwrap(), mutation.clone());
        }
        drop(state);
        acks.sort_unstable();
        // A reply may be lost as well.
        acks.get(1).copied().filter(|_| !goes_wrong || dice.one_in(2))
    }

    fn mutation(&self, changes: &[&Change]) -> Option<Mutation> {
        let (user, now_ms) = (changes.first()?.user_id.as_str().to_owned(), self.now_ms());
        if let Some(change) = changes.iter().find(|change| change.version.millis() > now_ms + 60_000) {
            let what = format!("{} is written a minute before its time", change.origin);
            self.0.audit.break_promise(Promise::NoFuture, what);
        }
        let mut statements = merge(changes);
        spoil(self.0.sabotage, &mut statements);
        let mut effect = Partial::of(&statements, now_ms);
        if self.0.sabotage == Sabotage::PinnedOwnOffset {
            for change in changes.iter().filter(|change| change.origin.topic() == topics::PINNED) {
                let receipt = (change.origin.partition(), change.origin.offset());
                effect.receive(receipt, change.version.cells(), now_ms);
            }
        }
        effect.places = changes.iter().filter_map(|change| Place::of(&change.origin)).collect();
        let newest = changes.iter().map(|change| change.version).max();
        self.state().written.extend(newest.map(|newest| (user.clone(), newest)));
        Some(Mutation { user, effect })
    }

    fn is_refused(&self, changes: &[&Change]) -> bool {
        let name = PROFILE.position("name").unwrap();
        let is_poison = |statement: &Statement<'_>| match statement {
            Statement::Cells(cells) if cells.keep.contains(name) => {
                matches!(cells.value(name), Some(FieldValue::Text(text)) if text.starts_with(POISON))
            }
            _ => false,
        };
        let is_poisoned = merge(changes).iter().any(is_poison);
        let places = || changes.iter().filter_map(|change| Place::of(&change.origin));
        if self.0.sabotage == Sabotage::RejectWholeMerge && is_poisoned {
            self.state().tainted.extend(places());
        }
        let state = self.state();
        is_poisoned || state.mood.is_broken || places().any(|place| state.tainted.contains(&place))
    }

    /// As the product's own writer: each user merged, all of them one request. It is refused before anything of it is
    /// applied; beyond that each user's mutation has a fate of its own.
    pub(crate) async fn write(&self, users: &[&[&Change]]) -> Result<(), WriteError> {
        let is_of =
            |stuck: &str| users.iter().filter_map(|changes| changes.first()).any(|it| it.user_id.as_str() == stuck);
        while self.state().stuck.as_deref().is_some_and(is_of) {
            sleep(Duration::from_millis(50)).await;
        }
        if users.iter().filter(|changes| self.is_refused(changes)).count() > 0 {
            if self.0.sabotage == Sabotage::RejectWholeRun {
                let all = users.iter().flat_map(|changes| changes.iter());
                self.state().tainted.extend(all.filter_map(|change| Place::of(&change.origin)));
            }
            let slow_ms = self.state().mood.slow_ms;
            self.delay(slow_ms).await;
            return Err(WriteError::Refused("the values".into()));
        }
        let mutations = users.iter().filter_map(|changes| self.mutation(changes));
        let acks: Vec<Option<u64>> = mutations.map(|mutation| self.send(&Arc::new(mutation))).collect();
        // Whoever is last; nobody knows of one that is lost.
        let ack_ms = acks.into_iter().try_fold(0, |last, ack| Some(last.max(ack?)));
        sleep(Duration::from_millis(ack_ms.unwrap_or(PATIENCE_MS).min(PATIENCE_MS))).await;
        // What has arrived by now is known to have arrived.
        drop(self.state());
        match ack_ms {
            Some(ack_ms) if ack_ms <= PATIENCE_MS => Ok(()),
            _ if self.0.sabotage == Sabotage::SwapClasses => Err(WriteError::Refused("a time-out".into())),
            _ => Err(WriteError::Ambiguous("the weather".into())),
        }
    }

    pub(crate) fn probe(&self) -> Blame {
        if self.state().mood.is_broken { Blame::Store { reason: "an index".into() } } else { Blame::Change }
    }
}

impl State {
    fn send(&mut self, at: usize, due_ms: i64, mutation: Arc<Mutation>) {
        self.sent += 1;
        self.replicas[at].coming.insert((due_ms, self.sent), mutation);
    }
}

fn spoil(sabotage: Sabotage, statements: &mut Vec<Statement<'_>>) {
    let newest = statements.iter().filter_map(|statement| match statement {
        Statement::Cells(cells) => Some(cells.at),
        Statement::Erase { .. } => None,
    });
    let newest = newest.max().unwrap_or_default();
    if sabotage == Sabotage::NoErase {
        let is_upsert =
            |statement: &Statement<'_>| matches!(statement, Statement::Cells(c) if c.change.op == Op::Upsert);
        if statements.iter().any(is_upsert) {
            statements.retain(|statement| matches!(statement, Statement::Cells(_)));
        }
    }
    for statement in statements {
        let Statement::Cells(cells) = statement else { continue };
        match sabotage {
            Sabotage::CellsAtVersion => cells.at = cells.change.version.get(),
            Sabotage::OneTimestamp => cells.at = newest,
            Sabotage::NullForAbsent => cells.keep = (0..PROFILE.fields().len()).collect::<FieldSet>(),
            _ => {}
        }
    }
}
