//! The cache server of the simulated world: the product's own entries, a network that loses requests and replies, and
//! everything that a Redis without persistence forgets by itself.

use crate::audit::Audit;
use crate::dice::Dice;
use crate::sabotage::Sabotage;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use store::cache::protocol::{Entry, Filled, Leased};
use store::cache::{CacheError, Key};
use tokio::time::sleep;

/// How bad it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Net {
    /// One request in so many goes wrong; 0 for none.
    pub(crate) strikes: u64,
    /// Every request takes this long at most.
    pub(crate) slow_ms: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Redis(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    audit: Audit,
    sabotage: Sabotage,
    dice: Dice,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    entries: BTreeMap<String, Entry>,
    net: Net,
    /// Of the connections: a request of an earlier one is never answered.
    generation: u64,
    /// What [`Sabotage::CounterTokens`] counts, entry by entry.
    counters: BTreeMap<String, u64>,
}

/// What Redis has for a reader who missed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Offered<T> {
    Lease([u8; 16]),
    Found(T),
    /// Another reader has the lease.
    Busy,
}

/// The connection broke: what was asked for may have been done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Disconnected;

impl Redis {
    pub(crate) fn new(audit: Audit, sabotage: Sabotage, dice: Dice) -> Self {
        Self(Arc::new(Shared { audit, sabotage, dice, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap()
    }

    pub(crate) fn set_net(&self, net: Net) {
        self.state().net = net;
    }

    /// Evicts one entry, as one that is full does.
    pub(crate) fn evict(&self, dice: &Dice) {
        let mut state = self.state();
        let keys: Vec<String> = state.entries.keys().cloned().collect();
        if !keys.is_empty() {
            state.forget(&keys[dice.index(keys.len())]);
        }
    }

    /// Starts again with nothing, and all connections are gone.
    pub(crate) fn restart(&self) {
        let mut state = self.state();
        state.entries.clear();
        state.counters.clear();
        state.generation += 1;
    }

    /// Cuts every connection.
    pub(crate) fn cut(&self) {
        self.state().generation += 1;
    }

    /// Somebody else writes to a key of ours.
    pub(crate) fn spoil(&self, key: &Key, dice: &Dice) {
        let entry = match dice.roll(5) {
            0 => Entry::foreign(),
            1 => Entry::of("V0000000000000008"),
            2 => Entry::of("V1772323200000004000000000000000000000001{\"fill\":"),
            3 => Entry::of(""),
            _ => Entry::of("garbage"),
        };
        self.state().entries.insert(key.as_str().to_owned(), entry);
    }

    /// Does `work` on an entry, when the request has come there and if it does.
    pub(crate) async fn ask<T>(&self, key: &Key, work: impl FnOnce(&mut Entry, i64) -> T) -> Result<T, Disconnected> {
        let mut answer = None;
        self.request(|state, now_ms| {
            answer = Some(work(state.entries.entry(key.as_str().to_owned()).or_default(), now_ms));
        })
        .await?;
        answer.ok_or(Disconnected)
    }

    async fn request(&self, work: impl FnOnce(&mut State, i64)) -> Result<(), Disconnected> {
        let Shared { dice, audit, .. } = &*self.0;
        let (Net { strikes, slow_ms }, generation) = {
            let state = self.state();
            (state.net, state.generation)
        };
        let goes_wrong = strikes > 0 && dice.one_in(strikes);
        let is_lost = goes_wrong && dice.one_in(2);
        if slow_ms > 0 {
            sleep(Duration::from_millis(dice.roll(slow_ms + 1))).await;
        }
        if is_lost || self.state().generation != generation {
            return Err(Disconnected);
        }
        work(&mut self.state(), audit.clock.now_ms());
        // The way back.
        if slow_ms > 0 {
            sleep(Duration::from_millis(dice.roll(slow_ms + 1))).await;
        }
        if goes_wrong || self.state().generation != generation { Err(Disconnected) } else { Ok(()) }
    }

    /// Takes entries out, unless sabotage keeps those for which `is_kept` says so.
    pub(crate) async fn delete(
        &self,
        keys: &[Key],
        is_kept: impl Fn(&Key, &Entry, i64) -> bool,
    ) -> Result<(), CacheError> {
        let audit = &self.0.audit;
        let delete = |state: &mut State, now_ms: i64| {
            for key in keys {
                let is_kept = state.entries.get(key.as_str()).is_some_and(|entry| is_kept(key, entry, now_ms));
                if !is_kept {
                    audit.tell(|| format!("redis deletes {}", key.as_str()));
                    state.forget(key.as_str());
                }
            }
        };
        self.request(delete).await.map_err(|Disconnected| CacheError::Ambiguous("the weather".into()))
    }

    /// Asks for a lease. Returns with it the token that a fill needs, or what `judge` makes of a value that came
    /// meanwhile, at the instant at which it is found.
    pub(crate) async fn lease<T>(&self, key: &Key, judge: impl FnOnce(&[u8]) -> T) -> Result<Offered<T>, Disconnected> {
        let token = self.token();
        let Shared { sabotage, audit, .. } = &*self.0;
        let mut counted = None;
        let mut offered = None;
        self.request(|state, now_ms| {
            if *sabotage == Sabotage::CounterTokens {
                let counter = state.counters.entry(key.as_str().to_owned()).or_default();
                *counter += 1;
                counted = Some(u128::from(*counter).to_be_bytes());
            }
            let entry = state.entries.entry(key.as_str().to_owned()).or_default();
            let leased = entry.lease(now_ms, &counted.unwrap_or(token));
            audit.tell(|| format!("redis is asked for a lease of {}: {leased:?}", key.as_str()));
            offered = match leased {
                Ok(Leased::Granted) => Some(Offered::Lease(counted.unwrap_or(token))),
                Ok(Leased::Found(bytes)) => Some(Offered::Found(judge(&bytes))),
                Ok(Leased::Busy) => Some(Offered::Busy),
                Err(_) => None,
            };
        })
        .await?;
        offered.ok_or(Disconnected)
    }

    fn token(&self) -> [u8; 16] {
        let half = || self.0.dice.roll(u64::MAX).to_be_bytes();
        let mut token = [0; 16];
        token[..8].copy_from_slice(&half());
        token[8..].copy_from_slice(&half());
        token
    }

    /// Fills under a token.
    pub(crate) async fn fill(
        &self,
        key: &Key,
        token: [u8; 16],
        value: &[u8],
        keep: Duration,
    ) -> Result<(), Disconnected> {
        let Shared { sabotage, audit, .. } = &*self.0;
        self.ask(key, |entry, now_ms| match sabotage {
            Sabotage::DelAndSet => *entry = Entry::of(value),
            Sabotage::FillWithoutToken => {
                let theirs = entry.bytes(now_ms).and_then(|bytes| bytes.get(14..30)).map(<[u8]>::to_vec);
                if let Some(theirs) = theirs {
                    entry.fill(now_ms, &theirs, value, keep).ok();
                }
            }
            _ => {
                let filled: Option<Filled> = entry.fill(now_ms, &token, value, keep).ok();
                debug_assert!(filled.is_some(), "a token of ours has its length");
                audit.tell(|| format!("redis is asked to fill {}: {filled:?}", key.as_str()));
            }
        })
        .await
    }
}

impl State {
    /// A token that is counted in the entry goes with it.
    fn forget(&mut self, key: &str) {
        self.entries.remove(key);
        self.counters.remove(key);
    }
}
