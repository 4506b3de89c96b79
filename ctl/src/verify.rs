//! Proves from the log alone that nothing was lost and no row is wrong.
//!
//! The pipeline's own answer is worked out a second time, by other code. Order comes from `raw` and `pinned` alone: a
//! pinned record says itself where it belongs, and for raw the fold over the append times of each partition is written
//! anew here, and so are the look at what a record asks for and the model that
//! keeps, per (tenant, user, field), the value of the last writer. Values come from the `enriched` record of the same
//! origin, so that normalisation is not written twice. With the pipeline this shares the words (`schemas`), the Avro
//! codec, and the reader of the table; neither its fold nor its merge.
//!
//! Three things are held against it: every record has exactly one outcome, `enriched` or a dead letter of `validate` or
//! `enrich`, and a change that a replay asked for again has no more than were asked for; what carries it on says of it
//! what was asked for; and the table holds exactly the rows that follow.

mod claim;
mod expected;
mod findings;
mod history;
mod place;
mod reading;

use crate::Error;
#[cfg(feature = "servers")]
use crate::config::{self, Log, Store};
use crate::world;
use findings::Findings;
use history::Outcomes;
#[cfg(feature = "servers")]
use runtime::kafka::Cluster;
use std::collections::BTreeMap;
use std::path::Path;
#[cfg(feature = "servers")]
use store::cql;

/// The installation on servers to be verified, at rest: what is still on its way counts as lost.
#[cfg(feature = "servers")]
#[derive(Clone, Debug)]
pub struct Subject {
    pub cluster: Cluster,
    pub cassandra: cql::Config,
    /// Start of operation, microseconds since 1970-01-01; the one `validate` works with.
    pub floor_micros: i64,
}

#[cfg(feature = "servers")]
impl Subject {
    /// The installation that a configuration file and the environment describe.
    ///
    /// # Errors
    /// With every problem of the configuration.
    pub fn configured(file: &Path) -> Result<Self, Error> {
        let log: Log = config::load(Some(file))?;
        let store: Store = config::load(Some(file))?;
        let floor_micros = log.floor_micros()?;
        Ok(Self { cluster: log.cluster, cassandra: store.cassandra, floor_micros })
    }
}

/// What was found. The installation is proven if nothing is lost and nothing wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Records of `raw` and `pinned`; one that asks for a known change again counts with it.
    pub changes: u64,
    /// Rows of the table, the stubs of deleted users among them.
    pub profiles: u64,
    /// Changes that ended as dead letters, each once.
    pub dead: u64,
    /// The same by code.
    pub by_code: BTreeMap<String, u64>,
    /// Records without an outcome, and users without a row.
    pub lost: u64,
    /// Outcomes that contradict what was asked for or each other, and rows that are not what follows from the log.
    pub wrong: u64,
    /// The first of what is lost or wrong: places, versions and names of fields, never user data.
    pub examples: Vec<String>,
}

impl Verdict {
    fn of(outcomes: Outcomes, profiles: u64) -> Self {
        let Outcomes { changes, by_code, findings } = outcomes;
        let Findings { lost, wrong, examples } = findings;
        Self { changes, profiles, dead: by_code.values().sum(), by_code, lost, wrong, examples }
    }

    /// Whether nothing is lost and nothing wrong.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.lost == 0 && self.wrong == 0
    }
}

/// Reads the whole log and the whole table of an installation on servers, and compares.
///
/// # Errors
/// If either cannot be read, or the log is not kept from its first record on.
#[cfg(feature = "servers")]
pub async fn verify(subject: &Subject) -> Result<Verdict, Error> {
    let Subject { cluster, cassandra, floor_micros } = subject.clone();
    let log = world::Log::of_servers(Log::new(cluster, floor_micros))?;
    let rows = world::Rows::of_servers(&Store { cassandra }).await?;
    prove(&log, &rows).await
}

/// The same of a data directory, whoever has it.
///
/// # Errors
/// If it does not open or answer, or its log is not kept from its first record on.
pub async fn verify_directory(dir: &Path) -> Result<Verdict, Error> {
    let target = world::Target { config: None, data: Some(dir.to_owned()) };
    let log = target.log().await?;
    let rows = log.rows_beside(&target).await?;
    prove(&log, &rows).await
}

/// The same of an installation in either world.
///
/// # Errors
/// If log or table cannot be read, or the log is not kept from its first record on.
pub(crate) async fn prove(log: &world::Log, rows: &world::Rows) -> Result<Verdict, Error> {
    // What it reads from and into is large, and most of it lies still.
    Box::pin(reading::prove(log, rows)).await
}

#[cfg(test)]
mod tests;
