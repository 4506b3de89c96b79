//! What a reader is told of a user, the same from the cache as from the row.

use super::Error;
use crate::cache::{Cached, Value};
use crate::cql::ProfileRow;
use schemas::json::Fields;
use schemas::{Profile, Version};
use std::fmt;
use std::sync::Arc;

/// A profile as readers see it.
#[derive(Clone, PartialEq, Eq)]
pub struct Seen {
    /// Of the newest change in it, also of a deleted user; `None` if nothing was ever written.
    pub version: Option<Version>,
    /// Partition and offset in the raw topic of the newest change that came from there.
    pub receipt: Option<(i32, i64)>,
    /// A JSON object of the fields that are set; `None` if there is no such user.
    pub payload: Option<Arc<str>>,
    pub source: Source,
}

/// Who answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Cache,
    Store,
}

/// Stands in the cache for "nothing was ever written": microseconds after 1970, which no clock of a broker shows.
const NEVER: Version = Version::FIRST;

impl Seen {
    /// What a row shows to readers; the one place where a payload is made.
    ///
    /// # Errors
    /// [`Error::Foreign`] for a value that has no JSON, such as a time after the year 9999: no checked change brings one.
    pub fn of_row(row: Option<&ProfileRow>, profile: &Profile) -> Result<Self, Error> {
        let Some(row) = row else {
            return Ok(Self { version: None, receipt: None, payload: None, source: Source::Store });
        };
        let fields = Fields { profile, row: &row.row };
        let payload = match row.alive() {
            true => Some(serde_json::to_string(&fields).map_err(|_| Error::Foreign)?.into()),
            false => None,
        };
        let receipt = row.partition.zip(row.offset);
        Ok(Self { version: row.version, receipt, payload, source: Source::Store })
    }

    /// What is kept of it in a cache.
    #[must_use]
    pub fn value(&self) -> Value<'_> {
        let payload = self.payload.as_deref().unwrap_or_default();
        Value { version: self.version.unwrap_or(NEVER), receipt: self.receipt, payload }
    }
}

impl From<Cached> for Seen {
    fn from(cached: Cached) -> Self {
        let Cached { version, receipt, payload } = cached;
        let payload: Option<Arc<str>> = (!payload.is_empty()).then(|| payload.into());
        let was_written = payload.is_some() || version != NEVER;
        Self { version: was_written.then_some(version), receipt, payload, source: Source::Cache }
    }
}

/// Shows the version and who answered: the payload is user data.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, source, .. } = self;
        f.debug_struct("Seen").field("version", version).field("source", source).finish_non_exhaustive()
    }
}
