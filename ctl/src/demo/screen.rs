//! What the person at the terminal sees, all of it on standard error: sentences, and below them one line that moves.

use super::pace::Standing;
use crate::stage::Stage;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;
use tokio::time::Instant;

/// Where no terminal redraws a line, a new one is written this often.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Of the bar, in characters.
const BAR_LEN: u64 = 24;
/// Start of the line, clear it, and cut what does not fit instead of wrapping it; then wrap again.
const REDRAW: &str = "\r\u{1b}[K\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";

pub(super) struct Screen {
    is_terminal: bool,
    is_drawn: bool,
    last_line: Option<Instant>,
}

impl Screen {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_drawn: false, last_line: None }
    }

    /// A sentence that stays.
    pub(super) fn say(&mut self, text: &str) {
        self.clear();
        put(&format!("demo: {text}\n"));
    }

    /// Something to paste.
    pub(super) fn show(&mut self, command: &str) {
        self.clear();
        put(&format!("  {command}\n"));
    }

    /// The line that moves; `is_last` leaves it standing.
    pub(super) fn draw(&mut self, moves: &Moves, total: u64, is_last: bool) {
        let line = moves.line(total, is_last);
        if self.is_terminal {
            put(&format!("{REDRAW}{line}{WRAP}{}", if is_last { "\n" } else { "" }));
            self.is_drawn = !is_last;
        } else if is_last || self.last_line.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            put(&format!("{line}\n"));
            self.last_line = Some(Instant::now());
        }
    }

    fn clear(&mut self) {
        if self.is_drawn {
            put("\r\u{1b}[K");
            self.is_drawn = false;
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Nobody is left to tell if standard error is gone.
fn put(text: &str) {
    let mut to = io::stderr().lock();
    let _told: io::Result<()> = to.write_all(text.as_bytes()).and_then(|()| to.flush());
}

/// What has moved since the look before.
#[derive(Debug, Default)]
pub(super) struct Rates {
    at: Duration,
    fed: u64,
    settled: Vec<i64>,
}

/// One look, with rates in records a second.
#[derive(Debug)]
pub(super) struct Moves {
    fed: u64,
    fed_rate: u64,
    stages: Vec<(Stage, Standing, u64)>,
}

impl Rates {
    pub(super) fn next(&mut self, at: Duration, fed: u64, standings: &[Standing]) -> Moves {
        let millis = (at.saturating_sub(self.at)).as_millis().max(1);
        let rate = |moved: u64| u64::try_from(u128::from(moved) * 1000 / millis).unwrap_or(u64::MAX);
        let mut stages = Vec::with_capacity(standings.len());
        for (at, standing) in standings.iter().enumerate() {
            let before = self.settled.get(at).copied().unwrap_or_default();
            let moved = standing.settled.saturating_sub(before);
            stages.push((standing.stage, *standing, rate(u64::try_from(moved).unwrap_or_default())));
        }
        let moves = Moves { fed, fed_rate: rate(fed.saturating_sub(self.fed)), stages };
        let settled = standings.iter().map(|standing| standing.settled).collect();
        *self = Self { at, fed, settled };
        moves
    }
}

impl Moves {
    fn line(&self, total: u64, is_last: bool) -> String {
        let done = if is_last { total } else { self.done(total) };
        let full = (BAR_LEN * done).checked_div(total).unwrap_or(BAR_LEN).min(BAR_LEN);
        let percent = (100 * done).checked_div(total).unwrap_or(100).min(100);
        let mut line = String::from("[");
        for at in 0..BAR_LEN {
            line.push(if at < full { '#' } else { '.' });
        }
        line.push_str(&format!("] {percent:>3} %  fed {} ({}/s)", grouped(self.fed), grouped(self.fed_rate)));
        for (stage, standing, rate) in &self.stages {
            let behind = u64::try_from(standing.behind).unwrap_or_default();
            line.push_str(&format!("  {stage} {} behind ({}/s)", grouped(behind), grouped(*rate)));
        }
        line
    }

    /// A change is done when every stage has settled it; what was rejected on the way never reaches the later ones.
    fn done(&self, total: u64) -> u64 {
        let stages = u64::try_from(self.stages.len()).unwrap_or(1).max(1);
        let settled = self.stages.iter().map(|(_, standing, _)| u64::try_from(standing.settled).unwrap_or_default());
        (settled.sum::<u64>() / stages).min(total)
    }
}

/// `12,345`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_line_shows_rates_since_the_look_before_and_what_is_behind() {
        let standing = |stage, settled, behind| Standing::new(stage, settled, behind);
        let mut rates = Rates::default();
        rates.next(Duration::from_secs(1), 500, &[standing(Stage::Validate, 100, 400)]);
        let moves = rates.next(Duration::from_millis(1_500), 1_500, &[standing(Stage::Validate, 700, 800)]);
        let line = moves.line(1_400, false);
        assert_eq!(line, "[############............]  50 %  fed 1,500 (2,000/s)  validate 800 behind (1,200/s)");
        assert!(moves.line(0, true).contains("100 %"));
    }
}
