use super::*;
use crate::reference::Table;
use crate::sample::{position, profile, row, text};
use crate::{Origin, Row, Tenant, UserId, Version};
use uuid::Uuid;

/// 2026-01-01 and 2027-01-01, in microseconds.
const YEARS: [i64; 2] = [1_767_225_600_000_000, 1_798_761_600_000_000];

fn tables() -> Tables {
    let mut tables = Tables::default();
    for (file, text) in [
        ("countries@20260101T000000Z.csv", "country,region\nDE,Europe\nXK,\n"),
        ("countries@20270101T000000Z.csv", "country,region\nDE,Eurasia\n"),
    ] {
        assert!(tables.insert(&file.parse().unwrap(), Table::parse(text).unwrap()));
    }
    tables
}

type Texts = Vec<(&'static str, String)>;

/// What is set and unset of an enriched change.
fn enriched(op: Op, set: Row, unset: &[&str], version: i64) -> (Texts, Vec<&'static str>) {
    let change = Change {
        id: Uuid::nil(),
        tenant: Tenant::default(),
        user_id: UserId::new("u").unwrap(),
        op,
        set,
        unset: unset.iter().map(|name| position(name)).collect(),
        occurred_at: None,
        source: None,
        version: Version::new(version).unwrap(),
        origin: Origin::new("changes.raw.v1", 0, 0).unwrap(),
    };
    let once = enrich(profile(), &tables(), change);
    assert_eq!(enrich(profile(), &tables(), once.clone()), once, "twice is once");
    let name = |position: usize| &*profile().fields()[position].name;
    let set = once.set.iter().map(|(field, value)| {
        let FieldValue::Text(text) = value else { panic!("{value:?}") };
        (name(field), text.clone())
    });
    (set.collect(), once.unset.iter().map(name).collect())
}

#[test]
fn a_derived_field_is_set_with_its_source() {
    for op in [Op::Patch, Op::Upsert] {
        let sources = row([("email", text("\"a@b\"@example.com")), ("country", text("DE"))]);
        let (set, unset) = enriched(op, sources, &[], YEARS[0]);
        assert_eq!(set[2..], [("domain", "example.com".into()), ("region", "Europe".into())]);
        assert!(unset.is_empty());
    }
}

#[test]
fn a_derived_field_is_unset_with_its_source() {
    let (set, unset) = enriched(Op::Patch, Row::default(), &["email", "country"], YEARS[0]);
    assert!(set.is_empty());
    assert_eq!(unset, ["email", "country", "domain", "region"]);
}

#[test]
fn a_miss_unsets_in_a_patch_and_is_absence_in_an_upsert() {
    for miss in ["FR", "XK"] {
        assert_eq!(enriched(Op::Patch, row([("country", text(miss))]), &[], YEARS[0]).1, ["region"], "{miss}");
        let (set, unset) = enriched(Op::Upsert, row([("country", text(miss))]), &[], YEARS[0]);
        assert_eq!((set.len(), unset.len()), (1, 0), "{miss}");
    }
}

#[test]
fn a_derived_field_is_left_alone_where_its_source_is() {
    let (set, unset) = enriched(Op::Patch, row([("text", text("x"))]), &["phone"], YEARS[0]);
    assert_eq!((set, unset), (vec![("text", "x".into())], vec!["phone"]));
    assert_eq!(enriched(Op::Upsert, Row::default(), &[], YEARS[0]), (vec![], vec![]));
    assert_eq!(enriched(Op::Delete, Row::default(), &[], YEARS[0]), (vec![], vec![]));
}

#[test]
fn a_derived_field_never_outlives_its_source() {
    let (set, unset) = enriched(Op::Patch, row([("region", text("Atlantis"))]), &["domain"], YEARS[0]);
    assert_eq!((set, unset), (vec![], vec![]));
}

#[test]
fn a_lookup_is_of_the_table_in_force_at_the_version() {
    for (version, region) in [(8, "Europe"), (YEARS[0], "Europe"), (YEARS[1] - 8, "Europe"), (YEARS[1], "Eurasia")] {
        let (set, _) = enriched(Op::Patch, row([("country", text("DE"))]), &[], version);
        assert_eq!(set[1].1, region, "{version}");
    }
}
