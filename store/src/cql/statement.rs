//! The four statements that write profiles: their text, their preparation, and what is bound to each `?`.
//!
//! This file holds every text that changes a row. Each has `USING TIMESTAMP ?`, none has a condition, a TTL, a counter
//! or a collection (I22). What a `?` stands for is settled once, when the statement is prepared, from the driver's
//! metadata, and its type is checked there: a table that drifted stops the process at start instead of refusing rows.

use super::column::{Columns, Encoding, Mismatch};
use super::config::Keyspace;
use super::merge::{Cells, Statement};
use super::table::{KEY, TABLE};
use schemas::Change;
use scylla::cluster::metadata::ColumnType;
use scylla::frame::response::result::ColumnSpec;
use scylla::serialize::SerializationError;
use scylla::serialize::row::{RowSerializationContext, SerializeRow};
use scylla::serialize::writers::{CellWriter, RowWriter};
use scylla::statement::prepared::PreparedStatement;

/// What rides on the newest statement, and the receipt: the order in which the texts name them.
const SYSTEM: [&str; 5] = ["tw_version", "tw_change", "tw_source", "tw_partition", "tw_offset"];

/// The driver's name for the `?` of `USING TIMESTAMP ?`.
const TIMESTAMP: &str = "[timestamp]";

/// The texts, made from the profile.
#[derive(Debug)]
pub(super) struct Texts {
    /// `DELETE`: the row, at the version of an upsert or delete.
    pub(super) erase: String,
    /// `INSERT` of an upsert.
    pub(super) insert: String,
    /// `UPDATE` of a patch.
    pub(super) update: String,
    /// `INSERT` of what a delete leaves behind.
    pub(super) stub: String,
}

impl Texts {
    pub(super) fn new(keyspace: &Keyspace, columns: &Columns) -> Self {
        let table = format!("\"{keyspace}\".\"{TABLE}\"");
        let [tenant, user_id] = KEY;
        let by_key = format!("WHERE \"{tenant}\" = ? AND \"{user_id}\" = ?");
        let fields = || columns.iter().map(|column| &*column.name);
        let set: Vec<String> = fields().chain(SYSTEM).map(|name| format!("\"{name}\" = ?")).collect();
        let set = set.join(", ");
        Self {
            erase: format!("DELETE FROM {table} USING TIMESTAMP ? {by_key}"),
            insert: insert(&table, KEY.into_iter().chain(fields()).chain(["tw_live"]).chain(SYSTEM)),
            update: format!("UPDATE {table} USING TIMESTAMP ? SET {set} {by_key}"),
            stub: insert(&table, KEY.into_iter().chain(["tw_dead"]).chain(SYSTEM)),
        }
    }
}

fn insert<'a>(table: &str, names: impl Iterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
    let marks = vec!["?"; quoted.len()].join(", ");
    format!("INSERT INTO {table} ({}) VALUES ({marks}) USING TIMESTAMP ?", quoted.join(", "))
}

/// The row a statement is about. Not a tenant and a user id, because the probe row has a tenant no change can have.
#[derive(Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) tenant: &'a str,
    pub(super) user_id: &'a str,
}

impl<'a> Key<'a> {
    pub(super) fn of(change: &'a Change) -> Self {
        Self { tenant: change.tenant.as_str(), user_id: change.user_id.as_str() }
    }
}

/// What to bind to one `?`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bind {
    Timestamp,
    Tenant,
    UserId,
    Field(usize, Encoding),
    Live,
    Dead,
    Version,
    Change,
    Source,
    Partition,
    Offset,
}

/// A `?` that is not what it should be: the table is not the one the profile describes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "column {column} is {found} in the table, the profile says {wanted}: run `tidewater migrate` to see what to do"
)]
pub(super) struct Drift {
    column: Box<str>,
    found: Box<str>,
    wanted: &'static str,
}

/// A prepared statement and what to bind to it, in order.
#[derive(Clone, Debug)]
pub(super) struct Shaped {
    pub(super) statement: PreparedStatement,
    shape: Box<[Bind]>,
}

impl Shaped {
    pub(super) fn new(statement: PreparedStatement, columns: &Columns) -> Result<Self, Drift> {
        let shape = shape(statement.get_variable_col_specs().iter(), columns)?;
        Ok(Self { statement, shape })
    }
}

fn shape<'a>(specs: impl Iterator<Item = &'a ColumnSpec<'a>>, columns: &Columns) -> Result<Box<[Bind]>, Drift> {
    specs
        .map(|spec| {
            let (bind, encoding) = match spec.name() {
                TIMESTAMP => (Bind::Timestamp, Encoding::BigInt),
                "tenant" => (Bind::Tenant, Encoding::Text),
                "user_id" => (Bind::UserId, Encoding::Text),
                "tw_live" => (Bind::Live, Encoding::BigInt),
                "tw_dead" => (Bind::Dead, Encoding::BigInt),
                "tw_version" => (Bind::Version, Encoding::BigInt),
                "tw_change" => (Bind::Change, Encoding::Uuid),
                "tw_source" => (Bind::Source, Encoding::Text),
                "tw_partition" => (Bind::Partition, Encoding::Int),
                "tw_offset" => (Bind::Offset, Encoding::BigInt),
                name => field(name, columns)?,
            };
            if *spec.typ() == ColumnType::Native(encoding.native()) {
                return Ok(bind);
            }
            let found = format!("{:?}", spec.typ()).into();
            Err(Drift { column: spec.name().into(), found, wanted: encoding.cql() })
        })
        .collect()
}

fn field(name: &str, columns: &Columns) -> Result<(Bind, Encoding), Drift> {
    columns
        .position(name)
        .and_then(|field| columns.encoding(field).map(|encoding| (Bind::Field(field, encoding), encoding)))
        .ok_or_else(|| Drift { column: name.into(), found: "a column".into(), wanted: "nothing" })
}

/// The statements as prepared on a session.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) erase: Shaped,
    pub(super) insert: Shaped,
    pub(super) update: Shaped,
    pub(super) stub: Shaped,
}

impl Prepared {
    /// Which of the four `statement` is.
    pub(super) fn pick(&self, statement: &Statement<'_>) -> &Shaped {
        match statement {
            Statement::Erase { .. } => &self.erase,
            Statement::Cells(cells) => match cells.change.op {
                schemas::Op::Upsert => &self.insert,
                schemas::Op::Patch => &self.update,
                schemas::Op::Delete => &self.stub,
            },
        }
    }

    pub(super) fn bind<'a>(&'a self, key: Key<'a>, statement: Statement<'a>) -> Bound<'a> {
        Bound { shape: &self.pick(&statement).shape, key, statement }
    }
}

/// The values of one statement, written straight into the request.
pub(super) struct Bound<'a> {
    shape: &'a [Bind],
    key: Key<'a>,
    statement: Statement<'a>,
}

impl SerializeRow for Bound<'_> {
    fn serialize(&self, _: &RowSerializationContext<'_>, out: &mut RowWriter<'_>) -> Result<(), SerializationError> {
        self.shape.iter().try_for_each(|bind| self.put(*bind, out.make_cell_writer()))
    }

    fn is_empty(&self) -> bool {
        self.shape.is_empty()
    }
}

impl Bound<'_> {
    /// Fills one `?`. UNSET leaves a cell alone, null clears it; the timestamp is always a number, since UNSET there
    /// would silently mean *now*.
    fn put(&self, bind: Bind, cell: CellWriter<'_>) -> Result<(), SerializationError> {
        match (bind, &self.statement) {
            (Bind::Timestamp, Statement::Erase { at }) => bytes(cell, &at.to_be_bytes()),
            (Bind::Timestamp, Statement::Cells(cells)) => bytes(cell, &cells.at.to_be_bytes()),
            (Bind::Tenant, _) => bytes(cell, self.key.tenant.as_bytes()),
            (Bind::UserId, _) => bytes(cell, self.key.user_id.as_bytes()),
            (bind, Statement::Cells(cells)) => put_cell(bind, cells, cell),
            // A delete has no other `?`.
            (_, Statement::Erase { .. }) => Err(SerializationError::new(Mismatch)),
        }
    }
}

fn put_cell(bind: Bind, cells: &Cells<'_>, cell: CellWriter<'_>) -> Result<(), SerializationError> {
    match bind {
        Bind::Field(field, _) if !cells.keep.contains(field) => unset(cell),
        Bind::Field(field, encoding) => match cells.value(field) {
            None => null(cell),
            Some(value) => encoding.encode(value, |encoded| bytes(cell, encoded)).map_err(SerializationError::new)?,
        },
        Bind::Live => number(cell, cells.live()),
        Bind::Dead => number(cell, cells.dead()),
        Bind::Version => number(cell, cells.stamp.then(|| cells.change.version.get())),
        Bind::Change | Bind::Source if !cells.stamp => unset(cell),
        Bind::Change => bytes(cell, cells.change.id.as_bytes()),
        // Null and not UNSET: a source must not outlive the change it belongs to.
        Bind::Source => match &cells.change.source {
            Some(source) => bytes(cell, source.as_bytes()),
            None => null(cell),
        },
        Bind::Partition => match cells.receipt() {
            Some((partition, _)) => bytes(cell, &partition.to_be_bytes()),
            None => unset(cell),
        },
        Bind::Offset => number(cell, cells.receipt().map(|(_, offset)| offset)),
        // Bound above, for every statement.
        Bind::Timestamp | Bind::Tenant | Bind::UserId => Err(SerializationError::new(Mismatch)),
    }
}

fn bytes(cell: CellWriter<'_>, value: &[u8]) -> Result<(), SerializationError> {
    cell.set_value(value).map(|_| ()).map_err(|_| SerializationError::new(Mismatch))
}

fn null(cell: CellWriter<'_>) -> Result<(), SerializationError> {
    cell.set_null();
    Ok(())
}

fn unset(cell: CellWriter<'_>) -> Result<(), SerializationError> {
    cell.set_unset();
    Ok(())
}

/// UNSET where there is none.
fn number(cell: CellWriter<'_>, value: Option<i64>) -> Result<(), SerializationError> {
    match value {
        Some(value) => bytes(cell, &value.to_be_bytes()),
        None => unset(cell),
    }
}

#[cfg(test)]
mod tests;
