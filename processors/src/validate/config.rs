//! What `validate` can be set to.

use runtime::config::{Section, Settings};
use runtime::kafka::Cluster;
use runtime::limits::{Limits, within_grace};

#[derive(Clone, Debug)]
pub struct Config {
    pub cluster: Cluster,
    pub limits: Limits,
    /// Start of operation, microseconds since 1970-01-01.
    pub floor_micros: i64,
}

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        for other in ["ingest", "enrich", "cassandra", "redis", "query", "auth", "idempotency", "standalone"] {
            section.foreign(other);
        }
        let limits = within_grace(section, Limits::default());
        Self { cluster: section.section("kafka"), limits, floor_micros: section.within("version", floor) }
    }
}

/// `version.floor`.
fn floor(section: &mut Section<'_>) -> i64 {
    let about =
        "Start of operation: every version given here lies above it, every backfilled one below. Never changed.";
    let reason = "versions of the old system and of this one are told apart by it";
    section.instant("floor", about).required(reason).as_microsecond()
}
