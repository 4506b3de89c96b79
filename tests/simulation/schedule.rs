//! Runs: a world, those who work in it, and what happens to them, from the first record to the last row.

use crate::audit::{Audit, PARTITIONS};
use crate::broker::BrokerClock;
use crate::cassandra::{GC_GRACE_MS, Mood};
use crate::crew::Crew;
use crate::dice::Dice;
use crate::oracle::{agrees, receipt_of_poison, row_of};
use crate::path::{Hop, Storm, World};
use crate::plan::{Entry, Place, Planned, Producer, START_MS};
use crate::promise::{Broken, Promise};
use crate::reader::{Readers, Sessions, key_of};
use crate::redis::Net;
use crate::sabotage::Sabotage;
use crate::script::{Act, Script, Step};
use crate::tally::Tally;
use runtime::Clock;
use runtime::limits::Limits;
use runtime::memory::MemoryLog;
use schemas::topics;
use std::collections::BTreeMap;
use std::time::Duration;
use store::cql::ProfileRow;
use tokio::time::sleep;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The first promise that was broken.
    pub(crate) broken: Option<Broken>,
    /// Empty unless asked for.
    pub(crate) history: Vec<String>,
    pub(crate) tally: Tally,
}

/// What a scenario works with.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) crew: Crew,
    pub(crate) dice: Dice,
    pub(crate) users: Vec<String>,
    pub(crate) sessions: Sessions,
    producer: Producer,
    clocks: Vec<BrokerClock>,
    /// Rejected records as they were mended.
    mended: BTreeMap<Place, Planned>,
    pub(crate) tally: Tally,
}

/// Runs a scenario in a world of its own, on one thread, in virtual time.
pub(crate) fn run<F>(seed: u64, sabotage: Sabotage, is_told: bool, scenario: F) -> Outcome
where
    F: AsyncFnOnce(&mut Scene),
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let dice = Dice::new(seed);
        let audit = Audit::new(MemoryLog::default(), Clock::fixed(START_MS), is_told);
        let world = World::new(audit.clone(), sabotage, &dice);
        let mut scene = Scene::new(world, dice);
        scenario(&mut scene).await;
        let tally = scene.tally();
        Outcome { broken: audit.broken(), history: audit.history(), tally }
    })
}

/// Runs what a script says.
pub(crate) fn play(script: &Script, sabotage: Sabotage, is_told: bool) -> Outcome {
    run(script.seed, sabotage, is_told, async |scene: &mut Scene| scene.play(script).await)
}

impl Scene {
    fn new(world: World, dice: Dice) -> Self {
        let crew = Crew::new(world.clone(), dice.split(), None);
        let stores = (world.cassandra.clone(), world.redis.clone());
        let readers = Readers::new(world.audit.clone(), stores, world.sabotage, dice.split());
        let mut scene = Self {
            world,
            crew,
            dice,
            users: Vec::new(),
            sessions: Sessions::new(readers),
            producer: Producer::default(),
            clocks: Vec::new(),
            mended: BTreeMap::new(),
            tally: Tally::default(),
        };
        scene.set_clocks(false);
        scene
    }

    /// From here on every member has these limits.
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.crew = Crew::new(self.world.clone(), self.dice.split(), Some(limits));
    }

    fn set_clocks(&mut self, leaps: bool) {
        let now_ms = self.world.audit.clock.now_ms();
        self.clocks = (0..PARTITIONS).map(|_| BrokerClock::new(self.dice.split(), leaps, now_ms)).collect();
    }

    fn tally(&self) -> Tally {
        let Crew { taken_over, crashes, losses, rewinds, .. } = self.crew;
        let known = self.world.audit.known();
        let (repeated, hits) = (known.repeated, known.hits);
        Tally { taken_over, crashes, losses, rewinds, repeated, hits, ..self.tally }
    }

    /// Appends a record.
    pub(crate) fn append(&mut self, planned: Planned) -> Place {
        self.tally.changes += 1;
        let partition = usize::try_from(topics::partition_for(planned.user.as_bytes(), PARTITIONS)).unwrap();
        let append_ms = self.clocks[partition].stamp(self.world.audit.clock.now_ms());
        self.world.audit.append(planned, append_ms)
    }

    /// Writes a change of a user to raw, and at times the same once more; whoever did may wait for it.
    pub(crate) fn produce(&mut self, user: &str, dice: &Dice) {
        let planned = self.producer.next(user, dice);
        for _ in 0..if dice.one_in(8) { 2 } else { 1 } {
            let receipt = self.append(planned.clone());
            if dice.one_in(4) {
                self.tally.followed += 1;
                self.sessions.follow(user, receipt);
            }
        }
    }

    /// Writes a change of a user with so much that travels along.
    pub(crate) fn produce_heavy(&mut self, user: &str, ballast: usize, dice: &Dice) {
        let planned = self.producer.next(user, dice);
        self.append(Planned { ballast, ..planned });
    }

    pub(crate) fn calm(&self) {
        self.world.cassandra.set_mood(Mood::default());
        self.world.redis.set_net(Net::default());
        self.world.set_storm(Storm::default());
    }

    /// Lets everyone finish in calm, and compares what is there with what must be.
    pub(crate) async fn conclude(&mut self) {
        self.calm();
        self.crew.inform_all().await;
        self.crew.cover_all().await;
        self.crew.finish(Duration::from_secs(5)).await;
        // Writes that nobody waits for come in.
        sleep(Duration::from_secs(1)).await;
        if self.world.audit.broken().is_none() {
            self.crew.mend_commits();
        }
        let World { audit, cassandra, .. } = &self.world;
        audit.close();
        for user in &self.users {
            let entries = audit.known().entries_of(user);
            let receipts: Vec<_> = entries.iter().filter_map(receipt_of_poison).collect();
            let want = row_of(entries);
            for (row, is_purged) in cassandra.every_quorum(user).into_iter().flatten() {
                if want.as_ref().is_some_and(|want| agrees(&row, want, &receipts))
                    || (want.is_none() && row == ProfileRow::default())
                {
                    continue;
                }
                audit.tell(|| format!("{user} is {row:#?}\nand must be {want:#?}"));
                let promise = broken_by(&row, want.as_ref(), is_purged);
                audit.break_promise(promise, format!("the row of {user} is not what the log says"));
            }
        }
        if audit.broken().is_none() {
            self.sessions.conclude(&self.users).await;
        }
        if self.world.audit.broken().is_none() {
            self.crew.stop_all().await;
        }
    }

    /// Anything, in the order of the script.
    async fn play(&mut self, script: &Script) {
        self.set_clocks(script.leaps);
        self.tally.leaps += u64::from(script.leaps);
        self.users = (0..script.users).map(|user| format!("u{user}-{}", script.seed % 1_000)).collect();
        for step in &script.steps {
            self.crew.inform().await;
            self.perform(step).await;
            self.crew.muster().await;
            if self.world.audit.broken().is_some() {
                return;
            }
        }
        self.conclude().await;
        if self.world.audit.broken().is_none() && script.purges {
            self.replay_after_purge(script.seed).await;
        }
    }

    async fn perform(&mut self, Step { act, seed }: &Step) {
        let dice = Dice::new(*seed);
        let World { cassandra, redis, .. } = self.world.clone();
        match *act {
            Act::Write(count) => (0..count).for_each(|_| self.write(&dice, Self::produce)),
            Act::Import(count) => (0..count).for_each(|_| self.write(&dice, Self::import)),
            Act::Source(count) => (0..count).for_each(|_| self.write(&dice, Self::source)),
            Act::Replay(count) => self.replay(count, &dice),
            Act::Wait(time) => sleep(time).await,
            Act::Read(count) => (0..count).for_each(|_| self.sessions.read(&self.users[dice.index(self.users.len())])),
            Act::HandOn(hop) => {
                self.crew.hand_on(hop, dice.pick(&hop.shares())).await;
            }
            Act::Lose(hop, unaware) => self.crew.lose(hop, dice.pick(&hop.shares()), unaware).await,
            Act::Freeze(hop, time) => self.crew.freeze(hop, time).await,
            Act::Kill(hop) => self.crew.kill_any(hop).await,
            Act::Stop(hop) => self.crew.stop_any(hop).await,
            Act::Cover => self.crew.cover_all().await,
            Act::Rewind { hop, to_start } => self.crew.rewind(hop, to_start).await,
            Act::Weather(mood, storm, net) => {
                self.world.audit.tell(|| format!("{mood:?}, {storm:?}, {net:?}"));
                cassandra.set_mood(mood);
                redis.set_net(net);
                self.world.set_storm(storm);
            }
            Act::Calm => self.calm(),
            Act::Compact => cassandra.compact(&[dice.index(3)]),
            Act::Repair => cassandra.repair(),
            Act::Garbage => redis.spoil(&key_of(&self.users[dice.index(self.users.len())]), &dice),
            Act::Evict => redis.evict(&dice),
            Act::Restart => redis.restart(),
            Act::Cut => redis.cut(),
        }
    }

    fn write(&mut self, dice: &Dice, how: impl Fn(&mut Self, &str, &Dice)) {
        let user = dice.pick(&self.users).clone();
        how(self, &user, dice);
    }

    /// Imports a row of the old system, once or twice.
    fn import(&mut self, user: &str, dice: &Dice) {
        self.tally.pinned += 1;
        let now_ms = self.world.audit.clock.now_ms();
        let planned = self.producer.backfill(user, now_ms, self.world.sabotage == Sabotage::NoClamp, dice);
        for _ in 0..dice.between(1, 2) {
            self.append(planned.clone());
        }
    }

    fn source(&mut self, user: &str, dice: &Dice) {
        self.tally.pinned += 1;
        let now_ms = self.world.audit.clock.now_ms();
        let planned = self.producer.sourced(user, now_ms, dice);
        self.append(planned);
    }

    /// Mends rejected records and replays them into their old place, some of them twice.
    fn replay(&mut self, count: u64, dice: &Dice) {
        self.world.audit.look();
        let rejected: Vec<Entry> = self.world.audit.known().rejected();
        if rejected.is_empty() {
            return;
        }
        for _ in 0..count {
            self.tally.replayed += 1;
            let entry = dice.pick(&rejected);
            let mended = match self.mended.get(&entry.name) {
                Some(mended) => mended.clone(),
                None => self.producer.replay(entry, dice),
            };
            self.mended.insert(entry.name, mended.clone());
            self.append(mended);
        }
    }

    /// Deletions are purged, and all that was ever written is read again from the start.
    async fn replay_after_purge(&mut self, seed: u64) {
        self.tally.purges += 1;
        self.crew.stop_all().await;
        self.world.cassandra.repair();
        sleep(Duration::from_millis(GC_GRACE_MS.unsigned_abs() + 30_000)).await;
        self.world.cassandra.compact(&[0, 1, 2]);
        self.set_clocks(false);
        for hop in Hop::ALL {
            self.crew.rewind(hop, true).await;
        }
        self.crew.cover_all().await;
        let dice = Dice::new(!seed);
        (0..5).for_each(|_| self.write(&dice, Self::produce));
        self.conclude().await;
    }
}

/// Which promise a row breaks that is not as it must be.
fn broken_by(row: &ProfileRow, want: Option<&ProfileRow>, is_purged: bool) -> Promise {
    if is_purged {
        return Promise::NoZombie;
    }
    let Some(want) = want else { return Promise::Convergence };
    // Nothing else is wrong but that fields are gone.
    let left: Vec<_> = want.row.iter().filter(|(field, value)| row.row.get(*field) == Some(value)).collect();
    let is_less = left.len() == row.row.iter().count() && left.len() < want.row.iter().count();
    let rest = ProfileRow { row: want.row.clone(), ..row.clone() };
    if is_less && rest == *want { Promise::PatchTouchesItsFields } else { Promise::Convergence }
}
