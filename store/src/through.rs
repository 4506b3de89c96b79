//! Reading a profile through the cache: the one way in which anybody reads on behalf of a user.
//!
//! The cache is asked first; on everything but a hit the row is read, and it fills the entry if the cache gave the right to
//! ([`crate::cache::protocol`] tells why no answer then lacks a settled change). Whatever is wrong with the cache, the row
//! answers.
//!
//! Readers of one user share reads of the row, and no answer may be older than the question. So a reader joins only a read
//! that has *not begun*: what was settled when it asked is then in what is read. A read that is under way may have passed
//! that change already, and whoever comes meanwhile waits for the next one. Of one user there is at most one read under way
//! and one behind it: a thousand readers of a cold entry cost one read if all are there before it begins, and two if some
//! come later, because the first has filled the entry before the second begins. One would be too few: the late ones would
//! be told what was true before they asked (I9).
//!
//! A read belongs to nobody: the reader that began it may leave. How many are out is bounded, and a reader whose own has
//! not begun in time is told so.

mod flight;
mod seen;
mod trust;

pub use seen::{Seen, Source};

use crate::cache::protocol::Filled;
use crate::cache::{Answer, Bypass, CacheError, Key, Lease, Value};
use crate::cql::ProfileRow;
use flight::{Flights, Stage};
use schemas::{Profile, Tenant, UserId};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use trust::Trust;

/// A cache that keeps the protocol.
pub trait Cache: Send + Sync + 'static {
    /// What it has to say about a user, without waiting for another reader.
    fn look_up(&self, key: &Key) -> impl Future<Output = Answer> + Send;

    /// Fills with what was read under `lease`; nobody's answer depends on it.
    fn fill(&self, lease: Lease, value: &Value<'_>) -> impl Future<Output = Result<Filled, CacheError>> + Send;
}

/// A table of profiles.
pub trait Rows: Send + Sync + 'static {
    /// The row of a user with all that was settled before the read began, if anything was ever written of him.
    fn read(&self, tenant: &Tenant, user_id: &UserId)
    -> impl Future<Output = Result<Option<ProfileRow>, Error>> + Send;
}

/// Why there is no answer. Never holds a key or a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Ask again.
    #[error("the table did not answer the read: {0}")]
    Unreachable(Box<str>),
    /// No repetition helps.
    #[error("the table refuses the read: {0}")]
    Refused(Box<str>),
    /// A row that no change can have written: somebody else writes to the table.
    #[error("a row of the table holds what no change can have written")]
    Foreign,
    /// More is asked for than may be read at once. Ask again, later.
    #[error("too many rows are asked for at once")]
    Overloaded,
}

/// How much is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Reads of rows that may be out at once.
    pub reads_in_flight_max: usize,
    /// How long a reader waits for its read to begin.
    pub wait_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { reads_in_flight_max: 128, wait_max: Duration::from_secs(1) }
    }
}

/// A table behind its cache. Reads that are out end with it.
pub struct Through<C, R> {
    shared: Arc<Shared<C, R>>,
    reads: Mutex<JoinSet<()>>,
}

struct Shared<C, R> {
    /// `None` where the installation has none.
    cache: Option<C>,
    trust: Trust,
    rows: R,
    profile: Arc<Profile>,
    flights: Flights,
    places: Semaphore,
    limits: Limits,
}

impl<C: Cache, R: Rows> Through<C, R> {
    #[must_use]
    pub fn new(cache: Option<C>, rows: R, profile: Arc<Profile>, limits: Limits) -> Self {
        let places = Semaphore::new(limits.reads_in_flight_max.clamp(1, Semaphore::MAX_PERMITS));
        let (trust, flights) = (Trust::default(), Flights::default());
        let shared = Shared { cache, trust, rows, profile, flights, places, limits };
        Self { shared: Arc::new(shared), reads: Mutex::default() }
    }

    /// What its payloads are made of.
    #[must_use]
    pub fn profile(&self) -> &Arc<Profile> {
        &self.shared.profile
    }

    /// The profile of a user, with every change in it that was settled when this was called.
    ///
    /// # Errors
    /// If the row had to be read and was not.
    pub async fn get(&self, tenant: &Tenant, user_id: &UserId) -> Result<Seen, Error> {
        let key = Key::new(tenant, user_id);
        let lease = match self.shared.look_up(&key).await {
            Answer::Hit(cached) => return Ok(Seen::from(cached)),
            Answer::Miss(lease) => Some(lease),
            Answer::Bypass(_) => None,
        };
        let (mut stage, is_first) = self.shared.flights.board(&key, lease);
        if is_first {
            self.launch(Arc::clone(&self.shared).fly(key, tenant.clone(), user_id.clone()));
        }
        let lost = |_| Error::Unreachable("the read was given up".into());
        let begun = stage.wait_for(|stage| !matches!(stage, Stage::Boarding));
        match timeout(self.shared.limits.wait_max, begun).await {
            Ok(begun) => drop(begun.map_err(lost)?),
            Err(_) => return Err(Error::Overloaded),
        }
        let landed = stage.wait_for(|stage| matches!(stage, Stage::Landed(_))).await.map_err(lost)?;
        match &*landed {
            Stage::Landed(outcome) => outcome.clone(),
            Stage::Boarding | Stage::Reading => Err(Error::Unreachable("the read was given up".into())),
        }
    }

    fn launch(&self, flight: impl Future<Output = ()> + Send + 'static) {
        let mut reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended; what they came to is with their readers.
        while reads.try_join_next().is_some() {}
        reads.spawn(flight);
    }
}

impl<C: Cache, R: Rows> Shared<C, R> {
    async fn look_up(&self, key: &Key) -> Answer {
        let away = || Answer::Bypass(Bypass::Fault(CacheError::Ambiguous("it is left alone".into())));
        let Some(cache) = &self.cache else { return away() };
        if !self.trust.may_ask() {
            return away();
        }
        let answer = cache.look_up(key).await;
        self.trust.heard(!matches!(answer, Answer::Bypass(Bypass::Fault(_))));
        answer
    }

    /// Reads the row of one user as long as somebody waits for that.
    async fn fly(self: Arc<Self>, key: Key, tenant: Tenant, user_id: UserId) {
        let held = self.flights.hold(&key);
        while let Some(boarding) = self.flights.boarding(&key) {
            let place = tokio::select! {
                place = self.places.acquire() => place,
                // Everybody has left, or left and others came: look again.
                () = boarding.closed() => continue,
            };
            // From here on nobody joins.
            let Some((stage, leases)) = self.flights.depart(&key) else { continue };
            stage.send_replace(Stage::Reading);
            let row = self.rows.read(&tenant, &user_id).await;
            drop(place);
            let seen = row.and_then(|row| Seen::of_row(row.as_ref(), &self.profile));
            stage.send_replace(Stage::Landed(seen.clone()));
            // Before the next read, whose readers came too late for this one, and after whom others find the entry.
            if let (Ok(seen), Some(cache)) = (&seen, &self.cache) {
                for lease in leases {
                    // Refused, failed or not: readers have their answer.
                    drop(cache.fill(lease, &seen.value()).await);
                }
            }
        }
        held.release();
    }
}

impl<C, R> fmt::Debug for Through<C, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Through").field("limits", &self.shared.limits).finish_non_exhaustive()
    }
}

#[cfg(feature = "servers")]
mod servers {
    use super::{Answer, Cache, CacheError, Error, Filled, Key, Lease, ProfileRow, Rows, Tenant, UserId, Value};
    use crate::{cache, cql};

    impl Cache for cache::Reader {
        async fn look_up(&self, key: &Key) -> Answer {
            Self::look_up(self, key).await
        }

        async fn fill(&self, lease: Lease, value: &Value<'_>) -> Result<Filled, CacheError> {
            Self::fill(self, lease, value).await
        }
    }

    impl Rows for cql::Reader {
        async fn read(&self, tenant: &Tenant, user_id: &UserId) -> Result<Option<ProfileRow>, Error> {
            Ok(Self::read(self, tenant, user_id).await?)
        }
    }

    impl From<cql::ReadError> for Error {
        fn from(error: cql::ReadError) -> Self {
            match error {
                cql::ReadError::Unreachable(why) => Self::Unreachable(why),
                cql::ReadError::Refused(why) => Self::Refused(why),
                cql::ReadError::Foreign => Self::Foreign,
            }
        }
    }
}

#[cfg(test)]
mod tests;
