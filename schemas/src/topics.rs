//! The topics: their names, what they must be set to, and which partition a key belongs to.

use std::collections::BTreeMap;
use std::time::Duration;

/// What outsiders write; its offsets are receipts.
pub const RAW: &str = crate::origin::RAW;
/// Records that bring their version: backfill and replays. Restricted by ACL.
pub const PINNED: &str = "changes.pinned.v1";
/// What `validate` let pass.
pub const VALID: &str = "changes.valid.v1";
/// What data teams read.
pub const ENRICHED: &str = "changes.enriched.v1";
/// The dead letters.
pub const DEAD: &str = "changes.dead.v1";

/// Stands before every name, so that several installations can share a cluster.
pub const PREFIX_DEFAULT: &str = "tidewater.";

/// Of every topic: a change keeps its partition number from end to end. Fixed for the life of a topic set.
pub const PARTITION_COUNT_DEFAULT: i32 = 12;

/// Every topic, in the order of the path.
pub const ALL: [Topic; 5] = [
    Topic { name: RAW, kept: days(7), message_bytes_max: 1 << 20, stamped_by: StampedBy::Broker },
    Topic { name: PINNED, kept: days(7), message_bytes_max: 1 << 20, stamped_by: StampedBy::Broker },
    Topic { name: VALID, kept: days(7), message_bytes_max: 2 << 20, stamped_by: StampedBy::Producer },
    Topic { name: ENRICHED, kept: days(30), message_bytes_max: 2 << 20, stamped_by: StampedBy::Producer },
    Topic { name: DEAD, kept: days(30), message_bytes_max: 2 << 20, stamped_by: StampedBy::Producer },
];

/// One topic and what it must be set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Without the prefix.
    pub name: &'static str,
    /// How long a record can be read.
    pub kept: Duration,
    /// Largest batch as the broker sees it, that is compressed.
    pub message_bytes_max: u32,
    pub stamped_by: StampedBy,
}

/// Whose clock gives the timestamp of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampedBy {
    /// `LogAppendTime`: versions are made of it, and no outsider's clock decides how long a record is kept.
    Broker,
    /// `CreateTime`
    Producer,
}

/// How many copies a topic has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replication {
    pub factor: i32,
    /// Copies that must have a record before it counts as written.
    pub in_sync_min: u32,
}

impl Replication {
    /// Survives the loss of a broker, and takes writes meanwhile.
    pub const CLUSTER: Self = Self { factor: 3, in_sync_min: 2 };
    /// One broker. Only under `profile = "local"`.
    pub const LOCAL: Self = Self { factor: 1, in_sync_min: 1 };
}

impl Topic {
    /// The topic of a name without prefix.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        ALL.into_iter().find(|topic| topic.name == name)
    }

    /// Kafka's own names and values of every setting that must hold.
    ///
    /// Never compacted: offsets do not order versions. Never an unclean election: a record that was read must not be
    /// gone.
    #[must_use]
    pub fn settings(&self, replication: Replication) -> [(&'static str, String); 7] {
        let timestamp_type = match self.stamped_by {
            StampedBy::Broker => "LogAppendTime",
            StampedBy::Producer => "CreateTime",
        };
        [
            ("cleanup.policy", "delete".into()),
            ("compression.type", "producer".into()),
            ("max.message.bytes", self.message_bytes_max.to_string()),
            ("message.timestamp.type", timestamp_type.into()),
            ("min.insync.replicas", replication.in_sync_min.to_string()),
            ("retention.ms", self.kept.as_millis().to_string()),
            ("unclean.leader.election.enable", "false".into()),
        ]
    }
}

/// Whether a topic is the pinned one, whatever its prefix: no other topic's name ends so.
#[must_use]
pub fn is_pinned(topic: &str) -> bool {
    topic.ends_with(PINNED)
}

/// What the topic of a name without prefix must have for `keys`; those that depend on its copies are its owner's affair.
#[must_use]
pub fn required(name: &str, keys: &[&str]) -> BTreeMap<String, String> {
    let settings = Topic::named(name).map(|topic| topic.settings(Replication::LOCAL));
    let wanted = settings.into_iter().flatten().filter(|(key, _)| keys.contains(key));
    wanted.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The partition that Java's default partitioner (librdkafka: `murmur2_random`) puts `key` into.
///
/// `count` is the number of partitions; 0 for one that is not positive, which no topic has.
#[must_use]
pub fn partition_for(key: &[u8], count: i32) -> i32 {
    let positive = murmur2(key) & 0x7fff_ffff;
    positive.cast_signed().checked_rem(count.max(1)).unwrap_or(0)
}

/// 32-bit `MurmurHash2` with the seed of Kafka's clients.
fn murmur2(key: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    // Of the length only the low 32 bits count, as in Java, where a length has no more.
    let [a, b, c, d, ..] = key.len().to_le_bytes();
    let mut hash = SEED ^ u32::from_le_bytes([a, b, c, d]);
    let (words, tail) = key.as_chunks::<4>();
    for word in words {
        let mut mixed = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        mixed ^= mixed >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ mixed.wrapping_mul(MULTIPLIER);
    }
    if !tail.is_empty() {
        let tail = tail.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(MULTIPLIER);
    hash ^ hash >> 15
}

const fn days(days: u64) -> Duration {
    Duration::from_secs(days * 24 * 60 * 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Hashed = (&'static [u8], i32, i32);

    /// Hashes and partitions of 12 that `org.apache.kafka.common.utils.Utils` of kafka-clients 4.3.1 gives.
    const OF_JAVA: [Hashed; 14] = [
        (b"", 275_646_681, 9),
        (b"a", -1_563_381_124, 4),
        (b"ab", 316_155_434, 2),
        (b"abc", 479_470_107, 3),
        (b"abcd", -1_323_649_548, 8),
        (b"21", -973_932_308, 0),
        (b"foobar", -790_332_482, 6),
        (b"a-little-bit-long-string", -985_981_536, 8),
        (b"a-little-bit-longer-string", -1_486_304_829, 11),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971, 5),
        (b"user-1", 1_404_122_828, 8),
        ("Grüße-世界".as_bytes(), -840_004_822, 10),
        ("ÿ".as_bytes(), 1_511_439_487, 7),
        (&[0x80, 0xff, 0xfe, 0x00, 0x01, 0x90, 0xa0], 1_275_434_526, 6),
    ];

    #[test]
    fn keys_go_where_javas_default_partitioner_puts_them() {
        for (key, hash, partition) in OF_JAVA {
            assert_eq!(murmur2(key).cast_signed(), hash, "{key:?}");
            assert_eq!(partition_for(key, 12), partition, "{key:?}");
            assert_eq!(partition_for(key, 1), 0);
        }
    }

    #[test]
    fn no_count_makes_a_partition_that_is_not_there() {
        for count in [i32::MIN, -12, -1, 0] {
            assert_eq!(partition_for(b"21", count), 0);
        }
        assert!((0..1000_u32).all(|key| (0..7).contains(&partition_for(&key.to_be_bytes(), 7))));
    }

    #[test]
    fn the_topics_that_make_versions_are_stamped_by_the_broker() {
        let raw = Topic::named(RAW).unwrap();
        assert!(raw.settings(Replication::CLUSTER).contains(&("message.timestamp.type", "LogAppendTime".into())));
        assert_eq!(Topic::named("changes.raw.v2"), None);
    }

    #[test]
    fn dead_letters_and_what_data_teams_read_outlive_the_rest() {
        let kept = |name| Topic::named(name).unwrap().settings(Replication::LOCAL)[5].1.parse::<u64>().unwrap();
        assert_eq!(kept(RAW), 604_800_000);
        assert_eq!((kept(DEAD), kept(ENRICHED)), (2_592_000_000, 2_592_000_000));
    }

    #[test]
    fn no_record_of_the_raw_size_limit_is_too_large_further_down() {
        let size = |name| Topic::named(name).unwrap().message_bytes_max;
        assert!([VALID, ENRICHED, DEAD].iter().all(|name| size(name) >= 2 * size(RAW)));
    }
}
