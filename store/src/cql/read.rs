//! What Cassandra holds of a user, and of everybody.

use super::column::Columns;
use super::fault::{Class, fault_of, fault_of_prepare, reason_of};
use super::probe;
use super::session::Session;
use super::table::{KEY, SYSTEM, TABLE};
use super::writer::PrepareError;
use schemas::{Profile, Row, Tenant, UserId, Version};
use scylla::errors::ExecutionError;
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row as Cells};
use std::collections::VecDeque;
use uuid::Uuid;

/// One row of the table without its key.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileRow {
    /// By field position; of a deleted user it holds what patches have set since.
    pub row: Row,
    /// Of the last upsert.
    pub live: Option<Version>,
    /// Of the last delete.
    pub dead: Option<Version>,
    /// Of the newest change.
    pub version: Option<Version>,
    /// The id of the newest change.
    pub change: Option<Uuid>,
    pub source: Option<String>,
    /// With `offset` the place in the raw topic of the newest change that came from there, since the last upsert or
    /// delete.
    pub partition: Option<i32>,
    pub offset: Option<i64>,
}

impl ProfileRow {
    /// Whether there is such a user: a patch creates one that never existed, and never brings back a deleted one.
    #[must_use]
    pub fn alive(&self) -> bool {
        self.version.is_some() && (self.dead.is_none() || self.live > self.dead)
    }
}

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
    one: PreparedStatement,
    all: PreparedStatement,
}

impl Reader {
    /// Prepares the statements for `profile`.
    pub async fn prepare(session: &Session, profile: &Profile) -> Result<Self, PrepareError> {
        let columns = Columns::of(profile);
        let [tenant, user_id] = KEY;
        let system = SYSTEM.iter().map(|(name, _)| *name);
        let names = KEY.into_iter().chain(system).chain(columns.iter().map(|column| &*column.name));
        let names: Vec<String> = names.map(|name| format!("\"{name}\"")).collect();
        let all = format!("SELECT {} FROM \"{}\".\"{TABLE}\"", names.join(", "), session.keyspace());
        let one = format!("{all} WHERE \"{tenant}\" = ? AND \"{user_id}\" = ?");
        let one = prepare(session, one).await?;
        let all = prepare(session, all).await?;
        Ok(Self { session: session.clone(), columns, one, all })
    }

    /// The row of a user; one without any cell is as if it were not there.
    pub async fn read(&self, tenant: &Tenant, user_id: &UserId) -> Result<Option<ProfileRow>, ReadError> {
        let key = (tenant.as_str(), user_id.as_str());
        let result = self.session.driver().execute_unpaged(&self.one, key).await?;
        let result = result.into_rows_result().map_err(|_| ReadError::Foreign)?;
        let cells = result.maybe_first_row::<Cells>().map_err(|_| ReadError::Foreign)?;
        cells.map(|cells| decode(cells, &self.columns).map(|(_, _, row)| row).ok_or(ReadError::Foreign)).transpose()
    }

    /// Every row but the probe's, in the order of the tokens. A snapshot of nothing: rows may change meanwhile.
    #[must_use]
    pub fn scan(&self) -> Scan<'_> {
        Scan { reader: self, page: VecDeque::new(), next: Some(PagingState::start()) }
    }
}

/// A walk over the table, page by page.
#[derive(Debug)]
pub struct Scan<'a> {
    reader: &'a Reader,
    page: VecDeque<Cells>,
    /// Where the next page starts; `None` after the last.
    next: Option<PagingState>,
}

impl Scan<'_> {
    /// The next row, `None` after the last. After [`ReadError::Unreachable`] call again: no row is left out.
    pub async fn next(&mut self) -> Result<Option<(Tenant, UserId, ProfileRow)>, ReadError> {
        loop {
            while let Some(cells) = self.page.pop_front() {
                if !is_probe(&cells) {
                    let (tenant, user_id, row) = decode(cells, &self.reader.columns).ok_or(ReadError::Foreign)?;
                    let (tenant, user_id) =
                        Tenant::new(&tenant).zip(UserId::new(&user_id)).ok_or(ReadError::Foreign)?;
                    return Ok(Some((tenant, user_id, row)));
                }
            }
            let Some(from) = self.next.clone() else {
                return Ok(None);
            };
            let (result, following) =
                self.reader.session.driver().execute_single_page(&self.reader.all, (), from).await?;
            let result = result.into_rows_result().map_err(|_| ReadError::Foreign)?;
            let rows = result.rows::<Cells>().map_err(|_| ReadError::Foreign)?;
            self.page = rows.collect::<Result<_, _>>().map_err(|_| ReadError::Foreign)?;
            self.next = match following {
                PagingStateResponse::HasMorePages { state } => Some(state),
                PagingStateResponse::NoMorePages => None,
            };
        }
    }
}

fn is_probe(cells: &Cells) -> bool {
    matches!(cells.columns.first(), Some(Some(CqlValue::Text(tenant))) if tenant == probe::KEY.tenant)
}

async fn prepare(session: &Session, text: String) -> Result<PreparedStatement, PrepareError> {
    let mut statement = session.driver().prepare(text).await.map_err(|error| match fault_of_prepare(&error) {
        Class::Ambiguous => PrepareError::Unreachable(error.to_string().into()),
        Class::Refused | Class::Stop => PrepareError::Drift(error.to_string().into()),
    })?;
    statement.set_is_idempotent(true);
    Ok(statement)
}

/// Key, then ours, then the fields, as selected.
fn decode(cells: Cells, columns: &Columns) -> Option<(String, String, ProfileRow)> {
    let mut cells = cells.columns.into_iter();
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
    Some((tenant, user_id, row))
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

    fn row(version: i64, live: Option<i64>, dead: Option<i64>) -> ProfileRow {
        let version = Version::new(version);
        ProfileRow {
            version,
            live: live.and_then(Version::new),
            dead: dead.and_then(Version::new),
            ..Default::default()
        }
    }

    #[test]
    fn alive_is_who_was_written_and_not_deleted_since() {
        assert!(!ProfileRow::default().alive(), "nothing was ever written");
        assert!(row(8, None, None).alive(), "a patch creates");
        assert!(row(8, Some(8), None).alive());
        assert!(!row(16, None, Some(16)).alive());
        assert!(!row(24, None, Some(16)).alive(), "a patch never brings back");
        assert!(row(24, Some(24), Some(16)).alive());
        assert!(!row(16, Some(16), Some(16)).alive(), "an upsert and a delete of one version: deleted");
    }
}
