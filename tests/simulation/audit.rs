//! Looks at everything a run puts out, as it is put out, and holds it against the promises.

use crate::known::Known;
use crate::path::Hop;
use crate::plan::{Deed, Entry, PROFILE, Place, Planned, floor_mark, place_behind};
use crate::promise::{Broken, Promise};
use bytes::Bytes;
use runtime::Clock;
use runtime::memory::MemoryLog;
use runtime::record::{Offset, Outgoing, Record, TopicPartition};
use runtime::source::Commit;
use schemas::{Codec, facts, headers, topics};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

/// Of every topic.
pub(crate) const PARTITIONS: i32 = 3;

static CODEC: LazyLock<Codec> = LazyLock::new(|| Codec::new(PROFILE.clone()));

/// What is known of one run. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    pub(crate) log: MemoryLog,
    pub(crate) clock: Clock,
    known: Arc<Mutex<Known>>,
}

impl Audit {
    pub(crate) fn new(log: MemoryLog, clock: Clock, is_told: bool) -> Self {
        let mut known = Known::default();
        known.history = is_told.then(Vec::new);
        Self { log, clock, known: Arc::new(Mutex::new(known)) }
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// Adds a line to the history.
    pub(crate) fn tell(&self, line: impl FnOnce() -> String) {
        let at = self.clock.now_ms() - crate::plan::START_MS;
        if let Some(history) = &mut self.known().history {
            history.push(format!("{at:>7} ms  {}", line()));
        }
    }

    /// A promise is broken; the first one counts.
    pub(crate) fn break_promise(&self, promise: Promise, what: impl Into<String>) {
        let broken = Broken { promise, what: what.into() };
        self.tell(|| format!("BROKEN {broken}"));
        self.known().broken.get_or_insert(broken);
    }

    pub(crate) fn broken(&self) -> Option<Broken> {
        self.known().broken.clone()
    }

    pub(crate) fn history(&self) -> Vec<String> {
        self.known().history.take().unwrap_or_default()
    }

    /// Appends what was written to raw or pinned, and notes the place that it must come to.
    pub(crate) fn append(&self, planned: Planned, append_ms: i64) -> Place {
        let partition = topics::partition_for(planned.user.as_bytes(), PARTITIONS);
        let (key, value) = (Some(planned.user.clone().into()), planned.value.clone().map(Bytes::from));
        let item = Outgoing { partition, key, value, headers: planned.headers() };
        let is_pinned = planned.brought.is_some();
        let topic = if is_pinned { topics::PINNED } else { topics::RAW };
        let place = Place { is_pinned, partition, offset: self.log.append(&topic.into(), item, append_ms).0 };
        self.tell(|| {
            let ahead = append_ms - self.clock.now_ms();
            let name = planned.brought.as_ref().and_then(|brought| brought.origin);
            let again = name.map_or_else(String::new, |name| format!(", which was {name:?}"));
            format!("append {place:?} ({ahead:+} ms) {}: {:?}{again}", planned.user, planned.deed)
        });
        let mut known = self.known();
        let mark = match is_pinned {
            true => 0,
            false => place_behind(known.mark_at(place), append_ms),
        };
        let name = planned.brought.as_ref().and_then(|brought| brought.origin).unwrap_or(place);
        known.enter(place, Entry { planned, mark, name });
        place
    }

    /// I7, and for `validate` I2: all below the commit is put out or is a dead letter, and the mark is the one there.
    pub(crate) fn commit(&self, hop: Hop, commits: &[Commit]) {
        self.look();
        for Commit { place, offset, metadata } in commits {
            self.tell(|| format!("{hop:?} commits {place}/{offset}"));
            let verified = self.known().verified.get(place).copied().unwrap_or(0);
            for at in verified..offset.0 {
                if let Err(what) = self.is_settled(hop, place, at) {
                    let what = format!("{hop:?} commits {place}/{offset}, and {what}");
                    return self.break_promise(Promise::CommittedMeansKept, what);
                }
            }
            self.known().verified.entry(place.clone()).and_modify(|v| *v = (*v).max(offset.0)).or_insert(offset.0);
            if &*place.topic == topics::RAW && *metadata != self.metadata_at(hop, place, offset.0) {
                self.break_promise(Promise::LogOrder, format!("{place}/{offset} is committed with another mark"));
            }
        }
    }

    fn is_settled(&self, hop: Hop, input: &TopicPartition, at: i64) -> Result<(), String> {
        let record = self.log.record(input, Offset(at)).ok_or("there is no such record")?;
        let known = self.known();
        if known.dead.contains_key(&(input.topic.to_string(), input.partition, at)) {
            return Ok(());
        }
        let name = known.name_of(&record).ok_or("a record of ours has no origin")?;
        let is_out = match hop {
            Hop::Validate => known.is_out(topics::VALID, name),
            Hop::Enrich => known.is_out(topics::ENRICHED, name),
            Hop::Sink => known.is_at_quorum(name),
        };
        if is_out { Ok(()) } else { Err(format!("{name:?} at {at} is neither out nor dead")) }
    }

    /// Looks at what is new in the topics we write.
    pub(crate) fn look(&self) {
        for topic in [topics::VALID, topics::ENRICHED, topics::DEAD] {
            for partition in 0..PARTITIONS {
                let from = TopicPartition::new(topic, partition);
                let mut at = self.known().looked.get(&from).copied().unwrap_or(0);
                while let Some(record) = self.log.record(&from, Offset(at)) {
                    let found = if topic == topics::DEAD { self.see_dead(&record) } else { self.see(topic, &record) };
                    if let Err((promise, what)) = found {
                        self.break_promise(promise, format!("{what} ({from}/{at})"));
                    }
                    at += 1;
                }
                self.known().looked.insert(from, at);
            }
        }
    }

    /// I2, I3: a place has one version, the one of the oracle, and one form, however often it is read again.
    fn see(&self, topic: &'static str, record: &Record) -> Result<(), (Promise, String)> {
        let wrong = |what: &str| (Promise::LogOrder, what.to_owned());
        let mut known = self.known();
        let name = known.name_of(record).ok_or_else(|| wrong("a record has no origin"))?;
        let value = record.value.clone().unwrap_or_default();
        let origin = record.headers.last(headers::ORIGIN).map(|text| &text[..]);
        let change = CODEC.decode_own(Some(&value), origin).map_err(|_| wrong("a record is not readable"))?;
        let version = record.headers.last(headers::VERSION).and_then(|text| headers::integer(text));
        let entry = known.entry(name).ok_or_else(|| wrong("a record comes from nowhere"))?;
        let (want, is_backfill) = (entry.version(), entry.is_backfill());
        if change.version.get() != want || version != Some(want) {
            let promise = if is_backfill { Promise::BackfillLoses } else { Promise::LogOrder };
            return Err((promise, format!("{name:?} has version {}, not {want}", change.version)));
        }
        known.put_out(topic, name, value).map_err(|what| (Promise::LogOrder, what))
    }

    fn see_dead(&self, letter: &Record) -> Result<(), (Promise, String)> {
        let wrong = |what: &str| (Promise::CommittedMeansKept, what.to_owned());
        let text = |name: &str| letter.headers.last(name).and_then(|text| String::from_utf8(text.to_vec()).ok());
        let number = |name: &str| letter.headers.last(name).and_then(|text| headers::integer(text));
        let code = text(headers::CODE).ok_or_else(|| wrong("a dead letter has no code"))?;
        let topic = text(headers::TOPIC).ok_or_else(|| wrong("a dead letter has no topic"))?;
        let offset = number(headers::OFFSET).ok_or_else(|| wrong("a dead letter has no offset"))?;
        if code == "version-in-future" {
            // No record of a run deserves it: of those that bring their version none is from the future.
            return Err((
                Promise::NoFuture,
                format!("{topic}/{}/{offset} is a dead letter as {code}", letter.place.partition),
            ));
        }
        let origin = letter.headers.last(headers::ORIGIN).and_then(|text| facts::origin_of(text));
        let name = origin.as_ref().and_then(Place::of).ok_or_else(|| wrong("a dead letter has no origin"))?;
        let mut known = self.known();
        let entry = known.entry(name).ok_or_else(|| wrong("a dead letter comes from nowhere"))?;
        let (version, deed) = (entry.version(), &entry.planned.deed);
        let since_ms = if entry.is_backfill() { crate::plan::FLOOR_MICROS / 1000 } else { version / 1000 };
        let is_old = self.clock.now_ms() - since_ms > crate::cassandra::GC_GRACE_MS / 5 * 4;
        let broken = match (deed, &*code) {
            (Deed::Wrong(wrong), code) if *wrong == code => None,
            (Deed::Poison, "store-refused") => None,
            (_, "change-too-old") if is_old => None,
            (_, "change-too-old") => Some(Promise::NoZombie),
            (_, "store-refused") => Some(Promise::AmbiguityIsRetried),
            _ => Some(Promise::CommittedMeansKept),
        };
        if let Some(promise) = broken {
            return Err((promise, format!("{name:?} is a dead letter as {code}, and it is {deed:?}")));
        }
        if number(headers::VERSION) != Some(version) {
            return Err((Promise::LogOrder, format!("the dead letter of {name:?} does not stand at its place")));
        }
        known.bury((topic, letter.place.partition, offset), name);
        Ok(())
    }

    /// The text that belongs to an offset of an input.
    pub(crate) fn metadata_at(&self, hop: Hop, share: &TopicPartition, offset: i64) -> String {
        if &*share.topic != topics::RAW {
            return hop.first_metadata();
        }
        let mark = self.known().mark_at(Place::raw(share.partition, offset));
        format!("v1:{mark}:{}", floor_mark())
    }

    /// The offset behind the last record of a partition.
    pub(crate) fn end(&self, share: &TopicPartition) -> i64 {
        self.look();
        self.known().end(share)
    }

    pub(crate) fn committed(&self, hop: Hop, share: &TopicPartition) -> i64 {
        self.log.committed(hop.group(), share).map_or(0, |(offset, _)| offset.0)
    }

    /// Whether every change of a user is in the table or a dead letter.
    pub(crate) fn is_through(&self, user: &str) -> bool {
        self.look();
        let known = self.known();
        known.entries_of(user).iter().all(|entry| known.is_at_quorum(entry.name) || known.is_dead(entry.name))
    }

    /// I2: versions of one partition are unique and increase. I7: each wrong record is a dead letter, and no other.
    pub(crate) fn close(&self) {
        self.look();
        for partition in 0..PARTITIONS {
            let known = self.known();
            let entries = known.raw(partition);
            let is_in_order = entries.is_sorted_by(|a, b| a.version() < b.version());
            let lost = (0..).zip(entries).find(|(offset, entry)| {
                let is_dead = known.dead.contains_key(&(topics::RAW.to_owned(), partition, *offset));
                matches!(entry.planned.deed, Deed::Wrong(_)) != is_dead
            });
            let lost = lost.map(|(offset, _)| offset);
            drop(known);
            if !is_in_order {
                self.break_promise(Promise::LogOrder, "versions do not increase");
            }
            if let Some(offset) = lost {
                let what = format!("raw/{partition}/{offset} is not where it belongs");
                self.break_promise(Promise::CommittedMeansKept, what);
            }
        }
    }
}
