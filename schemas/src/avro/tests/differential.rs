//! Our plans and `apache-avro` say the same of the same bytes.

use super::super::Framing;
use super::oracle::{self, Seeds};
use super::pairs::pair;
use crate::{Change, Codec, Draft, Field, FieldSet, Op, Origin, Row, Tenant, UserId, Version};
use apache_avro::Schema;
use proptest::prelude::*;
use std::sync::Arc;
use uuid::Uuid;

/// A schema pair is dear, a record is cheap.
const RECORDS_PER_PAIR: u64 = 16;

fn is_same(ours: &Draft, theirs: &Draft) -> bool {
    let without_set = |draft: &Draft| Draft {
        set: None,
        // A writer without tenant has the default of the schema at the oracle's, and none at ours.
        tenant: Some(draft.tenant.clone().unwrap_or_else(|| "main".into())),
        ..draft.clone()
    };
    let sets = match (&ours.set, &theirs.set) {
        (None, None) => true,
        (Some(ours), Some(theirs)) => oracle::is_same(ours, theirs),
        _ => false,
    };
    sets && without_set(ours) == without_set(theirs)
}

fn change(seeds: &mut Seeds, fields: &[Field]) -> Change {
    let op = [Op::Upsert, Op::Patch, Op::Delete][seeds.below(3)];
    let (mut set, mut unset) = (Row::default(), FieldSet::EMPTY);
    for (i, field) in fields.iter().enumerate() {
        match (op, seeds.below(3)) {
            (Op::Upsert | Op::Patch, 0) => set.set(i, seeds.field(&field.kind)),
            (Op::Patch, 1) => unset.insert(i),
            _ => {}
        }
    }
    Change {
        id: Uuid::from_u128(seeds.below(usize::MAX) as u128),
        tenant: Tenant::new(["main", "acme-1"][seeds.below(2)]).unwrap(),
        user_id: UserId::new(["u", "Jürgen", "7c9e6679-7425-40de-944b-e07fc1f90ae7"][seeds.below(3)]).unwrap(),
        op,
        set,
        unset,
        occurred_at: (seeds.below(2) == 0).then(|| seeds.below(1 << 50) as i64),
        source: (seeds.below(2) == 0).then(|| "billing".into()),
        version: Version::new((seeds.below(1 << 60) as i64 + 2) & !1).unwrap(),
        origin: Origin::new("changes.raw.v1", 3, 1024).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_any_writer_wrote_is_read_as_avro_resolves_it(pair in pair(), seed in any::<u64>()) {
        let mut seeds = Seeds::new(seed);
        for _ in 0..RECORDS_PER_PAIR {
            let bytes = oracle::write(&pair.writer, seeds.value(&pair.writer, &pair.names));
            let theirs = oracle::read(&pair.writer, &pair.oracle, &bytes).map(|value| oracle::draft(value, &pair.profile));
            match (pair.plan.read(&bytes, &pair.profile).map(Draft::from), theirs) {
                (Ok(ours), Some(theirs)) => prop_assert!(is_same(&ours, &theirs), "{ours:?} is not {theirs:?}"),
                (Err(_), None) => {}
                (ours, theirs) => prop_assert!(false, "ours: {ours:?}, theirs: {theirs:?}"),
            }
        }
    }

    #[test]
    fn a_change_is_written_byte_for_byte_as_avro_writes_it_and_read_back(pair in pair(), seed in any::<u64>()) {
        let (mut seeds, mut out) = (Seeds::new(seed), Vec::new());
        let codec = Codec::new(Arc::new(pair.profile));
        let profile = codec.profile();
        let schema = Schema::parse_str(profile.change_schema()).unwrap();
        for _ in 0..RECORDS_PER_PAIR {
            let change = change(&mut seeds, profile.fields());
            out.clear();
            codec.encode(&change, &mut out).unwrap();
            let theirs = oracle::write(&schema, oracle::value(&change, profile));
            prop_assert_eq!(&out[Framing::SINGLE_OBJECT_LEN..], &theirs);
            let back = codec.decode(&out, change.origin.clone()).unwrap();
            prop_assert!(oracle::is_same(&back.set, &change.set));
            prop_assert_eq!(Change { set: Row::default(), ..back }, Change { set: Row::default(), ..change });
        }
    }

    /// Ours is the stricter one: it knows no trailing bytes, and lengths that lead beyond the input end there.
    #[test]
    fn what_is_read_of_damaged_bytes_avro_reads_as_well(
        pair in pair(),
        seed in any::<u64>(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u8), 16),
    ) {
        apache_avro::util::max_allocation_bytes(1 << 20);
        let mut seeds = Seeds::new(seed);
        for (at, bit) in damages {
            let mut bytes = oracle::write(&pair.writer, seeds.value(&pair.writer, &pair.names));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            if let Ok(ours) = pair.plan.read(&bytes, &pair.profile).map(Draft::from) {
                let theirs = oracle::read(&pair.writer, &pair.oracle, &bytes);
                let theirs = theirs.map(|value| oracle::draft(value, &pair.profile));
                prop_assert!(theirs.is_some_and(|theirs| is_same(&ours, &theirs)), "{ours:?}");
            }
        }
    }
}
