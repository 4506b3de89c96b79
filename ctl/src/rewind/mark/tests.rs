//! The mark found again must give every record behind it the version it had.

use super::*;
use schemas::version;

/// Append times of a partition in which the clock stands still, jumps ahead and steps back.
const APPENDED_MS: [i64; 10] = [1_000, 1_000, 1_000, 5_000, 4_000, 4_000, 4_001, 9_000, 9_000, 9_000];
const FLOOR: i64 = 800;

/// The places that reading everything once gives.
fn places() -> Vec<i64> {
    let mut place = FLOOR;
    let step = |append_ms: &i64| {
        place = version::next_place(place, *append_ms);
        place
    };
    APPENDED_MS.iter().map(step).collect()
}

/// What `marks_at` does for one partition, with the raw topic in memory.
fn walked_to(target: i64, anchor: Option<Anchor>, low: i64) -> Walk {
    let mut walk = Walk::new(anchor, target, low, FLOOR);
    let span = walk.span(0);
    for offset in span.from..span.to {
        walk.place = version::next_place(walk.place, APPENDED_MS[usize::try_from(offset).unwrap()]);
    }
    walk
}

fn anchor(offset: usize) -> Anchor {
    Anchor { offset: i64::try_from(offset).unwrap(), place: places()[offset] }
}

#[test]
fn whatever_origin_is_left_the_target_gets_its_version_again() {
    let places = places();
    for target in 0..APPENDED_MS.len() {
        for left in 0..=target {
            let walk = walked_to(i64::try_from(target).unwrap(), Some(anchor(left)), 0);
            assert_eq!(version::next_place(walk.place, APPENDED_MS[target]), places[target], "{left} -> {target}");
            assert_eq!(walk.basis, Basis::Origin(i64::try_from(left).unwrap()));
        }
    }
}

#[test]
fn with_no_origin_left_the_fold_starts_at_the_floor() {
    let places = places();
    for target in 0..APPENDED_MS.len() {
        let walk = walked_to(i64::try_from(target).unwrap(), None, 0);
        assert_eq!(version::next_place(walk.place, APPENDED_MS[target]), places[target], "{target}");
        assert_eq!(walk.basis, Basis::Floor);
    }
}

#[test]
fn raw_records_that_are_gone_are_not_asked_for() {
    let walk = Walk::new(Some(anchor(2)), 8, 6, FLOOR);
    assert_eq!(walk.span(0), Span { partition: 0, from: 6, to: 8 });
}

fn text(text: &str) -> Option<Bytes> {
    Some(Bytes::from(text.to_owned()))
}

fn see(search: &mut Search<'_>, origin: &str, version: &str) {
    search.see(text(origin).as_ref(), text(version).as_ref());
}

#[test]
fn the_nearest_origin_at_or_before_the_target_is_kept_in_whatever_order_they_come() {
    let targets = BTreeMap::from([(3, 100)]);
    let mut search = Search::new(&targets);
    see(&mut search, "changes.raw.v1/3/90", "9004");
    see(&mut search, "changes.raw.v1/3/97", "9764");
    see(&mut search, "changes.raw.v1/3/95", "9604");
    see(&mut search, "changes.raw.v1/3/101", "10004");
    see(&mut search, "changes.raw.v1/4/99", "9904");
    assert_eq!(search.found.get(&3), Some(&Anchor { offset: 97, place: 9_760 }));
    assert!(!search.is_settled(3));
    see(&mut search, "changes.raw.v1/3/99", "9924");
    assert!(search.is_settled(3));
}

#[test]
fn only_a_version_that_the_fold_gave_is_an_anchor() {
    let (folded, backfilled) = (text("8004"), text("8000"));
    let raw = text("changes.raw.v1/3/7");
    assert_eq!(anchor_of(raw.as_ref(), folded.as_ref()), Some((3, Anchor { offset: 7, place: 8_000 })));
    assert_eq!(anchor_of(raw.as_ref(), backfilled.as_ref()), None);
    assert_eq!(anchor_of(raw.as_ref(), None), None);
    for other in ["changes.pinned.v1/3/7", "", "changes.raw.v1/3", "\u{fe}", "changes.raw.v1/3/-1"] {
        assert_eq!(anchor_of(text(other).as_ref(), folded.as_ref()), None, "{other}");
    }
}

/// A letter of `version-in-future` may name a raw origin: believed, it would push every later version into the future.
#[test]
fn what_was_refused_on_pinned_is_no_anchor() {
    assert!(was_refused_on_pinned(text("tidewater.changes.pinned.v1").as_ref()));
    for other in ["tidewater.changes.raw.v1", "tidewater.changes.valid.v1", ""] {
        assert!(!was_refused_on_pinned(text(other).as_ref()), "{other}");
    }
    assert!(!was_refused_on_pinned(None), "a record of valid says nothing of the kind");
}

#[test]
fn the_floor_is_read_back_from_what_was_written() {
    assert_eq!(floor_of(&Fold::new(800).metadata(123_456)), Some(800));
    assert_eq!(floor_of(&Fold::new(800).first()), Some(800));
    assert_eq!(floor_of(""), None);
}
