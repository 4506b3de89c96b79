//! Writes changes to Cassandra, then takes the users out of the cache, and only then says that they are settled.
//!
//! The order is the guarantee: an entry that a reader fills after the invalidation comes from a row that has the
//! change. Monotonic by version, because every statement carries its change's version as its timestamp: twice is once,
//! late is nothing.

mod gates;

pub use gates::Gates;

use crate::decode::rejection;
use futures_util::future::join_all;
use runtime::Clock;
use runtime::breaker::{Pass, Work};
use runtime::fault::{Cause, Exit, Fault};
use runtime::permits::{Outcome, Permit};
use runtime::stage::{Destination, Refused, Sink};
use schemas::{Change, Lane, RejectCode, Tenant, UserId, Version, facts};
use std::future::Future;
use store::cache::{CacheError, Invalidator, Key};
use store::cql::{Blame, Group, Groups, WriteError, Writer};

/// Where profiles are written.
pub trait Profiles: Send + Sync + 'static {
    /// Writes changes of one user, merged. One attempt.
    fn write(&self, changes: &[&Change]) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Which of `users` may share a request, as positions: each is in exactly one run.
    fn runs(&self, users: &[Vec<&Change>]) -> Vec<Vec<usize>>;

    /// Writes changes of the users of one run as one request. One attempt; nothing was applied if it is refused.
    fn write_together(&self, users: &[&[&Change]]) -> impl Future<Output = Result<(), WriteError>> + Send;

    /// Tells whose fault it is that `change` was refused alone.
    fn probe(&self, change: &Change, now: Version) -> impl Future<Output = Result<Blame, WriteError>> + Send;
}

/// What readers are served from.
pub trait Invalidate: Send + Sync + 'static {
    /// Deletes entries. One attempt.
    fn delete(&self, keys: &[Key]) -> impl Future<Output = Result<(), CacheError>> + Send;
}

impl Profiles for Writer {
    async fn write(&self, changes: &[&Change]) -> Result<(), WriteError> {
        Writer::write(self, changes).await
    }

    fn runs(&self, users: &[Vec<&Change>]) -> Vec<Vec<usize>> {
        Writer::runs(self, users)
    }

    async fn write_together(&self, users: &[&[&Change]]) -> Result<(), WriteError> {
        Writer::write_together(self, users).await
    }

    async fn probe(&self, change: &Change, now: Version) -> Result<Blame, WriteError> {
        Writer::probe(self, change, now).await
    }
}

impl Invalidate for Invalidator {
    async fn delete(&self, keys: &[Key]) -> Result<(), CacheError> {
        Invalidator::delete(self, keys).await
    }
}

/// The sink.
#[derive(Debug)]
pub struct ProfileSink<P, C> {
    profiles: P,
    /// `None` where the installation has no cache.
    cache: Option<C>,
    clock: Clock,
    gates: Gates,
}

/// What became of one try at a write to Cassandra.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    Written,
    Refused,
    /// To be tried again: the work knows when.
    Again,
}

impl<P: Profiles, C: Invalidate> ProfileSink<P, C> {
    pub fn new(profiles: P, cache: Option<C>, clock: Clock, gates: Gates) -> Self {
        Self { profiles, cache, clock, gates }
    }

    /// Brings the users of one run up to date: by one request if that goes well, else by one or more for each, so that
    /// nobody's trouble is another's. Returns which changes of each are refused for good.
    async fn settle_run(&self, run: &[&[&Change]]) -> Result<Vec<Vec<usize>>, Fault> {
        let mut is_suspect = false;
        if run.len() > 1 {
            let mut work = self.gates.cassandra.work(gates::key_of(run.first().and_then(|changes| user_of(changes))));
            match self.attempt(&mut work, || self.profiles.write_together(run)).await? {
                Tried::Written => return Ok(vec![Vec::new(); run.len()]),
                Tried::Refused => {}
                // Many for one that failed: not before the pause behind it is over.
                Tried::Again => {
                    is_suspect = true;
                    drop(work.pass().await);
                }
            }
        }
        join_all(run.iter().map(|changes| self.settle(changes, is_suspect))).await.into_iter().collect()
    }

    /// Brings one user up to date, however long it takes. Returns which of the changes are refused for good.
    async fn settle(&self, changes: &[&Change], is_suspect: bool) -> Result<Vec<usize>, Fault> {
        let mut work = self.gates.cassandra.work(gates::key_of(user_of(changes))).suspected(is_suspect);
        loop {
            match self.attempt(&mut work, || self.profiles.write(changes)).await? {
                Tried::Written => return Ok(Vec::new()),
                // Named one by one, so that one refused change takes no neighbour with it.
                Tried::Refused => return self.eliminate(changes, &mut work).await,
                Tried::Again => {}
            }
        }
    }

    async fn eliminate(&self, changes: &[&Change], work: &mut Work<'_>) -> Result<Vec<usize>, Fault> {
        let mut oldest_first: Vec<usize> = (0..changes.len()).collect();
        oldest_first.sort_by_key(|at| changes.get(*at).map(|change| change.version));
        let mut refused = Vec::new();
        for at in oldest_first {
            let Some(change) = changes.get(at) else { continue };
            if self.is_refused(change, work).await? {
                refused.push(at);
            }
        }
        Ok(refused)
    }

    /// Whether Cassandra refuses this change and takes others like it. A refusal counts only behind a probe that went
    /// through: the store may have been mended between a refusal and its probe.
    async fn is_refused(&self, change: &Change, work: &mut Work<'_>) -> Result<bool, Fault> {
        let mut is_sound = false;
        let alone = [change];
        loop {
            match self.attempt(work, || self.profiles.write(&alone)).await? {
                Tried::Written => return Ok(false),
                // What the store took before that says nothing of what it takes behind it.
                Tried::Again => {
                    is_sound = false;
                    continue;
                }
                Tried::Refused if is_sound => return Ok(true),
                Tried::Refused => {}
            }
            let (pass, _permit) = self.admitted(work).await;
            match self.profiles.probe(change, self.now()).await {
                Ok(Blame::Change) => {
                    pass.succeeded();
                    is_sound = true;
                }
                // Ours to mend: whoever is alerted does, and then this change goes in.
                Ok(blame @ Blame::Store { .. }) => work.put_off(pass, &OurFault(blame)),
                Err(error @ WriteError::Stop(_)) => return Err(stop(error)),
                Err(error @ (WriteError::Ambiguous(_) | WriteError::Refused(_))) => work.failed(pass, &error),
            }
        }
    }

    /// One try, once the breaker and a permit let it out.
    async fn attempt<F>(&self, work: &mut Work<'_>, write: impl FnOnce() -> F) -> Result<Tried, Fault>
    where
        F: Future<Output = Result<(), WriteError>>,
    {
        let (pass, permit) = self.admitted(work).await;
        // Its four kilobytes are there while it is out, and not for all who wait for a permit.
        let outcome = Box::pin(write()).await;
        match outcome {
            Ok(()) | Err(WriteError::Refused(_)) => {
                permit.ended(Outcome::Answered);
                pass.succeeded();
                Ok(if outcome.is_ok() { Tried::Written } else { Tried::Refused })
            }
            Err(error @ WriteError::Ambiguous(_)) => {
                // Once a piece of work: a few users whose every try fails say nothing of how much the store takes.
                if !work.has_failed() {
                    permit.ended(Outcome::Failed);
                }
                work.failed(pass, &error);
                Ok(Tried::Again)
            }
            Err(error @ WriteError::Stop(_)) => Err(stop(error)),
        }
    }

    /// Waits until a write may go out. One that waited for its permit asks the breaker again, for it may have opened
    /// meanwhile, and so many wait there that the breaker would not be one.
    async fn admitted<'s, 'b>(&'s self, work: &mut Work<'b>) -> (Pass<'b>, Permit<'s>) {
        loop {
            let pass = work.pass().await;
            let permit = self.gates.permits.acquire().await;
            if pass.holds() {
                return (pass, permit);
            }
        }
    }

    fn now(&self) -> Version {
        let place = self.clock.now_ms().saturating_mul(1000);
        Version::at(place, Lane::Live).unwrap_or(Version::FIRST)
    }

    async fn invalidate(&self, keys: &[Key]) -> Result<(), Fault> {
        let Some(cache) = &self.cache else { return Ok(()) };
        let mut work = self.gates.redis.work(gates::key_of(keys.first()));
        loop {
            let pass = work.pass().await;
            match cache.delete(keys).await {
                Ok(()) => {
                    pass.succeeded();
                    return Ok(());
                }
                Err(error @ CacheError::Ambiguous(_)) => work.failed(pass, &error),
                Err(error @ CacheError::Stop(_)) => return Err(stop(error)),
            }
        }
    }
}

impl<P: Profiles, C: Invalidate> Sink for ProfileSink<P, C> {
    type Item = Change;

    fn destination(&self) -> Destination<'_> {
        Destination::Table { system: "cassandra", table: "profiles" }
    }

    async fn write(&self, batch: &[Change]) -> Result<Refused, Fault> {
        let mut groups = Groups::default();
        let groups = groups.of(batch);
        let of_user = |group: &Group| group.positions().iter().filter_map(|at| batch.get(*at)).collect();
        let users: Vec<Vec<&Change>> = groups.iter().map(of_user).collect();
        let runs = self.profiles.runs(&users);
        let of_run = |run: &Vec<usize>| run.iter().filter_map(|at| users.get(*at).map(Vec::as_slice)).collect();
        let members: Vec<Vec<&[&Change]>> = runs.iter().map(of_run).collect();
        let outcomes = join_all(members.iter().map(|run| self.settle_run(run))).await;
        let mut refused = Vec::new();
        for (run, outcome) in runs.iter().zip(outcomes) {
            for (group, of_user) in run.iter().filter_map(|at| groups.get(*at)).zip(outcome?) {
                refused.extend(of_user.into_iter().filter_map(|at| group.positions().get(at).copied()));
            }
        }
        let keys: Vec<Key> = users.iter().filter_map(|changes| changes.first()).map(|change| Key::of(change)).collect();
        self.invalidate(&keys).await?;
        refused.sort_unstable();
        Ok(refused
            .into_iter()
            .filter_map(|at| {
                let wrong = schemas::Rejection::new(RejectCode::StoreRefused);
                Some((at, rejection(wrong, facts::of(batch.get(at)?))))
            })
            .collect())
    }
}

/// Cassandra refuses the probe row too.
#[derive(Debug, thiserror::Error)]
#[error("cassandra refuses every change of this shape; compare the table with: tidewater migrate --dry-run ({0:?})")]
struct OurFault(Blame);

fn user_of<'c>(changes: &[&'c Change]) -> Option<(&'c Tenant, &'c UserId)> {
    changes.first().map(|change| (&change.tenant, &change.user_id))
}

fn stop(error: impl std::error::Error + Send + Sync + 'static) -> Fault {
    Fault::Fatal { exit: Exit::Component, cause: Cause::with("the store takes no writes until a person acts", error) }
}

#[cfg(test)]
mod tests;
