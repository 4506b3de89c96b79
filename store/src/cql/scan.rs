//! A walk over everybody's rows that a lost node does not end.

use super::column::Columns;
use super::probe;
use super::read::{ReadError, decode, decode_versions};
use super::row::{ProfileRow, VersionedRow};
use super::session::Session;
use schemas::{Tenant, UserId};
use scylla::response::{PagingState, PagingStateResponse};
use scylla::statement::prepared::PreparedStatement;
use scylla::value::{CqlValue, Row as Cells};
use std::collections::VecDeque;

/// The ring is cut into so many slices of equal width where rows are many.
const SLICES: u64 = 64;

/// Rows of a page. A row is at most a mebibyte or two and nearly always a thousandth of it.
const PAGE_LEN: i32 = 1_000;

/// A walk over the table, page by page.
#[derive(Debug)]
pub struct Scan<'a> {
    pub(super) walk: Walk<'a>,
    pub(super) columns: &'a Columns,
}

impl Scan<'_> {
    /// The next row, `None` after the last. After [`ReadError::Unreachable`] call again: no row is left out.
    pub async fn next(&mut self) -> Result<Option<(Tenant, UserId, ProfileRow)>, ReadError> {
        let Some(cells) = self.walk.next().await? else { return Ok(None) };
        let ((tenant, user_id), row) = decode(cells, self.columns).ok_or(ReadError::Foreign)?;
        Ok(Some((tenant, user_id, row)))
    }
}

/// A walk over the table with the version of every value.
#[derive(Debug)]
pub struct VersionScan<'a> {
    pub(super) walk: Walk<'a>,
    pub(super) columns: &'a Columns,
}

impl VersionScan<'_> {
    /// The next row, `None` after the last. After [`ReadError::Unreachable`] call again: no row is left out.
    pub async fn next(&mut self) -> Result<Option<(Tenant, UserId, VersionedRow)>, ReadError> {
        let Some(cells) = self.walk.next().await? else { return Ok(None) };
        let ((tenant, user_id), row) = decode_versions(cells, self.columns).ok_or(ReadError::Foreign)?;
        Ok(Some((tenant, user_id, row)))
    }
}

/// Tokens `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    from: i64,
    to: i64,
}

/// Cells of one row after the other, the probe's left out.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    session: &'a Session,
    statement: PreparedStatement,
    page: VecDeque<Cells>,
    /// The slice that is being read and those behind it.
    slices: VecDeque<Slice>,
    /// Where the next page of the first slice starts. Any node can go on from it.
    next: PagingState,
}

impl<'a> Walk<'a> {
    /// `statement` takes the first and the last token.
    pub(super) fn whole(session: &'a Session, statement: &PreparedStatement) -> Self {
        Self::over(session, statement, VecDeque::from([Slice { from: i64::MIN, to: i64::MAX }]))
    }

    pub(super) fn sliced(session: &'a Session, statement: &PreparedStatement) -> Self {
        Self::over(session, statement, slices(SLICES))
    }

    fn over(session: &'a Session, statement: &PreparedStatement, slices: VecDeque<Slice>) -> Self {
        let mut statement = statement.clone();
        statement.set_page_size(PAGE_LEN);
        Self { session, statement, page: VecDeque::new(), slices, next: PagingState::start() }
    }

    async fn next(&mut self) -> Result<Option<Cells>, ReadError> {
        loop {
            while let Some(cells) = self.page.pop_front() {
                if !is_probe(&cells) {
                    return Ok(Some(cells));
                }
            }
            let Some(slice) = self.slices.front() else {
                return Ok(None);
            };
            let (tokens, from) = ((slice.from, slice.to), self.next.clone());
            let (result, following) = self.session.driver().execute_single_page(&self.statement, tokens, from).await?;
            let result = result.into_rows_result().map_err(|_| ReadError::Foreign)?;
            let rows = result.rows::<Cells>().map_err(|_| ReadError::Foreign)?;
            self.page = rows.collect::<Result<_, _>>().map_err(|_| ReadError::Foreign)?;
            self.next = match following {
                PagingStateResponse::HasMorePages { state } => state,
                PagingStateResponse::NoMorePages => {
                    self.slices.pop_front();
                    PagingState::start()
                }
            };
        }
    }
}

/// The whole ring in `count` slices, in order.
fn slices(count: u64) -> VecDeque<Slice> {
    let width = u64::MAX / count.max(1);
    let start = |slice: u64| i64::MIN.wrapping_add_unsigned(slice * width);
    let slice = |at: u64| Slice { from: start(at), to: if at + 1 < count { start(at + 1) - 1 } else { i64::MAX } };
    (0..count).map(slice).collect()
}

fn is_probe(cells: &Cells) -> bool {
    matches!(cells.columns.first(), Some(Some(CqlValue::Text(tenant))) if tenant == probe::KEY.tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_the_ring_once() {
        for count in [1, 2, 3, SLICES, 1_000] {
            let slices = slices(count);
            assert_eq!(slices.len() as u64, count);
            assert_eq!((slices[0].from, slices[slices.len() - 1].to), (i64::MIN, i64::MAX));
            assert!(slices.iter().all(|slice| slice.from <= slice.to));
            let borders = slices.iter().zip(slices.iter().skip(1));
            assert!(borders.into_iter().all(|(slice, next)| slice.to + 1 == next.from), "{count}");
        }
    }
}
