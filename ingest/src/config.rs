//! What `ingest` can be set to.

use crate::batch::Limits;
use runtime::auth;
use runtime::config::{Section, Settings};
use runtime::http::DoorConfig;
use runtime::kafka::Cluster;

#[derive(Clone, Debug)]
pub struct Config {
    pub cluster: Cluster,
    pub door: DoorConfig,
    pub auth: auth::Config,
    pub limits: Limits,
}

/// Where it listens on the loopback unless told otherwise.
const PORT: u16 = 7080;

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        for other in ["enrich", "cassandra", "redis", "standalone", "limits", "version", "query"] {
            section.foreign(other);
        }
        let (cluster, auth) = (section.section("kafka"), section.section::<auth::Config>("auth"));
        section.within("ingest", |section| {
            let door = DoorConfig::read(section, PORT);
            if let Err(exposed) = auth.check_listen(door.listen) {
                section.problem(&["listen"], exposed.to_string());
            }
            Self { cluster, door, auth, limits: Limits::read(section) }
        })
    }
}
