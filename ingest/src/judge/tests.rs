//! What a client's text becomes, and what of it is refused.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

fn judge() -> Judge {
    Judge::new(Arc::new(Profile::embedded().unwrap()), 12)
}

fn acme() -> Sender {
    Sender { tenant: Tenant::new("acme"), source: Some("billing".into()), fields: None }
}

fn value(ready: &Ready) -> Value {
    serde_json::from_slice(ready.outgoing.value.as_ref().unwrap()).unwrap()
}

fn code(refusal: Refusal) -> (&'static str, Option<String>) {
    match refusal {
        Refusal::Rejected(rejection) => (rejection.code.as_str(), rejection.field.map(Into::into)),
        Refusal::Forbidden { field } => ("forbidden", Some(field.into())),
    }
}

const ADA: &str = r#"{"user_id":"ada","op":"upsert","set":{"name":"Ada"}}"#;

#[test]
fn what_nobody_has_to_sign_is_written_byte_for_byte() {
    let text = format!("  {}\n", ADA.replace(':', " : "));
    let ready = judge().change(&Sender::default(), text.as_bytes()).unwrap();
    assert_eq!(ready.outgoing.value.as_deref(), Some(text.trim().as_bytes()));
    assert_eq!(ready.outgoing.key.as_deref(), Some(&b"ada"[..]));
    assert_eq!(ready.outgoing.partition, topics::partition_for(b"ada", 12));
}

#[test]
fn tenant_and_source_are_the_tokens_whatever_the_change_says() {
    let said = r#"{"tenant":"other","source":"liar","user_id":"ada","op":"patch","set":{"name":"A\u0064a"},"unset":["email"]}"#;
    for text in [said, &said.replace("\"tenant\"", "\"t\\u0065nant\"")] {
        let ready = judge().change(&acme(), text.as_bytes()).unwrap();
        let written = value(&ready);
        assert_eq!(written["tenant"], "acme");
        assert_eq!(written["source"], "billing");
        assert_eq!((&written["set"], &written["unset"]), (&json!({"name": "Ada"}), &json!(["email"])));
        let text = String::from_utf8(ready.outgoing.value.unwrap().to_vec()).unwrap();
        assert!(text.contains(r#""set":{"name":"A\u0064a"}"#), "values are the client's own bytes: {text}");
        assert!(!text.contains("other") && !text.contains("liar"));
    }
}

#[test]
fn what_validate_would_reject_is_refused_with_its_code_and_field() {
    let refused = |text: &str| code(judge().change(&Sender::default(), text.as_bytes()).unwrap_err());
    let at = |field: &str| Some(field.to_owned());
    assert_eq!(refused("[]"), ("undecodable", None));
    assert_eq!(refused(&ADA.replace("name", "nick")), ("field-unknown", at("set.nick")));
    assert_eq!(refused(&ADA.replace("upsert", "delete")), ("shape", at("set")));
    assert_eq!(refused(&ADA.replace("\"ada\"", "\"\"")), ("user-id-invalid", at("user_id")));
    assert_eq!(refused(&ADA.replace("\"name\":\"Ada\"", "\"email\":\"no\"")), ("format-invalid", at("set.email")));
    let versioned = ADA.replace("\"op\"", "\"version\":8,\"op\"");
    assert_eq!(refused(&versioned), ("version-not-allowed", at("version")));
    assert_eq!(refused(&" ".repeat(1 << 21)), ("too-large", None));
}

#[test]
fn a_sender_with_a_mask_writes_its_fields_alone() {
    let judge = judge();
    let only = |name| {
        let mut fields = FieldSet::EMPTY;
        fields.insert(judge.profile.position(name).unwrap());
        Sender { fields: Some(fields), ..acme() }
    };
    assert!(judge.change(&only("name"), ADA.as_bytes()).is_ok());
    assert_eq!(code(judge.change(&only("email"), ADA.as_bytes()).unwrap_err()), ("forbidden", Some("name".into())));
    let unset = r#"{"user_id":"ada","op":"patch","unset":["email"]}"#;
    assert_eq!(code(judge.change(&only("name"), unset.as_bytes()).unwrap_err()), ("forbidden", Some("email".into())));
}

#[test]
fn a_request_on_a_user_is_a_change_of_that_user() {
    let (judge, ada) = (judge(), UserId::new("a\"da/ü").unwrap());
    let put = judge.user(&acme(), Op::Upsert, &ada, br#"{"name":"Ada"}"#).unwrap();
    assert_eq!(
        value(&put),
        json!({"user_id": "a\"da/ü", "op": "upsert", "set": {"name": "Ada"}, "tenant": "acme", "source": "billing"})
    );
    let patch = judge.user(&acme(), Op::Patch, &ada, br#"{"email":null}"#).unwrap();
    assert_eq!((&value(&patch)["op"], &value(&patch)["set"]), (&json!("patch"), &json!({"email": null})));
    let delete = judge.user(&acme(), Op::Delete, &ada, b"").unwrap();
    assert_eq!(value(&delete)["op"], "delete");
    assert!(value(&delete).get("set").is_none());
}

#[test]
fn a_body_cannot_leave_its_place() {
    let (judge, ada) = (judge(), UserId::new("ada").unwrap());
    let bodies: [&[u8]; 6] =
        [br#"{},"tenant":"other""#, br#"{}} {"user_id":"eve","op":"delete""#, b"{}\n{}", b"", b"null garbage", b"\xff"];
    for body in bodies {
        let refused = judge.user(&Sender::default(), Op::Upsert, &ada, body).unwrap_err();
        assert_eq!(code(refused).0, "undecodable", "{body:?}");
    }
    for body in [&b"[]"[..], b"7", b"\"text\""] {
        assert!(judge.user(&Sender::default(), Op::Upsert, &ada, body).is_err(), "{body:?}");
    }
}

proptest! {
    #[test]
    fn whoever_signs_a_change_changes_nothing_else(name in "[ -~äé\u{1F600}]{0,20}", number in any::<u32>()) {
        let given = json!({
            "user_id": format!("u{number}"), "op": "upsert", "tenant": "other", "set": {"name": name},
        });
        let plain = judge().change(&Sender::default(), given.to_string().as_bytes());
        let signed = judge().change(&acme(), given.to_string().as_bytes());
        match (plain, signed) {
            (Ok(plain), Ok(signed)) => {
                let mut expected = value(&plain);
                expected["tenant"] = json!("acme");
                expected["source"] = json!("billing");
                prop_assert_eq!(value(&signed), expected);
                prop_assert_eq!(plain.outgoing.partition, signed.outgoing.partition);
            }
            (plain, signed) => prop_assert_eq!(plain.is_err(), signed.is_err()),
        }
    }
}
