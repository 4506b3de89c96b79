//! The kept schemas, and what becomes of records that name others.

use super::super::ReadPlan;
use crate::profile::{CHANGE, ChangeSchema, HISTORY, Problems};
use crate::{
    Change, Codec, DecodeError, EncodeError, FieldSet, FieldValue, Op, Origin, Profile, RejectCode, Row, Tenant,
    UserId, Version,
};
use apache_avro::Schema;
use serde_json::{Value, json};
use std::sync::Arc;
use uuid::Uuid;

fn change(op: Op, set: &[(usize, FieldValue)], unset: &[usize]) -> Change {
    let mut row = Row::default();
    set.iter().for_each(|(field, value)| row.set(*field, value.clone()));
    Change {
        id: Uuid::from_u128(0x7c9e_6679_7425_40de_944b_e07f_c1f9_0ae7),
        tenant: Tenant::default(),
        user_id: UserId::new("Ada \u{1F30A}").unwrap(),
        op,
        set: row,
        unset: unset.iter().copied().collect(),
        occurred_at: Some(-1),
        source: None,
        version: Version::new(1_763_805_600_123_452).unwrap(),
        origin: Origin::new("changes.raw.v1", 3, 1024).unwrap(),
    }
}

fn text(text: &str) -> FieldValue {
    FieldValue::Text(text.into())
}

/// A profile of two strings and `more`, read by whoever kept `history`.
fn profile(more: &[Value]) -> String {
    let mut fields = vec![
        json!({"name": "a", "type": ["null", "string"], "default": null}),
        json!({"name": "b", "type": ["null", "string"], "default": null}),
    ];
    fields.extend_from_slice(more);
    json!({"type": "record", "name": "Profile", "namespace": "tidewater.v1", "fields": fields}).to_string()
}

fn codec(present: &str, history: &[&str]) -> Codec {
    let kept: Vec<_> = history.iter().map(|text| ChangeSchema::splice(CHANGE, text).unwrap()).collect();
    let history: Vec<_> = kept.iter().map(|kept| (kept.fingerprint.to_string(), &*kept.text)).collect();
    let history = history.iter().map(|(name, text)| (name.as_str(), *text));
    Codec::new(Arc::new(Profile::load(CHANGE, present, history).unwrap()))
}

fn encode(codec: &Codec, change: &Change) -> Vec<u8> {
    let mut out = Vec::new();
    codec.encode(change, &mut out).unwrap();
    out
}

#[test]
fn every_op_comes_back_as_it_was_written() {
    let codec = super::embedded();
    let position = |name| codec.profile().position(name).unwrap();
    let all = [
        (position("email"), text("ada@example.com")),
        (position("plan"), text("pro")),
        (position("birth_date"), FieldValue::Int(-56_270)),
        (position("marketing_opt_in"), FieldValue::Bool(true)),
        (position("last_seen_at"), FieldValue::Long(i64::MAX)),
    ];
    for change in [
        change(Op::Upsert, &all, &[]),
        change(Op::Upsert, &[], &[]),
        change(Op::Patch, &all, &[position("phone"), position("region")]),
        change(Op::Patch, &[], &[0]),
        change(Op::Delete, &[], &[]),
    ] {
        let record = encode(&codec, &change);
        assert_eq!(codec.decode(&record, change.origin.clone()), Ok(change.clone()));
        let draft = codec.decode_draft(&record).unwrap();
        assert_eq!((draft.op, draft.set.unwrap_or_default(), draft.unset), (change.op, change.set, change.unset));
        assert_eq!((draft.id, draft.version), (Some(change.id), Some(change.version.get())));
    }
}

#[test]
fn the_schema_of_this_release_is_kept() {
    // The error names the file to add, and the command that writes it.
    if let Err(error) = Profile::embedded() {
        panic!("{error}");
    }
}

#[test]
fn every_kept_schema_can_be_read_by_every_other() {
    for (reader, text) in HISTORY {
        let json: Value = serde_json::from_str(text).unwrap();
        let set = json["fields"].as_array().unwrap().iter().find(|field| field["name"] == "set").unwrap();
        let kept = Profile::load(CHANGE, &set["type"][1].to_string(), [(*reader, *text)]).unwrap();
        for (writer, text) in HISTORY {
            let mut problems = Problems::default();
            let plan = ReadPlan::new(&Schema::parse_str(text).unwrap(), kept.fields(), writer, &mut problems);
            problems.none_or(()).unwrap();
            assert!(plan.is_some(), "{writer} by {reader}");
        }
    }
}

#[test]
fn a_record_names_its_schema_as_its_file_is_named() {
    let codec = super::embedded();
    let record = encode(&codec, &change(Op::Delete, &[], &[]));
    assert_eq!(record[..2], [0xC3, 0x01]);
    let name: String = record[2..10].iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(HISTORY.iter().any(|(file, _)| *file == format!("{name}.avsc")));
}

#[test]
fn a_schema_that_nobody_kept_is_unknown() {
    let codec = super::embedded();
    let mut record = encode(&codec, &change(Op::Delete, &[], &[]));
    record[9] ^= 1;
    let error = codec.decode_draft(&record).unwrap_err();
    assert!(matches!(error, DecodeError::UnknownSchema(_)), "{error}");
    assert_eq!(error.rejection().code, RejectCode::SchemaUnknown);
    let framed = codec.decode_draft(&[0, 0, 0, 1, 2, 3]).unwrap_err();
    assert_eq!(framed, DecodeError::UnknownRegistryId(258));
    assert_eq!(framed.rejection().code, RejectCode::SchemaUnknown);
}

#[test]
fn what_has_no_framing_is_undecodable() {
    let codec = super::embedded();
    for record in [&b""[..], b"\xC3", b"\xC3\x02", b"\xC3\x01\x00", b"\x00\x00\x00", b"hello", b"{}"] {
        let error = codec.decode_draft(record).unwrap_err();
        assert_eq!(error.rejection().code, RejectCode::Undecodable, "{record:?}");
    }
}

#[test]
fn an_older_release_says_which_field_it_lacks() {
    let (old, new) = (profile(&[]), profile(&[json!({"name": "c", "type": ["null", "int"], "default": null})]));
    let (old_codec, new_codec) = (codec(&old, &[&old, &new]), codec(&new, &[&old, &new]));

    let written_by_old = encode(&old_codec, &change(Op::Patch, &[(1, text("x"))], &[0]));
    let origin = Origin::new("changes.raw.v1", 3, 1024).unwrap();
    let read = new_codec.decode(&written_by_old, origin.clone()).unwrap();
    assert_eq!(read, change(Op::Patch, &[(1, text("x"))], &[0]), "the newer one reads the older one's");

    let written_by_new = encode(&new_codec, &change(Op::Patch, &[(1, text("x"))], &[0]));
    let schema = new_codec.profile().fingerprint();
    let lacking = DecodeError::UnknownField { schema, field: "set.c".into() };
    assert_eq!(old_codec.decode(&written_by_new, origin), Err(lacking.clone()));
    assert!(lacking.to_string().contains(&schema.to_string()));
    assert_eq!(lacking.rejection().code, RejectCode::FieldUnknown);
    assert_eq!(lacking.rejection().field.as_deref(), Some("set.c"));
}

#[test]
fn a_name_in_unset_that_no_field_has_is_refused_at_unset() {
    let codec = codec(&profile(&[]), &[&profile(&[])]);
    let mut record = encode(&codec, &change(Op::Patch, &[], &[0]));
    let at = record.windows(4).position(|bytes| bytes == [2, 2, b'a', 0]).unwrap();
    record[at + 2] = b'z';
    let error = codec.decode_draft(&record).unwrap_err();
    assert_eq!(error.rejection().code, RejectCode::FieldUnknown);
    assert_eq!(error.rejection().field.as_deref(), Some("unset"));
}

#[test]
fn an_older_release_says_which_field_lacks_a_symbol() {
    let plan = |symbols: &[&str]| {
        let schema = json!({"type": "enum", "name": "Plan", "symbols": symbols});
        profile(&[json!({"name": "plan", "type": ["null", schema], "default": null})])
    };
    let (old, new) = (plan(&["free"]), plan(&["gold", "free"]));
    let (old_codec, new_codec) = (codec(&old, &[&old, &new]), codec(&new, &[&old, &new]));
    let decode = |symbol| old_codec.decode_draft(&encode(&new_codec, &change(Op::Patch, &[(2, text(symbol))], &[])));
    assert_eq!(decode("free").unwrap().set.unwrap().get(2), Some(&text("free")));
    let error = decode("gold").unwrap_err();
    assert_eq!(
        error,
        DecodeError::UnknownSymbol { schema: new_codec.profile().fingerprint(), field: "set.plan".into() }
    );
    assert_eq!(error.rejection().code, RejectCode::FieldType);
}

#[test]
fn on_our_topics_a_change_that_contradicts_itself_does_not_decode() {
    let codec = codec(&profile(&[]), &[&profile(&[])]);
    let mut record = encode(&codec, &change(Op::Patch, &[(0, text("x"))], &[]));
    let op = record.windows(4).position(|bytes| bytes == [2, 2, 2, 2]).unwrap();
    record[op] = 4;
    let origin = Origin::new("changes.raw.v1", 0, 0).unwrap();
    assert!(matches!(codec.decode(&record, origin), Err(DecodeError::Malformed(_))));
    assert_eq!(codec.decode_draft(&record).unwrap().op, Op::Delete, "what outsiders write is judged by the rules");
}

#[test]
fn a_change_that_could_not_be_read_back_is_not_written() {
    let codec = super::embedded();
    let email = codec.profile().position("email").unwrap();
    let plan = codec.profile().position("plan").unwrap();
    let mut out = vec![7];
    for (change, error) in [
        (change(Op::Patch, &[(email, FieldValue::Int(1))], &[]), EncodeError::Type),
        (change(Op::Patch, &[(plan, text("platinum"))], &[]), EncodeError::Type),
        (change(Op::Patch, &[(63, text("x"))], &[]), EncodeError::Field),
        (change(Op::Patch, &[], &[63]), EncodeError::Field),
        (change(Op::Patch, &[(email, text("x"))], &[email]), EncodeError::Shape),
        (change(Op::Upsert, &[], &[email]), EncodeError::Shape),
        (change(Op::Delete, &[(email, text("x"))], &[]), EncodeError::Shape),
    ] {
        assert_eq!(codec.encode(&change, &mut out), Err(error));
        assert_eq!(out, [7], "what was there is there, and nothing else");
    }
    assert_eq!(change(Op::Delete, &[], &[]).unset, FieldSet::EMPTY);
}
