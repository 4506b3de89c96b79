//! Changes on their way to the log, some at a time and in order.

use crate::answer::{Outcome, Receipt};
use crate::judge::{Judge, Ready, Refusal, Sender};
use crate::keyed::Keeping;
use crate::raw::{Placed, Raw};
use runtime::config::{ByteSize, Section};
use runtime::logs::chain;
use schemas::{Origin, Profile, RejectCode, Rejection, accept, topics};
use std::sync::Arc;
use std::time::Duration;
use store::keys::Keys;
use tokio::time::timeout;
use tracing::warn;

/// Bounds of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Changes of one request.
    pub changes_max: usize,
    /// Bytes of a body that is not read line by line.
    pub body_bytes_max: usize,
    /// Changes that go to the log together.
    pub batch_len_max: usize,
    /// How long the log may take to acknowledge them.
    pub ack_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { changes_max: 10_000, body_bytes_max: 16 << 20, batch_len_max: 500, ack_within: Duration::from_secs(10) }
    }
}

impl Limits {
    /// What a request may hold, of `[ingest]`.
    pub fn read(section: &mut Section<'_>) -> Self {
        let own = Self::default();
        let changes = "Changes of one request, at most.";
        let ack = "How long the log may take to acknowledge what a request brings; then its answer is 503.";
        let body =
            "Largest body of a change or an array of them; lines are taken as they come, and need no such bound.";
        let second = Duration::from_secs(1);
        let body_bytes_max = ByteSize::bytes(own.body_bytes_max as u64);
        Self {
            changes_max: section.count("changes_max", changes).between(1, 1_000_000).default(own.changes_max),
            ack_within: section.duration("ack_within", ack).between(second, 60 * second).default(own.ack_within),
            body_bytes_max: section
                .size("body_max", body)
                .at_least(ByteSize::mib(1))
                .default(body_bytes_max)
                .as_usize(),
            ..own
        }
    }
}

/// The door of one installation.
#[derive(Debug)]
pub struct Ingest<R, K> {
    pub(crate) judge: Judge,
    raw: R,
    /// `None` where requests with keys are refused.
    pub(crate) keeping: Option<Keeping<K>>,
    pub(crate) limits: Limits,
}

/// The changes of one request. What was judged waits here until there is a batch of it.
pub(crate) struct Batch<'i, R, K> {
    ingest: &'i Ingest<R, K>,
    sender: &'i Sender,
    outcomes: Vec<Outcome>,
    /// With the places of their outcomes.
    ready: Vec<(usize, Ready)>,
    bytes: usize,
    /// The log has failed one: nothing more is tried, so that no change overtakes an earlier one of its user.
    is_over: bool,
    is_overfull: bool,
}

impl<R: Raw, K: Keys> Ingest<R, K> {
    /// A door before `raw`.
    #[must_use]
    pub fn new(profile: Arc<Profile>, raw: R, keeping: Option<Keeping<K>>, limits: Limits) -> Self {
        Self { judge: Judge::new(profile, raw.partitions()), raw, keeping, limits }
    }

    pub(crate) fn batch<'i>(&'i self, sender: &'i Sender) -> Batch<'i, R, K> {
        Batch {
            ingest: self,
            sender,
            outcomes: Vec::new(),
            ready: Vec::new(),
            bytes: 0,
            is_over: false,
            is_overfull: false,
        }
    }

    /// One change from its judgement to its end.
    pub(crate) async fn one(&self, ready: Result<Ready, Refusal>) -> Outcome {
        match ready {
            Err(refusal) => Outcome::Refused(refusal),
            Ok(ready) => self.append(&[(0, ready)]).await.pop().unwrap_or(Outcome::Unacknowledged),
        }
    }

    /// What became of each of `ready`, in order.
    async fn append(&self, ready: &[(usize, Ready)]) -> Vec<Outcome> {
        let batch: Vec<_> = ready.iter().map(|(_, ready)| ready.outgoing.clone()).collect();
        match timeout(self.limits.ack_within, self.raw.append(&batch)).await {
            Ok(Ok(placed)) => ready.iter().zip(placed).map(|((_, ready), placed)| outcome(ready, placed)).collect(),
            Ok(Err(fault)) => {
                warn!(fault = %chain(&fault), "changes were not acknowledged");
                vec![Outcome::Unacknowledged; ready.len()]
            }
            Err(_) => {
                warn!("changes were not acknowledged in time");
                vec![Outcome::Unacknowledged; ready.len()]
            }
        }
    }
}

impl<R: Raw, K: Keys> Batch<'_, R, K> {
    /// Whether the request may hold a further change. Asked for one in vain, it is overfull from then on.
    pub(crate) fn has_room(&mut self) -> bool {
        self.is_overfull |= self.outcomes.len() >= self.ingest.limits.changes_max;
        !self.is_overfull
    }

    pub(crate) fn is_overfull(&self) -> bool {
        self.is_overfull
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Judges one change; those that wait go to the log when they are enough.
    pub(crate) async fn push(&mut self, text: &[u8]) {
        match self.ingest.judge.change(self.sender, text) {
            Ok(ready) => {
                self.bytes += ready.outgoing.bytes();
                self.ready.push((self.outcomes.len(), ready));
                self.outcomes.push(Outcome::Untried);
            }
            Err(refusal) => self.outcomes.push(Outcome::Refused(refusal)),
        }
        // Twice what a record may have: a larger one never waits alone.
        if self.ready.len() >= self.ingest.limits.batch_len_max || self.bytes > 2 * accept::RECORD_BYTES_MAX {
            self.flush().await;
        }
    }

    pub(crate) fn push_too_long(&mut self) {
        self.outcomes.push(Outcome::Refused(Rejection::new(RejectCode::TooLarge).into()));
    }

    /// What became of every change of the request.
    pub(crate) async fn finish(mut self) -> Vec<Outcome> {
        self.flush().await;
        self.outcomes
    }

    async fn flush(&mut self) {
        let ready = std::mem::take(&mut self.ready);
        self.bytes = 0;
        if ready.is_empty() || self.is_over {
            return;
        }
        let found = self.ingest.append(&ready).await;
        for ((at, _), outcome) in ready.iter().zip(found) {
            self.is_over |= outcome == Outcome::Unacknowledged;
            if let Some(place) = self.outcomes.get_mut(*at) {
                *place = outcome;
            }
        }
    }
}

fn outcome(ready: &Ready, placed: Placed) -> Outcome {
    let partition = ready.outgoing.partition;
    let offset = match placed {
        Placed::At(offset) => Some(offset.0),
        Placed::Somewhere => None,
        Placed::TooLarge => return Outcome::Refused(Rejection::new(RejectCode::TooLarge).into()),
    };
    // The one that `validate` gives it.
    let own = || Some(accept::id_of(&Origin::new(topics::RAW, partition, offset?)?));
    Outcome::Accepted(Receipt { id: ready.id.or_else(own), partition, offset })
}
