//! The table of profiles: made from the profile's fields, compared with what is there, migrated without losing anything.
//!
//! Only two things are ever done to a table that exists: a column is added, or nothing. Everything else (another type,
//! another key, tombstones that go too early) is a difference that somebody has to decide about, and all of them are
//! named at once.

use super::column::{Columns, Encoding};
use super::config::{Keyspace, Replication};
use super::fault::{Class, fault_of};
use super::row::GC_GRACE_MIN;
use super::session::Session;
use schemas::Profile;
use scylla::errors::ExecutionError;
use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

pub(super) const TABLE: &str = "profiles";

/// The partition key, in order; one row a partition.
pub(super) const KEY: [&str; 2] = ["tenant", "user_id"];

/// The columns that are ours, beside the profile's fields (`docs/architecture.md`, "Cassandra").
pub(super) const SYSTEM: [(&str, Encoding); 7] = [
    ("tw_live", Encoding::BigInt),
    ("tw_dead", Encoding::BigInt),
    ("tw_version", Encoding::BigInt),
    ("tw_change", Encoding::Uuid),
    ("tw_source", Encoding::Text),
    ("tw_partition", Encoding::Int),
    ("tw_offset", Encoding::BigInt),
];

/// What a started worker needs to know of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    /// `gc_grace_seconds`; at least [`GC_GRACE_MIN`].
    pub gc_grace: Duration,
}

/// One thing in which the table is not what it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Cured by migrating: the keyspace, the table or a column is not there yet.
    Missing {
        what: Box<str>,
    },
    /// The profile says another type than the table.
    ColumnType {
        column: Box<str>,
        found: Box<str>,
        wanted: &'static str,
    },
    /// A column that only another release of ours can have made.
    ColumnForeign {
        column: Box<str>,
    },
    PrimaryKey {
        found: Box<str>,
    },
    GcGrace {
        found: Duration,
    },
    /// Rows would expire by the clock.
    TimeToLive {
        found: Duration,
    },
}

impl Difference {
    fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { what } => write!(f, "{what} is missing: run `tidewater migrate`"),
            Self::ColumnType { column, found, wanted } => write!(
                f,
                "column {column} is {found}, the profile says {wanted}: put the field back to its type, or give the new one another name"
            ),
            Self::ColumnForeign { column } => {
                write!(f, "column {column} belongs to another release of tidewater: run that release")
            }
            Self::PrimaryKey { found } => write!(
                f,
                "the primary key is {found}, it must be ((tenant, user_id)): use another keyspace, or move the rows to a new table"
            ),
            Self::GcGrace { found } => write!(
                f,
                "gc_grace_seconds is {}, it must be at least {}: alter the table, once every change older than that is out of the topics",
                found.as_secs(),
                GC_GRACE_MIN.as_secs()
            ),
            Self::TimeToLive { found } => {
                write!(f, "default_time_to_live is {}, it must be 0: alter the table", found.as_secs())
            }
        }
    }
}

/// Why there is no table to work with.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// All that is wrong, with what to do: exit 64.
    #[error("the table {keyspace}.profiles is not the one the profile describes: {}", list(differences))]
    Drift { keyspace: Keyspace, differences: Vec<Difference> },
    /// Cassandra did not answer; try again.
    #[error("cassandra did not tell or change its schema: {0}")]
    Unreachable(Box<str>),
    /// Cassandra will not let us: exit 64.
    #[error("cassandra refuses to tell or change its schema: {0}")]
    Refused(Box<str>),
}

fn list(differences: &[Difference]) -> String {
    differences.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// There is no user's data in a schema, so the server's own words may be shown.
impl From<ExecutionError> for TableError {
    fn from(error: ExecutionError) -> Self {
        match fault_of(&error) {
            Class::Ambiguous => Self::Unreachable(error.to_string().into()),
            Class::Refused | Class::Stop => Self::Refused(error.to_string().into()),
        }
    }
}

/// What a migration would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    statements: Vec<String>,
    notes: Vec<String>,
}

impl Plan {
    /// Compares what is there with `profile`. An error if the rest cannot be cured by adding.
    pub async fn draw(session: &Session, profile: &Profile, replication: &Replication) -> Result<Self, TableError> {
        let columns = Columns::of(profile);
        let found = Found::read(session).await?;
        let mut differences = differences(&found, &columns);
        differences.retain(|difference| !difference.is_missing());
        if differences.is_empty() {
            return Ok(plan(session.keyspace(), &found, &columns, replication));
        }
        Err(TableError::Drift { keyspace: session.keyspace().clone(), differences })
    }

    /// What would be done where nothing is yet, without asking a server: how keyspace and table are made.
    #[must_use]
    pub fn from_nothing(keyspace: &Keyspace, profile: &Profile, replication: &Replication) -> Self {
        plan(keyspace, &Found::default(), &Columns::of(profile), replication)
    }

    /// The statements, in order; none if the table is as it must be.
    #[must_use]
    pub fn statements(&self) -> &[String] {
        &self.statements
    }

    /// What was found and left alone.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Runs the statements, each once all nodes agree on the one before. Twice is once.
    pub async fn apply(&self, session: &Session) -> Result<(), TableError> {
        for statement in &self.statements {
            session.define(statement).await?;
        }
        Ok(())
    }
}

impl Table {
    /// Checks, without changing anything, that the table is there and is the one `profile` describes.
    pub async fn inspect(session: &Session, profile: &Profile) -> Result<Self, TableError> {
        let found = Found::read(session).await?;
        let differences = differences(&found, &Columns::of(profile));
        match found.table {
            Some(table) if differences.is_empty() => Ok(Self { gc_grace: table.gc_grace }),
            Some(_) | None => Err(TableError::Drift { keyspace: session.keyspace().clone(), differences }),
        }
    }
}

/// What `system_schema` says.
#[derive(Debug, Default)]
struct Found {
    /// The replication of the keyspace, if that is there.
    keyspace: Option<HashMap<String, String>>,
    table: Option<FoundTable>,
    columns: Vec<FoundColumn>,
}

#[derive(Debug)]
struct FoundTable {
    gc_grace: Duration,
    time_to_live: Duration,
}

#[derive(Debug)]
struct FoundColumn {
    name: String,
    cql: String,
    /// `partition_key`, `clustering`, `static` or `regular`.
    kind: String,
    /// Within the key.
    position: i32,
}

impl Found {
    async fn read(session: &Session) -> Result<Self, TableError> {
        let name = session.keyspace().as_str();
        let keyspace = "SELECT replication FROM system_schema.keyspaces WHERE keyspace_name = ?";
        let keyspace: Vec<(HashMap<String, String>,)> = rows(session, keyspace, (name,)).await?;
        let table = "SELECT gc_grace_seconds, default_time_to_live FROM system_schema.tables \
                     WHERE keyspace_name = ? AND table_name = ?";
        let table: Vec<(i32, i32)> = rows(session, table, (name, TABLE)).await?;
        let columns = "SELECT column_name, type, kind, position FROM system_schema.columns \
                       WHERE keyspace_name = ? AND table_name = ?";
        let columns: Vec<(String, String, String, i32)> = rows(session, columns, (name, TABLE)).await?;
        Ok(Self {
            keyspace: keyspace.into_iter().next().map(|(replication,)| replication),
            table: table.into_iter().next().map(|(gc_grace, time_to_live)| FoundTable {
                gc_grace: seconds(gc_grace),
                time_to_live: seconds(time_to_live),
            }),
            columns: columns
                .into_iter()
                .map(|(name, cql, kind, position)| FoundColumn { name, cql, kind, position })
                .collect(),
        })
    }

    fn column(&self, name: &str) -> Option<&FoundColumn> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// The key as CQL writes it.
    fn primary_key(&self) -> String {
        let names = |kind: &str| {
            let mut parts: Vec<_> = self.columns.iter().filter(|column| column.kind == kind).collect();
            parts.sort_by_key(|column| column.position);
            parts.iter().map(|column| column.name.as_str()).collect::<Vec<_>>().join(", ")
        };
        match names("clustering") {
            clustering if clustering.is_empty() => format!("(({}))", names("partition_key")),
            clustering => format!("(({}), {clustering})", names("partition_key")),
        }
    }
}

fn seconds(value: i32) -> Duration {
    Duration::from_secs(u64::try_from(value).unwrap_or(0))
}

async fn rows<R>(
    session: &Session,
    query: &str,
    values: impl scylla::serialize::row::SerializeRow,
) -> Result<Vec<R>, TableError>
where
    R: for<'f, 'm> scylla::deserialize::row::DeserializeRow<'f, 'm>,
{
    let unreadable = |error: String| TableError::Refused(error.into());
    let result = session.driver().query_unpaged(query, values).await?;
    let result = result.into_rows_result().map_err(|error| unreadable(error.to_string()))?;
    let rows = result.rows::<R>().map_err(|error| unreadable(error.to_string()))?;
    rows.collect::<Result<_, _>>().map_err(|error| unreadable(error.to_string()))
}

/// All differences, in the order of the definition.
fn differences(found: &Found, columns: &Columns) -> Vec<Difference> {
    let mut all = Vec::new();
    let Some(table) = &found.table else {
        all.push(Difference::Missing { what: TABLE.into() });
        return all;
    };
    let primary_key = found.primary_key();
    if primary_key != "((tenant, user_id))" {
        all.push(Difference::PrimaryKey { found: primary_key.into() });
    }
    all.extend(wanted(columns).filter_map(|(name, encoding)| match found.column(name) {
        None => Some(Difference::Missing { what: format!("column {name}").into() }),
        Some(column) if column.cql == encoding.cql() && column.kind != "static" => None,
        Some(column) => {
            let is_static = if column.kind == "static" { "static " } else { "" };
            let found = format!("{is_static}{}", column.cql).into();
            Some(Difference::ColumnType { column: name.into(), found, wanted: encoding.cql() })
        }
    }));
    let foreign = found.columns.iter().filter(|column| column.name.starts_with("tw_"));
    let foreign = foreign.filter(|column| SYSTEM.iter().all(|(name, _)| *name != column.name));
    all.extend(foreign.map(|column| Difference::ColumnForeign { column: column.name.as_str().into() }));
    if table.gc_grace < GC_GRACE_MIN {
        all.push(Difference::GcGrace { found: table.gc_grace });
    }
    if !table.time_to_live.is_zero() {
        all.push(Difference::TimeToLive { found: table.time_to_live });
    }
    all
}

/// Every column the table must have: the key, the fields, ours.
fn wanted(columns: &Columns) -> impl Iterator<Item = (&str, Encoding)> {
    KEY.into_iter()
        .map(|name| (name, Encoding::Text))
        .chain(columns.iter().map(|column| (&*column.name, column.encoding)))
        .chain(SYSTEM)
}

fn plan(keyspace: &Keyspace, found: &Found, columns: &Columns, replication: &Replication) -> Plan {
    let mut plan = Plan::default();
    match &found.keyspace {
        None => plan.statements.push(format!(
            "CREATE KEYSPACE IF NOT EXISTS \"{keyspace}\" WITH replication = {} AND durable_writes = true",
            replication.to_cql()
        )),
        Some(found) if !replication.is(found) => plan.notes.push(format!(
            "keyspace {keyspace} is replicated otherwise than configured ({}): left alone; altering it needs a repair",
            replication.to_cql()
        )),
        Some(_) => {}
    }
    if found.table.is_none() {
        plan.statements.push(create_table(keyspace, columns));
        return plan;
    }
    let missing = wanted(columns).filter(|(name, _)| found.column(name).is_none());
    plan.statements.extend(missing.map(|(name, encoding)| {
        format!("ALTER TABLE \"{keyspace}\".\"{TABLE}\" ADD IF NOT EXISTS \"{name}\" {}", encoding.cql())
    }));
    let unknown = found.columns.iter().filter(|column| wanted(columns).all(|(name, _)| name != column.name));
    plan.notes.extend(
        unknown.map(|column| format!("column {} is no field of the profile: left alone, never written", column.name)),
    );
    plan
}

fn create_table(keyspace: &Keyspace, columns: &Columns) -> String {
    let definitions: Vec<_> =
        wanted(columns).map(|(name, encoding)| format!("\"{name}\" {}", encoding.cql())).collect();
    let [tenant, user_id] = KEY;
    format!(
        "CREATE TABLE IF NOT EXISTS \"{keyspace}\".\"{TABLE}\" ({}, PRIMARY KEY ((\"{tenant}\", \"{user_id}\"))) \
         WITH gc_grace_seconds = {}",
        definitions.join(", "),
        GC_GRACE_MIN.as_secs()
    )
}

#[cfg(test)]
mod tests;
