//! What `ingest` can be set to.

use crate::batch::Limits;
use runtime::config::{Section, Settings};
use runtime::http::DoorConfig;
use runtime::kafka::Cluster;

#[derive(Clone, Debug)]
pub struct Config {
    pub cluster: Cluster,
    pub door: DoorConfig,
    pub limits: Limits,
}

/// Where it listens on the loopback unless told otherwise.
const PORT: u16 = 7080;

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        for other in ["enrich", "cassandra", "redis", "standalone", "limits", "version", "query"] {
            section.foreign(other);
        }
        let cluster = section.section("kafka");
        section.within("ingest", |section| Self {
            cluster,
            door: DoorConfig::read(section, PORT),
            limits: Limits::read(section),
        })
    }
}
