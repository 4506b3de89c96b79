//! The raw record a change came from, as it travels in `tw-origin` and in receipts.

use std::fmt;
use std::str::FromStr;

/// A topic (without the installation's prefix), partition and offset: `changes.raw.v1/3/1024`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    topic: Topic,
    partition: i32,
    offset: i64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Topic {
    Raw,
    Other(Box<str>),
}

/// The topic whose offsets are receipts, without the prefix.
pub const RAW: &str = "changes.raw.v1";

/// Kafka's own limit.
const TOPIC_LEN_MAX: usize = 249;

impl Origin {
    /// The first place of the raw topic, for whoever judges a change that has none yet.
    pub const FIRST: Self = Self { topic: Topic::Raw, partition: 0, offset: 0 };

    /// `None` for a topic that Kafka would not take (`[a-zA-Z0-9._-]{1,249}`), or a negative number. An origin is a
    /// header and stands in what people read, so nothing else gets in.
    #[must_use]
    pub fn new(topic: &str, partition: i32, offset: i64) -> Option<Self> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let well_formed =
            (1..=TOPIC_LEN_MAX).contains(&topic.len()) && topic.bytes().all(is_name) && partition >= 0 && offset >= 0;
        let topic = if topic == RAW { Topic::Raw } else { Topic::Other(topic.into()) };
        well_formed.then_some(Self { topic, partition, offset })
    }

    #[must_use]
    pub fn topic(&self) -> &str {
        match &self.topic {
            Topic::Raw => RAW,
            Topic::Other(name) => name,
        }
    }

    #[must_use]
    pub fn partition(&self) -> i32 {
        self.partition
    }

    #[must_use]
    pub fn offset(&self) -> i64 {
        self.offset
    }

    /// Partition and offset, if the origin is a record of the raw topic: only those are receipts.
    #[must_use]
    pub fn raw(&self) -> Option<(i32, i64)> {
        matches!(self.topic, Topic::Raw).then_some((self.partition, self.offset))
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.topic(), self.partition, self.offset)
    }
}

/// Not of the shape `topic/partition/offset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an origin is topic/partition/offset, as changes.raw.v1/3/1024")]
pub struct ParseOriginError;

impl FromStr for Origin {
    type Err = ParseOriginError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        let (Some(topic), Some(partition), Some(offset), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseOriginError);
        };
        let partition = partition.parse().map_err(|_| ParseOriginError)?;
        let offset = offset.parse().map_err(|_| ParseOriginError)?;
        Self::new(topic, partition, offset).ok_or(ParseOriginError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_fit_for_a_header_and_a_line() {
        for right in ["changes.raw.v1/3/1024", "crm/0/0", "Old_CRM-2.users/11/9223372036854775807"] {
            assert_eq!(right.parse::<Origin>().map(|origin| origin.to_string()).as_deref(), Ok(right));
        }
        let long = "x".repeat(TOPIC_LEN_MAX + 1);
        for topic in ["", "a b", "a\n", "\0", "a\u{7f}", "\u{e9}", &long] {
            assert_eq!(Origin::new(topic, 0, 0), None, "{topic:?}");
            assert_eq!(format!("{topic}/0/0").parse::<Origin>(), Err(ParseOriginError), "{topic:?}");
        }
    }
}
