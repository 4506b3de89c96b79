//! What is to happen in a run: steps drawn from the seed beforehand, each with chance of its own, so that any of them can
//! be left out and the others stay what they are.

use crate::cassandra::Mood;
use crate::dice::Dice;
use crate::path::{Hop, Storm};
use crate::redis::Net;
use std::time::Duration;

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) seed: u64,
    pub(crate) users: usize,
    /// Whether a broker's clock is more than a minute ahead once.
    pub(crate) leaps: bool,
    pub(crate) steps: Vec<Step>,
    /// Whether deletions are purged at the end, and all that was ever written is read again from the start.
    pub(crate) purges: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) act: Act,
    /// Whatever is left to chance in it.
    pub(crate) seed: u64,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// So many records are written to raw.
    Write(u64),
    /// Rows of the old system.
    Import(u64),
    /// Changes of a source that brings its own history.
    Source(u64),
    /// Rejected records are mended and replayed into their old place.
    Replay(u64),
    Wait(Duration),
    /// Somebody reads so many users.
    Read(u64),
    HandOn(Hop),
    Lose(Hop, Duration),
    Freeze(Hop, Duration),
    Kill(Hop),
    Stop(Hop),
    /// The group gives what nobody holds to somebody.
    Cover,
    Rewind {
        hop: Hop,
        to_start: bool,
    },
    Weather(Mood, Storm, Net),
    Calm,
    Compact,
    Repair,
    /// Somebody else writes to a key of the cache.
    Garbage,
    Evict,
    /// Redis starts again with nothing.
    Restart,
    /// Every connection to Redis breaks.
    Cut,
}

impl Script {
    pub(crate) fn of(seed: u64) -> Self {
        let dice = Dice::new(seed);
        let users = dice.index(7) + 3;
        let leaps = dice.one_in(5);
        let mut acts = vec![Act::Cover, weather(&dice)];
        for _ in 0..dice.between(20, 50) {
            acts.push(act(&dice));
            // The group gives away what nobody holds, though not at once.
            if dice.one_in(2) {
                acts.push(Act::Cover);
            }
        }
        let steps = acts.into_iter().map(|act| Step { act, seed: dice.roll(u64::MAX) }).collect();
        Self { seed, users, leaps, steps, purges: dice.one_in(4) }
    }

    /// As it can be read: a step a line.
    pub(crate) fn lines(&self) -> Vec<String> {
        let Self { seed, users, leaps, steps, purges } = self;
        let head =
            format!("seed {seed}: {users} users, a clock leaps: {leaps}, purged and read again at the end: {purges}");
        std::iter::once(head).chain(steps.iter().map(|step| format!("  {:?}", step.act))).collect()
    }
}

fn act(dice: &Dice) -> Act {
    let hop = *dice.pick(&Hop::ALL);
    let ms = |low, high| Duration::from_millis(dice.between(low, high));
    match dice.roll(44) {
        0..=10 => Act::Write(dice.between(1, 8)),
        11 => Act::Import(dice.between(1, 4)),
        12 => Act::Source(dice.between(1, 2)),
        13 => Act::Replay(dice.between(1, 3)),
        14..=19 => Act::Wait(ms(1, 40)),
        20..=24 => Act::Read(dice.between(1, 4)),
        25 | 26 => Act::HandOn(hop),
        27 => Act::Lose(hop, ms(0, 60)),
        28 => Act::Freeze(hop, ms(5, 300)),
        29 | 30 => Act::Kill(hop),
        31 => Act::Stop(hop),
        32 => Act::Rewind { hop, to_start: dice.one_in(2) },
        33 | 34 => weather(dice),
        35 | 36 => Act::Calm,
        37 => Act::Compact,
        38 => Act::Repair,
        39 => Act::Garbage,
        40 => Act::Evict,
        41 => Act::Restart,
        42 => Act::Cut,
        _ => Act::Wait(ms(40, 400)),
    }
}

fn weather(dice: &Dice) -> Act {
    let away = (dice.index(3), [0, 0, 0, 1, 1, 2][dice.index(6)]);
    let is_broken = dice.one_in(6);
    let mood = Mood { strikes: dice.between(2, 8), is_broken, slow_ms: dice.roll(12), away };
    let storm = Storm { strikes: dice.between(2, 12), slow_ms: dice.roll(8) };
    Act::Weather(mood, storm, Net { strikes: dice.between(2, 12), slow_ms: dice.roll(6) })
}
