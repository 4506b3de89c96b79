use super::*;
use bytes::Bytes;
use runtime::fault::Rejection;
use runtime::record::{Headers, Offset, TopicPartition};
use schemas::topics::partition_for;
use std::sync::LazyLock;
use std::time::Duration;

const PARTITIONS: i32 = 4;
/// 2026-03-01, in milliseconds.
const NOW_MS: i64 = 1_772_323_200_000;
/// 2026-01-01, in microseconds.
const FLOOR_MICROS: i64 = 1_767_225_600_000_000;

static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::embedded().unwrap()));

fn stage() -> Validate {
    Validate::new(PROFILE.clone(), Clock::fixed(NOW_MS), PARTITIONS, FLOOR_MICROS)
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

/// A day after the floor, on the live lane, as a replay brings it.
const BROUGHT: &str = "1767312000000004";
const BROUGHT_ID: &str = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";

/// Record 7 of the pinned topic, with `facts` as headers.
fn pinned(key: &str, value: Option<&str>, facts: &[(&str, &str)]) -> Record {
    let raw = record(key, value);
    let mut headers = Headers::default();
    facts.iter().for_each(|(name, value)| headers.push_text(*name, *value));
    Record { place: TopicPartition::new("tidewater.changes.pinned.v1", raw.place.partition), headers, ..raw }
}

fn fact<'r>(rejection: &'r Rejection, name: &str) -> Option<&'r str> {
    rejection.facts.iter().find(|(fact, _)| *fact == name).map(|(_, value)| &**value)
}

const PATCH: &str = r#"{"user_id":"ada","op":"patch","set":{"country":"de"}}"#;

/// I2: into its old place.
#[tokio::test]
async fn a_pinned_change_keeps_the_place_and_the_id_that_it_brings() {
    let partition = partition_for(b"ada", PARTITIONS);
    let origin = format!("changes.raw.v1/{partition}/3");
    let facts = [(headers::VERSION, BROUGHT), (headers::ORIGIN, &*origin), (headers::ID, BROUGHT_ID)];
    for value in [Some(PATCH), None] {
        let out = forwarded(pinned("ada", value, &facts)).await;
        let change = read(&out);
        assert_eq!((change.version.to_string().as_str(), change.origin.to_string()), (BROUGHT, origin.clone()));
        assert_eq!(change.id.to_string(), BROUGHT_ID);
        assert_eq!(header(&out.headers, headers::VERSION).as_deref(), Some(BROUGHT));
        assert_eq!(header(&out.headers, headers::ORIGIN), Some(origin.clone()));
        assert_eq!((out.partition, out.key.as_deref()), (partition, Some(&b"ada"[..])));
    }
}

#[tokio::test]
async fn without_an_origin_or_an_id_a_pinned_change_has_its_own_place_on_the_pinned_topic() {
    let record = pinned("ada", Some(PATCH), &[(headers::VERSION, BROUGHT)]);
    let origin = format!("changes.pinned.v1/{}/7", record.place.partition);
    let change = read(&forwarded(record.clone()).await);
    assert_eq!(change.origin.to_string(), origin);
    assert_eq!(change.origin.raw(), None, "its offset is no receipt");
    assert_eq!(change.id, read(&forwarded(record).await).id);
}

#[tokio::test]
async fn a_header_beats_the_value_and_a_value_alone_will_do() {
    let other = "00000000-0000-4000-8000-000000000001";
    let value = format!(r#"{{"id":"{other}","user_id":"ada","op":"delete","version":1767312000000012}}"#);
    let whole = [(headers::VERSION, BROUGHT), (headers::ID, BROUGHT_ID)];
    for (facts, version, id) in [(&whole[..], BROUGHT, BROUGHT_ID), (&[], "1767312000000012", other)] {
        let change = read(&forwarded(pinned("ada", Some(&value), facts)).await);
        assert_eq!((&*change.version.to_string(), &*change.id.to_string()), (version, id));
    }
}

#[tokio::test]
async fn avro_brings_its_version_too_and_is_read_as_on_raw() {
    let change = read(&forwarded(pinned("ada", Some(PATCH), &[(headers::VERSION, BROUGHT)])).await);
    let mut ours = Vec::new();
    Codec::new(PROFILE.clone()).encode(&change, &mut ours).unwrap();
    let mut record = pinned("ada", None, &[]);
    record.value = Some(Bytes::from(ours));
    let again = read(&forwarded(record).await);
    assert_eq!((again.version, again.id, again.set), (change.version, change.id, change.set));
}

#[tokio::test]
async fn a_pinned_version_that_may_not_be_is_rejected_whatever_the_broker_stamped() {
    let future = Version::at((NOW_MS + 61_000) * 1000, Lane::Backfill).unwrap().to_string();
    let floor = FLOOR_MICROS.to_string();
    for (facts, code) in [
        (&[][..], "version-invalid"),
        (&[(headers::VERSION, "0")], "version-invalid"),
        (&[(headers::VERSION, "-8")], "version-invalid"),
        (&[(headers::VERSION, "1767312000000005")], "version-invalid"),
        (&[(headers::VERSION, &*floor)], "version-invalid"),
        (&[(headers::VERSION, &*future)], "version-in-future"),
    ] {
        let record = Record { timestamp: Timestamp::Missing, ..pinned("ada", Some(PATCH), facts) };
        let rejection = rejected(record).await;
        assert_eq!((rejection.code, rejection.field.as_deref()), (code, Some(headers::VERSION)), "{facts:?}");
    }
}

/// I6: the world is well, the record is wrong; it may not hold its partition up.
#[tokio::test]
async fn a_pinned_version_from_the_future_is_a_rejection_and_one_from_raw_is_a_fault() {
    let ahead = Version::at((NOW_MS + 120_000) * 1000, Lane::Live).unwrap().to_string();
    let raw = at(record("ada", Some(PATCH)), NOW_MS + 120_000);
    assert!(stage().apply(&raw).await.is_err());
    let rejection = rejected(pinned("ada", Some(PATCH), &[(headers::VERSION, &*ahead)])).await;
    assert_eq!((rejection.code, fact(&rejection, headers::VERSION)), ("version-in-future", Some(&*ahead)));
}

#[tokio::test]
async fn a_dead_letter_of_a_pinned_record_keeps_what_was_brought_as_far_as_it_is_well_formed() {
    let partition = partition_for(b"ada", PARTITIONS);
    let (brought, own) = (format!("changes.raw.v1/{partition}/3"), format!("changes.pinned.v1/{partition}/7"));
    let facts = [(headers::VERSION, BROUGHT), (headers::ORIGIN, &*brought), (headers::ID, BROUGHT_ID)];
    for value in ["nonsense", r#"{"user_id":"ada","op":"patch","set":{"country":"Nowhere"}}"#] {
        let rejection = rejected(pinned("ada", Some(value), &facts)).await;
        let kept = [headers::ORIGIN, headers::VERSION, headers::ID].map(|name| fact(&rejection, name));
        assert_eq!(kept, [Some(&*brought), Some(BROUGHT), Some(BROUGHT_ID)], "{value}");
    }
    let malformed = [(headers::VERSION, "x"), (headers::ORIGIN, "y"), (headers::ID, "z")];
    let rejection = rejected(pinned("ada", Some(PATCH), &malformed)).await;
    let kept = [headers::ORIGIN, headers::VERSION, headers::ID].map(|name| fact(&rejection, name));
    assert_eq!((rejection.code, kept), ("version-invalid", [Some(&*own), None, None]));
}

#[tokio::test]
async fn a_pinned_record_that_was_mislaid_is_rejected_as_on_raw() {
    let mut mislaid = pinned("ada", Some(PATCH), &[(headers::VERSION, BROUGHT)]);
    mislaid.place.partition = (mislaid.place.partition + 1) % PARTITIONS;
    assert_eq!(rejected(mislaid).await.code, "misplaced");
}

#[tokio::test]
async fn what_fitted_on_raw_fits_on_pinned_with_all_it_brings() {
    let partition = partition_for(b"ada", PARTITIONS);
    let origin = format!("changes.raw.v1/{partition}/3");
    let facts = [(headers::VERSION, BROUGHT), (headers::ORIGIN, &*origin), (headers::ID, BROUGHT_ID)];
    let padded = |bytes: usize| format!("{PATCH}{}", " ".repeat(bytes - "ada".len() - PATCH.len()));
    let whole = pinned("ada", Some(&padded(accept::RECORD_BYTES_MAX)), &facts);
    assert_eq!(header(&forwarded(whole).await.headers, headers::ORIGIN), Some(origin.clone()));
    let over = pinned("ada", Some(&padded(accept::RECORD_BYTES_MAX + 1)), &facts);
    assert_eq!(rejected(over).await.code, "too-large");
}
