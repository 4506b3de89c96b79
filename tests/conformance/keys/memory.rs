//! A keeper in plain data, with latency so that calls overlap, and with one error or none in it.
#![allow(clippy::wildcard_enum_match_arm, reason = "a flaw is in one place, and everywhere else as if it were not")]

use runtime::Clock;
use std::collections::HashMap;
use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;
use store::keys::protocol::{Began, Entry, Finished};
use store::keys::{Begun, BodyDigest, IdempotencyKey, Keys, KeysError, Terms, Turn};
use tests::history::Random;
use tokio::time::sleep;

const YEAR: Duration = Duration::from_secs(31_536_000);

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    Nothing,
    /// Begin goes over the lease of somebody who has time left.
    TakesALiveLease,
    FinishesWithoutToken,
    AbandonsWithoutToken,
    KeepsWhatIsAbandoned,
    ForgetsTheBody,
    LosesTheAnswer,
    CutsTheAnswer,
    /// Whoever is late is told that his answer counts.
    SaysKept,
    /// Whoever is late is refused although nobody has come.
    KeepsNothingLate,
    NoLease,
    EndlessLease,
    KeepsForEver,
    /// Looks, and decides later on what it has seen.
    LooksBefore,
    OneKeyForAll,
}
use Flaw::*;

pub(crate) struct Memory {
    entries: Mutex<HashMap<[u8; 32], Entry>>,
    random: Mutex<Random>,
    clock: Clock,
    terms: Terms,
    flaw: Flaw,
}

/// Runs it on time that stands still while there is something to do.
pub(crate) fn paused<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap().block_on(test)
}

impl Memory {
    pub(crate) fn new(mut terms: Terms, flaw: Flaw, seed: u64) -> Self {
        match flaw {
            NoLease => terms.lease = Duration::ZERO,
            EndlessLease => terms.lease = YEAR,
            KeepsForEver => terms.keep_for = YEAR,
            _ => {}
        }
        let (entries, random) = (Mutex::default(), Mutex::new(Random::new(seed)));
        Self { entries, random, clock: Clock::fixed(1_795_331_234_567), terms, flaw }
    }

    async fn on_the_way(&self) {
        let ms = self.random.lock().unwrap().below(4);
        sleep(Duration::from_millis(u64::try_from(ms).unwrap())).await;
    }

    async fn decide<T>(&self, turn: &Turn, decide: impl FnOnce(&mut Entry, i64) -> T) -> T {
        let digest = if self.flaw == OneKeyForAll { [0; 32] } else { *turn.key().as_bytes() };
        let look = || self.entries.lock().unwrap().get(&digest).cloned().unwrap_or_default();
        self.on_the_way().await;
        let mut entry = look();
        if self.flaw == LooksBefore {
            self.on_the_way().await;
        }
        let decided = decide(&mut entry, self.clock.now_ms());
        self.entries.lock().unwrap().insert(digest, entry);
        self.on_the_way().await;
        decided
    }

    fn body(&self, turn: &Turn) -> [u8; 32] {
        if self.flaw == ForgetsTheBody { [0; 32] } else { turn.body().0 }
    }
}

impl Keys for Memory {
    async fn begin(&self, key: &IdempotencyKey, body: &BodyDigest) -> Result<Begun, KeysError> {
        let turn = Turn::ask(key, body);
        let began = self
            .decide(&turn, |entry, now_ms| {
                let (body, lease) = (self.body(&turn), self.terms.lease);
                let began = entry.begin(now_ms, turn.token(), &body, lease).unwrap();
                match (self.flaw, &began) {
                    (TakesALiveLease, Began::InFlight { .. }) => {
                        *entry = Entry::Absent;
                        entry.begin(now_ms, turn.token(), &body, lease).unwrap()
                    }
                    _ => began,
                }
            })
            .await;
        Ok(turn.told(began))
    }

    async fn finish(&self, turn: Turn, answer: &[u8]) -> Result<Finished, KeysError> {
        let answer = if self.flaw == CutsTheAnswer { &answer[..answer.len().min(4_096)] } else { answer };
        let finished = self
            .decide(&turn, |entry, now_ms| {
                match self.flaw {
                    LosesTheAnswer => return Finished::Kept,
                    FinishesWithoutToken => *entry = Entry::Absent,
                    KeepsNothingLate if entry.until_ms().is_none_or(|until_ms| until_ms <= now_ms) => {
                        return Finished::Lost;
                    }
                    _ => {}
                }
                entry.finish(now_ms, (turn.token(), &self.body(&turn)), answer, self.terms.keep_for).unwrap()
            })
            .await;
        Ok(if self.flaw == SaysKept { Finished::Kept } else { finished })
    }

    async fn abandon(&self, turn: Turn) -> Result<(), KeysError> {
        self.decide(&turn, |entry, now_ms| match self.flaw {
            KeepsWhatIsAbandoned => {}
            AbandonsWithoutToken => *entry = Entry::Absent,
            _ => {
                entry.abandon(now_ms, turn.token()).unwrap();
            }
        })
        .await;
        Ok(())
    }
}
