//! Kafka and Cassandra, as a configuration names them.

use super::Rows;
use crate::Error;
use crate::config;
use runtime::kafka::{Admin, Group, KafkaSink, Reader, sink_to};
use runtime::offsets::{Committed, Span, Watermarks};
use schemas::{Profile, Tenant, UserId};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::Duration;
use store::cql::{self, ReadError, Session, VersionScan, VersionedRow};
use tokio::time::{Instant, sleep};

/// How long Cassandra may be silent: a node restarts within it.
const PATIENCE: Duration = Duration::from_secs(300);
const TRY_AGAIN: Duration = Duration::from_millis(500);

/// Clones share the client that asks about topics.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    config: config::Log,
    admin: Arc<Admin>,
}

pub(crate) struct Scan<'r>(VersionScan<'r>);

impl Log {
    pub(crate) fn new(config: config::Log) -> Result<Self, Error> {
        let admin = Arc::new(Admin::new(config.kafka())?);
        Ok(Self { config, admin })
    }

    pub(super) fn topic(&self, name: &str) -> String {
        self.config.topic(name)
    }

    pub(super) fn partitions(&self) -> i32 {
        self.config.cluster.partitions
    }

    pub(super) fn floor_micros(&self) -> Result<i64, Error> {
        self.config.floor_micros()
    }

    pub(super) async fn watermarks(&self, name: &str) -> Result<Vec<Watermarks>, Error> {
        Ok(self.admin.watermarks(&self.topic(name)).await?)
    }

    pub(super) async fn offsets_since(&self, name: &str, since_ms: i64) -> Result<Vec<i64>, Error> {
        Ok(self.admin.offsets_since(&self.topic(name), since_ms).await?)
    }

    pub(super) fn records(&self, name: &str, spans: &[Span]) -> Result<Reader, Error> {
        Ok(Reader::open(self.config.kafka(), &self.topic(name), spans)?)
    }

    pub(super) async fn committed(&self, group: &str, name: &str) -> Result<Vec<Option<Committed>>, Error> {
        let topic = self.topic(name);
        let count = self.admin.partitions(&topic).await?;
        Ok(self.group(group)?.committed(&topic, count).await?)
    }

    pub(super) async fn commit(&self, group: &str, name: &str, places: &[Committed]) -> Result<(), Error> {
        Ok(self.group(group)?.commit(&self.topic(name), places).await?)
    }

    pub(super) async fn refuse_if_busy(&self, group: &str) -> Result<(), Error> {
        Ok(self.group(group)?.refuse_if_busy().await?)
    }

    pub(super) fn writer(&self, name: &str) -> Result<KafkaSink, Error> {
        sink_to(&self.config.cluster, self.topic(name)).map_err(|failure| Error::Usage(failure.to_string()))
    }

    fn group(&self, name: &str) -> Result<Group, Error> {
        Ok(Group::new(self.config.kafka(), &self.config.cluster.group(name))?)
    }
}

impl super::Log {
    /// The log that a configuration names.
    pub(crate) fn of_servers(config: config::Log) -> Result<Self, Error> {
        Ok(Self::Servers(Box::new(Log::new(config)?)))
    }
}

impl Rows {
    /// The table that a configuration names.
    pub(crate) async fn of_servers(store: &config::Store) -> Result<Self, Error> {
        let session = Session::connect(&store.cassandra).await?;
        let reader = cql::Reader::prepare(&session, &Profile::embedded()?).await?;
        Ok(Self::Servers(Box::new(reader)))
    }
}

impl<'r> Scan<'r> {
    pub(super) fn new(reader: &'r cql::Reader) -> Self {
        Self(reader.scan_versions())
    }

    pub(super) async fn next(&mut self) -> Result<Option<(Tenant, UserId, VersionedRow)>, Error> {
        let mut silent_since = None;
        loop {
            match self.0.next().await {
                Err(ReadError::Unreachable(reason)) => {
                    if silent_since.is_none() {
                        // The result may go to standard output, so this does not.
                        drop(writeln!(io::stderr(), "cassandra does not answer and is asked again: {reason}"));
                    }
                    if silent_since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                        return Err(ReadError::Unreachable(reason).into());
                    }
                    sleep(TRY_AGAIN).await;
                }
                answer => return Ok(answer?),
            }
        }
    }
}
