use super::*;
use bytes::Bytes;
use runtime::record::{Headers, Offset, TopicPartition};
use schemas::topics::partition_for;
use std::sync::LazyLock;
use std::time::Duration;

const PARTITIONS: i32 = 4;
/// 2026-03-01, in milliseconds.
const NOW_MS: i64 = 1_772_323_200_000;

static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::embedded().unwrap()));

fn stage() -> Validate {
    Validate::new(PROFILE.clone(), Clock::fixed(NOW_MS), PARTITIONS)
}

/// Record 7 of the partition that `key` belongs to.
fn record(key: &str, value: Option<&str>) -> Record {
    Record {
        place: TopicPartition::new("tidewater.changes.raw.v1", partition_for(key.as_bytes(), PARTITIONS)),
        offset: Offset(7),
        timestamp: Timestamp::LogAppend(NOW_MS),
        key: Some(Bytes::copy_from_slice(key.as_bytes())),
        value: value.map(|value| Bytes::copy_from_slice(value.as_bytes())),
        headers: Headers::default(),
        is_damaged: false,
    }
}

fn at(record: Record, place_ms: i64) -> Admitted {
    Admitted { record, mark: place_ms * 1000 }
}

async fn judged(record: Record) -> Verdict<Outgoing> {
    stage().apply(&at(record, NOW_MS)).await.unwrap()
}

async fn forwarded(record: Record) -> Outgoing {
    match judged(record).await {
        Verdict::Forward(outgoing) => outgoing,
        Verdict::Reject(rejection) => panic!("rejected: {rejection:?}"),
    }
}

async fn rejected(record: Record) -> Rejection {
    match judged(record).await {
        Verdict::Reject(rejection) => rejection,
        Verdict::Forward(_) => panic!("forwarded"),
    }
}

fn header(headers: &Headers, name: &str) -> Option<String> {
    headers.last(name).map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn read(outgoing: &Outgoing) -> Change {
    let origin = outgoing.headers.last(headers::ORIGIN).map(|origin| &origin[..]);
    Codec::new(PROFILE.clone()).decode_own(outgoing.value.as_deref(), origin).unwrap()
}

#[tokio::test]
async fn a_change_goes_out_with_its_place_its_key_and_its_partition() {
    let raw = record("ada", Some(r#"{"user_id":"ada","op":"patch","set":{"country":"de"}}"#));
    let partition = raw.place.partition;
    let out = forwarded(raw).await;
    let version = Version::at(NOW_MS * 1000, Lane::Live).unwrap();
    assert_eq!((out.partition, out.key.as_deref()), (partition, Some(&b"ada"[..])));
    let origin = format!("changes.raw.v1/{partition}/7");
    assert_eq!(header(&out.headers, headers::ORIGIN).as_deref(), Some(&*origin), "the prefix is no part of it");
    assert_eq!(header(&out.headers, headers::VERSION), Some(version.to_string()));
    let change = read(&out);
    assert_eq!((change.version, change.origin.to_string()), (version, origin));
    let country = PROFILE.position("country").unwrap();
    assert_eq!(change.set.get(country), Some(&schemas::FieldValue::Text("DE".into())), "normalised");
}

#[tokio::test]
async fn the_same_record_at_the_same_place_gives_the_same_bytes() {
    let raw = || record("ada", Some(r#"{"user_id":"ada","op":"upsert","set":{"name":"Ada"}}"#));
    assert!(forwarded(raw()).await == forwarded(raw()).await);
    let elsewhere = Record { offset: Offset(8), ..raw() };
    assert_ne!(read(&forwarded(raw()).await).id, read(&forwarded(elsewhere).await).id);
}

#[tokio::test]
async fn a_record_without_a_value_is_a_delete() {
    let change = read(&forwarded(record("ada", None)).await);
    assert_eq!((change.op, change.user_id.as_str(), change.tenant.as_str()), (schemas::Op::Delete, "ada", "main"));
}

#[tokio::test]
async fn the_trace_is_carried_on_and_what_others_say_in_our_name_is_not() {
    let mut raw = record("ada", None);
    raw.headers.push_text("traceparent", "00-1-2-01");
    raw.headers.push_text("tracestate", "a=b");
    for name in ["tw-version", "tw-origin", "tw-id", "tw-source", "tw-anything"] {
        raw.headers.push_text(name, "1");
    }
    raw.headers.push_text("content-type", "application/json");
    let out = forwarded(raw).await;
    assert_eq!(header(&out.headers, "traceparent").as_deref(), Some("00-1-2-01"));
    assert_eq!(header(&out.headers, "tracestate").as_deref(), Some("a=b"));
    let names: Vec<&str> = out.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["traceparent", "tracestate", "tw-origin", "tw-version"]);
    assert_ne!(header(&out.headers, headers::VERSION).as_deref(), Some("1"));
}

/// I2: a time that producers give would order changes by their clocks.
#[tokio::test]
async fn a_record_without_an_append_time_is_the_topics_fault() {
    for timestamp in [Timestamp::Create(NOW_MS), Timestamp::Missing] {
        let raw = Record { timestamp, ..record("ada", Some("nonsense")) };
        let fault = stage().apply(&at(raw, NOW_MS)).await.unwrap_err();
        assert!(matches!(fault, Fault::Transient(_)), "{fault:?}");
        assert!(fault.to_string().contains("message.timestamp.type=LogAppendTime"), "{fault}");
    }
}

/// I6.
#[tokio::test]
async fn a_version_from_the_future_waits_and_rejects_nothing_not_even_nonsense() {
    for value in [r#"{"user_id":"ada","op":"delete"}"#, "nonsense"] {
        let early = at(record("ada", Some(value)), NOW_MS + 60_100);
        let stage = stage();
        let fault = stage.apply(&early).await.unwrap_err();
        assert!(matches!(fault, Fault::Transient(_)), "{fault:?}");
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(stage.apply(&early).await.is_ok(), "it heals as time goes by");
    }
}

#[tokio::test]
async fn a_version_just_below_a_minute_ahead_does_not_wait() {
    let raw = at(record("ada", None), NOW_MS + 60_000);
    assert!(matches!(stage().apply(&raw).await, Ok(Verdict::Forward(_))));
}

#[tokio::test]
async fn a_floor_that_gives_no_version_stops_the_process() {
    let fault = stage().apply(&Admitted { record: record("ada", None), mark: -8 }).await.unwrap_err();
    assert!(matches!(fault, Fault::Fatal { exit: runtime::fault::Exit::Config, .. }), "{fault:?}");
    assert!(fault.to_string().contains("version.floor"), "{fault}");
}

#[tokio::test]
async fn a_rejection_keeps_the_place_and_if_it_was_read_the_id() {
    let id = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
    let whole = format!(r#"{{"id":"{id}","user_id":"ada","op":"patch","set":{{"country":"Nowhere"}}}}"#);
    for (value, code, field, known) in [
        ("{", RejectCode::Undecodable, None, None),
        (&*whole, RejectCode::FormatInvalid, Some("set.country"), Some(id)),
    ] {
        let raw = record("ada", Some(value));
        let origin = format!("changes.raw.v1/{}/7", raw.place.partition);
        let rejection = rejected(raw).await;
        assert_eq!((rejection.code, rejection.reason), (code.as_str(), code.reason()));
        assert_eq!(rejection.field.as_deref(), field);
        let fact = |name| rejection.facts.iter().find(|(fact, _)| *fact == name).map(|(_, value)| &**value);
        let version = Version::at(NOW_MS * 1000, Lane::Live).unwrap().to_string();
        assert_eq!(fact(headers::ORIGIN), Some(&*origin));
        assert_eq!(fact(headers::VERSION), Some(&*version));
        assert_eq!(fact(headers::ID), known);
    }
}

#[tokio::test]
async fn a_record_that_was_mislaid_or_is_too_large_is_rejected_before_it_is_read() {
    let mut mislaid = record("ada", Some("nonsense"));
    mislaid.place.partition = (mislaid.place.partition + 1) % PARTITIONS;
    assert_eq!(rejected(mislaid).await.code, "misplaced");

    let of_bytes = |bytes: usize| {
        let frame = r#"{"user_id":"ada","op":"delete"}"#;
        let padding = " ".repeat(bytes - "ada".len() - frame.len());
        record("ada", Some(&format!("{frame}{padding}")))
    };
    assert_eq!(forwarded(of_bytes(accept::RECORD_BYTES_MAX)).await.key.as_deref(), Some(&b"ada"[..]));
    assert_eq!(rejected(of_bytes(accept::RECORD_BYTES_MAX + 1)).await.code, "too-large");
}

#[tokio::test]
async fn a_record_without_a_key_is_rejected() {
    for value in [Some(r#"{"user_id":"ada","op":"delete"}"#), None] {
        let raw = Record { key: None, ..record("ada", value) };
        assert_eq!(rejected(raw).await.code, "key-missing");
    }
}

#[tokio::test]
async fn avro_of_an_unknown_schema_is_a_rejection_on_raw() {
    let mut raw = record("ada", None);
    raw.value = Some(Bytes::from_static(&[0xC3, 0x01, 1, 2, 3, 4, 5, 6, 7, 8, 0]));
    assert_eq!(rejected(raw).await.code, "schema-unknown");
}

/// One record of anybody's must not end the processes that read it, one after the other.
#[tokio::test]
async fn a_record_whose_headers_cannot_be_read_is_rejected_with_its_place() {
    let raw = Record { is_damaged: true, ..record("ada", Some(r#"{"user_id":"ada","op":"delete"}"#)) };
    let rejection = rejected(raw).await;
    assert_eq!((rejection.code, rejection.field.as_deref()), ("undecodable", Some("headers")));
    assert!(rejection.facts.iter().any(|(name, _)| *name == headers::VERSION));
}
