//! Whole records with any headers, through the three stages and into the dead letters.
//!
//! An input is one byte of switches, the headers (how many; then length and bytes of name and value, 255 for a null
//! value), and the rest is the value.

use crate::engine::Target;
use bytes::Bytes;
use processors::enrich::{Enrich, Shelf};
use processors::validate::Validate;
use runtime::Clock;
use runtime::dead::DeadLetters;
use runtime::fault::{Fault, Verdict};
use runtime::memory::{MemoryLog, MemorySink, Weather};
use runtime::record::{Headers, Offset, Outgoing, Record, Timestamp, TopicPartition};
use runtime::stage::{Admitted, Rejected, Sink as _, Stage};
use schemas::headers::{self, is_ours};
use schemas::reference::Tables;
use schemas::topics::{self, partition_for};
use schemas::{Change, Codec, Profile, RejectCode, facts, pinned};
use sinks::{Decode, Horizon};
use std::sync::Arc;
use std::time::Duration;
use tests::history::Random;

/// 2026-03-01, in milliseconds.
const NOW_MS: i64 = 1_772_323_200_000;
/// 2026-01-01, in microseconds.
const FLOOR_MICROS: i64 = 1_767_225_600_000_000;
const PARTITIONS: i32 = 4;
const USER: &[u8] = b"u-1";

/// Records as any of the stages may find them.
pub(crate) struct Records {
    codec: Codec,
    validate: Validate,
    enrich: Enrich,
    sink: Decode,
    runtime: tokio::runtime::Runtime,
}

/// What came of one record in one stage.
enum Outcome {
    Sent(Outgoing),
    Kept(Box<Change>),
    Dead(Rejected),
    Waits,
}

impl Records {
    pub(crate) fn new() -> Self {
        let profile = Arc::new(Profile::embedded().unwrap());
        let clock = Clock::fixed(NOW_MS);
        let horizon = Horizon::new(Duration::from_secs(45 * 86_400), FLOOR_MICROS);
        Self {
            codec: Codec::new(profile.clone()),
            validate: Validate::new(profile.clone(), clock.clone(), PARTITIONS, FLOOR_MICROS),
            enrich: Enrich::new(profile.clone(), Shelf::new(Tables::default())),
            sink: Decode::new(Codec::new(profile), horizon, clock),
            runtime: tokio::runtime::Builder::new_current_thread().build().unwrap(),
        }
    }

    fn through(&self, stage: usize, record: Record) -> Outcome {
        let admitted = Admitted { record, mark: NOW_MS * 1000 };
        let outcome: Result<Judged, Fault> = self.runtime.block_on(async {
            Ok(match stage {
                0 => self.validate.apply(&admitted).await?.into(),
                1 => self.enrich.apply(&admitted).await?.into(),
                _ => match self.sink.apply(&admitted).await? {
                    Verdict::Forward(change) => Judged::Change(change),
                    Verdict::Reject(rejection) => Judged::Rejection(rejection),
                },
            })
        });
        match outcome {
            Ok(Judged::Record(record)) => Outcome::Sent(record),
            Ok(Judged::Change(change)) => Outcome::Kept(Box::new(change)),
            Ok(Judged::Rejection(rejection)) => Outcome::Dead(Rejected { record: admitted.record, rejection }),
            // Only a newer release's record may wait, and only behind `validate`, which no outsider writes to.
            Err(Fault::Transient(_)) if stage > 0 => Outcome::Waits,
            Err(fault) => panic!("an outsider's record is a fault: {fault}"),
        }
    }

    /// The dead letter of a record, as it stands in the topic.
    fn buried(&self, rejected: Rejected) -> Record {
        let log = MemoryLog::default();
        let clock = Clock::fixed(NOW_MS);
        let place = TopicPartition::new("dead", rejected.record.place.partition);
        let topic = MemorySink::new(log.clone(), "dead", clock.clone(), Weather::default());
        let refused = self.runtime.block_on(DeadLetters::new("validate", topic, clock).write(&[rejected]));
        assert!(refused.unwrap().is_empty());
        log.record(&place, Offset(0)).unwrap()
    }
}

enum Judged {
    Record(Outgoing),
    Change(Change),
    Rejection(runtime::fault::Rejection),
}

impl From<Verdict<Outgoing>> for Judged {
    fn from(verdict: Verdict<Outgoing>) -> Self {
        match verdict {
            Verdict::Forward(record) => Self::Record(record),
            Verdict::Reject(rejection) => Self::Rejection(rejection),
        }
    }
}

/// The record that an input stands for, and the stage it is for.
fn record_of(input: &[u8]) -> (usize, Record) {
    let mut rest = input;
    let mut next = |len: usize| {
        let (taken, after) = rest.split_at(len.min(rest.len()));
        rest = after;
        taken
    };
    let switches = next(1).first().copied().unwrap_or_default();
    let count = next(1).first().copied().unwrap_or_default() % 16;
    let mut headers = Headers::default();
    for _ in 0..count {
        let len = next(1).first().copied().unwrap_or_default();
        let name = String::from_utf8_lossy(next(len.into())).into_owned();
        let len = next(1).first().copied().unwrap_or_default();
        headers.push(name, (len < 255).then(|| Bytes::copy_from_slice(next(len.into()))));
    }
    let is = |bit: u8| switches & 1 << bit != 0;
    let topic = if is(0) { topics::PINNED } else { topics::RAW };
    let user: &[u8] = if is(4) { b"\xff\x00" } else { USER };
    let partition = partition_for(user, PARTITIONS);
    let record = Record {
        place: TopicPartition::new(format!("tidewater.{topic}"), if is(3) { partition ^ 1 } else { partition }),
        offset: Offset(7),
        timestamp: Timestamp::LogAppend(NOW_MS),
        key: (!is(1)).then(|| Bytes::copy_from_slice(user)),
        value: (!is(2)).then(|| Bytes::copy_from_slice(rest)),
        headers,
        is_damaged: is(5),
    };
    (usize::from(switches >> 6).min(2), record)
}

fn text(value: Option<&Bytes>) -> &str {
    std::str::from_utf8(value.expect("it is there")).expect("it is text")
}

impl Target for Records {
    const NAME: &'static str = "records";
    const MEMORY: (u64, u64) = (1 << 18, 64);

    fn fresh(&self, random: &mut Random) -> Vec<u8> {
        let switches = [0, 1, 1, 1, 2, 3, 4, 5, 8, 32, 64, 65, 128, 129][random.below(14)];
        let mut input = vec![switches, u8::try_from(random.below(5)).unwrap()];
        for _ in 0..input[1] {
            let words = self.words();
            for _ in 0..2 {
                let word = words[random.below(words.len())];
                input.push(u8::try_from(word.len().min(254)).unwrap());
                input.extend_from_slice(&word[..word.len().min(254)]);
            }
        }
        let values: [&[u8]; 4] = [
            br#"{"user_id": "u-1", "op": "patch", "set": {"name": "Ada"}}"#,
            br#"{"user_id": "u-1", "op": "delete", "version": 1769904000000000}"#,
            br#"{"user_id": "u-1", "op": "upsert", "id": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"}"#,
            b"{}",
        ];
        input.extend_from_slice(values[random.below(4)]);
        input
    }

    fn words(&self) -> Vec<&[u8]> {
        let words = [
            headers::VERSION,
            headers::ORIGIN,
            headers::ID,
            headers::CODE,
            headers::SOURCE,
            "TW-Version",
            "tw-",
            "tw-\u{e9}",
            headers::TRACEPARENT,
            "tracestate",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "x-theirs",
            "1769904000000004",
            "1769904000000000",
            "1700000000000000",
            "1767225600000000",
            "1772323200000002",
            "9223372036854775806",
            "0",
            "-2",
            "+2",
            "02",
            "changes.raw.v1/3/1024",
            "changes.raw.v1/0/7",
            "crm/0/5",
            "a/b/c",
            "changes.raw.v1/3/9223372036854775807",
            "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
            "{6BA7B8109DAD11D180B400C04FD430C8}",
            "\u{0}",
            "\u{7f}",
        ];
        words.iter().map(|word| word.as_bytes()).collect()
    }

    fn run(&self, input: &[u8]) -> String {
        let (stage, record) = record_of(input);
        let place = record.place.clone();
        match self.through(stage, record.clone()) {
            Outcome::Waits => format!("{stage} waits"),
            Outcome::Kept(change) => format!("{stage} kept {:?}", change.op),
            Outcome::Sent(sent) => {
                assert_eq!(sent.partition, place.partition, "no stage moves a user");
                let ours = sent.headers.iter().filter(|(name, _)| is_ours(name)).count();
                let trace = sent.headers.iter().filter(|(name, _)| ["traceparent", "tracestate"].contains(&&***name));
                assert_eq!((ours, ours + trace.count()), (2, sent.headers.len()), "ours, and the trace");
                let origin = sent.headers.last(headers::ORIGIN).map(|origin| &origin[..]);
                let change = self.codec.decode_own(sent.value.as_deref(), origin).expect("the next stage reads it");
                assert_eq!(text(sent.headers.last(headers::VERSION)), change.version.to_string());
                assert_eq!(sent.key.as_deref(), Some(change.user_id.as_str().as_bytes()));
                format!("{stage} sent {:?} {:?} {}", change.op, change.version.lane(), change.origin.raw().is_some())
            }
            Outcome::Dead(rejected) => {
                let code = rejected.rejection.code;
                assert!(RejectCode::ALL.iter().any(|known| known.as_str() == code));
                let field = rejected.rejection.field.clone().unwrap_or_default();
                let letter = self.buried(rejected);
                assert!(letter.key == record.key && letter.value == record.value, "byte for byte");
                let theirs = |record: &Record| -> Vec<_> {
                    let all = record.headers.iter().filter(|(name, _)| !is_ours(name));
                    all.map(|(name, value)| (name.to_string(), value.cloned())).collect()
                };
                assert_eq!(theirs(&letter), theirs(&record), "foreign headers as they came");
                let mut names = Vec::new();
                for (name, value) in letter.headers.iter().filter(|(name, _)| is_ours(name)) {
                    assert!(text(value).bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{name} is ASCII");
                    assert!(!names.contains(&name.to_string()), "{name} stands twice");
                    names.push(name.to_string());
                }
                let known = facts::carried(|name| letter.headers.last(name).map(|text| &text[..]));
                let field = if pinned::BROUGHT.contains(&&*field) { field } else { "".into() };
                format!("{stage} dead {code} {field} {} {}", known.len(), letter.headers.last(headers::ID).is_some())
            }
        }
    }
}
