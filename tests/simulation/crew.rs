//! The members of the three groups, and what befalls them: shares handed on, lost, taken over, processes killed.

use crate::audit::PARTITIONS;
use crate::dice::Dice;
use crate::path::{Hop, Member, World, small_limits};
use runtime::limits::Limits;
use runtime::record::{Offset, TopicPartition};
use runtime::worker::Ended;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Everyone who works at present. A partition of a hop is with one member, or with nobody.
#[derive(Debug)]
pub(crate) struct Crew {
    world: World,
    dice: Dice,
    members: Vec<Member>,
    limits: Option<Limits>,
    started: u64,
    /// How often a partition came to another member.
    pub(crate) taken_over: u64,
    pub(crate) crashes: u64,
    pub(crate) losses: u64,
    pub(crate) rewinds: u64,
    /// Records that crashes may have redone: from the commit to the head of each partition.
    pub(crate) redone_max: u64,
}

/// Beside the drain: a commit that is out, and one more.
const RELEASE_SLACK: Duration = Duration::from_millis(60);

impl Crew {
    /// `limits` for every member; `None` for small ones, rolled for each.
    pub(crate) fn new(world: World, dice: Dice, limits: Option<Limits>) -> Self {
        let (taken_over, crashes, losses, rewinds, redone_max) = (0, 0, 0, 0, 0);
        Self { world, dice, members: Vec::new(), limits, started: 0, taken_over, crashes, losses, rewinds, redone_max }
    }

    fn members_of(&self, hop: Hop) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].hop == hop).collect()
    }

    fn holder(&self, hop: Hop, partition: i32) -> Option<usize> {
        self.members.iter().position(|member| member.hop == hop && member.held.contains(&partition))
    }

    pub(crate) fn start(&mut self, hop: Hop) -> usize {
        self.started += 1;
        let limits = self.limits.unwrap_or_else(|| small_limits(&self.dice));
        self.members.push(self.world.start(hop, self.started, limits));
        self.members.len() - 1
    }

    async fn assign(&mut self, at: usize, partition: i32) {
        self.taken_over += 1;
        let member = &mut self.members[at];
        self.world.audit.tell(|| format!("{:?} #{} is given {partition}", member.hop, member.number));
        member.held.push(partition);
        member.group.assign(&[member.hop.place(partition)]).await;
    }

    /// Gives what nobody holds to somebody.
    pub(crate) async fn cover(&mut self, hop: Hop) {
        for partition in 0..PARTITIONS {
            if self.holder(hop, partition).is_none() {
                let members = self.members_of(hop);
                let at = if members.is_empty() { self.start(hop) } else { *self.dice.pick(&members) };
                self.assign(at, partition).await;
            }
        }
    }

    pub(crate) async fn cover_all(&mut self) {
        for hop in Hop::ALL {
            self.cover(hop).await;
        }
    }

    /// Takes partitions from a member as a rebalance does; the group waits for it. Returns how long.
    async fn revoke(&mut self, at: usize, partitions: &[i32]) -> Duration {
        let member = &mut self.members[at];
        let places: Vec<TopicPartition> = partitions.iter().map(|partition| member.hop.place(*partition)).collect();
        self.world.audit.tell(|| format!("{:?} #{} is to hand on {partitions:?}", member.hop, member.number));
        member.held.retain(|held| !partitions.contains(held));
        let since = Instant::now();
        member.group.revoke(&places).await;
        since.elapsed()
    }

    /// Moves one partition to another member, or to a new one. Returns how long the group waited.
    pub(crate) async fn hand_on(&mut self, hop: Hop, partition: i32) -> Duration {
        let Some(from) = self.holder(hop, partition) else { return Duration::ZERO };
        let waited = self.revoke(from, &[partition]).await;
        let drain = self.limits.map_or(Duration::from_millis(120), |limits| limits.drain);
        if waited > drain + RELEASE_SLACK {
            self.world.audit.break_promise(format!("I17: {hop:?} took {waited:?} to hand on a partition"));
        }
        let others: Vec<usize> = self.members_of(hop).into_iter().filter(|at| *at != from).collect();
        let to = if others.is_empty() || self.dice.one_in(3) { self.start(hop) } else { *self.dice.pick(&others) };
        self.assign(to, partition).await;
        waited
    }

    /// Gives a partition to another member, whose predecessor learns of it later.
    pub(crate) async fn lose(&mut self, hop: Hop, partition: i32) {
        let Some(from) = self.holder(hop, partition) else { return };
        self.losses += 1;
        self.members[from].held.retain(|held| *held != partition);
        let to = self.start(hop);
        self.assign(to, partition).await;
        sleep(Duration::from_millis(self.dice.roll(25))).await;
        let member = &self.members[from];
        self.world.audit.tell(|| format!("{hop:?} #{} learns that {partition} is lost", member.number));
        member.group.lose(&[hop.place(partition)]).await;
    }

    /// Kills a member: nothing of it runs on, nothing is committed any more.
    async fn kill(&mut self, at: usize) {
        let member = self.members.swap_remove(at);
        self.world.audit.tell(|| format!("{:?} #{} is killed", member.hop, member.number));
        self.crashes += 1;
        member.task.abort();
        let killed = member.task.await;
        for partition in member.held {
            let head = member.fence.head(&member.hop.place(partition)).unwrap_or(0);
            let redone = head - self.world.audit.committed(member.hop, partition);
            self.redone_max += u64::try_from(redone).unwrap_or(0);
        }
        if let Ok(Err(fault)) = killed {
            self.world.audit.break_promise(format!("{:?} ended by itself: {fault}", member.hop));
        }
    }

    pub(crate) async fn kill_any(&mut self, hop: Hop) {
        let members = self.members_of(hop);
        if !members.is_empty() {
            let at = *self.dice.pick(&members);
            self.kill(at).await;
        }
    }

    /// Stops a member as SIGTERM does. Returns how it ended.
    async fn stop(&mut self, at: usize) -> Option<Ended> {
        let member = self.members.swap_remove(at);
        self.world.audit.tell(|| format!("{:?} #{} is stopped", member.hop, member.number));
        member.shutdown.cancel();
        match member.task.await {
            Ok(Ok(ended)) => Some(ended),
            Ok(Err(fault)) => {
                self.world.audit.break_promise(format!("{:?} ended with a fault: {fault}", member.hop));
                None
            }
            Err(_) => {
                self.world.audit.break_promise(format!("{:?} panicked", member.hop));
                None
            }
        }
    }

    pub(crate) async fn stop_any(&mut self, hop: Hop) {
        let members = self.members_of(hop);
        if !members.is_empty() {
            let at = *self.dice.pick(&members);
            self.stop(at).await;
        }
    }

    /// Stops everyone while all is calm: nobody may leave work behind.
    pub(crate) async fn stop_all(&mut self) {
        while !self.members.is_empty() {
            if self.stop(0).await == Some(Ended::RanOut) {
                self.world.audit.break_promise("I17: a calm shutdown left work behind");
            }
        }
    }

    /// Moves the commits of a hop back, as an operator does when nobody works there.
    pub(crate) async fn rewind(&mut self, hop: Hop, to_start: bool) {
        self.rewinds += 1;
        while let Some(at) = self.members_of(hop).pop() {
            self.kill(at).await;
        }
        let audit = &self.world.audit;
        for partition in 0..PARTITIONS {
            let committed = audit.committed(hop, partition);
            let to = if to_start { 0 } else { self.dice.roll(committed.unsigned_abs() + 1).cast_signed() };
            let metadata = audit.metadata_at(hop, partition, to);
            audit.tell(|| format!("{hop:?} is rewound on {partition} from {committed} to {to}"));
            audit.log.rewind(hop.group(), &hop.place(partition), Offset(to), &metadata);
        }
    }

    /// Nobody ends unasked.
    pub(crate) async fn muster(&mut self) {
        if let Some(at) = self.members.iter().position(|member| member.task.is_finished()) {
            let hop = self.members[at].hop;
            if self.stop(at).await.is_some() {
                self.world.audit.break_promise(format!("{hop:?} ended unasked"));
            }
        }
    }

    /// Waits until every hop has committed all that its input has. What is not done `within` that time never will be.
    pub(crate) async fn finish(&mut self, within: Duration) {
        let since = Instant::now();
        let audit = self.world.audit.clone();
        let is_done = |hop: &Hop| (0..PARTITIONS).all(|p| audit.committed(*hop, p) == audit.end(*hop, p));
        while audit.broken().is_none() && !Hop::ALL.iter().all(is_done) {
            self.muster().await;
            if since.elapsed() > within {
                let left = Hop::ALL.into_iter().find(|hop| !is_done(hop));
                return audit.break_promise(format!("{left:?} did not finish within {within:?} of calm"));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}
