//! Random schedules: one seed is one run, from the first record to the last row.

use crate::audit::{Audit, BrokerClock, PARTITIONS};
use crate::crew::Crew;
use crate::dice::Dice;
use crate::path::{Hop, Storm, World};
use crate::plan::{Producer, START_MS, row_of};
use crate::sabotage::Sabotage;
use crate::table::{GC_GRACE_MS, Mood};
use runtime::Clock;
use runtime::limits::Limits;
use runtime::memory::MemoryLog;
use schemas::topics;
use std::ops::AddAssign;
use std::time::Duration;
use tokio::time::sleep;

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// The first promise that was broken.
    pub(crate) broken: Option<String>,
    /// Empty unless asked for.
    pub(crate) history: Vec<String>,
    pub(crate) tally: Tally,
}

/// What a run went through, so that a suite can show that it went through something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) changes: u64,
    pub(crate) repeated: u64,
    pub(crate) taken_over: u64,
    pub(crate) crashes: u64,
    pub(crate) losses: u64,
    pub(crate) rewinds: u64,
    pub(crate) leaps: u64,
    pub(crate) purges: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.changes += other.changes;
        self.repeated += other.repeated;
        self.taken_over += other.taken_over;
        self.crashes += other.crashes;
        self.losses += other.losses;
        self.rewinds += other.rewinds;
        self.leaps += other.leaps;
        self.purges += other.purges;
    }
}

/// What a scenario works with.
pub(crate) struct Scene {
    pub(crate) world: World,
    pub(crate) crew: Crew,
    pub(crate) dice: Dice,
    pub(crate) users: Vec<String>,
    producer: Producer,
    clocks: Vec<BrokerClock>,
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
        let mut scene = Scene::new(world, dice, None);
        scenario(&mut scene).await;
        let tally = Tally { repeated: audit.known().repeated, ..scene.tally() };
        Outcome { broken: audit.broken(), history: audit.history(), tally }
    })
}

impl Scene {
    fn new(world: World, dice: Dice, limits: Option<Limits>) -> Self {
        let crew = Crew::new(world.clone(), dice.split(), limits);
        let users = (0..dice.between(3, 9)).map(|user| format!("u{user}-{}", dice.roll(1_000))).collect();
        let leaps = dice.one_in(5);
        let now_ms = world.audit.clock.now_ms();
        let clocks = (0..PARTITIONS).map(|_| BrokerClock::new(dice.split(), leaps, now_ms)).collect();
        let producer = Producer::new(dice.split());
        let tally = Tally { leaps: leaps.into(), ..Tally::default() };
        Self { world, crew, dice, users, producer, clocks, tally }
    }

    /// From here on every member has these limits.
    pub(crate) fn limit(&mut self, limits: Limits) {
        self.crew = Crew::new(self.world.clone(), self.dice.split(), Some(limits));
    }

    /// Brokers whose clocks stay within a minute.
    pub(crate) fn without_leaps(&mut self) {
        let now_ms = self.world.audit.clock.now_ms();
        self.clocks = (0..PARTITIONS).map(|_| BrokerClock::new(self.dice.split(), false, now_ms)).collect();
    }

    fn tally(&self) -> Tally {
        let Crew { taken_over, crashes, losses, rewinds, .. } = self.crew;
        Tally { taken_over, crashes, losses, rewinds, ..self.tally }
    }

    /// Appends a change of a user, and at times the same once more.
    pub(crate) fn produce(&mut self, user: &str) {
        let planned = self.producer.next(user);
        let partition = usize::try_from(topics::partition_for(user.as_bytes(), PARTITIONS)).unwrap();
        for _ in 0..if self.dice.one_in(8) { 2 } else { 1 } {
            self.tally.changes += 1;
            let append_ms = self.clocks[partition].stamp(self.world.audit.clock.now_ms());
            self.world.audit.append(planned.clone(), append_ms);
        }
    }

    pub(crate) fn produce_any(&mut self, count: u64) {
        for _ in 0..count {
            let user = self.dice.pick(&self.users).clone();
            self.produce(&user);
        }
    }

    pub(crate) fn calm(&self) {
        self.world.table.set_mood(Mood::default());
        self.world.set_storm(Storm::default());
    }

    /// Lets everyone finish in calm, and compares what is there with what must be.
    pub(crate) async fn conclude(&mut self) {
        self.calm();
        self.crew.cover_all().await;
        self.crew.finish(Duration::from_secs(5)).await;
        // Writes that nobody waits for come in.
        sleep(Duration::from_millis(200)).await;
        let World { audit, table, .. } = &self.world;
        audit.close();
        for user in &self.users {
            let partition = topics::partition_for(user.as_bytes(), PARTITIONS);
            let (want, row) = (row_of(user, partition, &audit.entries(partition)), table.row(user));
            if row != want {
                audit.tell(|| format!("{user} is {row:#?}\nand must be {want:#?}"));
                audit.break_promise(format!("I1, I4: the row of {user} is not what the log says"));
            }
            let version = want.and_then(|row| row.version);
            if table.cached(user).is_some_and(|cached| cached != version) {
                audit.break_promise(format!("the cache holds an old row of {user}"));
            }
        }
        if audit.broken().is_none() {
            self.crew.stop_all().await;
        }
    }

    async fn step(&mut self) {
        let (hop, partition) = (*self.dice.pick(&Hop::ALL), i32::try_from(self.dice.roll(3)).unwrap());
        match self.dice.roll(28) {
            0..=9 => self.produce_any(self.dice.between(1, 8)),
            10..=15 => sleep(Duration::from_millis(self.dice.between(1, 40))).await,
            16 | 17 => {
                self.crew.hand_on(hop, partition).await;
            }
            18 => self.crew.lose(hop, partition).await,
            19 | 20 => self.crew.kill_any(hop).await,
            21 => self.crew.stop_any(hop).await,
            22 => self.crew.rewind(hop, self.dice.one_in(2)).await,
            23 => self.change_weather(),
            24 => self.calm(),
            25 => self.world.table.compact(),
            _ => self.world.table.fill(&self.users[self.dice.index(self.users.len())]),
        }
    }

    fn change_weather(&self) {
        let is_broken = self.dice.one_in(6);
        let mood = Mood { strikes: self.dice.between(2, 8), is_broken, slow_ms: self.dice.roll(12) };
        let storm = Storm { strikes: self.dice.between(2, 12), slow_ms: self.dice.roll(8) };
        self.world.audit.tell(|| format!("{mood:?}, {storm:?}"));
        self.world.table.set_mood(mood);
        self.world.set_storm(storm);
    }

    /// Deletions are purged, and all that was ever written is read again from the start.
    async fn replay_after_purge(&mut self) {
        self.tally.purges += 1;
        self.crew.stop_all().await;
        sleep(Duration::from_millis(GC_GRACE_MS.unsigned_abs() + 30_000)).await;
        self.world.table.compact();
        self.without_leaps();
        for hop in Hop::ALL {
            self.crew.rewind(hop, true).await;
        }
        self.crew.cover_all().await;
        self.produce_any(5);
        self.conclude().await;
    }
}

/// Anything, in any order.
pub(crate) async fn anything(scene: &mut Scene) {
    scene.crew.cover_all().await;
    scene.change_weather();
    for _ in 0..scene.dice.between(20, 50) {
        scene.step().await;
        scene.crew.muster().await;
        if scene.world.audit.broken().is_some() {
            return;
        }
        // The group gives away what nobody holds, though not at once.
        if scene.dice.one_in(2) {
            scene.crew.cover_all().await;
        }
    }
    scene.conclude().await;
    if scene.world.audit.broken().is_none() && scene.dice.one_in(4) {
        scene.replay_after_purge().await;
    }
}
