//! A change as its producer wrote it, before it is accepted.
//!
//! JSON and Avro both end here, so that what a change must be is said once, whatever it was written in.

use crate::{FieldSet, Op, Row};
use std::fmt;
use uuid::Uuid;

/// A change as read from a record: well formed, its fields known, nothing else checked yet.
///
/// `set` and `unset` are what stood there: they may overlap, or contradict `op`.
#[derive(Clone, PartialEq)]
pub struct Draft {
    pub id: Option<Uuid>,
    pub tenant: Option<String>,
    pub user_id: String,
    pub op: Op,
    pub set: Option<Row>,
    pub unset: FieldSet,
    /// Microseconds since 1970-01-01.
    pub occurred_at: Option<i64>,
    pub source: Option<String>,
    pub version: Option<i64>,
}

/// Shows what the change does and to which fields, never who or what: a draft is user data.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("op", &self.op)
            .field("set", &self.set.as_ref().map(Row::named))
            .field("unset", &self.unset)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
