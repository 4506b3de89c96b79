//! The members of the three groups, and what befalls them: shares handed on, lost, taken over, processes killed.

use crate::dice::Dice;
use crate::path::{Hop, Member, World, small_limits};
use crate::promise::Promise;
use runtime::limits::Limits;
use runtime::record::{Offset, TopicPartition};
use runtime::worker::Ended;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// Everyone who works at present. A partition of a hop is with one member, or with nobody.
#[derive(Debug)]
pub(crate) struct Crew {
    world: World,
    dice: Dice,
    members: Vec<Member>,
    /// Members that do not know yet what they have lost: when they learn it, who they are, what it is.
    unaware: Vec<(Instant, u64, Vec<TopicPartition>)>,
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

/// What a commit that failed costs whoever waits for the next: the time between two, and that of the commit.
const NEXT_COMMIT: Duration = Duration::from_millis(40);

/// The last commit is not tried for longer.
const COMMITS_MAX: Duration = Duration::from_secs(5);

/// No commit that is late is later.
const LATEST_COMMIT: Duration = Duration::from_millis(100);

fn list(shares: &[TopicPartition]) -> String {
    shares.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Crew {
    /// `limits` for every member; `None` for small ones, rolled for each.
    pub(crate) fn new(world: World, dice: Dice, limits: Option<Limits>) -> Self {
        Self {
            world,
            dice,
            members: Vec::new(),
            unaware: Vec::new(),
            limits,
            started: 0,
            taken_over: 0,
            crashes: 0,
            losses: 0,
            rewinds: 0,
            redone_max: 0,
        }
    }

    fn members_of(&self, hop: Hop) -> Vec<usize> {
        (0..self.members.len()).filter(|at| self.members[*at].hop == hop).collect()
    }

    /// Those whom the group gives partitions: a member that has missed what it lost must come back first.
    fn able(&self, hop: Hop) -> Vec<usize> {
        let is_unaware = |at: usize| self.unaware.iter().any(|(_, number, _)| *number == self.members[at].number);
        self.members_of(hop).into_iter().filter(|at| !is_unaware(*at)).collect()
    }

    fn holder(&self, hop: Hop, share: &TopicPartition) -> Option<usize> {
        self.members.iter().position(|member| member.hop == hop && member.held.contains(share))
    }

    pub(crate) fn start(&mut self, hop: Hop) -> usize {
        self.started += 1;
        let limits = self.limits.unwrap_or_else(|| small_limits(&self.dice));
        self.members.push(self.world.start(hop, self.started, limits));
        self.members.len() - 1
    }

    async fn assign(&mut self, at: usize, shares: &[TopicPartition]) {
        self.taken_over += shares.len() as u64;
        let member = &mut self.members[at];
        self.world.audit.tell(|| format!("{:?} #{} is given {}", member.hop, member.number, list(shares)));
        member.held.extend_from_slice(shares);
        member.group.assign(shares).await;
    }

    /// Gives what nobody holds to somebody.
    pub(crate) async fn cover(&mut self, hop: Hop) {
        let shares = hop.shares();
        let free: Vec<_> = shares.into_iter().filter(|share| self.holder(hop, share).is_none()).collect();
        // In one go, or one by one.
        let len = if self.dice.one_in(2) { free.len().max(1) } else { 1 };
        for shares in free.chunks(len) {
            let members = self.able(hop);
            let at = if members.is_empty() { self.start(hop) } else { *self.dice.pick(&members) };
            self.assign(at, shares).await;
        }
    }

    pub(crate) async fn cover_all(&mut self) {
        for hop in Hop::ALL {
            self.cover(hop).await;
        }
    }

    /// Takes partitions from a member as a rebalance does; the group waits for it. Returns how long.
    async fn revoke(&mut self, at: usize, shares: &[TopicPartition]) -> Duration {
        let member = &mut self.members[at];
        self.world.audit.tell(|| format!("{:?} #{} is to hand on {}", member.hop, member.number, list(shares)));
        member.held.retain(|held| !shares.contains(held));
        let since = Instant::now();
        let frozen = member.frost.left();
        member.group.revoke(shares).await;
        since.elapsed().saturating_sub(frozen)
    }

    /// Moves one partition to another member, or to a new one. Returns how long the group waited.
    pub(crate) async fn hand_on(&mut self, hop: Hop, share: &TopicPartition) -> Duration {
        let able = self.able(hop);
        let Some(from) = self.holder(hop, share).filter(|from| able.contains(from)) else { return Duration::ZERO };
        let shares = std::slice::from_ref(share);
        let fence = self.members[from].fence.clone();
        let failed_before = fence.failures(share);
        let waited = self.revoke(from, shares).await;
        let drain = self.limits.map_or(Duration::from_millis(120), |limits| limits.drain);
        // The last commit is tried until it is taken: each failure may cost its time, and nothing else may.
        let commits = (NEXT_COMMIT * (fence.failures(share) - failed_before)).min(COMMITS_MAX);
        if waited > drain + RELEASE_SLACK + commits {
            let what = format!("{hop:?} took {waited:?} to hand on a partition");
            self.world.audit.break_promise(Promise::ScaleSteps, what);
        }
        let others: Vec<usize> = able.into_iter().filter(|at| *at != from).collect();
        let to = if others.is_empty() || self.dice.one_in(3) { self.start(hop) } else { *self.dice.pick(&others) };
        self.assign(to, shares).await;
        waited
    }

    /// Gives a partition to another member, whose predecessor learns of it after `unaware`.
    pub(crate) async fn lose(&mut self, hop: Hop, share: &TopicPartition, unaware: Duration) {
        let Some(from) = self.holder(hop, share) else { return };
        self.losses += 1;
        let shares = vec![share.clone()];
        self.members[from].held.retain(|held| held != share);
        self.unaware.push((Instant::now() + unaware, self.members[from].number, shares.clone()));
        let to = self.start(hop);
        self.assign(to, &shares).await;
    }

    /// Stops a member like a process that gets no time. The group gives all it holds to others; later it goes on with
    /// what it had in hand, and learns what has happened after that.
    pub(crate) async fn freeze(&mut self, hop: Hop, time: Duration) {
        let members = self.able(hop);
        if members.is_empty() {
            return;
        }
        self.losses += 1;
        let member = &mut self.members[*self.dice.pick(&members)];
        self.world.audit.tell(|| format!("{hop:?} #{} stands still for {time:?}", member.number));
        member.frost.freeze(time);
        let shares = std::mem::take(&mut member.held);
        let wakes = Instant::now() + time + Duration::from_millis(self.dice.roll(30));
        let number = member.number;
        self.unaware.push((wakes, number, shares.clone()));
        if !shares.is_empty() {
            let to = self.start(hop);
            self.assign(to, &shares).await;
        }
    }

    /// Tells members what they have lost, once it is time.
    pub(crate) async fn inform(&mut self) {
        let now = Instant::now();
        let due = self.unaware.extract_if(.., |(at, ..)| *at <= now).collect::<Vec<_>>();
        for (_, number, shares) in due {
            let Some(member) = self.members.iter().find(|member| member.number == number) else { continue };
            self.world.audit.tell(|| format!("{:?} #{number} learns that {} is lost", member.hop, list(&shares)));
            member.group.lose(&shares).await;
        }
    }

    /// Waits until every member knows what it has lost.
    pub(crate) async fn inform_all(&mut self) {
        while let Some(last) = self.unaware.iter().map(|(at, ..)| *at).max() {
            sleep_until(last).await;
            self.inform().await;
        }
    }

    /// Kills a member: nothing of it runs on, nothing is committed any more.
    async fn kill(&mut self, at: usize) {
        let member = self.members.swap_remove(at);
        self.world.audit.tell(|| format!("{:?} #{} is killed", member.hop, member.number));
        self.crashes += 1;
        member.task.abort();
        let killed = member.task.await;
        for share in member.held {
            let head = member.fence.head(&share).unwrap_or(0);
            let redone = head - self.world.audit.committed(member.hop, &share);
            self.redone_max += u64::try_from(redone).unwrap_or(0);
        }
        if let Ok(Err(fault)) = killed {
            let what = format!("{:?} ended by itself: {fault}", member.hop);
            self.world.audit.break_promise(Promise::AmbiguityIsRetried, what);
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
                let what = format!("{:?} ended with a fault: {fault}", member.hop);
                self.world.audit.break_promise(Promise::AmbiguityIsRetried, what);
                None
            }
            Err(_) => {
                let what = format!("{:?} panicked", member.hop);
                self.world.audit.break_promise(Promise::AmbiguityIsRetried, what);
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
                self.world.audit.break_promise(Promise::ScaleSteps, "a calm shutdown left work behind");
            }
        }
    }

    /// Moves the commits of a hop back, as an operator does when nobody works there.
    pub(crate) async fn rewind(&mut self, hop: Hop, to_start: bool) {
        self.rewinds += 1;
        while let Some(at) = self.members_of(hop).pop() {
            self.kill(at).await;
        }
        // What the dead had sent off arrives before the operator looks.
        sleep(LATEST_COMMIT).await;
        let audit = &self.world.audit;
        for share in hop.shares() {
            let committed = audit.committed(hop, &share);
            let to = if to_start { 0 } else { self.dice.roll(committed.unsigned_abs() + 1).cast_signed() };
            let metadata = audit.metadata_at(hop, &share, to);
            audit.tell(|| format!("{hop:?} is rewound on {share} from {committed} to {to}"));
            audit.log.rewind(hop.group(), &share, Offset(to), &metadata);
        }
    }

    /// Nobody ends unasked.
    pub(crate) async fn muster(&mut self) {
        if let Some(at) = self.members.iter().position(|member| member.task.is_finished()) {
            let hop = self.members[at].hop;
            if self.stop(at).await.is_some() {
                let what = format!("{hop:?} ended unasked");
                self.world.audit.break_promise(Promise::AmbiguityIsRetried, what);
            }
        }
    }

    /// Whether all that a hop can read is settled, and its holders have heard that the commit of it was taken.
    fn is_done(&self, hop: Hop) -> bool {
        let audit = &self.world.audit;
        hop.shares().iter().all(|share| {
            let holder = self.holder(hop, share);
            let confirmed = holder.map_or(0, |at| self.members[at].fence.confirmed(share));
            confirmed.max(audit.committed(hop, share)) == audit.end(share)
        })
    }

    /// Commits that came late may have set groups back behind what was confirmed. The next commit of a partition would
    /// mend it; where there is none, this does.
    pub(crate) fn mend_commits(&self) {
        let audit = &self.world.audit;
        for hop in Hop::ALL {
            for share in hop.shares() {
                let (committed, end) = (audit.committed(hop, &share), audit.end(&share));
                if committed < end {
                    audit.tell(|| format!("{hop:?} was set back on {share} to {committed} by a late commit"));
                    audit.log.rewind(hop.group(), &share, Offset(end), &audit.metadata_at(hop, &share, end));
                }
            }
        }
    }

    /// Waits until every hop has committed all that its input has. What is not done `within` that time never will be.
    pub(crate) async fn finish(&mut self, within: Duration) {
        let since = Instant::now();
        let audit = self.world.audit.clone();
        while audit.broken().is_none() && !Hop::ALL.iter().all(|hop| self.is_done(*hop)) {
            self.muster().await;
            if since.elapsed() > within {
                let left = Hop::ALL.into_iter().find(|hop| !self.is_done(*hop));
                let what = format!("{left:?} did not finish within {within:?} of calm");
                return audit.break_promise(Promise::AmbiguityIsRetried, what);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}
