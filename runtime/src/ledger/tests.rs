use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn entry(offset: i64) -> Entry {
    Entry { offset: Offset(offset), mark: offset * 8 + 8, bytes: 10, at_ms: offset }
}

fn open_at(offset: i64) -> Ledger {
    Ledger::open(Epoch(1), Frontier { offset: Offset(offset), mark: offset * 8 })
}

#[test]
fn the_frontier_waits_for_the_oldest_unsettled_record() {
    let mut ledger = open_at(5);
    let tickets: Vec<Ticket> = (5..8).map(|o| ledger.admit(entry(o)).unwrap()).collect();
    let [first, second, third] = <[Ticket; 3]>::try_from(tickets).unwrap();
    assert!(ledger.settle(third));
    assert!(ledger.settle(second));
    assert_eq!(ledger.uncommitted(), None);
    assert_eq!(ledger.oldest_ms(), Some(5));
    assert!(ledger.settle(first));
    assert_eq!(ledger.uncommitted(), Some(Frontier { offset: Offset(8), mark: 64 }));
    assert_eq!((ledger.unsettled(), ledger.bytes(), ledger.span()), (0, 0, 0));
}

#[test]
fn a_failed_commit_forgets_nothing() {
    let mut ledger = open_at(0);
    let ticket = ledger.admit(entry(0)).unwrap();
    ledger.settle(ticket);
    assert_eq!(ledger.uncommitted().unwrap().offset, Offset(1));
    assert_eq!(ledger.uncommitted().unwrap().offset, Offset(1), "reading acknowledges nothing");
    ledger.committed(Offset(1));
    assert_eq!(ledger.uncommitted(), None);
}

#[test]
fn a_ticket_of_a_past_epoch_is_void() {
    let mut past = open_at(0);
    let ticket = past.admit(entry(0)).unwrap();
    let mut present = Ledger::open(Epoch(2), Frontier { offset: Offset(0), mark: 0 });
    let _unsettled = present.admit(entry(0)).unwrap();
    assert!(!present.settle(ticket));
    assert_eq!(present.uncommitted(), None);
}

#[test]
fn an_offset_that_steps_back_is_refused() {
    let mut ledger = open_at(10);
    assert!(ledger.admit(entry(9)).is_err());
    let _ten = ledger.admit(entry(10)).unwrap();
    assert_eq!(ledger.admit(entry(10)).unwrap_err(), OutOfOrder { offset: Offset(10), head: Offset(11) });
}

proptest! {
    /// I7 and I2 at the ledger: the frontier is the first unsettled offset, and its mark is that of the record before.
    #[test]
    fn the_frontier_is_what_a_plain_list_says(
        gaps in prop::collection::vec(1i64..4, 1..60),
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..60),
    ) {
        let start = 3;
        let mut ledger = open_at(start);
        let mut open = BTreeMap::new();
        let mut offset = start - 1;
        for gap in gaps {
            offset += gap;
            open.insert(offset, ledger.admit(entry(offset)).unwrap());
        }
        let all: Vec<i64> = open.keys().copied().collect();
        for pick in order {
            if open.is_empty() {
                break;
            }
            let at = *open.keys().nth(pick.index(open.len())).unwrap();
            let ticket = open.remove(&at).unwrap();
            prop_assert!(ledger.settle(ticket));
            let settled_prefix = all.iter().take_while(|o| !open.contains_key(o)).last();
            let want = settled_prefix.map_or(
                Frontier { offset: Offset(start), mark: start * 8 },
                |last| Frontier { offset: Offset(last + 1), mark: last * 8 + 8 },
            );
            prop_assert_eq!(ledger.frontier(), want);
            prop_assert_eq!(ledger.unsettled(), open.len());
            prop_assert_eq!(ledger.bytes(), open.len() * 10);
        }
    }
}
