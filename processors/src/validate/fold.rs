//! The fold that gives versions, and how its state travels with commits.
//!
//! Records of the pinned topic bring their versions and leave it alone; their commits carry the same text, so that every
//! commit of the group says which floor it works with.

use runtime::fault::Fault;
use runtime::record::{Record, Timestamp};
use runtime::stage::Mark;
use schemas::topics::is_pinned;
use schemas::version::next_place;

/// The fold over one partition of an input; its state, the *mark*, is the place of the record before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    floor: i64,
}

/// Starts the text of a commit; another form gets another number.
const FORM: &str = "v1";

impl Fold {
    /// `floor_micros` is the start of operation, in microseconds since 1970-01-01: every live version lies above it.
    #[must_use]
    pub fn new(floor_micros: i64) -> Self {
        Self { floor: floor_micros & !7 }
    }

    /// The text that goes with the first commit of a partition that was never read.
    #[must_use]
    pub fn first(&self) -> String {
        self.metadata(self.floor)
    }
}

impl Mark for Fold {
    fn next(&self, previous: i64, record: &Record) -> i64 {
        match record.timestamp {
            _ if is_pinned(&record.place.topic) => previous,
            Timestamp::LogAppend(ms) => next_place(previous, ms),
            // The stage refuses such a record with a fault, so nothing is ever committed behind this mark.
            Timestamp::Create(_) | Timestamp::Missing => next_place(previous, 0),
        }
    }

    fn metadata(&self, mark: i64) -> String {
        format!("{FORM}:{mark}:{}", self.floor)
    }

    fn resume(&self, metadata: &str) -> Result<i64, Fault> {
        let mut parts = metadata.split(':');
        let (form, mark, floor) = (parts.next(), parts.next(), parts.next());
        let number = |part: Option<&str>| part.and_then(|part| part.parse::<i64>().ok());
        match (form, number(mark), number(floor), parts.next()) {
            (Some(FORM), Some(mark), Some(floor), None) if floor == self.floor => Ok(mark),
            (Some(FORM), Some(_), Some(floor), None) => Err(Fault::config(format!(
                "version.floor is {} here, and {floor} is what this group has worked with; set it back: it may never \
                 change while the topics live",
                self.floor
            ))),
            _ => Err(Fault::config(
                "the group's commit carries no mark, so versions cannot go on from it; run: tidewater rewind validate \
                 --partition N --to OFFSET with the committed offset of each partition, which recomputes it (with \
                 --topic changes.pinned.v1 where the partition is one of that topic)",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use runtime::record::{Headers, Offset, TopicPartition};

    const FLOOR: i64 = 1_700_000_000_000_003;

    #[test]
    fn a_mark_comes_back_from_its_commit() {
        let fold = Fold::new(FLOOR);
        assert_eq!(fold.resume(&fold.metadata(42)).unwrap(), 42);
        assert_eq!(fold.resume(&fold.first()).unwrap(), FLOOR & !7);
    }

    fn record(topic: &str) -> Record {
        Record {
            place: TopicPartition::new(topic, 3),
            offset: Offset(7),
            timestamp: Timestamp::LogAppend(FLOOR / 1000 + 5),
            key: None,
            value: None,
            headers: Headers::default(),
            is_damaged: false,
        }
    }

    #[test]
    fn only_raw_records_move_the_mark() {
        let (fold, mark) = (Fold::new(FLOOR), FLOOR & !7);
        assert_eq!(fold.next(mark, &record("any.changes.pinned.v1")), mark);
        assert!(fold.next(mark, &record("any.changes.raw.v1")) > mark);
    }

    #[test]
    fn another_floor_or_no_mark_stops_with_what_to_do() {
        let other = Fold::new(FLOOR + 8).resume(&Fold::new(FLOOR).first()).unwrap_err();
        assert!(other.to_string().contains("version.floor"), "{other}");
        for text in ["", "v1:1", "v2:1:1", "v1:x:1", "v1:1:2:3"] {
            let fault = Fold::new(FLOOR).resume(text).unwrap_err();
            assert!(fault.to_string().contains("tidewater rewind validate"), "{text}: {fault}");
        }
    }
}
