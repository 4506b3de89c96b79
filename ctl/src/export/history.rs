//! A row as the changes that leave it: what is left of each that had a part in it.

use schemas::{Draft, FieldSet, Op, Profile, Row, Tenant, UserId, Version};
use std::collections::BTreeMap;
use store::cql::VersionedRow;

/// The changes, oldest first, each with its version. Written in any order they leave the row's fields, and it alive or
/// not, as they are. Empty for a row of which no change is left.
///
/// Id and source are known of the newest change alone.
pub(super) fn drafts_of(profile: &Profile, tenant: &Tenant, user_id: &UserId, row: &VersionedRow) -> Vec<Draft> {
    let draft = |op: Op, set: Option<Row>, version: Version| Draft {
        id: None,
        tenant: Some(tenant.as_str().to_owned()),
        user_id: user_id.as_str().to_owned(),
        op,
        set,
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Some(version.get()),
    };
    let about = &row.row;
    let mut by_version = values_of(profile, row);
    // These have had a part in the row even if no value of theirs is left.
    for version in [about.live, about.dead, about.version].into_iter().flatten() {
        by_version.entry(version).or_default();
    }
    let mut drafts = Vec::with_capacity(by_version.len());
    for (version, set) in by_version {
        let (is_upsert, is_delete) = (about.live == Some(version), about.dead == Some(version));
        if is_upsert {
            drafts.push(draft(Op::Upsert, Some(set), version));
        } else if !is_delete || !set.named().is_empty() {
            drafts.push(draft(Op::Patch, Some(set), version));
        }
        if is_delete {
            drafts.push(draft(Op::Delete, None, version));
        }
    }
    let newest = about.version.map(Version::get);
    if let Some(last) = drafts.iter_mut().rfind(|draft| draft.version == newest) {
        last.id = about.change;
        last.source.clone_from(&about.source);
    }
    drafts
}

/// The values by the version that wrote them, without those that are derived again.
fn values_of(profile: &Profile, row: &VersionedRow) -> BTreeMap<Version, Row> {
    let mut by_version = BTreeMap::<Version, Row>::new();
    for (position, value) in row.row.row.iter() {
        let is_derived = profile.fields().get(position).is_none_or(|field| field.derived.is_some());
        if let Some(version) = row.version_of(position).filter(|_| !is_derived) {
            by_version.entry(version).or_default().set(position, value.clone());
        }
    }
    by_version
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::FieldValue;
    use schemas::json::Written;
    use store::cql::ProfileRow;
    use uuid::Uuid;

    /// Values with their versions, then `tw_live`, `tw_dead`, `tw_version`.
    fn lines(values: &[(&str, &str, i64)], live: i64, dead: i64, newest: i64) -> String {
        let profile = Profile::embedded().unwrap();
        let mut row = VersionedRow { versions: vec![None; profile.fields().len()], ..VersionedRow::default() };
        for (name, value, version) in values {
            let position = profile.position(name).unwrap();
            row.row.row.set(position, FieldValue::Text((*value).to_owned()));
            row.versions[position] = Version::new(*version);
        }
        let (live, dead, version) = (Version::new(live), Version::new(dead), Version::new(newest));
        let (change, source) = (Some(Uuid::nil()), Some("crm".to_owned()));
        row.row = ProfileRow { live, dead, version, change, source, ..row.row };
        let drafts = drafts_of(&profile, &Tenant::default(), &UserId::new("ada").unwrap(), &row);
        let line = |draft| serde_json::to_string(&Written { profile: &profile, draft }).unwrap();
        drafts.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn an_upsert_has_its_own_values_and_each_later_version_a_patch() {
        let values = [("name", "Ada", 16), ("email", "a@b.example", 20), ("email_domain", "b.example", 20)];
        insta::assert_snapshot!(lines(&values, 16, 0, 28), @r#"
        {"tenant":"main","user_id":"ada","op":"upsert","set":{"name":"Ada"},"version":16}
        {"tenant":"main","user_id":"ada","op":"patch","set":{"email":"a@b.example"},"version":20}
        {"id":"00000000-0000-0000-0000-000000000000","tenant":"main","user_id":"ada","op":"patch","set":{},"source":"crm","version":28}
        "#);
    }

    #[test]
    fn an_upsert_of_which_no_value_is_left_is_still_one() {
        insta::assert_snapshot!(lines(&[("name", "Ada", 20)], 16, 0, 20), @r#"
        {"tenant":"main","user_id":"ada","op":"upsert","set":{},"version":16}
        {"id":"00000000-0000-0000-0000-000000000000","tenant":"main","user_id":"ada","op":"patch","set":{"name":"Ada"},"source":"crm","version":20}
        "#);
    }

    #[test]
    fn a_deleted_user_is_a_delete_and_the_patches_that_came_too_late() {
        insta::assert_snapshot!(lines(&[("name", "Ada", 20)], 0, 16, 20), @r#"
        {"tenant":"main","user_id":"ada","op":"delete","version":16}
        {"id":"00000000-0000-0000-0000-000000000000","tenant":"main","user_id":"ada","op":"patch","set":{"name":"Ada"},"source":"crm","version":20}
        "#);
    }

    #[test]
    fn a_user_that_patches_made_has_no_upsert() {
        insta::assert_snapshot!(lines(&[("name", "Ada", 20)], 0, 0, 20), @r#"{"id":"00000000-0000-0000-0000-000000000000","tenant":"main","user_id":"ada","op":"patch","set":{"name":"Ada"},"source":"crm","version":20}"#);
    }

    #[test]
    fn upsert_and_delete_of_one_version_are_both_told() {
        insta::assert_snapshot!(lines(&[("name", "Ada", 16)], 16, 16, 16), @r#"
        {"tenant":"main","user_id":"ada","op":"upsert","set":{"name":"Ada"},"version":16}
        {"id":"00000000-0000-0000-0000-000000000000","tenant":"main","user_id":"ada","op":"delete","source":"crm","version":16}
        "#);
    }

    #[test]
    fn of_a_row_without_a_change_nothing_is_told() {
        assert_eq!(lines(&[], 0, 0, 0), "");
    }
}
