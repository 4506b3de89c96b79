//! Bytes that are not what they claim to be: refused, in time and space that their own length bounds.

use super::super::wire::{Input, Malformed, put_bytes, put_long};
use super::oracle::Seeds;
use crate::{Change, Codec, DecodeError, Draft, FieldSet, FieldValue, Op, Origin, Row, Tenant, UserId, Version};
use proptest::prelude::*;
use std::sync::LazyLock;
use uuid::Uuid;

static CODEC: LazyLock<Codec> = LazyLock::new(super::embedded);

fn origin() -> Origin {
    Origin::new("changes.raw.v1", 0, 0).unwrap()
}

/// A record with something in every place.
fn record(seed: u64) -> Vec<u8> {
    let (mut seeds, mut set, mut unset) = (Seeds::new(seed), Row::default(), FieldSet::EMPTY);
    for (i, field) in CODEC.profile().fields().iter().enumerate() {
        if seeds.below(4) == 0 {
            unset.insert(i);
        } else {
            set.set(i, seeds.field(&field.kind));
        }
    }
    let change = Change {
        id: Uuid::from_u128(seed.into()),
        tenant: Tenant::default(),
        user_id: UserId::new("ada").unwrap(),
        op: Op::Patch,
        set,
        unset,
        occurred_at: Some(1),
        source: Some("billing".into()),
        version: Version::new(8).unwrap(),
        origin: origin(),
    };
    let mut out = Vec::new();
    CODEC.encode(&change, &mut out).unwrap();
    out
}

/// Bytes that a draft holds on to.
fn held(draft: &Draft) -> usize {
    let texts = [draft.tenant.as_ref(), draft.source.as_ref(), Some(&draft.user_id)];
    let values = draft.set.iter().flat_map(Row::iter).map(|(_, value)| match value {
        FieldValue::Text(text) => text.capacity(),
        FieldValue::Bytes(bytes) => bytes.capacity(),
        FieldValue::Bool(_)
        | FieldValue::Int(_)
        | FieldValue::Long(_)
        | FieldValue::Float(_)
        | FieldValue::Double(_) => 0,
    });
    texts.into_iter().flatten().map(String::capacity).sum::<usize>() + values.sum::<usize>()
}

#[test]
fn a_record_cut_anywhere_is_refused() {
    let record = record(1);
    for end in 0..record.len() {
        let cut = CODEC.decode_draft(&record[..end]);
        assert!(matches!(cut, Err(DecodeError::Malformed(_))), "cut at {end}: {cut:?}");
    }
}

#[test]
fn a_byte_behind_the_last_value_is_refused() {
    let mut record = record(2);
    record.push(0);
    assert_eq!(CODEC.decode_draft(&record), Err(Malformed::Trailing.into()));
}

#[test]
fn a_number_has_at_most_64_bits() {
    let long = |bytes: &[u8]| Input::new(bytes).long();
    assert_eq!(long(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]), Ok(i64::MIN));
    assert_eq!(long(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]), Err(Malformed::Number));
    assert_eq!(long(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00]), Err(Malformed::Number));
    assert_eq!(long(&[0x80; 9]), Err(Malformed::Short));
    assert_eq!(long(&[]), Err(Malformed::Short));
}

#[test]
fn an_int_has_32_of_them() {
    for (number, fits) in [(i64::from(i32::MIN), true), (1 << 31, false), (-(1 << 31) - 1, false), (i64::MAX, false)] {
        let mut bytes = Vec::new();
        put_long(&mut bytes, number);
        assert_eq!(Input::new(&bytes).int().is_ok(), fits, "{number}");
    }
}

#[test]
fn a_uuid_has_hyphens_and_nothing_around_it() {
    let uuid = |text: &str| {
        let mut bytes = Vec::new();
        put_bytes(&mut bytes, text.as_bytes());
        Input::new(&bytes).uuid()
    };
    assert!(uuid("7C9E6679-7425-40de-944b-e07fc1f90ae7").is_ok());
    assert_eq!(uuid("{7c9e6679-7425-40de-944b-e07fc1f90ae7}"), Err(Malformed::Uuid));
    assert_eq!(uuid("urn:uuid:7c9e6679-7425-40de-944b-e07fc1f90ae7"), Err(Malformed::Uuid));
}

#[test]
fn a_length_is_checked_against_what_is_left() {
    for claim in [1, 64, 1 << 20, 1 << 31, 1 << 62, i64::MAX, -1, i64::MIN] {
        let mut claimed = Vec::new();
        put_long(&mut claimed, claim);
        let wrong = if claim < 0 { Malformed::Number } else { Malformed::Short };
        assert_eq!(Input::new(&claimed).bytes(), Err(wrong), "{claim}");
        assert_eq!(Input::new(&claimed).text(), Err(wrong), "{claim}");
    }
}

#[test]
fn a_block_is_as_long_as_it_says() {
    let texts = |numbers: &[i64], rest: &[u8]| {
        let (mut bytes, mut found) = (Vec::new(), 0);
        numbers.iter().for_each(|number| put_long(&mut bytes, *number));
        bytes.extend_from_slice(rest);
        let mut input = Input::new(&bytes);
        let read = input.texts(|_| {
            found += 1;
            Ok::<_, Malformed>(())
        });
        read.and_then(|()| input.end()).map(|()| found)
    };
    let (a, b) = ([2, b'a'], [2, b'b']);
    assert_eq!(texts(&[0], &[]), Ok(0));
    assert_eq!(texts(&[2], &[a, b, [2, b'c']].concat()), Err(Malformed::Number), "the next block is the text of one");
    assert_eq!(texts(&[2], &[&a[..], &b, &[0]].concat()), Ok(2));
    assert_eq!(texts(&[1], &[&a[..], &[2], &b, &[0]].concat()), Ok(2), "two blocks");
    assert_eq!(texts(&[-2, 4], &[&a[..], &b, &[0]].concat()), Ok(2), "a block that says its length");
    assert_eq!(texts(&[-2, 3], &[&a[..], &b, &[0]].concat()), Err(Malformed::Block));
    assert_eq!(texts(&[-2, 5], &[&a[..], &b, &[0]].concat()), Err(Malformed::Block));
    assert_eq!(texts(&[-1, 1 << 40], &a), Err(Malformed::Short));
    assert_eq!(texts(&[-1, -1], &a), Err(Malformed::Block));
    for claim in [1 << 20, i64::MAX, i64::MIN + 1] {
        assert_eq!(texts(&[claim, 0], &[]), Err(Malformed::Short), "{claim}");
    }
    assert_eq!(texts(&[i64::MIN, 0], &[]), Err(Malformed::Short));
}

proptest! {
    #[test]
    fn numbers_come_back(number in prop_oneof![any::<i64>(), (0..64_u32).prop_map(|bits| i64::MIN >> bits)]) {
        let mut bytes = Vec::new();
        put_long(&mut bytes, number);
        let mut input = Input::new(&bytes);
        prop_assert_eq!(input.long(), Ok(number));
        prop_assert_eq!(input.end(), Ok(()));
    }

    #[test]
    fn no_bytes_are_more_than_they_are(bytes in prop::collection::vec(any::<u8>(), 0..300), framed in any::<bool>()) {
        let mut record = if framed { record(3)[..10].to_vec() } else { Vec::new() };
        record.extend_from_slice(&bytes);
        if let Ok(draft) = CODEC.decode_draft(&record) {
            prop_assert!(held(&draft) <= 8 * record.len());
        }
    }

    #[test]
    fn a_damaged_record_is_a_change_or_refused(
        seed in 0..64_u64,
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..5_u8, any::<u64>()), 1..6),
    ) {
        let mut record = record(seed);
        for (at, how, noise) in damages {
            let at = 10 + at.index(record.len().saturating_sub(10).max(1));
            let at = at.min(record.len());
            match how {
                0 if at < record.len() => record[at] ^= 1 << (noise % 8),
                1 if at < record.len() => drop(record.remove(at)),
                2 => record.truncate(at),
                3 => {
                    let mut number = Vec::new();
                    put_long(&mut number, noise.cast_signed() >> (noise % 64));
                    drop(record.splice(at..at, number));
                }
                _ => record.insert(at, noise.to_le_bytes()[0]),
            }
        }
        if let Ok(draft) = CODEC.decode_draft(&record) {
            prop_assert!(held(&draft) <= 8 * record.len());
        }
        if let Ok(change) = CODEC.decode(&record, origin()) {
            let mut again = Vec::new();
            CODEC.encode(&change, &mut again).unwrap();
            let back = CODEC.decode(&again, origin()).unwrap();
            prop_assert!(super::oracle::is_same(&back.set, &change.set));
        }
    }
}
