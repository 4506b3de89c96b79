//! What is known of a run: all that was written and put out, and what has become of it.

use crate::plan::{Deed, Entry, Place, floor_mark};
use crate::promise::Broken;
use bytes::Bytes;
use runtime::record::{Record, TopicPartition};
use schemas::{facts, headers, topics};
use std::collections::{BTreeMap, BTreeSet, HashMap};

#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Raw and pinned, by partition.
    written: BTreeMap<(bool, i32), Vec<Entry>>,
    /// Of each user, where their records stand.
    of_user: BTreeMap<String, Vec<Place>>,
    /// The bytes that were first put out for a change, by topic.
    first: HashMap<(&'static str, Place), Bytes>,
    /// Records put out again.
    pub(crate) repeated: u64,
    /// Answers from the cache.
    pub(crate) hits: u64,
    /// How far each topic was looked at.
    pub(crate) looked: HashMap<TopicPartition, i64>,
    /// Dead letters by input topic, partition and offset: which change was rejected.
    pub(crate) dead: BTreeMap<(String, i32, i64), Place>,
    buried: BTreeSet<Place>,
    /// Which replicas have taken a change, a bit each.
    taken: HashMap<Place, u8>,
    /// What the sink has said of each user that it is done.
    settled: BTreeMap<String, BTreeSet<Place>>,
    /// Below which offset commits were found right.
    pub(crate) verified: HashMap<TopicPartition, i64>,
    pub(crate) broken: Option<Broken>,
    /// `None` if nobody reads it: the run is repeated to be told.
    pub(crate) history: Option<Vec<String>>,
}

impl Known {
    pub(crate) fn enter(&mut self, place: Place, entry: Entry) {
        self.of_user.entry(entry.planned.user.clone()).or_default().push(place);
        self.written.entry((place.is_pinned, place.partition)).or_default().push(entry);
    }

    /// What a record of raw or pinned was.
    pub(crate) fn written(&self, place: Place) -> Option<&Entry> {
        self.written.get(&(place.is_pinned, place.partition))?.get(usize::try_from(place.offset).ok()?)
    }

    /// What a change is, by its name: of one that was mended and replayed, what it is since.
    pub(crate) fn entry(&self, name: Place) -> Option<&Entry> {
        self.written(name)
    }

    pub(crate) fn raw(&self, partition: i32) -> &[Entry] {
        self.written.get(&(false, partition)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn entries_of(&self, user: &str) -> Vec<Entry> {
        let places = self.of_user.get(user).map(Vec::as_slice).unwrap_or_default();
        places.iter().filter_map(|place| self.written(*place).cloned()).collect()
    }

    /// The fold's state at an offset of raw.
    pub(crate) fn mark_at(&self, place: Place) -> i64 {
        let before = Place { offset: place.offset - 1, ..place };
        self.written(before).map_or_else(floor_mark, |entry| entry.mark)
    }

    /// The offset behind the last record of a partition.
    pub(crate) fn end(&self, share: &TopicPartition) -> i64 {
        let is_pinned = match &*share.topic {
            topics::RAW => false,
            topics::PINNED => true,
            _ => return self.looked.get(share).copied().unwrap_or(0),
        };
        self.written.get(&(is_pinned, share.partition)).map_or(0, |all| i64::try_from(all.len()).unwrap())
    }

    /// The change of a record of any topic.
    pub(crate) fn name_of(&self, record: &Record) -> Option<Place> {
        let (partition, offset) = (record.place.partition, record.offset.0);
        let is_pinned = &*record.place.topic == topics::PINNED;
        if is_pinned || &*record.place.topic == topics::RAW {
            return self.written(Place { is_pinned, partition, offset }).map(|entry| entry.name);
        }
        Place::of(&facts::origin_of(record.headers.last(headers::ORIGIN)?)?)
    }

    /// Notes what was put out for a change. The same bytes each time, unless it was mended meanwhile.
    pub(crate) fn put_out(&mut self, topic: &'static str, name: Place, value: Bytes) -> Result<(), String> {
        let Some(first) = self.first.get(&(topic, name)) else {
            self.first.insert((topic, name), value);
            return Ok(());
        };
        if *first != value {
            return Err(format!("{name:?} was put out otherwise before"));
        }
        self.repeated += 1;
        Ok(())
    }

    pub(crate) fn is_out(&self, topic: &'static str, name: Place) -> bool {
        self.first.contains_key(&(topic, name))
    }

    pub(crate) fn bury(&mut self, letter: (String, i32, i64), name: Place) {
        self.dead.insert(letter, name);
        self.buried.insert(name);
    }

    pub(crate) fn is_dead(&self, name: Place) -> bool {
        self.buried.contains(&name)
    }

    /// Rejected changes of raw.
    pub(crate) fn rejected(&self) -> Vec<Entry> {
        let wrong = |entry: &&Entry| matches!(entry.planned.deed, Deed::Wrong(_));
        self.buried.iter().filter_map(|name| self.written(*name)).filter(wrong).cloned().collect()
    }

    /// Whether a change is one that must be rejected.
    pub(crate) fn must_be_dead(&self, name: Place) -> bool {
        self.written(name).is_some_and(Entry::is_wrong)
    }

    pub(crate) fn taken(&mut self, names: &BTreeSet<Place>, replica: usize) {
        for name in names {
            *self.taken.entry(*name).or_default() |= 1 << replica;
        }
    }

    /// Whether any two replicas' answers have it.
    pub(crate) fn is_at_quorum(&self, name: Place) -> bool {
        self.taken.get(&name).is_some_and(|replicas| replicas.count_ones() >= 2)
    }

    /// The sink has said of a change that it is done.
    pub(crate) fn settle(&mut self, user: &str, name: Place) {
        self.settled.entry(user.to_owned()).or_default().insert(name);
    }

    pub(crate) fn settled(&self, user: &str) -> BTreeSet<Place> {
        self.settled.get(user).cloned().unwrap_or_default()
    }

    /// A settled change that is not among `names`.
    pub(crate) fn lacks(&self, user: &str, names: &BTreeSet<Place>) -> Option<Place> {
        self.settled.get(user)?.difference(names).next().copied()
    }
}
