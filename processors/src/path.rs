//! What both processors do on starting: the profile, and the topics they stand between.

use runtime::Failure;
use runtime::kafka::{Cluster, TopicSpec};
use schemas::{Profile, topics};
use std::sync::Arc;

/// The profile that this release ships.
///
/// # Errors
/// Exit 64 with every problem of the schemas.
pub(crate) fn profile() -> Result<Arc<Profile>, Failure> {
    Profile::embedded().map(Arc::new).map_err(Failure::config)
}

/// What must hold of a topic for records to be moved safely; how long and how often it is kept is its owner's affair.
pub(crate) fn spec(cluster: &Cluster, name: &str) -> TopicSpec {
    let configs = topics::required(name, &["cleanup.policy", "max.message.bytes", "message.timestamp.type"]);
    TopicSpec { name: cluster.topic(name), partitions: cluster.partitions, replication: 1, configs }
}
