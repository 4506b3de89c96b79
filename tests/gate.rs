//! What a change costs in allocations, which no noise of a machine can move: one more on the way of every change is seen
//! here before it is seen on a bill.
//!
//! The bounds are what was counted when they were set. Whoever makes it cheaper lowers them; whoever has a reason to make
//! it dearer says so where the bound stands.
#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use allocation_counter::measure;
use tests::work::{COUNT, Work};

/// Allocations for each change, in hundredths, and bytes that were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
struct Bound {
    hundredths: u64,
    bytes: u64,
}

/// A round of `work`, counted; the one before it fills what is filled once.
fn counted(work: impl Fn()) -> Bound {
    work();
    let found = measure(&work);
    let count = u64::try_from(COUNT).unwrap();
    Bound { hundredths: 100 * found.count_total / count, bytes: found.bytes_total / count }
}

fn hold(what: &str, found: Bound, bound: Bound) {
    println!(
        "{what}: {}.{:02} allocations a change, {} bytes",
        found.hundredths / 100,
        found.hundredths % 100,
        found.bytes
    );
    let is_within = found.hundredths <= bound.hundredths && found.bytes <= bound.bytes;
    assert!(is_within, "{what} takes {found:?} a change and may take {bound:?}");
    // Bounds that nothing comes near hold nothing.
    assert!(4 * found.hundredths >= 3 * bound.hundredths, "{what} takes {found:?}: the bound {bound:?} can be lowered");
}

#[test]
fn a_change_takes_no_more_allocations_than_it_did() {
    let work = Work::default();
    hold("decode, check, encode (validate)", counted(|| work.validate()), VALIDATE);
    hold("decode, enrich, encode (enrich)", counted(|| work.enrich()), ENRICH);
    hold("decode (sink)", counted(|| work.decode()), DECODE);
    hold("group and merge (sink)", counted(|| work.merge()), MERGE);
}

const VALIDATE: Bound = Bound { hundredths: 1_875, bytes: 1_650 };
const ENRICH: Bound = Bound { hundredths: 1_250, bytes: 1_500 };
const DECODE: Bound = Bound { hundredths: 950, bytes: 740 };
const MERGE: Bound = Bound { hundredths: 540, bytes: 360 };
