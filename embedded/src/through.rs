//! The table and the cache of a directory, as whoever reads profiles asks them.

use crate::cache::Cache;
use crate::error::Error as HomeError;
use crate::table::Table;
use schemas::{Tenant, UserId};
use store::cache::protocol::Filled;
use store::cache::{Answer, CacheError, Key, Lease, Value};
use store::cql::ProfileRow;
use store::through::{self, Error, Rows};

impl through::Cache for Cache {
    async fn look_up(&self, key: &Key) -> Answer {
        Self::look_up(self, key)
    }

    async fn fill(&self, lease: Lease, value: &Value<'_>) -> Result<Filled, CacheError> {
        Ok(Self::fill(self, &lease, value))
    }
}

impl Rows for Table {
    /// Does not wait for anything but the disk, and mostly not for that.
    async fn read(&self, tenant: &Tenant, user_id: &UserId) -> Result<Option<ProfileRow>, Error> {
        match Self::read(self, tenant, user_id) {
            Ok(found) => Ok(found.map(|found| found.row)),
            Err(HomeError::TableForeign { .. }) => Err(Error::Foreign),
            Err(error) => Err(Error::Unreachable(error.to_string().into())),
        }
    }
}
