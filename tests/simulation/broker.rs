//! The clock of a broker: it drifts, stands, leaps and steps back.

use crate::dice::Dice;

/// Milliseconds by which it is off.
#[derive(Debug)]
pub(crate) struct BrokerClock {
    dice: Dice,
    leaps: bool,
    off_ms: i64,
    last_ms: i64,
}

impl BrokerClock {
    /// One that `leaps` is more than a minute ahead once.
    pub(crate) fn new(dice: Dice, leaps: bool, now_ms: i64) -> Self {
        Self { dice, leaps, off_ms: 0, last_ms: now_ms }
    }

    /// The append time of a record.
    pub(crate) fn stamp(&mut self, now_ms: i64) -> i64 {
        match self.dice.roll(40) {
            0 => self.off_ms = i64::try_from(self.dice.roll(40_000)).unwrap(),
            1 => self.off_ms = -i64::try_from(self.dice.roll(15_000)).unwrap(),
            2 => self.off_ms = 0,
            3 if self.leaps => {
                self.leaps = false;
                self.off_ms = 0;
                return now_ms + 60_000 + i64::try_from(self.dice.between(50, 800)).unwrap();
            }
            4..=19 => return self.last_ms,
            _ => {}
        }
        self.last_ms = now_ms + self.off_ms;
        self.last_ms
    }
}
