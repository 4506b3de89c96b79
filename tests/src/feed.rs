//! Records as producers write them.

use bytes::Bytes;
use runtime::kafka::{Config, KafkaSink, SinkConfig};
use runtime::record::{Headers, Outgoing};
use runtime::stage::Sink as _;
use schemas::topics::partition_for;
use schemas::{Change, Codec, headers};
use std::time::Duration;
use tokio::time::sleep;

/// Larger than anything a test writes: it is the broker's limits that count.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;

/// Between two tries.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// A producer of one topic, compressing, with the partitioner that the pipeline asks for.
#[derive(Debug)]
pub struct Feed {
    sink: KafkaSink,
    partitions: i32,
}

impl Feed {
    #[must_use]
    pub fn new(kafka: &Config, topic: &str, partitions: i32) -> Self {
        let own = SinkConfig {
            topic: topic.to_owned(),
            compression: "zstd",
            message_bytes_max: MESSAGE_BYTES_MAX,
            queue_kbytes: 2 * (MESSAGE_BYTES_MAX >> 10),
            // Long enough that what is sent together is one batch, which has one append time.
            linger: Duration::from_millis(20),
        };
        Self { sink: KafkaSink::new(kafka, own).expect("a producer"), partitions }
    }

    /// A record where its key belongs; without a key, in partition 0.
    #[must_use]
    pub fn record(&self, key: Option<&[u8]>, value: Option<&[u8]>) -> Outgoing {
        Outgoing {
            partition: key.map_or(0, |key| partition_for(key, self.partitions)),
            key: key.map(Bytes::copy_from_slice),
            value: value.map(Bytes::copy_from_slice),
            headers: Headers::default(),
        }
    }

    /// Returns when the broker has all of them, those of one partition in order.
    pub async fn send(&self, records: &[Outgoing]) {
        let refused = self.sink.write(records).await.expect("the broker takes records");
        assert!(
            refused.is_empty(),
            "the broker refuses records {:?}",
            refused.iter().map(|(at, _)| at).collect::<Vec<_>>()
        );
    }

    /// The same, again and again until the broker has all of them. What was sent twice stands twice in the log, in the
    /// order of all, so the last of each user stays the last.
    pub async fn insist(&self, records: &[Outgoing]) {
        while self.sink.write(records).await.is_err() {
            sleep(TRY_AGAIN).await;
        }
    }

    /// One change in JSON; its key is its user.
    pub async fn change(&self, user: &str, change: &str) {
        self.changes(user, &[change]).await;
    }

    /// Changes of one user, in JSON without the user, at once.
    pub async fn changes(&self, user: &str, changes: &[&str]) {
        let records: Vec<Outgoing> = changes.iter().map(|change| self.of(user, change)).collect();
        self.send(&records).await;
    }

    /// A change in JSON; `change` is what stands beside the user.
    #[must_use]
    pub fn of(&self, user: &str, change: &str) -> Outgoing {
        let value = format!(r#"{{"user_id": "{user}", {change}}}"#);
        self.record(Some(user.as_bytes()), Some(value.as_bytes()))
    }
}

/// A change as `enrich` puts it out, in the partition that its user belongs to.
#[must_use]
pub fn enriched(codec: &Codec, change: &Change, partitions: i32) -> Outgoing {
    let mut value = Vec::new();
    codec.encode(change, &mut value).expect("a change that the profile can hold");
    let mut headers = Headers::default();
    headers.push_text(headers::ORIGIN, change.origin.to_string());
    headers.push_text(headers::VERSION, change.version.to_string());
    let key = Bytes::copy_from_slice(change.user_id.as_str().as_bytes());
    Outgoing { partition: partition_for(&key, partitions), key: Some(key), value: Some(value.into()), headers }
}
