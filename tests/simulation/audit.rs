//! Looks at everything a run puts out, as it is put out, and holds it against the promises.

use crate::dice::Dice;
use crate::path::Hop;
use crate::plan::{Deed, Entry, PROFILE, Planned, floor_mark, place_behind};
use bytes::Bytes;
use runtime::Clock;
use runtime::memory::MemoryLog;
use runtime::record::{Headers, Offset, Outgoing, Record, TopicPartition};
use runtime::source::Commit;
use schemas::{Codec, facts, headers, topics};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

/// Of every topic.
pub(crate) const PARTITIONS: i32 = 3;

/// A raw place: partition and offset. It names a change from end to end.
pub(crate) type Place = (i32, i64);

static CODEC: LazyLock<Codec> = LazyLock::new(|| Codec::new(PROFILE.clone()));

/// What is known of one run. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    pub(crate) log: MemoryLog,
    pub(crate) clock: Clock,
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
pub(crate) struct Known {
    raw: BTreeMap<i32, Vec<Entry>>,
    /// The bytes that were first put out for a place, by topic.
    first: HashMap<(&'static str, Place), Bytes>,
    /// Records put out again.
    pub(crate) repeated: u64,
    /// How far each topic was looked at.
    looked: HashMap<TopicPartition, i64>,
    /// Dead letters by input topic, partition and offset: what was rejected, and why.
    dead: BTreeMap<(String, i32, i64), (Place, String)>,
    /// What the table has taken.
    pub(crate) applied: BTreeSet<Place>,
    /// Below which offset commits were found right.
    verified: HashMap<TopicPartition, i64>,
    broken: Option<String>,
    /// `None` if nobody reads it: the run is repeated to be told.
    history: Option<Vec<String>>,
}

impl Audit {
    pub(crate) fn new(log: MemoryLog, clock: Clock, is_told: bool) -> Self {
        let known = Known { history: is_told.then(Vec::new), ..Known::default() };
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
    pub(crate) fn break_promise(&self, what: impl Into<String>) {
        let what = what.into();
        self.tell(|| format!("BROKEN {what}"));
        self.known().broken.get_or_insert(what);
    }

    pub(crate) fn broken(&self) -> Option<String> {
        self.known().broken.clone()
    }

    pub(crate) fn history(&self) -> Vec<String> {
        self.known().history.take().unwrap_or_default()
    }

    /// Appends what a producer wrote, and notes the place that the fold must give it.
    pub(crate) fn append(&self, planned: Planned, append_ms: i64) {
        let partition = topics::partition_for(planned.user.as_bytes(), PARTITIONS);
        let (key, value) = (Some(planned.user.clone().into()), planned.value.clone().map(Bytes::from));
        let item = Outgoing { partition, key, value, headers: Headers::default() };
        let offset = self.log.append(&topics::RAW.into(), item, append_ms);
        self.tell(|| {
            let ahead = append_ms - self.clock.now_ms();
            format!("append raw/{partition}/{offset} ({ahead:+} ms) {}: {:?}", planned.user, planned.deed)
        });
        let mut known = self.known();
        let entries = known.raw.entry(partition).or_default();
        let mark = place_behind(entries.last().map_or_else(floor_mark, |entry| entry.mark), append_ms);
        entries.push(Entry { planned, mark });
    }

    /// I7, and for `validate` I2: all below the commit is put out or is a dead letter, and the mark is the one there.
    pub(crate) fn commit(&self, hop: Hop, commits: &[Commit]) {
        self.look();
        for Commit { place, offset, metadata } in commits {
            self.tell(|| format!("{hop:?} commits {place}/{offset}"));
            let verified = self.known().verified.get(place).copied().unwrap_or(0);
            for at in verified..offset.0 {
                if let Err(what) = self.is_settled(hop, place, at) {
                    return self.break_promise(format!("I7: {hop:?} commits {place}/{offset}, and {what}"));
                }
            }
            let mut known = self.known();
            known.verified.entry(place.clone()).and_modify(|v| *v = (*v).max(offset.0)).or_insert(offset.0);
            let mark = known.mark_at(place.partition, offset.0);
            drop(known);
            if hop == Hop::Validate && *metadata != format!("v1:{mark}:{}", floor_mark()) {
                self.break_promise(format!("I2: {place}/{offset} is committed with another mark"));
            }
        }
    }

    fn is_settled(&self, hop: Hop, input: &TopicPartition, at: i64) -> Result<(), String> {
        let record = self.log.record(input, Offset(at)).ok_or("there is no such record")?;
        let place = place_of(&record).ok_or("a record of ours has no origin")?;
        let known = self.known();
        if known.dead.contains_key(&(input.topic.to_string(), input.partition, at)) {
            return Ok(());
        }
        let is_out = match hop {
            Hop::Validate => known.first.contains_key(&(topics::VALID, place)),
            Hop::Enrich => known.first.contains_key(&(topics::ENRICHED, place)),
            Hop::Sink => known.applied.contains(&place),
        };
        if is_out { Ok(()) } else { Err(format!("raw {place:?} at {at} is neither out nor dead")) }
    }

    /// Looks at what is new in the topics we write.
    pub(crate) fn look(&self) {
        for topic in [topics::VALID, topics::ENRICHED, topics::DEAD] {
            for partition in 0..PARTITIONS {
                let from = TopicPartition::new(topic, partition);
                let mut at = self.known().looked.get(&from).copied().unwrap_or(0);
                while let Some(record) = self.log.record(&from, Offset(at)) {
                    let found = if topic == topics::DEAD { self.see_dead(&record) } else { self.see(topic, &record) };
                    if let Err(what) = found {
                        self.break_promise(format!("{what} ({from}/{at})"));
                    }
                    at += 1;
                }
                self.known().looked.insert(from, at);
            }
        }
    }

    /// I2: a place has one version, the one of the oracle, and one form, however often it is read again.
    fn see(&self, topic: &'static str, record: &Record) -> Result<(), String> {
        let place = place_of(record).ok_or("a record has no origin")?;
        let value = record.value.clone().unwrap_or_default();
        let origin = record.headers.last(headers::ORIGIN).map(|text| &text[..]);
        let change = CODEC.decode_own(Some(&value), origin).map_err(|_| "a record is not readable")?;
        let version = record.headers.last(headers::VERSION).and_then(|text| headers::integer(text));
        let mut known = self.known();
        let want = known.entry(place).ok_or("a record comes from nowhere")?.version();
        if change.version.get() != want || version != Some(want) {
            return Err(format!("I2: raw {place:?} has version {}, not {want}", change.version));
        }
        if let Some(first) = known.first.get(&(topic, place)) {
            if *first != value {
                return Err(format!("I2: raw {place:?} was put out otherwise before"));
            }
            known.repeated += 1;
        } else {
            known.first.insert((topic, place), value);
        }
        Ok(())
    }

    fn see_dead(&self, letter: &Record) -> Result<(), String> {
        let text = |name: &str| letter.headers.last(name).and_then(|text| String::from_utf8(text.to_vec()).ok());
        let number = |name: &str| letter.headers.last(name).and_then(|text| headers::integer(text));
        let code = text(headers::CODE).ok_or("a dead letter has no code")?;
        let topic = text(headers::TOPIC).ok_or("a dead letter has no topic")?;
        let offset = number(headers::OFFSET).ok_or("a dead letter has no offset")?;
        let origin = letter.headers.last(headers::ORIGIN).and_then(|text| facts::origin_of(text));
        let of_raw = (topic == topics::RAW).then_some((letter.place.partition, offset));
        let place = origin.as_ref().and_then(schemas::Origin::raw).or(of_raw).ok_or("a dead letter has no origin")?;
        let mut known = self.known();
        let entry = known.entry(place).ok_or("a dead letter comes from nowhere")?;
        let version = entry.version();
        let age_ms = self.clock.now_ms() - version / 1000;
        let is_right = match (&entry.planned.deed, &*code) {
            (Deed::Wrong(wrong), code) => *wrong == code,
            (Deed::Poison, "store-refused") => true,
            (_, "change-too-old") => age_ms > crate::table::GC_GRACE_MS / 5 * 4,
            _ => false,
        };
        if !is_right {
            let deed = &entry.planned.deed;
            return Err(format!("I6, I8: raw {place:?} is a dead letter as {code}, and it is {deed:?}"));
        }
        if origin.is_none() || number(headers::VERSION) != Some(version) {
            return Err(format!("I2: the dead letter of raw {place:?} does not stand at its place"));
        }
        known.dead.insert((topic, letter.place.partition, offset), (place, code));
        Ok(())
    }

    /// The text that an operator's rewind commits with an offset.
    pub(crate) fn metadata_at(&self, hop: Hop, partition: i32, offset: i64) -> String {
        if hop != Hop::Validate {
            return hop.first_metadata();
        }
        format!("v1:{}:{}", self.known().mark_at(partition, offset), floor_mark())
    }

    /// The offset behind the last record that a hop can read.
    pub(crate) fn end(&self, hop: Hop, partition: i32) -> i64 {
        self.look();
        let known = self.known();
        if hop == Hop::Validate {
            return known.raw.get(&partition).map_or(0, |entries| i64::try_from(entries.len()).unwrap());
        }
        known.looked.get(&hop.place(partition)).copied().unwrap_or(0)
    }

    pub(crate) fn committed(&self, hop: Hop, partition: i32) -> i64 {
        self.log.committed(hop.group(), &hop.place(partition)).map_or(0, |(offset, _)| offset.0)
    }

    /// Whether every change of a user is in the table or a dead letter.
    pub(crate) fn is_through(&self, user: &str) -> bool {
        self.look();
        let partition = topics::partition_for(user.as_bytes(), PARTITIONS);
        let known = self.known();
        let is_settled = |place: Place| {
            known.applied.contains(&place) || known.dead.values().any(|(rejected, _)| *rejected == place)
        };
        let entries = known.raw.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let theirs = (0..).zip(entries).filter(|(_, entry)| entry.planned.user == user);
        theirs.into_iter().all(|(offset, _)| is_settled((partition, offset)))
    }

    /// What was appended to a partition.
    pub(crate) fn entries(&self, partition: i32) -> Vec<Entry> {
        self.known().raw.get(&partition).cloned().unwrap_or_default()
    }

    /// I2: versions of one partition are unique and increase, and each wrong record is a dead letter.
    pub(crate) fn close(&self) {
        self.look();
        for partition in 0..PARTITIONS {
            let entries = self.entries(partition);
            if !entries.is_sorted_by(|a, b| a.version() < b.version()) {
                self.break_promise("I2: versions do not increase");
            }
            let known = self.known();
            let wrong = |entry: &Entry| matches!(entry.planned.deed, Deed::Wrong(_));
            let lost = (0..).zip(&entries).find(|(offset, entry)| {
                let is_dead = known.dead.contains_key(&(topics::RAW.to_owned(), partition, *offset));
                wrong(entry) != is_dead
            });
            let lost = lost.map(|(offset, _)| offset);
            drop(known);
            if let Some(offset) = lost {
                self.break_promise(format!("I7: raw/{partition}/{offset} is not where it belongs"));
            }
        }
    }
}

impl Known {
    fn entry(&self, place: Place) -> Option<&Entry> {
        self.raw.get(&place.0)?.get(usize::try_from(place.1).ok()?)
    }

    /// The fold's state at an offset of raw.
    fn mark_at(&self, partition: i32, offset: i64) -> i64 {
        self.entry((partition, offset - 1)).map_or_else(floor_mark, |entry| entry.mark)
    }
}

/// The raw place of a record of raw or of ours.
fn place_of(record: &Record) -> Option<Place> {
    if &*record.place.topic == topics::RAW {
        return Some((record.place.partition, record.offset.0));
    }
    facts::origin_of(record.headers.last(headers::ORIGIN)?)?.raw()
}

/// Milliseconds by which a broker's clock is off, as it drifts, stands, leaps and steps back.
#[derive(Debug)]
pub(crate) struct BrokerClock {
    dice: Dice,
    leaps: bool,
    off_ms: i64,
    last_ms: i64,
}

impl BrokerClock {
    /// One that `leaps` is more than a minute ahead once.
    pub(crate) fn new(dice: Dice, leaps: bool, now_ms: i64) -> Self {
        Self { dice, leaps, off_ms: 0, last_ms: now_ms }
    }

    pub(crate) fn stamp(&mut self, now_ms: i64) -> i64 {
        match self.dice.roll(40) {
            0 => self.off_ms = i64::try_from(self.dice.roll(40_000)).unwrap(),
            1 => self.off_ms = -i64::try_from(self.dice.roll(15_000)).unwrap(),
            2 => self.off_ms = 0,
            3 if self.leaps => {
                self.leaps = false;
                self.off_ms = 0;
                return now_ms + 60_000 + i64::try_from(self.dice.between(50, 800)).unwrap();
            }
            4..=19 => return self.last_ms,
            _ => {}
        }
        self.last_ms = now_ms + self.off_ms;
        self.last_ms
    }
}
