//! From a record of `enriched` to a change that Cassandra may still be told of.

use runtime::Clock;
use runtime::fault::{Fault, Rejection, Verdict};
use runtime::stage::{Admitted, Stage};
use schemas::avro::{Codec, Unreadable};
use schemas::{Change, Lane, RejectCode, facts, headers};
use std::time::Duration;

/// How far a version may lie ahead of this machine's clock, in milliseconds.
const AHEAD_MS_MAX: i64 = 60_000;

/// How far back the table remembers deletions.
///
/// A change that is older than a tombstone which may have been purged could bring a deleted user back. Reading first
/// would cost a read for every write; a change that old is rejected instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Horizon {
    /// Milliseconds.
    depth_ms: i64,
    /// Start of operation, milliseconds since 1970-01-01.
    floor_ms: i64,
}

impl Horizon {
    /// `gc_grace` is the table's, `floor_micros` the start of operation in microseconds since 1970-01-01.
    ///
    /// A fifth of `gc_grace` is left for clocks that differ and writes that wait.
    #[must_use]
    pub fn new(gc_grace: Duration, floor_micros: i64) -> Self {
        let depth = gc_grace.mul_f64(0.8);
        Self { depth_ms: i64::try_from(depth.as_millis()).unwrap_or(i64::MAX), floor_ms: floor_micros / 1000 }
    }

    /// Whether a tombstone that the change must not undo may be gone. Backfill lies below the floor, so nothing that
    /// the pipeline deleted is older than it: there only the age of the floor counts.
    fn is_past(&self, change: &Change, now_ms: i64) -> bool {
        let since_ms = match change.version.lane() {
            Lane::Backfill => self.floor_ms,
            Lane::SourcePinned | Lane::Live | Lane::Erasure => change.version.millis(),
        };
        now_ms.saturating_sub(since_ms) > self.depth_ms
    }
}

/// The stage.
#[derive(Debug)]
pub struct Decode {
    codec: Codec,
    horizon: Horizon,
    clock: Clock,
}

impl Decode {
    #[must_use]
    pub fn new(codec: Codec, horizon: Horizon, clock: Clock) -> Self {
        Self { codec, horizon, clock }
    }
}

impl Stage for Decode {
    type In = Admitted;
    type Out = Change;

    async fn apply(&self, admitted: &Admitted) -> Result<Verdict<Change>, Fault> {
        let record = &admitted.record;
        let origin = record.headers.last(headers::ORIGIN).map(|text| &text[..]);
        let change = match self.codec.decode_own(record.value.as_deref(), origin) {
            Ok(change) => change,
            Err(Unreadable::Newer(error)) => {
                return Err(Fault::transient(format!("{}/{}: {error}", record.place, record.offset)));
            }
            Err(Unreadable::Wrong(wrong)) => {
                let facts = facts::carried(|name| record.headers.last(name).map(|text| &text[..]));
                return Ok(Verdict::Reject(rejection(wrong, facts)));
            }
        };
        let now_ms = self.clock.now_ms();
        // `validate` has checked it against its own clock: a version from further ahead means that ours is behind.
        if change.version.millis() > now_ms.saturating_add(AHEAD_MS_MAX) {
            return Err(Fault::transient(format!(
                "{}: a version is more than a minute ahead of this machine's clock",
                record.place
            )));
        }
        if self.horizon.is_past(&change, now_ms) {
            let wrong = schemas::Rejection::new(RejectCode::ChangeTooOld);
            return Ok(Verdict::Reject(rejection(wrong, facts::of(&change))));
        }
        Ok(Verdict::Forward(change))
    }
}

/// A rejection in the pipeline's words.
pub(crate) fn rejection(rejection: schemas::Rejection, facts: Vec<(&'static str, String)>) -> Rejection {
    let schemas::Rejection { code, field } = rejection;
    Rejection { code: code.as_str(), reason: code.reason(), field, facts }
}

#[cfg(test)]
mod tests;
