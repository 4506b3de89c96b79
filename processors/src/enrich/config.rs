//! What `enrich` can be set to.

use runtime::config::{Section, Settings};
use runtime::kafka::Cluster;
use runtime::limits::{Limits, within_grace};
use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct Config {
    pub cluster: Cluster,
    pub limits: Limits,
    /// Folder of reference tables.
    pub tables: PathBuf,
}

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        for other in ["version", "ingest", "cassandra", "redis", "query", "auth", "idempotency", "standalone"] {
            section.foreign(other);
        }
        let about = "Folder of reference tables, <table>@<YYYYMMDDTHHMMSSZ>.csv; the same files on every host.";
        let limits = within_grace(section, Limits::default());
        Self {
            cluster: section.section("kafka"),
            limits,
            tables: section
                .within("enrich", |section| section.path("tables", about).required("lookups need their tables")),
        }
    }
}
