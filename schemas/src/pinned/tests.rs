use super::*;

const FLOOR: i64 = 1_700_000_000_000_003;
const BOUNDS: Bounds = Bounds { floor_micros: FLOOR, latest_ms: 1_800_000_000_000 };

fn brought(name: &'static str, text: &'static [u8]) -> Brought {
    Brought::read(|asked| (asked == name).then_some(text))
}

fn of_version(text: &'static str) -> Result<i64, (RejectCode, String)> {
    judged(brought(headers::VERSION, text.as_bytes()).version(None, BOUNDS))
}

fn judged(version: Result<Version, Rejection>) -> Result<i64, (RejectCode, String)> {
    version.map(Version::get).map_err(|wrong| (wrong.code, wrong.field.unwrap_or_default().into()))
}

#[test]
fn a_version_is_taken_as_it_is_brought_in_every_lane() {
    for version in ["1600000000000000", "2", "1600000000000002", "1750000000000004", "1750000000000006"] {
        assert_eq!(of_version(version).map(|version| version.to_string()).as_deref(), Ok(version));
    }
}

#[test]
fn what_is_no_version_is_invalid() {
    let none = ["", "x", "0", "-8", "+8", "08", "1600000000000001", "1600000000000003", "9223372036854775808"];
    for text in none {
        assert_eq!(of_version(text), Err((RejectCode::VersionInvalid, "tw-version".into())), "{text}");
    }
    let missing = Brought::default().version(None, BOUNDS);
    assert_eq!(judged(missing), Err((RejectCode::VersionInvalid, "tw-version".into())));
}

/// I3.
#[test]
fn backfill_lies_below_the_floor_and_what_is_live_above() {
    let floor = FLOOR & !7;
    let of = |place: i64, lane| {
        let version = Version::at(place, lane).unwrap().get();
        judged(Brought::default().version(Some(version), BOUNDS)).is_ok()
    };
    assert_eq!([of(floor - 8, Lane::Backfill), of(floor, Lane::Backfill)], [true, false]);
    for lane in [Lane::Live, Lane::Erasure] {
        assert_eq!([of(floor, lane), of(floor + 8, lane)], [false, true], "{lane:?}");
    }
    assert_eq!([of(floor - 8, Lane::SourcePinned), of(floor + 8, Lane::SourcePinned)], [true, true]);
}

/// I6.
#[test]
fn no_lane_brings_a_version_from_the_future() {
    for lane in [Lane::Backfill, Lane::SourcePinned, Lane::Live, Lane::Erasure] {
        let version = Version::at((BOUNDS.latest_ms + 1) * 1000, lane).map(Version::get);
        let rejected = Err((RejectCode::VersionInFuture, "version".into()));
        assert_eq!(judged(Brought::default().version(version, BOUNDS)), rejected, "{lane:?}");
    }
    assert!(judged(Brought::default().version(Some(BOUNDS.latest_ms * 1000 + 4), BOUNDS)).is_ok());
}

#[test]
fn a_header_beats_the_value_also_when_it_is_wrong() {
    let header = brought(headers::VERSION, b"1750000000000004");
    assert_eq!(judged(header.version(Some(1_760_000_000_000_004), BOUNDS)), Ok(1_750_000_000_000_004));
    assert_eq!(header.known_version(Some(8)), Version::new(1_750_000_000_000_004));
    let wrong = brought(headers::VERSION, b"x");
    assert!(wrong.version(Some(1_760_000_000_000_004), BOUNDS).is_err());
    assert_eq!(wrong.known_version(Some(8)), None);
    assert_eq!(Brought::default().known_version(Some(8)), Version::new(8));
}

#[test]
fn the_origin_is_the_one_brought_or_the_records_own_place() {
    let own: Origin = "changes.pinned.v1/3/7".parse().unwrap();
    assert_eq!(Brought::default().origin(&own), Ok(own.clone()));
    for text in ["changes.raw.v1/3/1024", "changes.pinned.v1/9/1", "crm/0/5"] {
        let header = brought(headers::ORIGIN, text.as_bytes());
        assert_eq!(header.origin(&own).map(|origin| origin.to_string()).as_deref(), Ok(text));
        assert_eq!(header.known_origin().map(ToString::to_string).as_deref(), Some(text));
    }
    for (text, code) in [
        ("", RejectCode::Undecodable),
        ("changes.raw.v1", RejectCode::Undecodable),
        ("changes.raw.v1/3/-1", RejectCode::Undecodable),
        ("changes.raw.v1/4/1024", RejectCode::Misplaced),
    ] {
        let refused = brought(headers::ORIGIN, text.as_bytes()).origin(&own);
        assert_eq!(refused, Err(Rejection::at(code, "tw-origin")), "{text}");
    }
}

#[test]
fn an_id_is_a_uuid() {
    assert_eq!(Brought::default().id(), Ok(None));
    let header = brought(headers::ID, b"6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    assert_eq!(header.id(), Ok(header.known_id()));
    assert!(header.known_id().is_some());
    let wrong = brought(headers::ID, b"42");
    assert_eq!(wrong.id(), Err(Rejection::at(RejectCode::FormatInvalid, "tw-id")));
    assert_eq!(wrong.known_id(), None);
}
