use super::*;
use bytes::Bytes;
use runtime::record::{Headers, Offset, Record, Timestamp, TopicPartition};
use schemas::{FieldSet, Op, Origin, Profile, Row, Tenant, UserId, Version};
use std::sync::{Arc, LazyLock};

/// 2026-03-01, in milliseconds.
const NOW_MS: i64 = 1_772_323_200_000;
const DAY_MS: i64 = 86_400_000;
const GC_GRACE_DAYS: i64 = 45;
/// Four fifths of it.
const DEPTH_MS: i64 = GC_GRACE_DAYS * DAY_MS / 5 * 4;

static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::embedded().unwrap()));

/// With its floor so long ago, and the clock at [`NOW_MS`].
fn stage(floor_age_ms: i64) -> Decode {
    let gc_grace = Duration::from_millis((GC_GRACE_DAYS * DAY_MS).unsigned_abs());
    let horizon = Horizon::new(gc_grace, (NOW_MS - floor_age_ms) * 1000);
    Decode::new(Codec::new(PROFILE.clone()), horizon, Clock::fixed(NOW_MS))
}

fn change(place_ms: i64, lane: Lane) -> Change {
    Change {
        id: Default::default(),
        tenant: Tenant::default(),
        user_id: UserId::new("ada").unwrap(),
        op: Op::Upsert,
        set: Row::default(),
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Version::at(place_ms * 1000, lane).unwrap(),
        origin: "changes.raw.v1/2/7".parse::<Origin>().unwrap(),
    }
}

fn admitted(change: &Change) -> Admitted {
    let mut value = Vec::new();
    Codec::new(PROFILE.clone()).encode(change, &mut value).unwrap();
    let mut headers = Headers::default();
    headers.push_text(headers::ORIGIN, change.origin.to_string());
    headers.push_text(headers::VERSION, change.version.to_string());
    let record = Record {
        place: TopicPartition::new("changes.enriched.v1", 2),
        offset: Offset(3),
        timestamp: Timestamp::Create(NOW_MS),
        is_damaged: false,
        key: Some(Bytes::from_static(b"ada")),
        value: Some(Bytes::from(value)),
        headers,
    };
    Admitted { record, mark: 0 }
}

async fn rejected(stage: &Decode, admitted: &Admitted) -> Option<Rejection> {
    match stage.apply(admitted).await.unwrap() {
        Verdict::Forward(_) => None,
        Verdict::Reject(rejection) => Some(rejection),
    }
}

async fn is_too_old(stage: &Decode, change: &Change) -> bool {
    let rejection = rejected(stage, &admitted(change)).await;
    assert!(rejection.as_ref().is_none_or(|rejection| rejection.code == "change-too-old"), "{rejection:?}");
    rejection.is_some()
}

#[tokio::test]
async fn a_change_comes_out_as_it_was_written() {
    let change = change(NOW_MS, Lane::Live);
    let Ok(Verdict::Forward(read)) = stage(0).apply(&admitted(&change)).await else { panic!("not forwarded") };
    assert_eq!(read, change);
}

/// I5.
#[tokio::test]
async fn a_change_older_than_the_deletions_the_table_remembers_is_rejected_in_every_lane_but_backfill() {
    let stage = stage(300 * DAY_MS);
    for lane in [Lane::SourcePinned, Lane::Live, Lane::Erasure] {
        assert!(!is_too_old(&stage, &change(NOW_MS - DEPTH_MS + 10_000, lane)).await, "{lane:?}");
        assert!(is_too_old(&stage, &change(NOW_MS - DEPTH_MS - 10_000, lane)).await, "{lane:?}");
    }
}

/// I5: nothing that the pipeline deleted is older than the floor, so for backfill only the age of the floor counts.
#[tokio::test]
async fn backfill_of_any_age_is_written_until_the_floor_is_too_old() {
    let ancient = change(1_000_000, Lane::Backfill);
    assert!(!is_too_old(&stage(DEPTH_MS - 10_000), &ancient).await);
    assert!(is_too_old(&stage(DEPTH_MS + 10_000), &ancient).await);
    let live = change(1_000_000, Lane::Live);
    assert!(is_too_old(&stage(DEPTH_MS - 10_000), &live).await, "and for nothing else");
}

#[tokio::test]
async fn what_is_too_old_keeps_its_place_and_its_id() {
    let old = change(NOW_MS - 44 * DAY_MS, Lane::Live);
    let rejection = rejected(&stage(300 * DAY_MS), &admitted(&old)).await.unwrap();
    assert_eq!((rejection.code, rejection.field), ("change-too-old", None));
    assert_eq!(rejection.facts, facts::of(&old));
}

/// I6.
#[tokio::test]
async fn a_version_from_the_future_waits_until_its_time_has_come() {
    for lane in [Lane::Backfill, Lane::Live] {
        let stage = stage(0);
        let early = admitted(&change(NOW_MS + 60_100, lane));
        let fault = stage.apply(&early).await.unwrap_err();
        assert!(matches!(fault, Fault::Transient(_)), "{fault:?}");
        assert!(fault.to_string().contains("changes.enriched.v1/2"), "{fault}");
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(matches!(stage.apply(&early).await, Ok(Verdict::Forward(_))), "it heals");
    }
}

#[tokio::test]
async fn a_record_that_is_no_change_is_rejected_with_what_its_headers_say() {
    let whole = change(NOW_MS, Lane::Live);
    for value in [None, Some(Bytes::from_static(b"nonsense"))] {
        let mut broken = admitted(&whole);
        broken.record.value = value;
        let rejection = rejected(&stage(0), &broken).await.unwrap();
        assert_eq!(rejection.code, "undecodable");
        assert_eq!(rejection.facts, facts::of_place(&whole.origin, whole.version));
    }
}

#[tokio::test]
async fn a_record_of_a_newer_release_waits_for_its_deployment() {
    let mut newer = admitted(&change(NOW_MS, Lane::Live));
    let mut value = newer.record.value.take().unwrap().to_vec();
    value[2..10].copy_from_slice(&[0xAB; 8]);
    newer.record.value = Some(Bytes::from(value));
    let fault = stage(0).apply(&newer).await.unwrap_err();
    assert!(matches!(fault, Fault::Transient(_)), "{fault:?}");
    assert!(fault.to_string().contains("changes.enriched.v1/2/3"), "{fault}");
}
