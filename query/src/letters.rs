//! Looking for the dead letter of a change.
//!
//! Letters of a change lie in the partition of its own number, and none is older than the change. So a search begins at
//! the time of the raw record and goes on where it ended the last time: however often one asks, a letter is read once.

use crate::fates::Fate;
use crate::log::{Log, LogError};
use crate::receipt::Receipt;
use runtime::offsets::Span;
use runtime::record::Record;
use schemas::{RejectCode, facts, headers, topics};
use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Of a request; the next one goes on from there.
const LETTERS_MAX: usize = 10_000;

/// Receipts that are remembered, the oldest to be forgotten first: some 60 bytes each.
const KEPT_MAX: usize = 10_000;

/// Letters carry the time of whoever rejected, whose clock need not be the broker's.
const CLOCKS_DIFFER_MS: i64 = 300_000;

/// What a search has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    Found(Option<RejectCode>),
    /// There are more letters than one request may read.
    Unfinished,
    /// None up to now; `has_gap` if letters that it may have been among are gone.
    Nothing {
        has_gap: bool,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Letters(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    known: HashMap<Receipt, Known>,
    order: VecDeque<Receipt>,
}

#[derive(Clone, Copy, Debug)]
enum Known {
    /// Never changes.
    Fate(Fate),
    /// Letters below `next` are not it.
    Searched { next: i64, has_gap: bool },
}

impl Letters {
    pub(crate) fn known(&self, receipt: Receipt) -> Option<Fate> {
        match self.kept().known.get(&receipt) {
            Some(Known::Fate(fate)) => Some(*fate),
            Some(Known::Searched { .. }) | None => None,
        }
    }

    pub(crate) fn keep(&self, receipt: Receipt, fate: Fate) {
        self.kept().keep(receipt, Known::Fate(fate));
    }

    /// The topics are new.
    pub(crate) fn forget(&self) {
        *self.kept() = Kept::default();
    }

    /// Looks through the letters that there are now; `low` is the first raw record that is kept.
    pub(crate) async fn search<L: Log>(&self, log: &L, receipt: Receipt, low: i64) -> Result<Search, LogError> {
        let partition = receipt.partition;
        let held = log.held(topics::DEAD, partition).await?;
        let before = self.kept().known.get(&receipt).copied();
        let (mut next, has_gap) = match before {
            Some(Known::Searched { next, has_gap }) => (next, has_gap),
            Some(Known::Fate(_)) | None => match appended_ms(log, receipt, low).await? {
                Some(ms) => (log.since(topics::DEAD, partition, ms.saturating_sub(CLOCKS_DIFFER_MS)).await?, false),
                // The record is gone, and older than letters that are there: whether older ones are gone is all that is open.
                None => (held.low, held.low > 0),
            },
        };
        let mut left = LETTERS_MAX;
        next = next.max(held.low);
        while next < held.high {
            if left == 0 {
                self.kept().keep(receipt, Known::Searched { next, has_gap });
                return Ok(Search::Unfinished);
            }
            let records = log.read(topics::DEAD, Span { partition, from: next, to: held.high }).await?;
            if let Some(letter) = records.iter().find(|letter| is_of(letter, receipt)) {
                return Ok(Search::Found(code_of(letter)));
            }
            let Some(last) = records.last() else { break };
            next = last.offset.0 + 1;
            left = left.saturating_sub(records.len());
        }
        self.kept().keep(receipt, Known::Searched { next, has_gap });
        Ok(Search::Nothing { has_gap })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn keep(&mut self, receipt: Receipt, known: Known) {
        if self.known.insert(receipt, known).is_none() {
            self.order.push_back(receipt);
        }
        while self.order.len() > KEPT_MAX {
            let Some(oldest) = self.order.pop_front() else { break };
            self.known.remove(&oldest);
        }
    }
}

/// When the broker took the raw record; `None` if it is no longer kept.
async fn appended_ms<L: Log>(log: &L, receipt: Receipt, low: i64) -> Result<Option<i64>, LogError> {
    let Receipt { partition, offset } = receipt;
    if offset < low {
        return Ok(None);
    }
    let records = log.read(topics::RAW, Span { partition, from: offset, to: offset + 1 }).await?;
    Ok(records.first().and_then(|record| record.timestamp.millis()))
}

fn is_of(letter: &Record, receipt: Receipt) -> bool {
    let origin = letter.headers.last(headers::ORIGIN).and_then(|text| facts::origin_of(text));
    origin.and_then(|origin| origin.raw()) == Some((receipt.partition, receipt.offset))
}

fn code_of(letter: &Record) -> Option<RejectCode> {
    let code = letter.headers.last(headers::CODE)?;
    RejectCode::ALL.iter().copied().find(|known| known.as_str().as_bytes() == &code[..])
}
