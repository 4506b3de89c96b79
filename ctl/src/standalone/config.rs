//! What `standalone` can be set to.

use embedded::Durability;
use runtime::auth;
use runtime::config::{Choice, Section, Settings};
use runtime::http::DoorConfig;
use runtime::limits::{Limits, within_grace};
use std::path::PathBuf;

/// Where the doors are on the loopback unless told otherwise.
const PORT: u16 = 7080;

#[derive(Clone, Debug)]
pub struct Config {
    /// The directory; the command line may name it, too.
    pub data: Option<PathBuf>,
    pub durability: Durability,
    /// Of a new directory.
    pub partitions: Option<u16>,
    /// Start of operation of a new directory, microseconds since 1970-01-01; the moment of its founding unless set.
    pub floor_micros: Option<i64>,
    pub limits: Limits,
    /// Where changes come in over HTTP.
    pub door: DoorConfig,
    pub ingest: ingest::Limits,
    pub auth: auth::Config,
    /// Folder of reference tables; the directory's own unless set.
    pub tables: Option<PathBuf>,
}

/// `standalone.sync`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct When(Durability);

impl Choice for When {
    const WORDS: &'static [(&'static str, Self)] =
        &[("always", Self(Durability::Always)), ("10ms", Self(Durability::Soon)), ("os", Self(Durability::System))];
}

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        for other in ["kafka", "cassandra", "redis", "sink", "query", "idempotency"] {
            section.foreign(other);
        }
        let data = "The directory that everything is kept in; --data goes before it.";
        let sync = "How safe a change is when it is acknowledged: on disk; with the system, and on disk 10 ms later; with \
                    the system.";
        let partitions = "Partitions of a new directory, fixed for its life; 12 if unset.";
        let floor = "Start of operation of a new directory, never changed; the moment it is made if unset.";
        let tables = "Folder of reference tables, <table>@<YYYYMMDDTHHMMSSZ>.csv; DIR/reference if unset.";
        let limits = within_grace(section, Limits::local());
        let ingest = section.within("ingest", ingest::Limits::read);
        let auth: auth::Config = section.section("auth");
        let (data, When(durability), partitions, door) = section.within("standalone", |section| {
            let door = DoorConfig::read(section, PORT);
            if let Err(exposed) = auth.check_listen(door.listen) {
                section.problem(&["listen"], exposed.to_string());
            }
            (
                section.path("data", data).optional(),
                section.choice("sync", sync).default(When::default()),
                section.count("partitions", partitions).between(1, 4_096).optional(),
                door,
            )
        });
        let floor = section.within("version", |section| section.instant("floor", floor).optional());
        Self {
            data,
            durability,
            partitions,
            floor_micros: floor.map(|floor| floor.as_microsecond()),
            limits,
            door,
            ingest,
            auth,
            tables: section.within("enrich", |section| section.path("tables", tables).optional()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::config::{Given, load};

    #[test]
    fn nothing_has_to_be_set() {
        let config = load::<Config>(Given::new(None, "", []).unwrap()).unwrap().config;
        assert_eq!((config.data, config.durability, config.partitions), (None, Durability::Soon, None));
    }

    #[test]
    fn a_door_that_others_can_reach_asks_for_tokens() {
        let open = "standalone.listen = \"0.0.0.0:7080\"";
        let refused = load::<Config>(Given::new(None, open, []).unwrap()).unwrap_err().to_string();
        assert!(refused.contains("auth.mode"), "{refused}");
        let guarded = format!(
            "{open}\nauth.mode = \"oauth2\"\nauth.issuers.main = {{ url = \"https://id.example.org\", audience = \"tidewater\" }}"
        );
        assert!(load::<Config>(Given::new(None, &guarded, []).unwrap()).is_ok());
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = "standalone.sync = \"sometimes\"\nstandalone.partitions = 0\nversion.floor = \"yesterday\"";
        let refused = load::<Config>(Given::new(None, text, []).unwrap()).unwrap_err();
        assert_eq!(refused.problems().len(), 3, "{refused}");
    }
}
