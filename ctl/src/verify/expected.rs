//! The rows that follow from the accepted changes: the last writer wins, field by field.
//!
//! Order-free on purpose: every cell keeps the version it was written with, and what an upsert or delete of a larger
//! version has cleared is told apart only when the row is compared.

use super::findings::Findings;
use schemas::{Change, FieldValue, Op, Origin, Profile, Tenant, UserId};
use std::collections::BTreeMap;
use store::cql::ProfileRow;
use uuid::Uuid;

/// The expected rows by user; those that were found are taken out.
pub(super) struct Rows<'p> {
    profile: &'p Profile,
    users: BTreeMap<(Tenant, UserId), Expected>,
}

#[derive(Default)]
struct Expected {
    cells: BTreeMap<usize, Cell>,
    last_upsert: Option<i64>,
    last_delete: Option<i64>,
    newest: Option<Newest>,
    /// Version, partition and offset of the newest change that came by `raw`.
    receipt: Option<(i64, i32, i64)>,
}

struct Cell {
    version: i64,
    /// `None` where it was cleared.
    value: Option<FieldValue>,
}

struct Newest {
    version: i64,
    id: Uuid,
    source: Option<String>,
    origin: Origin,
}

impl<'p> Rows<'p> {
    pub(super) fn new(profile: &'p Profile) -> Self {
        Self { profile, users: BTreeMap::new() }
    }

    /// What the change says of its place in history must have been checked.
    pub(super) fn apply(&mut self, change: Change) {
        let user = self.users.entry((change.tenant.clone(), change.user_id.clone())).or_default();
        user.apply(change);
    }

    /// Compares a row of the table. The subject told of is the newest change of its user.
    pub(super) fn compare(&mut self, tenant: Tenant, user_id: UserId, row: &ProfileRow, findings: &mut Findings) {
        let Some(expected) = self.users.remove(&(tenant, user_id)) else {
            let version = row.version.map_or(0, |version| version.get());
            findings.wrong(format_args!("a row of version {version}"), "nothing in the log is a reason for it");
            return;
        };
        let differences = expected.differences(row, self.profile);
        if !differences.is_empty() {
            let what = format!("the row of its user differs in {}", differences.join(", "));
            findings.wrong(expected.subject(), &what);
        }
    }

    /// What was not found.
    pub(super) fn close(self, findings: &mut Findings) {
        for expected in self.users.into_values() {
            findings.lost(expected.subject(), "its user has no row");
        }
    }
}

impl Expected {
    fn apply(&mut self, change: Change) {
        let version = change.version.get();
        match change.op {
            Op::Upsert => self.last_upsert = self.last_upsert.max(Some(version)),
            Op::Delete => self.last_delete = self.last_delete.max(Some(version)),
            Op::Patch => {}
        }
        for (field, value) in change.set.iter() {
            self.put(field, version, Some(value.clone()));
        }
        for field in change.unset.iter() {
            self.put(field, version, None);
        }
        if let Some((partition, offset)) = change.origin.raw() {
            self.receipt = self.receipt.max(Some((version, partition, offset)));
        }
        if self.newest.as_ref().is_none_or(|newest| newest.version < version) {
            self.newest = Some(Newest { version, id: change.id, source: change.source, origin: change.origin });
        }
    }

    fn put(&mut self, field: usize, version: i64, value: Option<FieldValue>) {
        let cell = self.cells.entry(field).or_insert(Cell { version: i64::MIN, value: None });
        if cell.version < version {
            *cell = Cell { version, value };
        }
    }

    /// An upsert keeps the fields it sets itself; a delete sets none.
    fn value(&self, field: usize) -> Option<&FieldValue> {
        let cell = self.cells.get(&field)?;
        cell.value.as_ref().filter(|_| Some(cell.version) >= self.cleared())
    }

    /// The version at or below which nothing is left but what this version itself wrote.
    fn cleared(&self) -> Option<i64> {
        self.last_upsert.max(self.last_delete)
    }

    /// The names of the columns that are not what they should be.
    fn differences(&self, row: &ProfileRow, profile: &Profile) -> Vec<String> {
        let mut names = Vec::new();
        for (field, about) in profile.fields().iter().enumerate() {
            if row.row.get(field) != self.value(field) {
                names.push(about.name.to_string());
            }
        }
        let Some(newest) = &self.newest else { return names };
        let is_alive = self.last_delete.is_none() || self.last_upsert > self.last_delete;
        let last = |of: Option<i64>| of.filter(|version| Some(*version) >= self.cleared());
        // An upsert or delete that came by pinned has taken the receipt with it, and brought none.
        let receipt = self.receipt.filter(|(version, ..)| Some(*version) >= self.cleared());
        let ours = [
            ("alive", row.alive() == is_alive),
            ("tw_live", row.live.map(|version| version.get()) == last(self.last_upsert)),
            ("tw_dead", row.dead.map(|version| version.get()) == last(self.last_delete)),
            ("tw_version", row.version.map(|version| version.get()) == Some(newest.version)),
            ("tw_change", row.change == Some(newest.id)),
            ("tw_source", row.source == newest.source),
            ("tw_partition", row.partition == receipt.map(|(_, partition, _)| partition)),
            ("tw_offset", row.offset == receipt.map(|(.., offset)| offset)),
        ];
        names.extend(ours.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name.to_owned()));
        names
    }

    fn subject(&self) -> String {
        let newest = self.newest.as_ref();
        newest.map_or_else(String::new, |newest| format!("{}, version {}", newest.origin, newest.version))
    }
}
