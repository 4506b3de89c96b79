//! A partitioned log of segment files: per topic one file that is written, and those before it.
//!
//! All partitions of a topic share a file. One thread a topic writes: it takes whatever has queued while its last write was
//! out, appends it with one call, and makes it as safe as it must be before it is acknowledged and shown.

pub(crate) mod frame;
mod reader;
mod recovery;
mod segment;
mod topic;
mod writer;

pub use reader::Cursor;
pub use topic::Topic;

use crate::Error;
use runtime::Clock;
use runtime::record::TopicPartition;
use schemas::topics;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// How safe a record is when it is acknowledged, and when it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// On disk before it is acknowledged: the loss of power loses nothing.
    Always,
    /// Acknowledged by the system, on disk within ten milliseconds, and shown only then: the loss of power may lose what was
    /// acknowledged in the last moment, and nothing else.
    #[default]
    Soon,
    /// With the system: a crash of the process loses nothing, the loss of power what the system has not written yet.
    System,
}

/// How long [`Durability::Soon`] may wait.
const SOON: Duration = Duration::from_millis(10);

impl Durability {
    /// Words of the command line.
    pub const WORDS: [(&'static str, Self); 3] = [("always", Self::Always), ("10ms", Self::Soon), ("os", Self::System)];
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::WORDS.into_iter().find(|(word, _)| *word == text);
        found.map(|(_, durability)| durability).ok_or_else(|| "one of always, 10ms and os".to_owned())
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::WORDS.into_iter().find(|(_, is)| is == self).map_or("", |(word, _)| word))
    }
}

/// What every topic of a directory has in common.
#[derive(Clone, Debug)]
pub struct Terms {
    /// Of every topic; fixed for the life of a directory.
    pub partitions: u16,
    pub durability: Durability,
    pub clock: Clock,
    /// A file is closed, and the next one begun, when it is larger.
    pub segment_len: u64,
    /// Bytes that are left free on the disk: the store has to go on when the log is full, so that what is in the log gets
    /// out of it.
    pub reserve: u64,
}

impl Terms {
    /// What a file may hold unless a test wants less: enough that there are few, and little enough that a start goes through
    /// the last one in a moment.
    pub const SEGMENT_LEN: u64 = 64 << 20;

    /// Twice what the store begins a journal with.
    pub const RESERVE: u64 = 128 << 20;
}

/// The topics of a directory. Clones are the same log.
#[derive(Clone, Debug)]
pub struct Log(Arc<[Topic]>);

impl Log {
    /// The topics that a path of one process has: nothing lies between `validate` and `enrich`.
    pub const TOPICS: [&'static str; 4] = [topics::RAW, topics::PINNED, topics::ENRICHED, topics::DEAD];

    /// Opens or makes the topics under `dir`, and starts their writers.
    ///
    /// # Errors
    /// If a file cannot be used, or one is damaged.
    pub fn open(dir: &Path, terms: &Terms) -> Result<Self, Error> {
        let open = |name: &&'static str| {
            let kept = topics::Topic::named(name);
            let kept = kept.ok_or_else(|| Error::Missing { dir: dir.to_owned() })?;
            Topic::open(&dir.join(name), kept, terms)
        };
        Ok(Self(Self::TOPICS.iter().map(open).collect::<Result<_, _>>()?))
    }

    /// The topic of a name without prefix.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.0.iter().find(|topic| topic.name() == name)
    }

    /// Every topic.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.0.iter()
    }

    /// Whether it still takes records.
    ///
    /// # Errors
    /// If a write or a sync failed in a way after which it takes no more.
    pub fn check(&self) -> Result<(), Error> {
        self.0.iter().try_for_each(Topic::check)
    }

    /// Returns when all that was acknowledged is on disk.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub async fn sync(&self) -> Result<(), Error> {
        for topic in self.0.iter() {
            topic.sync().await?;
        }
        Ok(())
    }

    /// Writes what has queued, makes it safe and ends the writers. Nothing can be appended any more.
    pub async fn close(&self) {
        for topic in self.0.iter() {
            topic.close().await;
        }
    }

    /// Removes files of which nothing has to be kept: older than their topic keeps a record, and below what `unread` says is
    /// still to be read. Returns how many.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn retain(&self, now_ms: i64, unread: impl Fn(&TopicPartition) -> Option<i64>) -> Result<usize, Error> {
        self.0.iter().map(|topic| topic.retain(now_ms, &unread)).sum()
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.iter().map(Topic::bytes).sum()
    }

    /// Goes through every file and compares its sums; blocks. How many files there are.
    ///
    /// # Errors
    /// If a byte is not what was written.
    pub fn verify(&self) -> Result<usize, Error> {
        self.0.iter().map(Topic::verify).sum()
    }

    /// Files that were not gone through at the start.
    #[must_use]
    pub fn unverified(&self) -> Vec<Unverified> {
        self.0.iter().flat_map(Topic::unverified).collect()
    }
}

/// A file that is yet to be gone through.
#[derive(Debug)]
pub struct Unverified {
    segment: Arc<segment::Segment>,
    /// Offsets that the next file begins with.
    next: Box<[i64]>,
}

impl Unverified {
    /// Goes through it. Takes a tenth of a second; blocks.
    ///
    /// # Errors
    /// If a byte is not what was written.
    pub fn verify(&self) -> Result<(), Error> {
        recovery::verify(&self.segment, &self.next)
    }

    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.segment.path.clone()
    }
}

#[cfg(test)]
mod tests;
