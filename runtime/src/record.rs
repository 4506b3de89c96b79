//! Records as read and as written, free of any client's types.

use bytes::Bytes;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// One partition of one topic. Cloning bumps a reference count.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicPartition {
    pub topic: Arc<str>,
    pub partition: i32,
}

impl TopicPartition {
    #[must_use]
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

/// By the number alone: a worker reads one topic or two, and looks a partition up for every record.
impl Hash for TopicPartition {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.partition.hash(state);
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// A record's position in its partition, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Offset(pub i64);

impl Offset {
    /// The offset behind this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// When a record was made, in milliseconds since 1970-01-01, and who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timestamp {
    /// The broker, on appending: the only time that orders anything here.
    LogAppend(i64),
    /// The producer.
    Create(i64),
    Missing,
}

impl Timestamp {
    /// Whoever said it.
    #[must_use]
    pub fn millis(self) -> Option<i64> {
        match self {
            Self::LogAppend(ms) | Self::Create(ms) => Some(ms),
            Self::Missing => None,
        }
    }
}

/// Headers in order; a name may stand more than once, a value may be null.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(Arc<str>, Option<Bytes>)>);

impl Headers {
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub fn push(&mut self, name: impl Into<Arc<str>>, value: Option<Bytes>) {
        self.0.push((name.into(), value));
    }

    pub fn push_text(&mut self, name: impl Into<Arc<str>>, value: impl Into<String>) {
        self.push(name, Some(Bytes::from(value.into())));
    }

    /// The last non-null value of `name`: a header set again replaces the earlier one.
    #[must_use]
    pub fn last(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().rev().find(|(n, _)| &**n == name).and_then(|(_, value)| value.as_ref())
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Option<&Bytes>)> {
        self.0.iter().map(|(name, value)| (name, value.as_ref()))
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, Bytes::len)).sum()
    }
}

/// Header names that a reader has seen, so that each is one allocation for its life.
#[derive(Debug, Default)]
pub struct Names(Vec<Arc<str>>);

impl Names {
    /// Producers with more header names than this pay an allocation for each further one.
    const MAX: usize = 16;

    /// `name` as a shared text.
    pub fn of(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|known| &***known == name) {
            return known.clone();
        }
        let new: Arc<str> = name.into();
        if self.0.len() < Self::MAX {
            self.0.push(new.clone());
        }
        new
    }
}

/// One record as read.
#[derive(Clone, PartialEq)]
pub struct Record {
    pub place: TopicPartition,
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
    /// The headers could not be read (a name is not UTF-8), and `headers` is empty for that reason.
    pub is_damaged: bool,
}

impl Record {
    /// Bytes of key, value and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + self.headers.bytes()
    }
}

/// Place and size only: key, value and headers are user data.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({}/{}, {} B)", self.place, self.offset, self.bytes())
    }
}

/// A record to be written to `partition` of the sink's topic.
#[derive(Clone, PartialEq)]
pub struct Outgoing {
    pub partition: i32,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Headers,
}

impl Outgoing {
    /// Bytes of key, value and headers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + self.headers.bytes()
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Outgoing(partition {}, {} B)", self.partition, self.bytes())
    }
}
