//! A record that claims to be huge takes no more memory than it has. Alone in its process, to see what that took.

use schemas::{Change, Codec, FieldSet, FieldValue, Op, Origin, Profile, Row, Tenant, UserId, Version, profile::Kind};
use std::fs;
use std::sync::Arc;
use uuid::Uuid;

/// As `long` on the wire: 2^28, 2^31, 2^40 and 2^62, and the first as the negative count of a block.
const CLAIMS: [&[u8]; 5] = [
    &[0x80, 0x80, 0x80, 0x80, 0x02],
    &[0x80, 0x80, 0x80, 0x80, 0x10],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x40],
    &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
    &[0xff, 0xff, 0xff, 0xff, 0x01],
];

/// Far below the smallest claim, far above what the reading itself needs.
const GROWTH_MAX_KIB: u64 = 64 << 10;

/// The largest address space this process ever had, by Linux's account.
fn peak_kib() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmPeak:"))?;
    peak.trim().trim_end_matches(" kB").parse().ok()
}

#[test]
fn a_claim_is_not_allocated() {
    let codec = Codec::new(Arc::new(Profile::embedded().unwrap()));
    let mut set = Row::default();
    for (i, field) in codec.profile().fields().iter().enumerate().filter(|(_, field)| field.kind == Kind::String) {
        set.set(i, FieldValue::Text(field.name.to_string()));
    }
    let change = Change {
        id: Uuid::nil(),
        tenant: Tenant::default(),
        user_id: UserId::new("ada").unwrap(),
        op: Op::Patch,
        set,
        unset: FieldSet::from_iter([codec.profile().position("plan").unwrap()]),
        occurred_at: Some(1),
        source: Some("billing".into()),
        version: Version::new(8).unwrap(),
        origin: Origin::new("changes.raw.v1", 0, 0).unwrap(),
    };
    let mut record = Vec::new();
    codec.encode(&change, &mut record).unwrap();
    assert_eq!(codec.decode(&record, change.origin.clone()), Ok(change.clone()));

    let before = peak_kib().unwrap();
    let mut refused = 0;
    for at in 10..record.len() {
        for claim in CLAIMS {
            let mut claiming = record.clone();
            claiming.splice(at..=at, claim.iter().copied());
            refused += usize::from(codec.decode_draft(&claiming).is_err());
        }
    }
    assert!(refused > record.len(), "most places are lengths, or behind one");
    let growth = peak_kib().unwrap() - before;
    assert!(growth < GROWTH_MAX_KIB, "grew by {growth} KiB");
}
