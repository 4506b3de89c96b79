//! Whether the process lives, and whether it can serve.
//!
//! *Live* is the heartbeat of the loops that must never stand: only a restart cures a silent one, so no dependency's
//! health is in it. *Ready* is a list of named conditions, each with its reason, for people to read.

use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// The health of one process. Clones are the same health.
#[derive(Clone, Debug)]
pub struct Health(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    heartbeats: BTreeMap<&'static str, Beats>,
    /// `None` is met, else the reason why not.
    conditions: BTreeMap<&'static str, Option<Cow<'static, str>>>,
    is_leaving: bool,
}

#[derive(Clone, Debug)]
struct Beats {
    last_ms: Arc<AtomicU64>,
    bound: Duration,
}

/// What an answer says: whether it is good, and the body to show.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    pub is_ok: bool,
    pub body: Value,
}

impl Default for Health {
    fn default() -> Self {
        Self::new()
    }
}

impl Health {
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Shared { since: Instant::now(), state: Mutex::default() }))
    }

    /// A heartbeat that has just beaten and makes the process dead when it is silent for longer than `bound`.
    /// The same name again is a new heartbeat in its place.
    #[must_use = "a heartbeat that nobody beats makes the process dead"]
    pub fn heartbeat(&self, name: &'static str, bound: Duration) -> Heartbeat {
        let last_ms = Arc::new(AtomicU64::new(0));
        self.state().heartbeats.insert(name, Beats { last_ms: Arc::clone(&last_ms), bound });
        let heartbeat = Heartbeat { last_ms, since: self.0.since };
        heartbeat.beat();
        heartbeat
    }

    /// A condition that is not met yet, because `reason`. It stays when the handle is dropped, as it last was; the
    /// same name again is the same condition.
    #[must_use = "a condition that nobody meets keeps the process from being ready"]
    pub fn condition(&self, name: &'static str, reason: impl Into<Cow<'static, str>>) -> Condition {
        self.state().conditions.entry(name).or_insert_with(|| Some(reason.into()));
        Condition { name, health: self.clone() }
    }

    /// From now on not ready, and live whatever the loops do: they are being stopped.
    pub fn leave(&self) {
        self.state().is_leaving = true;
    }

    /// For `/live`: every heartbeat with its age.
    #[must_use]
    pub fn live(&self) -> Report {
        let now_ms = elapsed_ms(self.0.since);
        let state = self.state();
        let mut is_ok = true;
        let mut heartbeats = BTreeMap::new();
        for (name, beats) in &state.heartbeats {
            let age_ms = now_ms.saturating_sub(beats.last_ms.load(Ordering::Relaxed));
            let is_fresh = u128::from(age_ms) <= beats.bound.as_millis();
            is_ok &= is_fresh || state.is_leaving;
            let bound_ms = u64::try_from(beats.bound.as_millis()).unwrap_or(u64::MAX);
            heartbeats.insert(*name, json!({"ok": is_fresh, "age_ms": age_ms, "bound_ms": bound_ms}));
        }
        Report { is_ok, body: json!({"live": is_ok, "heartbeats": heartbeats}) }
    }

    /// For `/ready`: every condition, with the reason of those that are not met.
    #[must_use]
    pub fn ready(&self) -> Report {
        let state = self.state();
        let is_ok = !state.is_leaving && state.conditions.values().all(Option::is_none);
        let conditions: BTreeMap<&str, Value> = state
            .conditions
            .iter()
            .map(|(name, reason)| match reason {
                None => (*name, json!({"ok": true})),
                Some(reason) => (*name, json!({"ok": false, "waiting": reason})),
            })
            .collect();
        Report { is_ok, body: json!({"ready": is_ok, "leaving": state.is_leaving, "conditions": conditions}) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Held by a loop that must never stand; beaten once a turn, from any thread.
#[derive(Debug)]
pub struct Heartbeat {
    last_ms: Arc<AtomicU64>,
    since: Instant,
}

impl Heartbeat {
    /// The loop has come round.
    pub fn beat(&self) {
        self.last_ms.store(elapsed_ms(self.since), Ordering::Relaxed);
    }
}

/// One reason why the process may not be ready. Clones are the same condition.
#[derive(Clone, Debug)]
pub struct Condition {
    name: &'static str,
    health: Health,
}

impl Condition {
    /// It is met.
    pub fn ok(&self) {
        if self.set(None).is_some() {
            info!(condition = self.name, "condition met");
        }
    }

    /// It is not met, because `reason`: short, and without user data (it is shown to everyone who asks).
    pub fn waiting(&self, reason: impl Into<Cow<'static, str>>) {
        let reason = reason.into();
        match self.set(Some(reason.clone())) {
            None => warn!(condition = self.name, reason = &*reason, "condition not met"),
            Some(previous) if previous != reason => {
                debug!(condition = self.name, reason = &*reason, "condition still not met")
            }
            Some(_) => {}
        }
    }

    fn set(&self, reason: Option<Cow<'static, str>>) -> Option<Cow<'static, str>> {
        self.health.state().conditions.insert(self.name, reason).flatten()
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn a_loop_silent_for_longer_than_its_bound_is_dead() {
        let health = Health::new();
        let heartbeat = health.heartbeat("poll", BOUND);
        tokio::time::advance(BOUND).await;
        assert!(health.live().is_ok);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!health.live().is_ok);
        assert_eq!(health.live().body["heartbeats"]["poll"]["age_ms"], 10_001);
        heartbeat.beat();
        assert!(health.live().is_ok);
    }

    #[tokio::test(start_paused = true)]
    async fn one_silent_loop_among_several_is_enough_to_be_dead() {
        let health = Health::new();
        let beating = health.heartbeat("poll", BOUND);
        let _silent = health.heartbeat("worker", BOUND);
        tokio::time::advance(2 * BOUND).await;
        beating.beat();
        let report = health.live();
        assert!(!report.is_ok);
        assert_eq!(report.body["heartbeats"]["poll"]["ok"], true);
        assert_eq!(report.body["heartbeats"]["worker"]["ok"], false);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stopped_loop_does_not_kill_a_process_that_is_leaving() {
        let health = Health::new();
        let _silent = health.heartbeat("poll", BOUND);
        health.leave();
        tokio::time::advance(2 * BOUND).await;
        assert!(health.live().is_ok);
        assert!(!health.ready().is_ok);
    }

    #[test]
    fn no_dependency_is_part_of_liveness() {
        let health = Health::new();
        let cassandra = health.condition("cassandra", "connecting");
        cassandra.waiting("connection refused");
        assert!(health.live().is_ok);
    }

    #[test]
    fn ready_is_all_conditions_and_tells_the_reasons() {
        let health = Health::new();
        assert!(health.ready().is_ok);
        let cassandra = health.condition("cassandra", "connecting");
        let redis = health.condition("redis", "connecting");
        cassandra.ok();
        redis.waiting("connection refused");
        let report = health.ready();
        assert!(!report.is_ok);
        assert_eq!(report.body["conditions"]["cassandra"], json!({"ok": true}));
        assert_eq!(report.body["conditions"]["redis"], json!({"ok": false, "waiting": "connection refused"}));
        redis.ok();
        assert!(health.ready().is_ok);
    }

    #[test]
    fn a_condition_outlives_its_handle() {
        let health = Health::new();
        drop(health.condition("cassandra", "connecting"));
        assert!(!health.ready().is_ok, "a forgotten condition must not read as met");
        health.condition("cassandra", "asked again").ok();
        assert!(health.ready().is_ok);
    }
}
