use super::*;
use crate::profile::Derived;
use crate::sample::{position, profile, row, text};
use proptest::prelude::*;
use proptest::{collection, option, sample};
use serde_json::{Value, json};

fn read(text: &str) -> Result<Draft, Rejection> {
    decode(profile(), text.as_bytes())
}

fn refused(text: &str) -> (RejectCode, String) {
    let rejection = read(text).expect_err(text);
    (rejection.code, rejection.field.map(String::from).unwrap_or_default())
}

/// A patch that sets one field to `value`, which is JSON.
fn set(field: &str, value: &str) -> String {
    format!(r#"{{"user_id":"u","op":"patch","set":{{"{field}":{value}}}}}"#)
}

#[test]
fn every_key_of_a_change_is_read() {
    let draft = read(
        r#"{"id":"0192F0C1-7b2a-7c3d-9e4f-5a6b7c8d9e0f","tenant":"acme","user_id":"Zo\u00eb","op":"patch",
            "set":{"flag":true,"int":-3,"day":"1970-01-02","time":"1970-01-01T00:00:00.5Z","bytes":"AP8=","plan":"pro"},
            "unset":["email","phone"],"occurred_at":"1970-01-01T01:00:00+01:00","source":"crm","version":16}"#,
    );
    let values = [
        ("flag", FieldValue::Bool(true)),
        ("int", FieldValue::Int(-3)),
        ("day", FieldValue::Int(1)),
        ("time", FieldValue::Long(500_000)),
        ("bytes", FieldValue::Bytes(vec![0, 255])),
        ("plan", text("pro")),
    ];
    let expected = Draft {
        id: Some("0192f0c1-7b2a-7c3d-9e4f-5a6b7c8d9e0f".parse().unwrap()),
        tenant: Some("acme".into()),
        user_id: "Zo\u{eb}".into(),
        op: Op::Patch,
        set: Some(row(values)),
        unset: [position("email"), position("phone")].into_iter().collect(),
        occurred_at: Some(0),
        source: Some("crm".into()),
        version: Some(16),
    };
    assert_eq!(draft.unwrap(), expected);
}

#[test]
fn null_for_an_optional_key_is_its_absence() {
    let nulls = read(
        r#"{"id":null,"tenant":null,"user_id":"u","op":"delete","set":null,"unset":null,"occurred_at":null,
            "source":null,"version":null}"#,
    );
    assert_eq!(nulls, read(r#"{"user_id":"u","op":"delete"}"#));
    assert_eq!(nulls.unwrap().set, None);
}

#[test]
fn null_for_a_field_clears_in_a_patch_and_is_absence_in_an_upsert() {
    let patch = read(r#"{"set":{"text":null,"int":1},"op":"patch","user_id":"u"}"#).unwrap();
    assert_eq!(patch.unset.iter().collect::<Vec<_>>(), [position("text")]);
    assert_eq!(patch.set, Some(row([("int", FieldValue::Int(1))])));
    let upsert = read(r#"{"set":{"text":null,"int":1},"op":"upsert","user_id":"u"}"#).unwrap();
    assert!(upsert.unset.is_empty());
    assert_eq!(upsert.set, patch.set);
    let twice = refused(r#"{"set":{"text":null},"unset":["text"],"op":"patch","user_id":"u"}"#);
    assert_eq!(twice, (RejectCode::Shape, "unset.text".into()));
}

#[test]
fn what_is_no_json_object_from_its_first_byte_on_is_undecodable() {
    let whole = r#"{"user_id":"u","op":"delete"}"#;
    assert!(read(&format!("{whole} \r\n\t")).is_ok(), "JSON's white space may follow");
    let cut: Vec<String> = (0..whole.len()).map(|end| whole.chars().take(end).collect()).collect();
    let others = [
        format!(" {whole}"),
        format!("\u{feff}{whole}"),
        format!("{whole}{whole}"),
        format!("{whole}\0"),
        "[]".into(),
        "\"{}\"".into(),
        r#"{"user_id":"\ud800","op":"delete"}"#.into(),
        "{\"user_id\":\"a\nb\",\"op\":\"delete\"}".into(),
        r#"{"user_id":"u","op":"delete",}"#.into(),
        r#"{'user_id':'u','op':'delete'}"#.into(),
        r#"{"user_id":"u","op":"patch","set":{"int":01}}"#.into(),
        r#"{"user_id":"u","op":"patch","set":{"double":NaN}}"#.into(),
    ];
    for bad in cut.iter().chain(&others) {
        assert_eq!(refused(bad), (RejectCode::Undecodable, String::new()), "{bad}");
    }
    let latin1 = b"{\"user_id\":\"Zo\xeb\",\"op\":\"delete\"}";
    assert_eq!(decode(profile(), latin1), Err(Rejection::new(RejectCode::Undecodable)));
}

#[test]
fn a_wrong_key_is_named() {
    for (bad, code, field) in [
        (r#"{"user_id":"u"}"#, RejectCode::FieldMissing, "op"),
        (r#"{"op":"delete"}"#, RejectCode::FieldMissing, "user_id"),
        (r#"{"user_id":"u","op":"delete","User_Id":1}"#, RejectCode::FieldUnknown, "User_Id"),
        (r#"{"user_id":"u","set":{"nick name":[1]}}"#, RejectCode::FieldUnknown, "set.nick%20name"),
        (r#"{"user_id":"u","unset":["tw_live"]}"#, RejectCode::FieldUnknown, "unset.tw_live"),
        (r#"{"user_id":"u","user_id":"u"}"#, RejectCode::FieldDuplicate, "user_id"),
        (r#"{"set":{"int":1},"set":{"long":1}}"#, RejectCode::FieldDuplicate, "set"),
        (r#"{"set":{"int":1,"int":1}}"#, RejectCode::FieldDuplicate, "set.int"),
        (r#"{"set":{"int":null,"i\u006et":1}}"#, RejectCode::FieldDuplicate, "set.int"),
        (r#"{"set":{"int":1,"old_int":1}}"#, RejectCode::FieldDuplicate, "set.int"),
        (r#"{"unset":["old_region"]}"#, RejectCode::DerivedField, "unset.region"),
        (r#"{"unset":["int","long","int"]}"#, RejectCode::FieldDuplicate, "unset.int"),
        (r#"{"set":{"domain":"example.com"}}"#, RejectCode::DerivedField, "set.domain"),
        (r#"{"set":{"region":null}}"#, RejectCode::DerivedField, "set.region"),
        (r#"{"unset":["region"]}"#, RejectCode::DerivedField, "unset.region"),
    ] {
        assert_eq!(refused(bad), (code, field.into()), "{bad}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_named() {
    for (bad, field) in [
        (r#"{"user_id":7}"#, "user_id"),
        (r#"{"user_id":null}"#, "user_id"),
        (r#"{"op":"replace"}"#, "op"),
        (r#"{"op":"Upsert"}"#, "op"),
        (r#"{"op":null}"#, "op"),
        (r#"{"set":[]}"#, "set"),
        (r#"{"set":"int"}"#, "set"),
        (r#"{"unset":{}}"#, "unset"),
        (r#"{"unset":"int"}"#, "unset"),
        (r#"{"unset":["int",null]}"#, "unset.1"),
        (r#"{"version":"8"}"#, "version"),
        (r#"{"version":1e400}"#, "version"),
        (r#"{"occurred_at":1}"#, "occurred_at"),
    ] {
        assert_eq!(refused(bad), (RejectCode::FieldType, field.into()), "{bad}");
    }
    for (field, bad) in [
        ("flag", "1"),
        ("flag", "\"true\""),
        ("int", "2147483648"),
        ("int", "1.0"),
        ("int", "1e2"),
        ("int", "\"1\""),
        ("long", "9223372036854775808"),
        ("long", "-9223372036854775809"),
        ("long", "1e999"),
        ("float", "1e39"),
        ("float", "-1e999"),
        ("double", "\"0.5\""),
        ("text", "1"),
        ("text", "true"),
        ("plan", "\"Free\""),
        ("plan", "0"),
        ("bytes", "1"),
        ("day", "20000"),
        ("time", "0"),
        ("device", "0"),
    ] {
        assert_eq!(refused(&set(field, bad)), (RejectCode::FieldType, format!("set.{field}")), "{bad}");
    }
}

#[test]
fn a_text_that_is_no_date_time_id_or_base64_is_named() {
    assert_eq!(refused(r#"{"id":"{0192f0c1-7b2a-7c3d-9e4f-5a6b7c8d9e0f}"}"#), (RejectCode::FormatInvalid, "id".into()));
    assert_eq!(refused(r#"{"occurred_at":"yesterday"}"#), (RejectCode::FormatInvalid, "occurred_at".into()));
    for (field, bad) in [("day", "1990-02-29"), ("time", "2026-01-01"), ("bytes", "AP8"), ("bytes", "_-8=")] {
        let value = format!("\"{bad}\"");
        assert_eq!(refused(&set(field, &value)), (RejectCode::FormatInvalid, format!("set.{field}")), "{bad}");
    }
}

#[test]
fn a_field_may_go_by_a_former_name() {
    let draft = read(r#"{"user_id":"u","op":"patch","set":{"old_int":1},"unset":["old_text"]}"#).unwrap();
    assert_eq!(draft.set, Some(row([("int", FieldValue::Int(1))])));
    assert!(draft.unset.contains(position("text")));
}

#[test]
fn a_nested_value_is_refused_where_it_begins() {
    let deep = "[".repeat(100_000);
    assert_eq!(refused(&set("text", &deep)), (RejectCode::TooDeep, "set.text".into()));
    assert_eq!(refused(&set("text", r#"{"a":1}"#)), (RejectCode::TooDeep, "set.text".into()));
    assert_eq!(refused(r#"{"user_id":["u"]}"#), (RejectCode::TooDeep, "user_id".into()));
    assert_eq!(refused(r#"{"unset":["int",["long"]]}"#), (RejectCode::TooDeep, "unset.1".into()));
}

#[test]
fn a_number_keeps_its_last_digit() {
    let read = |field: &str, value: &str| read(&set(field, value)).unwrap().set.unwrap().take(position(field)).unwrap();
    assert_eq!(read("double", "1.2345678901234567e-7"), FieldValue::Double(1.234_567_890_123_456_7e-7));
    assert_eq!(read("double", "1"), FieldValue::Double(1.0));
    assert_eq!(read("float", "0.1"), FieldValue::Float(0.1));
    assert_eq!(read("long", "-9223372036854775808"), FieldValue::Long(i64::MIN));
    assert_eq!(read("int", "2147483647"), FieldValue::Int(i32::MAX));
}

fn value_of(kind: &Kind) -> BoxedStrategy<FieldValue> {
    match kind {
        Kind::Boolean => any::<bool>().prop_map(FieldValue::Bool).boxed(),
        Kind::Int => any::<i32>().prop_map(FieldValue::Int).boxed(),
        Kind::Long => any::<i64>().prop_map(FieldValue::Long).boxed(),
        Kind::Float => proptest::num::f32::NORMAL.prop_map(FieldValue::Float).boxed(),
        Kind::Double => proptest::num::f64::NORMAL.prop_map(FieldValue::Double).boxed(),
        Kind::String => any::<String>().prop_map(FieldValue::Text).boxed(),
        Kind::Enum(symbols) => sample::select(symbols.clone()).prop_map(|s| FieldValue::Text(s.into())).boxed(),
        Kind::Bytes => any::<Vec<u8>>().prop_map(FieldValue::Bytes).boxed(),
        Kind::Date => crate::calendar::DAYS.prop_map(FieldValue::Int).boxed(),
        Kind::TimestampMicros => crate::calendar::MICROS.prop_map(FieldValue::Long).boxed(),
        Kind::Uuid => any::<u128>().prop_map(|n| FieldValue::Text(Uuid::from_u128(n).to_string())).boxed(),
    }
}

fn any_row() -> impl Strategy<Value = Row> {
    let slots: Vec<_> = profile()
        .fields()
        .iter()
        .map(|field| match field.derived {
            Some(Derived::Derive { .. } | Derived::Lookup { .. }) => Just(None).boxed(),
            None => option::of(value_of(&field.kind)).boxed(),
        })
        .collect();
    slots.prop_map(|slots| {
        let mut row = Row::with_width(slots.len());
        for (field, value) in slots.into_iter().enumerate() {
            if let Some(value) = value {
                row.set(field, value);
            }
        }
        row
    })
}

prop_compose! {
    fn any_draft()(
        (id, tenant, user_id) in any::<(Option<u128>, Option<String>, String)>(),
        op in sample::select(vec![Op::Upsert, Op::Patch, Op::Delete]),
        set in option::of(any_row()),
        unset in collection::vec(0..position("domain"), 0..4),
        occurred_at in option::of(crate::calendar::MICROS),
        (source, version) in any::<(Option<String>, Option<i64>)>(),
    ) -> Draft {
        let id = id.map(Uuid::from_u128);
        Draft { id, tenant, user_id, op, set, unset: unset.into_iter().collect(), occurred_at, source, version }
    }
}

fn written(draft: &Draft) -> String {
    let object = json!({
        "id": draft.id.map(|id| id.to_string()),
        "tenant": draft.tenant,
        "user_id": draft.user_id,
        "op": match draft.op { Op::Upsert => "upsert", Op::Patch => "patch", Op::Delete => "delete" },
        "unset": draft.unset.iter().map(|at| &*profile().fields()[at].name).collect::<Vec<_>>(),
        "occurred_at": draft.occurred_at.map(|micros| crate::calendar::time_of(micros).unwrap()),
        "source": draft.source,
        "version": draft.version,
    });
    match &draft.set {
        Some(row) => {
            let set = serde_json::to_string(&Fields { profile: profile(), row }).unwrap();
            object.to_string().replacen('{', &format!("{{\"set\":{set},"), 1)
        }
        None => object.to_string(),
    }
}

/// Every key of the object and of those within, as the text of a path and the object it stands in.
fn duplicated(draft: &Draft, pick: usize) -> (String, String) {
    let Value::Object(outer) = serde_json::from_str(&written(draft)).unwrap() else { panic!("an object") };
    let mut places: Vec<(String, Value)> = outer.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    if let Some(Value::Object(set)) = outer.get("set") {
        places.extend(set.iter().map(|(key, value)| (format!("set.{key}"), value.clone())));
    }
    let (path, value) = &places[pick % places.len()];
    let key = path.rsplit('.').next().unwrap();
    let entry = format!("{}:{value}", Value::from(key));
    let text = match path.strip_prefix("set.") {
        Some(_) => written(draft).replacen("\"set\":{", &format!("\"set\":{{{entry},"), 1),
        None => written(draft).replacen('{', &format!("{{{entry},"), 1),
    };
    (text, path.clone())
}

proptest! {
    #[test]
    fn any_bytes_are_a_draft_or_a_rejection(bytes: Vec<u8>) {
        let mut object = bytes.clone();
        object.insert(0, b'{');
        drop((decode(profile(), &bytes), decode(profile(), &object)));
    }

    #[test]
    fn a_damaged_change_is_a_draft_or_a_rejection(draft in any_draft(), at: sample::Index, byte: u8) {
        let mut bytes = written(&draft).into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        drop(decode(profile(), &bytes));
        drop(decode(profile(), &bytes[..at]));
    }

    #[test]
    fn what_is_written_is_read_again(draft in any_draft()) {
        prop_assert_eq!(read(&written(&draft)).unwrap(), draft);
    }

    #[test]
    fn a_key_that_stands_twice_is_found_at_any_depth(draft in any_draft(), pick: usize) {
        let (text, path) = duplicated(&draft, pick);
        prop_assert_eq!(refused(&text), (RejectCode::FieldDuplicate, path));
    }

    #[test]
    fn a_rejection_repeats_nothing_but_an_unknown_key(at: sample::Index, canary in "[Q-Z]{8,30}") {
        let value = Value::from(&*canary);
        let texts: Vec<String> = profile()
            .fields()
            .iter()
            .flat_map(|field| {
                let field = &*field.name;
                [value.to_string(), format!("[{value}]"), format!("{{{value}:{value}}}")].map(|bad| set(field, &bad))
            })
            .chain(["id", "op", "occurred_at", "version", "set", "unset", "user_id"].map(|key| {
                format!("{{{}:{value},\"set\":[{value}]}}", Value::from(key))
            }))
            .chain([format!("{{{value}:{value}}}"), format!("{{\"op\":{value}"), format!("{{\"user_id\":{value}x")])
            .collect();
        let Err(rejection) = read(&texts[at.index(texts.len())]) else { return Ok(()) };
        let told = format!("{rejection:?}").contains(&canary);
        prop_assert_eq!(told, rejection.code == RejectCode::FieldUnknown);
    }
}
