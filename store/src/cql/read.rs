//! What Cassandra holds of a user, and of everybody.

use super::column::Columns;
use super::fault::{Class, fault_of, fault_of_prepare, reason_of};
use super::row::{ProfileRow, VersionedRow};
use super::scan::{Scan, VersionScan, Walk};
use super::session::Session;
use super::table::{KEY, SYSTEM, TABLE};
use super::writer::PrepareError;
use schemas::{Profile, Tenant, UserId, Version};
use scylla::errors::ExecutionError;
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row as Cells};

/// Why a row was not read. Never holds a key or a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Read again.
    #[error("cassandra did not answer the read: {0}")]
    Unreachable(Box<str>),
    /// No repetition helps.
    #[error("cassandra refuses the read: {0}")]
    Refused(Box<str>),
    /// A row that no change can have written: somebody else writes to the table.
    #[error("a row of the table holds what no change can have written")]
    Foreign,
}

impl From<ExecutionError> for ReadError {
    fn from(error: ExecutionError) -> Self {
        match fault_of(&error) {
            Class::Ambiguous => Self::Unreachable(reason_of(&error)),
            Class::Refused | Class::Stop => Self::Refused(reason_of(&error)),
        }
    }
}

/// Reads profiles at LOCAL_QUORUM.
#[derive(Debug)]
pub struct Reader {
    session: Session,
    columns: Columns,
    values: Selection,
    /// The same with the write time of every field.
    versions: Selection,
}

/// What is selected, of one user and of a range of tokens.
#[derive(Debug)]
struct Selection {
    one: PreparedStatement,
    range: PreparedStatement,
}

impl Reader {
    /// Prepares the statements for `profile`.
    pub async fn prepare(session: &Session, profile: &Profile) -> Result<Self, PrepareError> {
        let columns = Columns::of(profile);
        let system = SYSTEM.iter().map(|(name, _)| *name);
        let names = KEY.into_iter().chain(system).chain(columns.iter().map(|column| &*column.name));
        let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
        let times: Vec<String> = columns.iter().map(|column| format!("WRITETIME(\"{}\")", column.name)).collect();
        let values = Selection::prepare(session, &names).await?;
        let versions = Selection::prepare(session, &[names, times].concat()).await?;
        Ok(Self { session: session.clone(), columns, values, versions })
    }

    /// The row of a user; one without any cell is as if it were not there.
    pub async fn read(&self, tenant: &Tenant, user_id: &UserId) -> Result<Option<ProfileRow>, ReadError> {
        let cells = self.first(&self.values.one, tenant, user_id).await?;
        cells.map(|cells| decode(cells, &self.columns).map(|(_, row)| row).ok_or(ReadError::Foreign)).transpose()
    }

    /// The same with the version of every value: what export writes out, and what a replay would meet.
    pub async fn read_versions(&self, tenant: &Tenant, user_id: &UserId) -> Result<Option<VersionedRow>, ReadError> {
        let cells = self.first(&self.versions.one, tenant, user_id).await?;
        cells
            .map(|cells| decode_versions(cells, &self.columns).map(|(_, row)| row).ok_or(ReadError::Foreign))
            .transpose()
    }

    /// Every row but the probe's, in the order of the tokens. A snapshot of nothing: rows may change meanwhile.
    #[must_use]
    pub fn scan(&self) -> Scan<'_> {
        Scan { walk: Walk::whole(&self.session, &self.values.range), columns: &self.columns }
    }

    /// The same with the version of every value, slice by slice of the ring, so that each request has little to do
    /// however large the table is. Values and versions of one row are of one moment.
    #[must_use]
    pub fn scan_versions(&self) -> VersionScan<'_> {
        VersionScan { walk: Walk::sliced(&self.session, &self.versions.range), columns: &self.columns }
    }

    async fn first(
        &self,
        statement: &PreparedStatement,
        tenant: &Tenant,
        user_id: &UserId,
    ) -> Result<Option<Cells>, ReadError> {
        let key = (tenant.as_str(), user_id.as_str());
        let result = self.session.driver().execute_unpaged(statement, key).await?;
        let result = result.into_rows_result().map_err(|_| ReadError::Foreign)?;
        result.maybe_first_row::<Cells>().map_err(|_| ReadError::Foreign)
    }
}

impl Selection {
    async fn prepare(session: &Session, names: &[String]) -> Result<Self, PrepareError> {
        let [tenant, user_id] = KEY;
        let all = format!("SELECT {} FROM \"{}\".\"{TABLE}\"", names.join(", "), session.keyspace());
        let token = format!("TOKEN(\"{tenant}\", \"{user_id}\")");
        let one = prepare(session, format!("{all} WHERE \"{tenant}\" = ? AND \"{user_id}\" = ?")).await?;
        let range = prepare(session, format!("{all} WHERE {token} >= ? AND {token} <= ?")).await?;
        Ok(Self { one, range })
    }
}

async fn prepare(session: &Session, text: String) -> Result<PreparedStatement, PrepareError> {
    let mut statement = session.driver().prepare(text).await.map_err(|error| match fault_of_prepare(&error) {
        Class::Ambiguous => PrepareError::Unreachable(error.to_string().into()),
        Class::Refused | Class::Stop => PrepareError::Drift(error.to_string().into()),
    })?;
    statement.set_is_idempotent(true);
    Ok(statement)
}

/// Key, then ours, then the fields, as selected. `None` for what no change can have written.
pub(super) fn decode(cells: Cells, columns: &Columns) -> Option<((Tenant, UserId), ProfileRow)> {
    decode_front(&mut cells.columns.into_iter(), columns)
}

/// The same, and behind it the write time of every field.
pub(super) fn decode_versions(cells: Cells, columns: &Columns) -> Option<((Tenant, UserId), VersionedRow)> {
    let mut cells = cells.columns.into_iter();
    let (key, row) = decode_front(&mut cells, columns)?;
    let versions = cells.map(|cell| written_by(optional(cell, CqlValue::as_bigint)?)).collect::<Option<_>>()?;
    Some((key, VersionedRow { row, versions }))
}

fn decode_front(
    cells: &mut impl Iterator<Item = Option<CqlValue>>,
    columns: &Columns,
) -> Option<((Tenant, UserId), ProfileRow)> {
    let (tenant, user_id) = (text(cells.next()?)??, text(cells.next()?)??);
    let row = ProfileRow {
        live: version(cells.next()?)?,
        dead: version(cells.next()?)?,
        version: version(cells.next()?)?,
        change: optional(cells.next()?, |value| value.as_uuid())?,
        source: text(cells.next()?)?,
        partition: optional(cells.next()?, |value| value.as_int())?,
        offset: optional(cells.next()?, |value| value.as_bigint())?,
        row: columns.decode(cells)?,
    };
    Some((Tenant::new(&tenant).zip(UserId::new(&user_id))?, row))
}

/// The version of the change whose cells stand at `timestamp`. Outer `None`: cells of a change never do.
fn written_by(timestamp: Option<i64>) -> Option<Option<Version>> {
    match timestamp {
        None => Some(None),
        Some(timestamp) => Version::new(timestamp ^ 1).map(Some),
    }
}

/// Outer `None`: not of that type.
fn optional<T>(cell: Option<CqlValue>, as_type: impl FnOnce(&CqlValue) -> Option<T>) -> Option<Option<T>> {
    match cell {
        None => Some(None),
        Some(value) => as_type(&value).map(Some),
    }
}

fn text(cell: Option<CqlValue>) -> Option<Option<String>> {
    match cell {
        None => Some(None),
        Some(value) => value.into_string().map(Some),
    }
}

fn version(cell: Option<CqlValue>) -> Option<Option<Version>> {
    match optional(cell, CqlValue::as_bigint)? {
        None => Some(None),
        Some(raw) => Version::new(raw).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_a_change_stand_one_above_its_version() {
        let version = Version::new(8_004).unwrap();
        assert_eq!(written_by(Some(version.cells())), Some(Some(version)));
        assert_eq!(written_by(None), Some(None));
        assert_eq!(written_by(Some(version.get())), None, "where only deletions stand");
        assert_eq!(written_by(Some(-7)), None);
    }
}
