//! `validate`: raw changes in, well-formed changes with their place in history out.
//!
//! The place is given before anything is judged, so that a dead letter keeps it.

mod config;
mod fold;
mod service;

pub use config::Config;
pub use fold::Fold;
pub use service::{SERVICE, run};

use crate::outgoing::{outgoing, rejection};
use runtime::Clock;
use runtime::fault::{Fault, Rejection, Verdict};
use runtime::record::{Outgoing, Record, Timestamp};
use runtime::stage::{Admitted, Stage};
use schemas::avro::Codec;
use schemas::{Change, Draft, Lane, Origin, Profile, RejectCode, Version, accept, facts, headers, rules};
use std::sync::Arc;
use uuid::Uuid;

/// How far a version may lie ahead of this machine's clock, in milliseconds.
const AHEAD_MS_MAX: i64 = 60_000;

/// The stage.
#[derive(Debug)]
pub struct Validate {
    profile: Arc<Profile>,
    codec: Codec,
    clock: Clock,
    /// Of every topic of the path.
    partitions: i32,
}

impl Validate {
    #[must_use]
    pub fn new(profile: Arc<Profile>, clock: Clock, partitions: i32) -> Self {
        Self { codec: Codec::new(profile.clone()), profile, clock, partitions }
    }

    /// The record's place in history.
    fn place(&self, admitted: &Admitted) -> Result<(Version, Origin), Fault> {
        let record = &admitted.record;
        let Timestamp::LogAppend(_) = record.timestamp else {
            return Err(Fault::transient(format!(
                "{}: records carry no append time; set message.timestamp.type=LogAppendTime on the topic, and move \
                 past what it holds: tidewater rewind",
                record.place
            )));
        };
        let version = Version::at(admitted.mark, Lane::Live);
        let origin = Origin::new(schemas::topics::RAW, record.place.partition, record.offset.0);
        let (Some(version), Some(origin)) = (version, origin) else {
            return Err(Fault::config(format!("{}: version.floor gives no positive version", record.place)));
        };
        if version.millis() > self.clock.now_ms().saturating_add(AHEAD_MS_MAX) {
            return Err(Fault::transient(format!(
                "{}: versions run more than a minute ahead of this machine's clock: a broker's clock has jumped",
                record.place
            )));
        }
        Ok((version, origin))
    }

    fn judge(&self, record: &Record, version: Version, origin: Origin) -> Result<Outgoing, Rejection> {
        // Made for a dead letter only: most records need none.
        let known = |id: Option<Uuid>| {
            let mut facts = facts::of_place(&origin, version);
            facts.extend(id.map(|id| (headers::ID, id.to_string())));
            facts
        };
        let draft = self.read(record).map_err(|wrong| rejection(wrong, known(None)))?;
        let id = draft.as_ref().and_then(|draft| draft.id);
        let place = accept::Place { key: record.key.as_deref(), origin: origin.clone(), version };
        let accepted = match draft {
            Some(draft) => accept::accept(&self.profile, draft, place),
            None => accept::accept_null(place),
        };
        let change = accepted.map_err(|wrong| rejection(wrong, known(id)))?;
        let id = change.id;
        self.finish(change, record).map_err(|wrong| rejection(wrong, known(Some(id))))
    }

    fn finish(&self, change: Change, record: &Record) -> Result<Outgoing, schemas::Rejection> {
        let change = rules::check(&self.profile, change)?;
        outgoing(&self.codec, &change, record)
    }

    /// What the producer wrote; `None` for a record without a value.
    fn read(&self, record: &Record) -> Result<Option<Draft>, schemas::Rejection> {
        if record.is_damaged {
            return Err(schemas::Rejection::at(RejectCode::Undecodable, "headers"));
        }
        accept::check_size(record.bytes(), accept::RECORD_BYTES_MAX)?;
        accept::check_partition(record.key.as_deref(), record.place.partition, self.partitions)?;
        let Some(value) = &record.value else { return Ok(None) };
        if record.key.is_none() {
            return Err(schemas::Rejection::new(RejectCode::KeyMissing));
        }
        accept::read(&self.codec, value).map(Some)
    }
}

impl Stage for Validate {
    type In = Admitted;
    type Out = Outgoing;

    async fn apply(&self, admitted: &Admitted) -> Result<Verdict<Outgoing>, Fault> {
        let (version, origin) = self.place(admitted)?;
        Ok(match self.judge(&admitted.record, version, origin) {
            Ok(outgoing) => Verdict::Forward(outgoing),
            Err(rejection) => Verdict::Reject(rejection),
        })
    }
}

#[cfg(test)]
mod tests;
