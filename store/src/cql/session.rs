//! The connection to Cassandra.

use super::config::{Config, Keyspace};
use super::table::TableError;
use scylla::client::execution_profile::ExecutionProfile;
use scylla::client::session::Session as Driver;
use scylla::client::session_builder::SessionBuilder;
use scylla::errors::NewSessionError;
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::FallthroughRetryPolicy;
use scylla::statement::{Consistency, Statement};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A definition waits for every node, so it gets longer than a write.
const DEFINE_TIMEOUT: Duration = Duration::from_secs(60);

/// A connected driver and the keyspace we live in. Clones share the connections.
#[derive(Clone, Debug)]
pub struct Session {
    driver: Arc<Driver>,
    keyspace: Keyspace,
}

/// There is no session.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No node could be asked; try again.
    #[error("no cassandra node answers at {nodes}: check that it runs, the addresses and the credentials")]
    Unreachable {
        nodes: String,
        #[source]
        source: Box<NewSessionError>,
    },
    /// A node answers and does not say which nodes there are, as one does that is only just starting; try again.
    #[error("cassandra answers at {nodes}, but not yet with the nodes of its ring")]
    Starting { nodes: String },
    /// LOCAL_QUORUM would have no nodes: exit 64.
    #[error("no cassandra node is in data centre {wanted:?}; there are {found:?}: correct local_dc")]
    NoSuchDatacenter { wanted: String, found: Vec<String> },
}

impl Session {
    /// Connects, once, within the connect timeout per node.
    pub async fn connect(config: &Config) -> Result<Self, ConnectError> {
        let mut builder = SessionBuilder::new()
            .known_nodes(&config.nodes)
            .connection_timeout(config.connect_timeout)
            .default_execution_profile_handle(execution_profile(config).into_handle())
            .keyspaces_to_fetch([config.keyspace.as_str()])
            .fetch_full_schema_metadata(false);
        if let Some(credentials) = &config.credentials {
            builder = builder.user(&credentials.user, &credentials.password);
        }
        let driver = builder
            .build()
            .await
            .map_err(|source| ConnectError::Unreachable { nodes: config.nodes.join(", "), source: Box::new(source) })?;
        let state = driver.get_cluster_state();
        let places = state.get_nodes_info().iter().map(|node| node.datacenter.as_deref());
        check_datacenter(places, config)?;
        Ok(Self { driver: Arc::new(driver), keyspace: config.keyspace.clone() })
    }

    /// Runs one statement that defines keyspaces, tables or indexes, and waits until all nodes agree on it.
    ///
    /// Refuses any other: rows are written by [`crate::cql::Writer`] alone.
    pub async fn define(&self, statement: &str) -> Result<(), TableError> {
        let verb = statement.split_whitespace().next().unwrap_or_default();
        if !["CREATE", "ALTER", "DROP"].contains(&verb) {
            return Err(TableError::Refused(format!("`{verb}` defines nothing: use CREATE, ALTER or DROP").into()));
        }
        let mut statement = Statement::new(statement);
        statement.set_request_timeout(Some(DEFINE_TIMEOUT));
        self.driver.query_unpaged(statement, ()).await?;
        self.agree().await.map_err(TableError::Unreachable)
    }

    /// Waits until all nodes have the same schema; the text says why they do not.
    pub(super) async fn agree(&self) -> Result<(), Box<str>> {
        self.driver.await_schema_agreement().await.map(|_| ()).map_err(|error| error.to_string().into())
    }

    pub(super) fn driver(&self) -> &Driver {
        &self.driver
    }

    #[must_use]
    pub fn keyspace(&self) -> &Keyspace {
        &self.keyspace
    }
}

/// LOCAL_QUORUM in our data centre, and no retry of the driver's own: what is ambiguous is ours to repeat.
fn execution_profile(config: &Config) -> ExecutionProfile {
    let nearby = DefaultPolicy::builder().prefer_datacenter(config.local_dc.clone()).token_aware(true).build();
    ExecutionProfile::builder()
        .consistency(Consistency::LocalQuorum)
        .request_timeout(Some(config.request_timeout))
        .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
        .load_balancing_policy(nearby)
        .build()
}

/// `places` are the data centres of all nodes. The driver connects although it could not ask for them, and then knows of
/// nodes without one.
fn check_datacenter<'n>(places: impl Iterator<Item = Option<&'n str>>, config: &Config) -> Result<(), ConnectError> {
    let wanted = &config.local_dc;
    let places: Vec<Option<&str>> = places.collect();
    if places.contains(&Some(wanted)) {
        return Ok(());
    }
    // Whoever does not say where it is may be what is looked for.
    if places.is_empty() || places.contains(&None) {
        return Err(ConnectError::Starting { nodes: config.nodes.join(", ") });
    }
    let found: BTreeSet<&str> = places.into_iter().flatten().collect();
    let found = found.into_iter().map(str::to_owned).collect();
    Err(ConnectError::NoSuchDatacenter { wanted: wanted.clone(), found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(places: &[Option<&str>]) -> Result<(), ConnectError> {
        let config = Config { local_dc: "north".into(), ..Config::default() };
        check_datacenter(places.iter().copied(), &config)
    }

    #[test]
    fn a_data_centre_without_nodes_is_a_mistake_and_unknown_nodes_are_asked_again() {
        assert!(checked(&[Some("south"), Some("north")]).is_ok());
        assert!(checked(&[None, Some("north")]).is_ok());
        let error = checked(&[Some("south"), Some("south")]).unwrap_err();
        assert!(matches!(error, ConnectError::NoSuchDatacenter { found, .. } if found == ["south"]));
        for starting in [&[] as &[Option<&str>], &[None], &[Some("south"), None]] {
            assert!(matches!(checked(starting), Err(ConnectError::Starting { .. })));
        }
    }
}
