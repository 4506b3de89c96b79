//! A profile as readers see it, made from its row.

use crate::cache::Cache;
use crate::error::Error;
use crate::home::Home;
use schemas::json::Fields;
use schemas::{Tenant, UserId, Version};
use store::cache::{Lease, Value};

/// What a reader is answered with.
pub(crate) struct View {
    /// Of the newest change in it; `None` if nothing was ever written.
    pub(crate) version: Option<Version>,
    /// Place in the raw topic of the newest change that came from there.
    pub(crate) receipt: Option<(i32, i64)>,
    /// A JSON object of the fields that are set, or empty: there is no such user.
    pub(crate) payload: String,
}

impl Home {
    /// Reads the row of a user.
    pub(crate) fn view(&self, tenant: &Tenant, user_id: &UserId) -> Result<View, Error> {
        let Some(row) = self.table.read(tenant, user_id)? else {
            return Ok(View { version: None, receipt: None, payload: String::new() });
        };
        let row = row.row;
        let fields = Fields { profile: &self.profile, row: &row.row };
        let payload = match row.alive() {
            // A value that has no JSON, such as a time after the year 9999, no checked change brings.
            true => {
                serde_json::to_string(&fields).map_err(|_| Error::TableForeign { path: self.dir().join("table") })?
            }
            false => String::new(),
        };
        Ok(View { version: row.version, receipt: row.partition.zip(row.offset), payload })
    }
}

impl View {
    /// Fills the cache with it, if it was read under `lease`.
    pub(crate) fn fill(&self, cache: &Cache, lease: &Lease) {
        let version = self.version.unwrap_or(Version::FIRST);
        let value = Value { version, receipt: self.receipt, payload: &self.payload };
        // Refused or not, the reader has its answer.
        cache.fill(lease, &value);
    }
}
