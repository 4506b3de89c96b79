//! `validate`: raw and pinned changes in, well-formed changes with their place in history out.
//!
//! A raw record is given its place before anything is judged, a pinned one brings it: either way a dead letter keeps it.

#[cfg(feature = "servers")]
mod config;
mod fold;
#[cfg(feature = "servers")]
mod service;

#[cfg(feature = "servers")]
pub use config::Config;
pub use fold::Fold;
#[cfg(feature = "servers")]
pub use service::{SERVICE, run};

use crate::outgoing::{outgoing, rejection};
use runtime::Clock;
use runtime::fault::{Fault, Verdict};
use runtime::record::{Outgoing, Record, Timestamp};
use runtime::stage::{Admitted, Stage};
use schemas::avro::Codec;
use schemas::pinned::{self, Bounds, Brought};
use schemas::{Change, Draft, Lane, Origin, Profile, RejectCode, Rejection, Version};
use schemas::{accept, facts, headers, rules, topics};
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
    floor_micros: i64,
}

/// What is known of a record's place in history by the time it is judged: it goes with a dead letter.
pub(crate) struct Known {
    origin: Origin,
    version: Option<Version>,
    id: Option<Uuid>,
}

impl Validate {
    /// `floor_micros` is the start of operation, in microseconds since 1970-01-01; the fold's own.
    #[must_use]
    pub fn new(profile: Arc<Profile>, clock: Clock, partitions: i32, floor_micros: i64) -> Self {
        Self { codec: Codec::new(profile.clone()), profile, clock, partitions, floor_micros }
    }

    /// The place in history of a raw record: its own on the topic, and what the fold gave.
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
        let origin = Origin::new(topics::RAW, record.place.partition, record.offset.0);
        let (Some(version), Some(origin)) = (version, origin) else {
            return Err(Fault::config(format!("{}: version.floor gives no positive version", record.place)));
        };
        if version.millis() > self.latest_ms() {
            return Err(Fault::transient(format!(
                "{}: versions run more than a minute ahead of this machine's clock: a broker's clock has jumped",
                record.place
            )));
        }
        Ok((version, origin))
    }

    fn latest_ms(&self) -> i64 {
        self.clock.now_ms().saturating_add(AHEAD_MS_MAX)
    }

    /// The change that a record asks for if it is well formed, and what is known of its place either way.
    pub(crate) fn judge(&self, admitted: &Admitted) -> Result<(Result<Change, Rejection>, Known), Fault> {
        let record = &admitted.record;
        if topics::is_pinned(&record.place.topic) {
            let own = Origin::new(topics::PINNED, record.place.partition, record.offset.0);
            let origin = own.ok_or_else(|| Fault::config(format!("{}: no record has such a place", record.place)))?;
            let mut known = Known { origin, version: None, id: None };
            return Ok((self.judge_pinned(record, &mut known), known));
        }
        let (version, origin) = self.place(admitted)?;
        let mut known = Known { origin, version: Some(version), id: None };
        Ok((self.judge_raw(record, version, &mut known), known))
    }

    fn judge_raw(&self, record: &Record, version: Version, known: &mut Known) -> Result<Change, Rejection> {
        let draft = self.read(record, record.bytes())?;
        known.id = draft.as_ref().and_then(|draft| draft.id);
        let change = self.accept(record, draft, version, known.origin.clone())?;
        known.id = Some(change.id);
        rules::check(&self.profile, change)
    }

    /// The same for a record that brings its place in history. `known` starts with its own place on the pinned topic.
    fn judge_pinned(&self, record: &Record, known: &mut Known) -> Result<Change, Rejection> {
        let brought = Brought::read(|name| record.headers.last(name).map(|text| &text[..]));
        let own = known.origin.clone();
        *known = Known {
            origin: brought.known_origin().unwrap_or(&own).clone(),
            version: brought.known_version(None),
            id: brought.known_id(),
        };
        // What we ask for does not count: a record that fitted on the raw topic fits here.
        let ours = record.headers.iter().filter(|(name, _)| pinned::BROUGHT.contains(&&***name));
        let ours: usize = ours.map(|(name, value)| name.len() + value.map_or(0, |value| value.len())).sum();
        let mut draft = self.read(record, record.bytes().saturating_sub(ours))?;
        let in_value = draft.as_mut().and_then(|draft| draft.version.take());
        known.version = brought.known_version(in_value);
        known.id = known.id.or_else(|| draft.as_ref().and_then(|draft| draft.id));
        let bounds = Bounds { floor_micros: self.floor_micros, latest_ms: self.latest_ms() };
        let version = brought.version(in_value, bounds)?;
        let origin = brought.origin(&own)?;
        let id = brought.id()?;
        let mut change = self.accept(record, draft, version, origin)?;
        change.id = id.unwrap_or(change.id);
        known.id = Some(change.id);
        rules::check(&self.profile, change)
    }

    fn accept(
        &self,
        record: &Record,
        draft: Option<Draft>,
        version: Version,
        origin: Origin,
    ) -> Result<Change, Rejection> {
        let place = accept::Place { key: record.key.as_deref(), origin, version };
        match draft {
            Some(draft) => accept::accept(&self.profile, draft, place),
            None => accept::accept_null(place),
        }
    }

    /// What the producer wrote; `None` for a record without a value. `bytes` is what counts of the record's size.
    fn read(&self, record: &Record, bytes: usize) -> Result<Option<Draft>, Rejection> {
        if record.is_damaged {
            return Err(Rejection::at(RejectCode::Undecodable, "headers"));
        }
        accept::check_size(bytes, accept::RECORD_BYTES_MAX)?;
        accept::check_partition(record.key.as_deref(), record.place.partition, self.partitions)?;
        let Some(value) = &record.value else { return Ok(None) };
        if record.key.is_none() {
            return Err(Rejection::new(RejectCode::KeyMissing));
        }
        accept::read(&self.codec, value).map(Some)
    }
}

impl Known {
    /// Made for a dead letter only: most records need none.
    pub(crate) fn facts(self) -> facts::Facts {
        let version = self.version.map(|version| (headers::VERSION, version.to_string()));
        let id = self.id.map(|id| (headers::ID, id.to_string()));
        [(headers::ORIGIN, self.origin.to_string())].into_iter().chain(version).chain(id).collect()
    }
}

impl Stage for Validate {
    type In = Admitted;
    type Out = Outgoing;

    async fn apply(&self, admitted: &Admitted) -> Result<Verdict<Outgoing>, Fault> {
        let (judged, known) = self.judge(admitted)?;
        Ok(match judged.and_then(|change| outgoing(&self.codec, &change, &admitted.record)) {
            Ok(outgoing) => Verdict::Forward(outgoing),
            Err(wrong) => Verdict::Reject(rejection(wrong, known.facts())),
        })
    }
}

#[cfg(test)]
mod tests;
