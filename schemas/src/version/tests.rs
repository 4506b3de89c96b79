use super::*;
use proptest::prelude::*;

const LANES: [Lane; 4] = [Lane::Backfill, Lane::SourcePinned, Lane::Live, Lane::Erasure];

fn fold(mark: i64, append_ms: &[i64]) -> Vec<i64> {
    let places = append_ms.iter().scan(mark, |previous, append_ms| {
        *previous = next_place(*previous, *append_ms);
        Some(*previous)
    });
    places.collect()
}

#[test]
fn on_a_clock_that_moves_a_place_is_the_clock() {
    assert_eq!(fold(0, &[1_763_805_600_001, 1_763_805_600_002]), [1_763_805_600_001_000, 1_763_805_600_002_000]);
}

#[test]
fn records_of_one_millisecond_stand_a_step_apart() {
    assert_eq!(fold(0, &[1, 1, 1]), [1000, 1008, 1016]);
}

#[test]
fn a_clock_that_steps_back_is_waited_for_in_steps() {
    assert_eq!(fold(0, &[5, 1, 2, 6]), [5000, 5008, 5016, 6000]);
}

#[test]
fn at_the_end_of_time_the_fold_stays_where_it_is() {
    let end = next_place(0, i64::MAX);
    assert_eq!(end, i64::MAX & !7);
    assert_eq!(next_place(i64::MAX, 0), i64::MAX);
    assert!(Version::at(end, Lane::Erasure).is_some());
}

#[test]
fn no_version_stands_before_or_at_the_epoch() {
    assert_eq!(Version::at(0, Lane::Backfill), None);
    assert_eq!(Version::at(-8, Lane::Live), None);
    assert_eq!(Version::new(0), None);
    assert_eq!(Version::new(i64::MIN), None);
    assert_eq!(Version::new(9), None, "the phase is no part of a version");
}

#[test]
fn lanes_order_changes_of_one_place_only() {
    let versions: Vec<_> = LANES.iter().map(|lane| Version::at(1000, *lane).unwrap()).collect();
    assert!(versions.is_sorted());
    assert!(versions.iter().all(|version| *version < Version::at(1008, Lane::Backfill).unwrap()));
}

proptest! {
    /// I2: unique, increasing, a multiple of the step (so that lane and phase have room), never before the clock.
    #[test]
    fn places_are_unique_and_increase(append_ms in prop::collection::vec(0..10_000_i64, 1..200), mark in 0..1_000_i64) {
        let mark = mark * Version::STEP;
        let places = fold(mark, &append_ms);
        prop_assert!(places[0] >= mark + Version::STEP);
        prop_assert!(places.windows(2).all(|pair| pair[1] >= pair[0] + Version::STEP));
        prop_assert!(places.iter().all(|place| place % Version::STEP == 0));
        prop_assert!(places.iter().zip(&append_ms).all(|(place, ms)| *place >= (ms * 1000) & !7));
    }

    /// I2: whoever begins again at any offset, with the mark kept there, comes to the same places.
    #[test]
    fn reading_again_from_any_mark_gives_the_same_places(
        append_ms in prop::collection::vec(0..10_000_i64, 1..200),
        from in any::<prop::sample::Index>(),
    ) {
        let places = fold(0, &append_ms);
        let from = from.index(append_ms.len());
        let mark = if from == 0 { 0 } else { places[from - 1] };
        prop_assert_eq!(fold(mark, &append_ms[from..]), &places[from..]);
    }

    /// A mark recomputed from a version that was given leads on to the same version.
    #[test]
    fn a_version_gives_its_mark_back(previous in 0..1_i64 << 50, append_ms in 0..1_i64 << 40) {
        let place = next_place(previous & !7, append_ms);
        let version = Version::at(place, Lane::Live).unwrap();
        prop_assert_eq!(version.place(), place);
        prop_assert_eq!(next_place(version.place() - Version::STEP, append_ms), place);
    }

    #[test]
    fn a_version_keeps_its_lane_and_leaves_the_phase_free(place in 8..i64::MAX, lane in prop::sample::select(&LANES)) {
        let version = Version::at(place, lane).unwrap();
        prop_assert_eq!(version.lane(), lane);
        prop_assert_eq!(version.place(), place & !7);
        prop_assert_eq!(version.cells(), version.get() + 1);
        prop_assert_eq!(Version::new(version.get()), Some(version));
        prop_assert_eq!(Version::new(version.cells()), None);
    }

    /// The cells of a change stand above its own deletions, and below everything of a later change.
    #[test]
    fn cells_stay_below_the_next_version(place in (8..1_i64 << 60).prop_map(|place| place & !7)) {
        let version = Version::at(place, Lane::Erasure).unwrap();
        let next = Version::at(next_place(place, 0), Lane::Backfill).unwrap();
        prop_assert!(version.get() < version.cells() && version.cells() < next.get());
    }
}
