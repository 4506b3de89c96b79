//! The stores of the simulated world: a table of model rows behind `Profiles`, a map of versions behind `Invalidate`.

use crate::audit::{Audit, Place};
use crate::dice::Dice;
use crate::plan::{POISON, PROFILE};
use crate::sabotage::Sabotage;
use schemas::{Change, FieldSet, FieldValue, Op, Version};
use sinks::{Invalidate, Profiles};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::cache::{CacheError, Key};
use store::cql::{Blame, Model, ProfileRow, Statement, WriteError, merge};
use tokio::time::sleep;

/// How long the table remembers deletions: longer than any run before its epilogue. A fifth of it, the slack that the
/// sink leaves, is more than the minute that versions may run ahead.
pub(crate) const GC_GRACE_MS: i64 = 400_000;

/// How bad the stores are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mood {
    /// One write in so many goes wrong; 0 for none.
    pub(crate) strikes: u64,
    /// Every write is refused, the probe row's too.
    pub(crate) is_broken: bool,
    /// Every write takes this long at most.
    pub(crate) slow_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Table(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    audit: Audit,
    sabotage: Sabotage,
    dice: Dice,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rows: BTreeMap<String, Kept>,
    /// What readers would be served: the version of the row that they read.
    cache: HashMap<String, Option<Version>>,
    mood: Mood,
    /// Writes to this user hang.
    stuck: Option<String>,
    /// Changes that sabotage refuses.
    tainted: BTreeSet<Place>,
}

#[derive(Debug)]
struct Kept {
    model: Model,
    written_ms: i64,
}

enum Strike {
    Calm,
    Before,
    After,
    /// Nobody waits for it, and it is applied all the same.
    Late(Duration),
}

impl Table {
    pub(crate) fn new(audit: Audit, sabotage: Sabotage, dice: Dice) -> Self {
        Self(Arc::new(Shared { audit, sabotage, dice, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    pub(crate) fn set_stuck(&self, user: Option<&str>) {
        self.state().stuck = user.map(str::to_owned);
    }

    /// What is held of a user.
    pub(crate) fn row(&self, user: &str) -> Option<ProfileRow> {
        self.state().rows.get(user).map(|kept| kept.model.read())
    }

    /// A reader misses, reads and fills at one instant.
    pub(crate) fn fill(&self, user: &str) {
        let version = self.row(user).and_then(|row| row.version);
        self.state().cache.insert(key_of(user), version);
    }

    /// What a reader of the cache would see; `None` for a miss.
    pub(crate) fn cached(&self, user: &str) -> Option<Option<Version>> {
        self.state().cache.get(&key_of(user)).copied()
    }

    /// Compacts: forgets tombstones that are older than gc_grace.
    pub(crate) fn compact(&self) {
        let now_ms = self.0.audit.clock.now_ms();
        let is_hasty = self.0.sabotage == Sabotage::GcGraceZero;
        for kept in self.state().rows.values_mut() {
            if is_hasty || now_ms - kept.written_ms > GC_GRACE_MS {
                kept.model.purge();
            }
        }
    }

    fn strike(&self) -> Strike {
        let dice = &self.0.dice;
        let strikes = self.state().mood.strikes;
        if strikes == 0 || !dice.one_in(strikes) {
            return Strike::Calm;
        }
        match dice.roll(3) {
            0 => Strike::Before,
            1 => Strike::After,
            _ => Strike::Late(Duration::from_millis(dice.between(1, 60))),
        }
    }

    async fn delay(&self) {
        let slow_ms = self.state().mood.slow_ms;
        if slow_ms > 0 {
            sleep(Duration::from_millis(self.0.dice.roll(slow_ms + 1))).await;
        }
    }

    async fn hang(&self, user: &str) {
        while self.state().stuck.as_deref() == Some(user) {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Applies a merge as Cassandra would, whole.
    fn apply(&self, changes: &[&Change]) {
        let audit = &self.0.audit;
        let now_ms = audit.clock.now_ms();
        let Some(user) = changes.first().map(|change| change.user_id.as_str()) else { return };
        let places: Vec<Place> = changes.iter().filter_map(|change| change.origin.raw()).collect();
        if let Some(change) = changes.iter().find(|change| change.version.millis() > now_ms + 60_000) {
            audit.break_promise(format!("I6: {:?} is written a minute before its time", change.origin.raw()));
        }
        let is_again = places.iter().all(|place| audit.known().applied.contains(place));
        let mut state = self.state();
        let kept = state
            .rows
            .entry(user.to_owned())
            .or_insert_with(|| Kept { model: Model::new(&PROFILE), written_ms: now_ms });
        let before = is_again.then(|| kept.model.read());
        let mut statements = merge(changes);
        spoil(self.0.sabotage, &mut statements);
        for statement in &statements {
            kept.model.apply(statement);
        }
        kept.written_ms = now_ms;
        let is_changed = before.is_some_and(|before| before != kept.model.read());
        drop(state);
        audit.tell(|| format!("table takes {places:?} of {user}"));
        audit.known().applied.extend(&places);
        if is_changed {
            audit.break_promise(format!("I1, I5: {places:?} of {user} were applied before, and change the row again"));
        }
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
        let places = || changes.iter().filter_map(|change| change.origin.raw());
        if self.0.sabotage == Sabotage::RejectWholeMerge && is_poisoned {
            self.state().tainted.extend(places());
        }
        let state = self.state();
        is_poisoned || state.mood.is_broken || places().any(|place| state.tainted.contains(&place))
    }

    fn unconfirmed(&self) -> WriteError {
        if self.0.sabotage == Sabotage::SwapClasses {
            return WriteError::Refused("a time-out".into());
        }
        WriteError::Ambiguous("the weather".into())
    }
}

impl Profiles for Table {
    async fn write(&self, changes: &[&Change]) -> Result<(), WriteError> {
        if let Some(change) = changes.first() {
            self.hang(change.user_id.as_str()).await;
        }
        self.delay().await;
        if self.is_refused(changes) {
            return Err(WriteError::Refused("the values".into()));
        }
        match self.strike() {
            Strike::Calm => self.apply(changes),
            Strike::Before => return Err(self.unconfirmed()),
            Strike::After => {
                self.apply(changes);
                return Err(self.unconfirmed());
            }
            Strike::Late(after) => {
                let (table, late) = (self.clone(), changes.iter().map(|change| (*change).clone()).collect::<Vec<_>>());
                #[allow(clippy::disallowed_methods, reason = "a write that nobody waits for outlives its writer")]
                tokio::spawn(async move {
                    sleep(after).await;
                    table.apply(&late.iter().collect::<Vec<_>>());
                });
                return Err(self.unconfirmed());
            }
        }
        Ok(())
    }

    async fn probe(&self, _change: &Change, _now: Version) -> Result<Blame, WriteError> {
        if self.state().mood.is_broken {
            return Ok(Blame::Store { reason: "an index".into() });
        }
        Ok(Blame::Change)
    }
}

impl Invalidate for Table {
    async fn delete(&self, keys: &[Key]) -> Result<(), CacheError> {
        self.delay().await;
        let delete = || {
            let mut state = self.state();
            for key in keys {
                state.cache.remove(key.as_str());
            }
        };
        match self.strike() {
            Strike::Calm => delete(),
            Strike::Before => return Err(CacheError::Ambiguous("the weather".into())),
            Strike::After | Strike::Late(_) => {
                delete();
                return Err(CacheError::Ambiguous("the weather".into()));
            }
        }
        Ok(())
    }
}

fn key_of(user: &str) -> String {
    let user = schemas::UserId::new(user).unwrap();
    Key::new(&schemas::Tenant::default(), &user).as_str().to_owned()
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
