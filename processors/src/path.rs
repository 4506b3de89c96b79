//! What both processors do on starting: the profile, and the topics they stand between.

use runtime::Failure;
use runtime::kafka::{Cluster, TopicSpec};
use schemas::topics::Topic;
use schemas::{Profile, RejectCode};
use std::collections::BTreeMap;
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
    let must = ["cleanup.policy", "max.message.bytes", "message.timestamp.type"];
    let configs: BTreeMap<String, String> = Topic::named(name)
        .into_iter()
        .flat_map(|topic| topic.settings(schemas::topics::Replication::LOCAL))
        .filter(|(key, _)| must.contains(key))
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    TopicSpec { name: cluster.topic(name), partitions: cluster.partitions, replication: 1, configs }
}

/// Every code that a record can be rejected with.
pub(crate) fn codes() -> Vec<&'static str> {
    RejectCode::ALL.iter().map(|code| code.as_str()).collect()
}
