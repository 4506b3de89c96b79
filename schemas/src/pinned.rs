//! What a record of the pinned topic brings beside its change: the place in history that backfill and replays have.
//!
//! Headers beat the value, so that a record can be sent again byte for byte. A header that is there and not well formed
//! is a rejection, never as if it were absent.

use crate::facts::origin_of;
use crate::{Lane, Origin, RejectCode, Rejection, Version, headers};
use uuid::Uuid;

/// The headers of ours that count on the pinned topic; every other is dropped there, too.
pub const BROUGHT: [&str; 3] = [headers::VERSION, headers::ORIGIN, headers::ID];

/// What the headers of one record say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    version: Option<Said<i64>>,
    origin: Option<Said<Origin>>,
    id: Option<Said<Uuid>>,
}

type Said<T> = Result<T, Malformed>;

/// A header is there, and its text is of another form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Malformed;

/// Which versions may be brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Start of operation, microseconds since 1970-01-01: backfill lies below it, what is live above.
    pub floor_micros: i64,
    /// Milliseconds since 1970-01-01 that no version lies beyond.
    pub latest_ms: i64,
}

impl Brought {
    /// `header` gives a header's last value.
    #[must_use]
    pub fn read<'a>(header: impl Fn(&str) -> Option<&'a [u8]>) -> Self {
        let id = |text: &[u8]| std::str::from_utf8(text).ok().and_then(|text| Uuid::try_parse(text).ok());
        Self {
            version: header(headers::VERSION).map(|text| headers::integer(text).ok_or(Malformed)),
            origin: header(headers::ORIGIN).map(|text| origin_of(text).ok_or(Malformed)),
            id: header(headers::ID).map(|text| id(text).ok_or(Malformed)),
        }
    }

    /// The version, if what is said of it is one; `in_value` is what the value says, if it could be read.
    #[must_use]
    pub fn known_version(&self, in_value: Option<i64>) -> Option<Version> {
        self.version.map_or(in_value, Result::ok).and_then(Version::new)
    }

    /// The origin, if one is brought that is well formed.
    #[must_use]
    pub fn known_origin(&self) -> Option<&Origin> {
        self.origin.as_ref().and_then(|origin| origin.as_ref().ok())
    }

    /// The id, if one is brought that is well formed.
    #[must_use]
    pub fn known_id(&self) -> Option<Uuid> {
        self.id.and_then(Result::ok)
    }

    /// The version that counts.
    ///
    /// # Errors
    /// `version-in-future` beyond `bounds`, whatever the lane. `version-invalid` if there is none, it is not positive or
    /// has the phase bit, it is backfill and not below the floor, or live or erasure and not above: every live version
    /// must beat every backfilled one.
    pub fn version(&self, in_value: Option<i64>, bounds: Bounds) -> Result<Version, Rejection> {
        let (said, field) = match self.version {
            Some(said) => (said.ok(), headers::VERSION),
            None if in_value.is_some() => (in_value, "version"),
            None => (None, headers::VERSION),
        };
        let invalid = || Rejection::at(RejectCode::VersionInvalid, field);
        let version = said.and_then(Version::new).ok_or_else(invalid)?;
        if version.millis() > bounds.latest_ms {
            return Err(Rejection::at(RejectCode::VersionInFuture, field));
        }
        let floor = bounds.floor_micros & !(Version::STEP - 1);
        let is_allowed = match version.lane() {
            Lane::Backfill => version.place() < floor,
            Lane::SourcePinned => true,
            Lane::Live | Lane::Erasure => version.place() > floor,
        };
        if is_allowed { Ok(version) } else { Err(invalid()) }
    }

    /// The origin that counts: the brought one, else `own`, the record's own place.
    ///
    /// # Errors
    /// `undecodable` if it is none; `misplaced` if it is a raw record of another partition than `own`: its offset would
    /// be taken for a receipt of this one.
    pub fn origin(&self, own: &Origin) -> Result<Origin, Rejection> {
        match &self.origin {
            None => Ok(own.clone()),
            Some(Err(Malformed)) => Err(Rejection::at(RejectCode::Undecodable, headers::ORIGIN)),
            Some(Ok(origin)) if origin.raw().is_some_and(|(partition, _)| partition != own.partition()) => {
                Err(Rejection::at(RejectCode::Misplaced, headers::ORIGIN))
            }
            Some(Ok(origin)) => Ok(origin.clone()),
        }
    }

    /// The id that beats the value's, if one is brought.
    ///
    /// # Errors
    /// `format-invalid` if it is no UUID.
    pub fn id(&self) -> Result<Option<Uuid>, Rejection> {
        let id = self.id.transpose();
        id.map_err(|Malformed| Rejection::at(RejectCode::FormatInvalid, headers::ID))
    }
}

#[cfg(test)]
mod tests;
