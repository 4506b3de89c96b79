//! The installation that a verb works on, in one of two worlds: servers that a configuration names, or a data directory.
//!
//! Verbs know neither. What each of them needs of a log or of a table is asked here, in the same words and with the same
//! types for both.

mod data;
#[cfg(feature = "servers")]
pub(crate) mod servers;

use crate::Error;
use crate::stage::Stage;
use embedded::control::{self, Access};
use runtime::fault::Fault;
#[cfg(feature = "servers")]
use runtime::kafka::KafkaSink;
use runtime::offsets::{Committed, Span, Watermarks};
use runtime::record::{Outgoing, Record};
use runtime::stage::Refused;
use schemas::{Profile, Tenant, UserId, topics};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::cql::VersionedRow;

/// Between two looks for records that brokers do not tell of by themselves.
#[cfg(feature = "servers")]
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(200);

/// What the command line says of the installation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// The configuration of servers.
    pub(crate) config: Option<PathBuf>,
    /// A data directory, which goes before servers.
    pub(crate) data: Option<PathBuf>,
}

/// The log of an installation. Names of topics are without the prefix.
#[derive(Clone, Debug)]
pub(crate) enum Log {
    #[cfg(feature = "servers")]
    Servers(Box<servers::Log>),
    Data(data::Log),
}

/// The profiles of an installation.
#[derive(Debug)]
pub(crate) enum Rows {
    #[cfg(feature = "servers")]
    Servers(Box<store::cql::Reader>),
    Data(Access),
}

/// Records of some spans of a topic. Order holds within a partition, not between two.
#[derive(Debug)]
pub(crate) enum Records {
    #[cfg(feature = "servers")]
    Servers(runtime::kafka::Reader),
    Data(control::Records),
}

/// Appends to one topic.
#[derive(Debug)]
pub(crate) enum Writer {
    #[cfg(feature = "servers")]
    Servers(Box<KafkaSink>),
    Data(data::Writer),
}

/// A walk over everybody's rows.
pub(crate) enum Scan<'r> {
    #[cfg(feature = "servers")]
    Servers(servers::Scan<'r>),
    Data(data::Scan<'r>),
}

impl Target {
    /// The directory, where one is named.
    pub(crate) fn data(&self) -> Option<&Path> {
        self.data.as_deref()
    }

    /// The configuration for a verb that only servers have a use for.
    ///
    /// # Errors
    /// If a directory is named.
    #[cfg(feature = "servers")]
    pub(crate) fn servers(&self, verb: &str) -> Result<Option<&Path>, Error> {
        match self.data {
            None => Ok(self.config.as_deref()),
            Some(_) => Err(Error::Usage(format!("a directory needs no `{verb}`: it makes what it needs by itself"))),
        }
    }

    /// The log of the installation.
    ///
    /// # Errors
    /// If the configuration has a problem or the directory does not open.
    pub(crate) async fn log(&self) -> Result<Log, Error> {
        match &self.data {
            Some(dir) => Ok(Log::Data(data::Log::new(dir, self.access(dir).await?))),
            #[cfg(feature = "servers")]
            None => Log::of_servers(crate::config::load(self.config.as_deref())?),
            #[cfg(not(feature = "servers"))]
            None => Err(self.no_world()),
        }
    }

    /// The profiles of the installation.
    ///
    /// # Errors
    /// If the configuration has a problem, or the directory or Cassandra does not answer.
    pub(crate) async fn rows(&self) -> Result<Rows, Error> {
        match &self.data {
            Some(dir) => Ok(Rows::Data(self.access(dir).await?)),
            #[cfg(feature = "servers")]
            None => Rows::of_servers(&crate::config::load(self.config.as_deref())?).await,
            #[cfg(not(feature = "servers"))]
            None => Err(self.no_world()),
        }
    }

    async fn access(&self, dir: &Path) -> Result<Access, Error> {
        let profile = Arc::new(Profile::embedded()?);
        let options = embedded::Options::new(profile, embedded::Durability::Always);
        Ok(Access::open(dir, &options).await?)
    }

    /// This program was built without the clients of servers.
    #[cfg(not(feature = "servers"))]
    fn no_world(&self) -> Error {
        let what = if self.config.is_some() { "--config names servers" } else { "no --data names a directory" };
        Error::Usage(format!(
            "{what}, and this `tidewater` was built without their clients: say --data DIR, or build it with \
             `cargo build --release --bins`"
        ))
    }
}

impl Log {
    /// The name of a topic, as people know it here.
    pub(crate) fn topic(&self, name: &str) -> String {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.topic(name),
            Self::Data(_) => name.to_owned(),
        }
    }

    /// Partitions of every topic.
    pub(crate) fn partitions(&self) -> i32 {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.partitions(),
            Self::Data(log) => log.access().layout().partitions.into(),
        }
    }

    /// Start of operation, microseconds since 1970-01-01.
    ///
    /// # Errors
    /// If it is not configured.
    pub(crate) fn floor_micros(&self) -> Result<i64, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.floor_micros(),
            Self::Data(log) => Ok(log.access().layout().floor_micros),
        }
    }

    /// The workers that an installation has: in a directory `validate` does the work of `enrich`, too.
    pub(crate) fn stages(&self) -> &'static [Stage] {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(_) => &Stage::ALL,
            Self::Data(_) => &[Stage::Validate, Stage::Sink],
        }
    }

    /// Topics that hold the version of every raw record that was settled.
    pub(crate) fn judged(&self) -> [&'static str; 2] {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(_) => [topics::VALID, topics::DEAD],
            Self::Data(_) => [topics::ENRICHED, topics::DEAD],
        }
    }

    /// The offsets that each partition of a topic holds, by partition.
    ///
    /// # Errors
    /// If there is no such topic, or nobody answers.
    pub(crate) async fn watermarks(&self, name: &str) -> Result<Vec<Watermarks>, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.watermarks(name).await,
            Self::Data(log) => Ok(log.access().watermarks(name).await?),
        }
    }

    /// The first offset of each partition, by partition, whose record was appended at or after `since_ms` (milliseconds since
    /// 1970-01-01); the high watermark where there is none.
    ///
    /// # Errors
    /// If there is no such topic, or nobody answers.
    pub(crate) async fn offsets_since(&self, name: &str, since_ms: i64) -> Result<Vec<i64>, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.offsets_since(name, since_ms).await,
            Self::Data(log) => Ok(log.access().offsets_since(name, since_ms).await?),
        }
    }

    /// Begins to read spans of a topic, at most one a partition; empty ones are skipped.
    ///
    /// # Errors
    /// If a client cannot be made.
    pub(crate) fn records(&self, name: &str, spans: &[Span]) -> Result<Records, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.records(name, spans).map(Records::Servers),
            Self::Data(log) => Ok(Records::Data(log.access().records(name, spans))),
        }
    }

    /// Returns when a topic may have more than `seen`, the high watermarks by partition.
    ///
    /// # Errors
    /// If nobody answers.
    pub(crate) async fn grown(&self, name: &str, seen: &[i64]) -> Result<(), Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(_) => {
                tokio::time::sleep(LOOK_AGAIN).await;
                Ok(())
            }
            Self::Data(log) => match log.access().is_at_work() {
                true => Ok(log.access().wait(name, seen).await?),
                // Nobody else can append.
                false => {
                    Err(Error::Usage("nobody works on the directory, so nothing more will come; say --end".into()))
                }
            },
        }
    }

    /// What a group has committed on each partition of a topic, by partition; `None` where nothing.
    ///
    /// # Errors
    /// If nobody answers.
    pub(crate) async fn committed(&self, group: &str, name: &str) -> Result<Vec<Option<Committed>>, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.committed(group, name).await,
            Self::Data(log) => Ok(log.access().committed(group, name).await?),
        }
    }

    /// Returns when all that was acknowledged is shown to whoever asks how far the log goes.
    ///
    /// # Errors
    /// If nobody answers.
    pub(crate) async fn flush(&self) -> Result<(), Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(_) => Ok(()),
            Self::Data(log) => Ok(log.access().sync().await?),
        }
    }

    /// Moves a group on a topic.
    ///
    /// # Errors
    /// If it is at work, or nobody answers.
    pub(crate) async fn commit(&self, group: &str, name: &str, places: &[Committed]) -> Result<(), Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.commit(group, name, places).await,
            Self::Data(log) => Ok(log.access().commit(group, name, places).await?),
        }
    }

    /// Refuses to go on while a group is at work.
    ///
    /// # Errors
    /// If it is, or nobody answers.
    pub(crate) async fn refuse_if_busy(&self, group: &str) -> Result<(), Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.refuse_if_busy(group).await,
            Self::Data(log) => log.refuse_if_busy(group),
        }
    }

    /// The profiles of the same installation. A directory is opened once.
    ///
    /// # Errors
    /// As of [`Target::rows`].
    pub(crate) async fn rows_beside(&self, target: &Target) -> Result<Rows, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(_) => target.rows().await,
            Self::Data(log) => {
                debug_assert!(target.data.is_some(), "a log in a directory comes of a target with one");
                Ok(Rows::Data(log.access().clone()))
            }
        }
    }

    /// A writer of a topic.
    ///
    /// # Errors
    /// If a client cannot be made.
    pub(crate) fn writer(&self, name: &'static str) -> Result<Writer, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(log) => log.writer(name).map(|sink| Writer::Servers(Box::new(sink))),
            Self::Data(log) => Ok(Writer::Data(log.writer(name))),
        }
    }
}

impl Records {
    /// The next record; `None` once every span is read.
    ///
    /// # Errors
    /// If retention overtook the reader, or nobody answers.
    pub(crate) async fn next(&mut self) -> Result<Option<Record>, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(reader) => Ok(reader.next().await?),
            Self::Data(records) => Ok(records.next().await?),
        }
    }
}

impl Writer {
    /// Appends a batch; returns once all but the refused is durable.
    ///
    /// # Errors
    /// A fault; the whole batch is to be written again.
    pub(crate) async fn write(&self, batch: &[Outgoing]) -> Result<Refused, Fault> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(sink) => runtime::stage::Sink::write(&**sink, batch).await,
            Self::Data(writer) => writer.write(batch).await,
        }
    }
}

impl Rows {
    /// The row of a user and the versions of its values, if anything was ever written of him.
    ///
    /// # Errors
    /// If nobody answers.
    pub(crate) async fn read(&self, tenant: &Tenant, user_id: &UserId) -> Result<Option<VersionedRow>, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(reader) => Ok(reader.read_versions(tenant, user_id).await?),
            Self::Data(access) => Ok(access.row(tenant, user_id).await?),
        }
    }

    /// Everybody's row. A store that is silent is asked again for some minutes, and nobody is left out.
    pub(crate) fn scan(&self) -> Scan<'_> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(reader) => Scan::Servers(servers::Scan::new(reader)),
            Self::Data(access) => Scan::Data(data::Scan::new(access)),
        }
    }
}

impl Scan<'_> {
    /// The next row; `None` after the last.
    ///
    /// # Errors
    /// If nobody answers for too long.
    pub(crate) async fn next(&mut self) -> Result<Option<(Tenant, UserId, VersionedRow)>, Error> {
        match self {
            #[cfg(feature = "servers")]
            Self::Servers(scan) => scan.next().await,
            Self::Data(scan) => scan.next().await,
        }
    }
}
