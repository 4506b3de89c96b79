//! What a table holds of a user, whoever keeps the table.

use schemas::{Row, Version};
use std::time::Duration;
use uuid::Uuid;

/// How long tombstones must stay: longer than any topic keeps a record, so that no replay can bring a user back (I5).
pub const GC_GRACE_MIN: Duration = Duration::from_secs(45 * 24 * 60 * 60);

/// One row of the table without its key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileRow {
    /// By field position; of a deleted user it holds what patches have set since.
    pub row: Row,
    /// Of the last upsert.
    pub live: Option<Version>,
    /// Of the last delete.
    pub dead: Option<Version>,
    /// Of the newest change.
    pub version: Option<Version>,
    /// The id of the newest change.
    pub change: Option<Uuid>,
    pub source: Option<String>,
    /// With `offset` the place in the raw topic of the newest change that came from there, since the last upsert or
    /// delete.
    pub partition: Option<i32>,
    pub offset: Option<i64>,
}

impl ProfileRow {
    /// Whether there is such a user: a patch creates one that never existed, and never brings back a deleted one.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.version.is_some() && (self.dead.is_none() || self.live > self.dead)
    }
}

/// A row, and of each of its values the change that wrote it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VersionedRow {
    pub row: ProfileRow,
    /// By field position, `None` where there is no value: of a cleared field the table does not tell which change
    /// cleared it. A user has as many versions as changes of which something is left.
    pub versions: Vec<Option<Version>>,
}

impl VersionedRow {
    /// The version of the change that wrote the value of `field`; `None` if there is none.
    #[must_use]
    pub fn version_of(&self, field: usize) -> Option<Version> {
        self.versions.get(field).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: i64, live: Option<i64>, dead: Option<i64>) -> ProfileRow {
        let version = Version::new(version);
        ProfileRow {
            version,
            live: live.and_then(Version::new),
            dead: dead.and_then(Version::new),
            ..Default::default()
        }
    }

    #[test]
    fn alive_is_who_was_written_and_not_deleted_since() {
        assert!(!ProfileRow::default().alive(), "nothing was ever written");
        assert!(row(8, None, None).alive(), "a patch creates");
        assert!(row(8, Some(8), None).alive());
        assert!(!row(16, None, Some(16)).alive());
        assert!(!row(24, None, Some(16)).alive(), "a patch never brings back");
        assert!(row(24, Some(24), Some(16)).alive());
        assert!(!row(16, Some(16), Some(16)).alive(), "an upsert and a delete of one version: deleted");
    }
}
