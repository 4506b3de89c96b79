use super::*;
use crate::FieldValue;
use crate::sample::{position, profile, row, text};

fn draft(op: Op) -> Draft {
    Draft {
        id: None,
        tenant: None,
        user_id: "u-1".into(),
        op,
        set: None,
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: None,
    }
}

fn place(key: Option<&[u8]>) -> Place<'_> {
    Place { key, origin: "changes.raw.v1/3/1024".parse().unwrap(), version: Version::new(8).unwrap() }
}

fn refused(draft: Draft) -> (RejectCode, String) {
    let rejection = accept(profile(), draft, place(Some(b"u-1"))).unwrap_err();
    (rejection.code, rejection.field.map(String::from).unwrap_or_default())
}

#[test]
fn a_draft_takes_its_place_in_history() {
    let set = row([("text", text("x"))]);
    let sent = Draft {
        tenant: Some("acme".into()),
        set: Some(set.clone()),
        unset: [position("email")].into_iter().collect(),
        occurred_at: Some(7),
        source: Some("crm".into()),
        ..draft(Op::Patch)
    };
    let change = accept(profile(), sent, place(Some(b"u-1"))).unwrap();
    assert_eq!((change.tenant.as_str(), change.user_id.as_str(), change.op), ("acme", "u-1", Op::Patch));
    assert_eq!((change.set, change.unset.len()), (set, 1));
    assert_eq!((change.occurred_at, change.source.as_deref(), change.version.get()), (Some(7), Some("crm"), 8));
    assert_eq!(change.origin.to_string(), "changes.raw.v1/3/1024");
}

#[test]
fn an_absent_id_is_made_of_the_origin_and_one_brought_is_kept() {
    let made = accept(profile(), draft(Op::Patch), place(Some(b"u-1"))).unwrap().id;
    assert_eq!(made, Uuid::new_v5(&Uuid::NAMESPACE_URL, b"tidewater:changes.raw.v1/3/1024"));
    assert_eq!(made.to_string(), "ee01ed15-09bf-5b17-a920-58ea58ab6994", "on every machine, in every release");
    let id = Some(Uuid::from_u128(7));
    assert_eq!(
        accept(profile(), Draft { id, ..draft(Op::Patch) }, place(Some(b"u-1"))).unwrap().id,
        Uuid::from_u128(7)
    );
}

#[test]
fn a_record_without_a_value_deletes_its_key_of_the_main_tenant() {
    let change = accept_null(place(Some("Zo\u{eb}".as_bytes()))).unwrap();
    assert_eq!((change.tenant.as_str(), change.user_id.as_str(), change.op), ("main", "Zo\u{eb}", Op::Delete));
    assert!(change.named().is_empty());
    assert_eq!(accept_null(place(None)), Err(Rejection::new(RejectCode::KeyMissing)));
    for bad in [&b""[..], b"\xff", b"a\n", &[b'x'; 129]] {
        assert_eq!(accept_null(place(Some(bad))), Err(Rejection::at(RejectCode::UserIdInvalid, "user_id")));
    }
}

#[test]
fn the_key_is_the_user_id_byte_for_byte() {
    let refused = |key| accept(profile(), draft(Op::Delete), place(key)).unwrap_err();
    assert_eq!(refused(None), Rejection::new(RejectCode::KeyMissing));
    for key in [&b""[..], b"u-2", b"U-1", b"u-1 ", b"\"u-1\""] {
        assert_eq!(refused(Some(key)), Rejection::at(RejectCode::KeyMismatch, "user_id"));
    }
    let decomposed = Draft { user_id: "Zoe\u{308}".into(), ..draft(Op::Delete) };
    assert!(accept(profile(), decomposed, place(Some("Zo\u{eb}".as_bytes()))).is_err(), "never normalised");
}

#[test]
fn who_is_checked() {
    for user_id in ["", "a\u{7f}", &"x".repeat(129)] {
        let bad = Draft { user_id: user_id.into(), ..draft(Op::Delete) };
        assert_eq!(refused(bad), (RejectCode::UserIdInvalid, "user_id".into()));
    }
    for tenant in ["", "Acme", "-a", "a_b", "_", &"x".repeat(64)] {
        let bad = Draft { tenant: Some(tenant.into()), ..draft(Op::Delete) };
        assert_eq!(refused(bad), (RejectCode::TenantInvalid, "tenant".into()), "{tenant}");
    }
}

#[test]
fn a_raw_change_brings_no_version() {
    assert_eq!(
        refused(Draft { version: Some(8), ..draft(Op::Patch) }),
        (RejectCode::VersionNotAllowed, "version".into())
    );
}

#[test]
fn the_parts_of_a_change_fit_together() {
    let email: FieldSet = [position("email")].into_iter().collect();
    let set = Some(row([("email", text("a@b.co"))]));
    for (op, set, unset, field) in [
        (Op::Delete, Some(Row::default()), FieldSet::EMPTY, "set"),
        (Op::Delete, None, email, "unset"),
        (Op::Upsert, set.clone(), email, "unset"),
        (Op::Upsert, None, email, "unset"),
        (Op::Patch, set, email, "unset.email"),
    ] {
        assert_eq!(refused(Draft { set, unset, ..draft(op) }), (RejectCode::Shape, field.into()));
    }
    for (op, set, unset) in [
        (Op::Delete, None, FieldSet::EMPTY),
        (Op::Upsert, None, FieldSet::EMPTY),
        (Op::Patch, None, FieldSet::EMPTY),
        (Op::Patch, Some(row([("flag", FieldValue::Bool(true))])), email),
    ] {
        assert!(accept(profile(), Draft { set, unset, ..draft(op) }, place(Some(b"u-1"))).is_ok(), "{op:?}");
    }
}

#[test]
fn no_producer_names_a_derived_field() {
    let set = Some(row([("region", text("Europe"))]));
    assert_eq!(refused(Draft { set, ..draft(Op::Upsert) }), (RejectCode::DerivedField, "set.region".into()));
    let unset = [position("domain")].into_iter().collect();
    assert_eq!(refused(Draft { unset, ..draft(Op::Patch) }), (RejectCode::DerivedField, "unset.domain".into()));
}

#[test]
fn a_record_of_exactly_the_limit_passes() {
    assert_eq!(check_size(RECORD_BYTES_MAX, RECORD_BYTES_MAX), Ok(()));
    assert_eq!(check_size(RECORD_BYTES_MAX + 1, RECORD_BYTES_MAX), Err(Rejection::new(RejectCode::TooLarge)));
    assert_eq!((RECORD_BYTES_MAX, OUTPUT_BYTES_MAX), (1_048_576, 1_572_864));
}

#[test]
fn a_key_has_one_partition() {
    let home = partition_for(b"u-1", 12);
    for partition in 0..12 {
        let expected = if partition == home { Ok(()) } else { Err(Rejection::new(RejectCode::Misplaced)) };
        assert_eq!(check_partition(Some(b"u-1"), partition, 12), expected);
        assert_eq!(check_partition(None, partition, 12), Ok(()));
    }
}
