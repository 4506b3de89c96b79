use super::*;
use runtime::record::{Offset, Timestamp, TopicPartition};
use schemas::{Change, FieldValue, Row, Tenant, UserId};
use std::sync::{Arc, LazyLock};
use uuid::Uuid;

static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::embedded().unwrap()));

const PARTITIONS: i32 = 4;
const VERSION: &str = "1767312000000004";
const ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

fn packer(as_new: bool, edit: Option<&str>) -> Packer {
    Packer { codec: Codec::new(PROFILE.clone()), editor: edit.map(Editor::new), as_new, partitions: PARTITIONS }
}

fn home(user: &str) -> i32 {
    partition_for(user.as_bytes(), PARTITIONS)
}

/// A letter of `validate`, as it stands on the topic.
fn letter(code: &str, user: &str, value: Option<&[u8]>) -> Record {
    let mut headers = Headers::default();
    headers.push_text("traceparent", "00-1-2-01");
    headers.push("x-theirs", None);
    let origin = format!("changes.raw.v1/{}/3", home(user));
    for (name, text) in [
        (headers::CODE, code),
        (headers::STAGE, "validate"),
        (headers::ORIGIN, &origin),
        (headers::VERSION, VERSION),
        (headers::ID, ID),
    ] {
        headers.push_text(name, text);
    }
    Record {
        place: TopicPartition::new("tidewater.changes.dead.v1", home(user)),
        offset: Offset(17),
        timestamp: Timestamp::Missing,
        key: Some(Bytes::copy_from_slice(user.as_bytes())),
        value: value.map(Bytes::copy_from_slice),
        headers,
        is_damaged: false,
    }
}

/// A letter of the sink: our Avro, with a derived field.
fn enriched(id: Uuid) -> Record {
    let mut set = Row::default();
    for (name, value) in [("name", "Ada"), ("country", "DE"), ("region", "Europe")] {
        set.set(PROFILE.position(name).unwrap(), FieldValue::Text(value.into()));
    }
    let change = Change {
        id,
        tenant: Tenant::new("acme").unwrap(),
        user_id: UserId::new("ada").unwrap(),
        op: Op::Patch,
        set,
        unset: [PROFILE.position("bio").unwrap()].into_iter().collect(),
        occurred_at: Some(1_700_000_000_000_000),
        source: Some("crm".into()),
        version: Version::new(VERSION.parse().unwrap()).unwrap(),
        origin: Origin::new(schemas::origin::RAW, home("ada"), 3).unwrap(),
    };
    let mut value = Vec::new();
    Codec::new(PROFILE.clone()).encode(&change, &mut value).unwrap();
    let mut record = letter("store-refused", "ada", Some(&value));
    record.headers.push_text(headers::STAGE, "sink");
    record
}

async fn packed(packer: &Packer, record: &Record) -> Outgoing {
    packer.pack(record).await.unwrap().map(|parcel| parcel.outgoing).expect("it can be sent")
}

async fn left(packer: &Packer, record: &Record) -> Left {
    packer.pack(record).await.unwrap().err().expect("it is left")
}

fn header<'o>(outgoing: &'o Outgoing, name: &str) -> Option<&'o str> {
    outgoing.headers.last(name).map(|text| std::str::from_utf8(text).unwrap())
}

fn value(outgoing: &Outgoing) -> Value {
    serde_json::from_slice(outgoing.value.as_deref().unwrap()).unwrap()
}

const PATCH: &[u8] = br#"{ "user_id": "ada", "op": "patch", "set": {"email": "nobody"} }"#;

/// I2.
#[tokio::test]
async fn a_letter_goes_into_its_old_place_byte_for_byte() {
    for content in [Some(PATCH), Some(b"nonsense"), None] {
        let record = letter("format-invalid", "ada", content);
        let sent = packed(&packer(false, None), &record).await;
        assert_eq!((sent.partition, &sent.key, &sent.value), (home("ada"), &record.key, &record.value));
        let names: Vec<&str> = sent.headers.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["traceparent", "x-theirs", "tw-version", "tw-origin", "tw-id"]);
        let origin = format!("changes.raw.v1/{}/3", home("ada"));
        let place = [headers::VERSION, headers::ORIGIN, headers::ID].map(|name| header(&sent, name));
        assert_eq!(place, [Some(VERSION), Some(&*origin), Some(ID)]);
        assert!(packed(&packer(false, None), &record).await == sent, "twice is once");
    }
}

#[tokio::test]
async fn as_new_it_goes_without_its_place_where_its_key_belongs() {
    let mut record = letter("misplaced", "ada", Some(PATCH));
    record.place.partition = (home("ada") + 1) % PARTITIONS;
    let sent = packed(&packer(true, None), &record).await;
    assert_eq!((sent.partition, sent.value.as_deref()), (home("ada"), Some(PATCH)));
    assert!(sent.headers.iter().all(|(name, _)| !headers::is_ours(name)));
    // A raw change may not bring a version, and a pinned one may have it in its value.
    let pinned = letter("format-invalid", "ada", Some(br#"{"user_id":"ada","op":"delete","version":8}"#));
    assert_eq!(value(&packed(&packer(true, None), &pinned).await), json!({"user_id": "ada", "op": "delete"}));
}

#[tokio::test]
async fn what_has_no_old_place_to_go_to_is_left() {
    let packer = packer(false, None);
    for (code, reason) in
        [("misplaced", Left::Misplaced), ("change-too-old", Left::TooOld), ("version-invalid", Left::NoPlace)]
    {
        assert_eq!(left(&packer, &letter(code, "ada", Some(PATCH))).await, reason);
    }
    let mut nowhere = letter("undecodable", "ada", Some(PATCH));
    nowhere.headers.push_text(headers::VERSION, "x");
    assert_eq!(left(&packer, &nowhere).await, Left::NoPlace);
    let mut elsewhere = letter("undecodable", "ada", Some(PATCH));
    elsewhere.headers.push_text(headers::ORIGIN, format!("changes.raw.v1/{}/3", (home("ada") + 1) % PARTITIONS));
    assert_eq!(left(&packer, &elsewhere).await, Left::Misplaced);
}

#[tokio::test]
async fn what_was_dropped_or_is_too_large_is_left_whatever_is_asked_for() {
    for as_new in [false, true] {
        let mut dropped = letter("too-large", "ada", None);
        dropped.headers.push_text(headers::DROPPED_BYTES, "9000000");
        assert_eq!(left(&packer(as_new, None), &dropped).await, Left::Dropped);
        let large = letter("too-large", "ada", Some(&vec![b' '; accept::RECORD_BYTES_MAX]));
        assert_eq!(left(&packer(as_new, None), &large).await, Left::TooLarge);
    }
}

#[tokio::test]
async fn what_we_wrote_ourselves_becomes_what_a_producer_could_have_written() {
    let named = Uuid::parse_str(ID).unwrap();
    let sent = packed(&packer(false, None), &enriched(named)).await;
    let whole = json!({
        "id": ID, "tenant": "acme", "user_id": "ada", "op": "patch", "set": {"name": "Ada", "country": "DE"},
        "unset": ["bio"], "occurred_at": "2023-11-14T22:13:20Z", "source": "crm",
    });
    assert_eq!(value(&sent), whole, "derived fields and the version are ours");
    assert_eq!(header(&sent, headers::VERSION), Some(VERSION));
    let draft = accept::read(&Codec::new(PROFILE.clone()), sent.value.as_deref().unwrap());
    assert!(draft.is_ok(), "validate reads it");

    let origin = Origin::new(schemas::origin::RAW, home("ada"), 3).unwrap();
    let ours = packed(&packer(true, None), &enriched(accept::id_of(&origin))).await;
    assert_eq!(value(&ours).get("id"), None, "an id that was made of the old place");
    assert_eq!(value(&packed(&packer(true, None), &enriched(named)).await)["id"], ID, "the producer's own");
}

#[tokio::test]
async fn what_a_stranger_wrote_to_our_topics_is_no_change() {
    let mut record = letter("undecodable", "ada", Some(b"garbage"));
    record.headers.push_text(headers::STAGE, "enrich");
    assert_eq!(left(&packer(true, None), &record).await, Left::Unreadable);
    assert_eq!(left(&packer(false, None), &Record { value: None, ..record }).await, Left::Unreadable);
}

#[tokio::test]
async fn an_edit_puts_the_data_right_and_keeps_the_place() {
    let record = letter("format-invalid", "ada", Some(PATCH));
    let sent = packed(&packer(false, Some("sed s/nobody/ada@example.org/")), &record).await;
    assert_eq!(value(&sent)["set"]["email"], "ada@example.org");
    assert_eq!((header(&sent, headers::VERSION), header(&sent, headers::ID)), (Some(VERSION), Some(ID)));
    let nothing = left(&packer(false, Some("echo null")), &record).await;
    assert_eq!(nothing, Left::EditFailed, "a command that finds nothing deletes nobody");
    let delete = letter("too-large", "ada", None);
    let none = packed(&packer(false, Some("cat")), &delete).await;
    assert_eq!((none.value, none.key), (None, delete.key.clone()), "a deletion stays one");
    assert_eq!(left(&packer(false, Some("false")), &record).await, Left::EditFailed);
}

#[tokio::test]
async fn an_edit_reads_json_whatever_the_letter_is_written_in() {
    let avro = packed(&packer(false, Some("sed s/Ada/Eve/")), &enriched(Uuid::nil())).await;
    assert_eq!(value(&avro)["set"]["name"], "Eve");
    let broken = letter("undecodable", "ada", Some(br#"["user_id": "ada", "op": "delete"]"#));
    let mended = packed(&packer(false, Some("tr '[]' '{}'")), &broken).await;
    assert_eq!(value(&mended)["op"], "delete", "what is no JSON is given as it is");
}

#[tokio::test]
async fn an_edit_may_name_the_user_but_not_one_of_another_partition() {
    let other = (0..).map(|n| format!("u-{n}")).find(|user| home(user) != home("ada")).unwrap();
    let mut nameless = letter("key-missing", "ada", Some(PATCH));
    nameless.key = None;
    let sent = packed(&packer(false, Some("cat")), &nameless).await;
    assert_eq!((sent.key.as_deref(), sent.partition), (Some(&b"ada"[..]), home("ada")));
    let rename = format!("sed s/ada/{other}/");
    assert_eq!(left(&packer(false, Some(&rename)), &nameless).await, Left::Misplaced);
    let new = packed(&packer(true, Some(&rename)), &nameless).await;
    assert_eq!((new.key.as_deref(), new.partition), (Some(other.as_bytes()), home(&other)));
}
