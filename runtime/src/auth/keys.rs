//! The keys of one issuer: fetched ahead of need, replaced whole, and kept for a while when the issuer is silent.
//!
//! One task fetches, so there never are two fetches of an issuer at once. Requests ask it by a flag: a token with an
//! unknown `kid` makes it fetch out of turn, at most once a minute, and everybody who came meanwhile waits for the same
//! answer. Nothing else is remembered of unknown `kid`s: a list of them would only help whoever fills it.

use super::algorithm::Algorithm;
use super::config::Issuer;
use super::denied::{Denied, Reason};
use super::fetch::Fetch;
use super::key::Key;
use crate::backoff::Schedule;
use crate::logs::chain;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How often things happen, and how long they may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Between two fetches, give or take a tenth: so long does a key that its issuer has withdrawn go on at most.
    pub(super) refresh: Duration,
    /// Between two fetches for the sake of an unknown key.
    pub(super) asked: Duration,
    /// Between two tries while the issuer fails, at first and at most.
    pub(super) retry: (Duration, Duration),
    /// From the last good fetch until its keys count no longer.
    pub(super) stale_max: Duration,
    /// How long a request waits for a fetch.
    pub(super) wait: Duration,
    /// How long one document may take.
    pub(super) fetch: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(600),
            asked: Duration::from_secs(60),
            retry: (Duration::from_secs(1), Duration::from_secs(60)),
            stale_max: Duration::from_secs(24 * 3600),
            wait: Duration::from_secs(5),
            fetch: Duration::from_secs(10),
        }
    }
}

/// See the module.
pub(super) struct Keys {
    pace: Pace,
    held: RwLock<Held>,
    asked: Mutex<Asked>,
    wanted: Notify,
    /// Counts the fetches that have ended, well or not.
    ended: watch::Sender<u64>,
}

#[derive(Default)]
struct Held {
    keys: Vec<Arc<Key>>,
    /// Counts the good fetches.
    epoch: u64,
    /// Of the last good fetch.
    fetched: Option<Instant>,
    /// The last fetch failed: what is not among the keys may still be one.
    is_stale: bool,
}

/// Fetches for the sake of unknown keys.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Never,
    Pending,
    Answered(Instant),
}

/// What is known of a key right now.
enum Found {
    Key(Arc<Key>, u64),
    Unfit,
    Unknown,
    /// Nothing can be said: no keys are there, or only old ones, and this is none of them.
    Unsure,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("pace", &self.pace).finish_non_exhaustive()
    }
}

impl Keys {
    pub(super) fn new(pace: Pace) -> Self {
        Self {
            pace,
            held: RwLock::default(),
            asked: Mutex::new(Asked::Never),
            wanted: Notify::new(),
            ended: watch::Sender::new(0),
        }
    }

    /// The key called `id`, for signatures by `algorithm`, and the epoch of the set it is in.
    pub(super) async fn find(&self, id: &str, algorithm: Algorithm) -> Result<(Arc<Key>, u64), Denied> {
        let mut found = self.look(id, algorithm);
        if matches!(found, Found::Unknown) {
            self.fetch_out_of_turn().await?;
            // Also if none was due: one may have ended since the first look.
            found = self.look(id, algorithm);
        }
        match found {
            Found::Key(key, epoch) => Ok((key, epoch)),
            Found::Unfit => Err(Reason::KeyUnfit.into()),
            Found::Unknown => Err(Reason::KeyUnknown.into()),
            Found::Unsure => Err(Denied::Unavailable),
        }
    }

    /// The number of the key set in force, another for each that was fetched; `None` while there is none that counts.
    pub(super) fn epoch(&self) -> Option<u64> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        self.counts(&held).then_some(held.epoch)
    }

    fn look(&self, id: &str, algorithm: Algorithm) -> Found {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        if !self.counts(&held) {
            return Found::Unsure;
        }
        let mut named = held.keys.iter().filter(|key| key.id == id).peekable();
        if named.peek().is_none() {
            return if held.is_stale { Found::Unsure } else { Found::Unknown };
        }
        // RFC 7517 (4.5) lets keys of different kinds share a name.
        named.find(|key| key.fits(algorithm)).map_or(Found::Unfit, |key| Found::Key(Arc::clone(key), held.epoch))
    }

    fn counts(&self, held: &Held) -> bool {
        held.fetched.is_some_and(|fetched| fetched.elapsed() < self.pace.stale_max)
    }

    /// Waits for a fetch that began for the sake of an unknown key; returns at once if none is due.
    async fn fetch_out_of_turn(&self) -> Result<(), Denied> {
        // Listens before it asks, so that an answer in between is heard.
        let mut ended = self.ended.subscribe();
        if !self.ask() {
            return Ok(());
        }
        match tokio::time::timeout(self.pace.wait, ended.changed()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Denied::Unavailable),
        }
    }

    /// Whether a fetch was asked for, by this request or one before it that still waits.
    fn ask(&self) -> bool {
        let mut asked = self.asked();
        match *asked {
            Asked::Pending => true,
            Asked::Answered(at) if at.elapsed() < self.pace.asked => false,
            Asked::Never | Asked::Answered(_) => {
                *asked = Asked::Pending;
                self.wanted.notify_one();
                true
            }
        }
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fetches until `stop`; `told` after each fetch.
    pub(super) async fn keep(&self, issuer: &Issuer, fetch: &Fetch, stop: &CancellationToken, told: impl Fn()) {
        let mut pauses = Schedule::new(self.pace.retry.0, self.pace.retry.1);
        loop {
            let fetched = tokio::select! {
                () = stop.cancelled() => return,
                fetched = fetch.keys(issuer) => fetched,
            };
            let pause = match fetched {
                Ok(keys) => {
                    self.replace(&issuer.name, keys);
                    pauses.reset();
                    jittered(self.pace.refresh)
                }
                Err(error) => {
                    warn!(issuer = issuer.name, error = %chain(&error), "keys not fetched, the old ones stay");
                    self.held.write().unwrap_or_else(PoisonError::into_inner).is_stale = true;
                    pauses.next_wait()
                }
            };
            told();
            self.answer();
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
            }
        }
    }

    /// From now on these keys and no others: what the issuer has withdrawn is gone.
    pub(super) fn replace(&self, issuer: &str, keys: Vec<Key>) {
        let keys: Vec<Arc<Key>> = keys.into_iter().map(Arc::new).collect();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let is_change = held.is_stale || held.keys.len() != keys.len();
        let is_first = held.fetched.is_none();
        if keys.is_empty() {
            warn!(issuer, "the issuer publishes no key that can be used: none of its tokens counts");
        } else if is_first || is_change {
            info!(issuer, keys = keys.len(), "keys fetched");
        }
        *held = Held { keys, epoch: held.epoch.wrapping_add(1), fetched: Some(Instant::now()), is_stale: false };
    }

    fn answer(&self) {
        let mut asked = self.asked();
        if *asked == Asked::Pending {
            *asked = Asked::Answered(Instant::now());
        }
        drop(asked);
        self.ended.send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Give or take a tenth, so that processes which started together do not ask together for ever.
fn jittered(pause: Duration) -> Duration {
    // The standard library's hasher is keyed from the system's randomness.
    let permille = 900 + RandomState::new().hash_one(0_u8) % 201;
    pause.mul_f64(f64::from(u32::try_from(permille).unwrap_or(1_000)) / 1_000.0)
}
