//! How to reach Cassandra, and where the profiles live there.

use crate::Credentials;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;

/// Settings of one [`crate::cql::Session`].
#[derive(Clone, Debug)]
pub struct Config {
    /// `host:port` of some nodes; the driver finds the others.
    pub nodes: Vec<String>,
    pub keyspace: Keyspace,
    /// The data centre whose replicas make up a LOCAL_QUORUM.
    pub local_dc: String,
    pub credentials: Option<Credentials>,
    pub connect_timeout: Duration,
    /// How long one request may take. Above the server's own limits (2 s for a write), so that it is the server that
    /// gives up first and says how far it got.
    pub request_timeout: Duration,
    /// Bounds of how many writes whoever writes has out at once, per process. A writer itself counts nothing.
    pub writes_in_flight_min: usize,
    pub writes_in_flight_max: usize,
}

impl Default for Config {
    /// One local node, the keyspace `tidewater`.
    fn default() -> Self {
        Self {
            nodes: vec!["127.0.0.1:9042".into()],
            keyspace: Keyspace::default(),
            local_dc: "datacenter1".into(),
            credentials: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(7),
            writes_in_flight_min: 16,
            writes_in_flight_max: 128,
        }
    }
}

/// `[a-z][a-z0-9_]{0,47}`: a keyspace's name that needs no escaping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyspace(Box<str>);

impl Keyspace {
    /// `None` if `name` is not such a name.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        let well_formed = bytes.first().is_some_and(u8::is_ascii_lowercase)
            && bytes.len() <= 48
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'_');
        well_formed.then(|| Self(name.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Keyspace {
    fn default() -> Self {
        Self("tidewater".into())
    }
}

impl fmt::Display for Keyspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// On how many nodes of each data centre a keyspace that we create keeps each row.
///
/// `NetworkTopologyStrategy` always: under `SimpleStrategy` a LOCAL_QUORUM has no meaning, and the driver says so at
/// every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replication(BTreeMap<String, u8>);

impl Replication {
    /// Copies by data centre; at least one centre.
    #[must_use]
    pub fn new(copies: BTreeMap<String, u8>) -> Self {
        debug_assert!(!copies.is_empty(), "rows live somewhere");
        Self(copies)
    }

    /// All copies in one data centre.
    #[must_use]
    pub fn within(centre: &str, copies: u8) -> Self {
        Self(BTreeMap::from([(centre.to_owned(), copies)]))
    }

    /// The map as `CREATE KEYSPACE` takes it. Names of data centres are free text, so their quotes are doubled.
    pub(super) fn to_cql(&self) -> String {
        let mut text = String::from("{'class': 'NetworkTopologyStrategy'");
        for (name, factor) in &self.0 {
            text.push_str(&format!(", '{}': {factor}", name.replace('\'', "''")));
        }
        text.push('}');
        text
    }

    /// Whether a keyspace with the options `found` (of `system_schema.keyspaces`) is replicated like this.
    pub(super) fn is(&self, found: &HashMap<String, String>) -> bool {
        let class = found.get("class").and_then(|class| class.rsplit('.').next());
        let factor = |name: &str| found.get(name).and_then(|factor| factor.parse::<u8>().ok());
        class == Some("NetworkTopologyStrategy")
            && found.len() == self.0.len() + 1
            && self.0.iter().all(|(name, wanted)| factor(name) == Some(*wanted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyspace_is_a_plain_lower_case_name() {
        for good in ["tidewater", "t", "t_1", &"k".repeat(48)] {
            assert!(Keyspace::new(good).is_some(), "{good}");
        }
        for bad in ["", "Tide", "1t", "_t", "a-b", "a\"; DROP", &"k".repeat(49)] {
            assert!(Keyspace::new(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn replication_is_written_per_data_centre_with_quotes_doubled() {
        let factors = BTreeMap::from([("o'hare".to_owned(), 3), ("east".to_owned(), 2)]);
        assert_eq!(Replication::new(factors).to_cql(), "{'class': 'NetworkTopologyStrategy', 'east': 2, 'o''hare': 3}");
    }

    #[test]
    fn a_password_is_never_printed() {
        let credentials = Credentials { user: "app".into(), password: "hunter2".into() };
        let config = Config { credentials: Some(credentials), ..Config::default() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
