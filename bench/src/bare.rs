//! The bare loops: what a process costs that does the same I/O and nothing else of what a worker does.
//!
//! No group, no lanes, no ledger, no merging, no retries: partitions are assigned by hand, read from one offset to
//! another, and committed once at the end. They use the product's own codec and statements, so that what differs is what
//! the product adds around them.

use crate::cost;
use crate::ground::Part;
use crate::load::hand_over;
use crate::{Outcome, show};
use clap::{Args, ValueEnum};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use schemas::accept::{self, Place};
use schemas::{Change, Codec, Lane, Origin, Profile, Rejection, Version, headers, rules, topics};
use std::sync::Arc;
use std::time::Duration;
use store::cache::{self, Invalidator, Key};
use store::cql::{self, Keyspace, Session, Writer};
use tokio::time::{Instant, timeout};

/// What the loop does with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// Reads it
    Consume,
    /// Reads it, decodes a raw change, and writes the same bytes elsewhere: what `validate` does at least
    Transform,
    /// The same, and checks every value, and writes what comes of it: what a loop must do to be right for each record
    Check,
    /// Reads it, decodes our own Avro, and writes the same bytes elsewhere: what `enrich` does at least
    Carry,
    /// Reads it, writes it to Cassandra as one request, then deletes the user in Redis
    Store,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct Bare {
    #[arg(value_enum)]
    pub(crate) what: What,
    #[arg(long)]
    pub(crate) brokers: String,
    #[arg(long)]
    pub(crate) topic: String,
    /// Offsets to start from, one for each partition
    #[arg(long, value_delimiter = ',')]
    pub(crate) from: Vec<i64>,
    /// Offsets to end before
    #[arg(long, value_delimiter = ',')]
    pub(crate) to: Vec<i64>,
    /// Where `transform` and `carry` write
    #[arg(long, default_value = "")]
    pub(crate) out: String,
    /// host:port of Cassandra, comma separated
    #[arg(long, value_delimiter = ',')]
    pub(crate) cassandra: Vec<String>,
    #[arg(long, default_value = "")]
    pub(crate) keyspace: String,
    /// redis://host:port
    #[arg(long, default_value = "")]
    pub(crate) redis: String,
    /// Requests that are out at a time
    #[arg(long, default_value_t = 256)]
    pub(crate) in_flight: usize,
}

impl Bare {
    pub(crate) async fn execute(self) -> Outcome<()> {
        let since = Instant::now();
        let count = match self.what {
            What::Store => self.store().await?,
            What::Consume | What::Transform | What::Check | What::Carry => {
                tokio::task::spawn_blocking(move || self.pass()).await??
            }
        };
        let pid = std::process::id();
        let line = serde_json::json!({
            "changes": count,
            "seconds": since.elapsed().as_secs_f64(),
            "cpu": cost::cpu(pid)?,
            "peak_mib": cost::peak_mib(pid)?,
        });
        show(&line.to_string());
        Ok(())
    }

    fn part(&self) -> Part {
        Part { from: self.from.clone(), to: self.to.clone() }
    }

    fn consumer(&self) -> Outcome<BaseConsumer> {
        let mut client = ClientConfig::new();
        // As the product's own source has it.
        client
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", format!("{}.bare", self.topic))
            .set("enable.auto.commit", "false")
            .set("queued.max.messages.kbytes", "6144")
            .set("max.partition.fetch.bytes", "262144")
            .set("fetch.max.bytes", "16777216")
            .set("fetch.queue.backoff.ms", "10");
        let consumer: BaseConsumer = client.create()?;
        consumer.assign(&self.offsets(&self.from)?)?;
        Ok(consumer)
    }

    fn offsets(&self, offsets: &[i64]) -> Outcome<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(offsets) {
            list.add_partition_offset(&self.topic, partition, Offset::Offset(*offset))?;
        }
        Ok(list)
    }

    /// Reads the part record by record; `None` while none is there.
    fn next<'c>(&self, consumer: &'c BaseConsumer, wait: Duration) -> Outcome<Option<BorrowedMessage<'c>>> {
        let Some(message) = consumer.poll(wait) else { return Ok(None) };
        let message = message?;
        let end = usize::try_from(message.partition()).ok().and_then(|at| self.to.get(at));
        Ok(end.is_some_and(|end| message.offset() < *end).then_some(message))
    }

    /// Reads all of the part, and carries it on if told to.
    fn pass(&self) -> Outcome<u64> {
        let profile = Arc::new(Profile::embedded()?);
        let codec = Codec::new(profile.clone());
        let consumer = self.consumer()?;
        let mut client = ClientConfig::new();
        // As the product's own sink has it.
        client
            .set("bootstrap.servers", &self.brokers)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.type", "lz4")
            .set("linger.ms", "2")
            .set("queue.buffering.max.kbytes", "32768");
        let producer: BaseProducer = client.create()?;
        let (len, mut count, mut own) = (self.part().len(), 0, Vec::new());
        while count < len {
            let Some(message) = self.next(&consumer, Duration::from_millis(100))? else { continue };
            count += 1;
            own.clear();
            match self.what {
                What::Transform => {
                    // One that is wrong costs as much as one that is right.
                    std::hint::black_box(accept::read(&codec, message.payload().unwrap_or_default()).is_ok());
                }
                What::Check => {
                    if let Ok(change) = checked(&profile, &codec, &message)? {
                        codec.encode(&change, &mut own).map_err(|_| "a checked change that cannot be written")?;
                    }
                }
                What::Carry => drop(std::hint::black_box(change(&codec, &message)?)),
                What::Consume | What::Store => continue,
            }
            let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(&self.out).partition(message.partition());
            record.key = message.key();
            record.payload = if own.is_empty() { message.payload() } else { Some(&own) };
            hand_over(&producer, record)?;
            if count % 1_000 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        producer.flush(Duration::from_secs(120))?;
        consumer.commit(&self.offsets(&self.to)?, CommitMode::Sync)?;
        Ok(count)
    }

    /// One request and one deletion for each record, so many out at a time.
    async fn store(&self) -> Outcome<u64> {
        let profile = Arc::new(Profile::embedded()?);
        let codec = Codec::new(profile.clone());
        let keyspace = Keyspace::new(&self.keyspace).ok_or("no keyspace")?;
        let config = cql::Config { nodes: self.cassandra.clone(), keyspace, ..cql::Config::default() };
        let session = Session::connect(&config).await?;
        let writer = Writer::prepare(&session, &profile).await?;
        let (host, port) = self.redis.trim_start_matches("redis://").split_once(':').ok_or("no redis://host:port")?;
        let redis = cache::Config { host: host.to_owned(), port: port.parse()?, ..cache::Config::default() };
        let cache = Invalidator::new(&redis)?;
        let consumer = self.consumer()?;
        let (len, mut count, mut read) = (self.part().len(), 0, 0);
        let mut out = FuturesUnordered::new();
        while count < len {
            while read < len && out.len() < self.in_flight {
                let wait = if out.is_empty() { Duration::from_millis(10) } else { Duration::ZERO };
                let Some(message) = self.next(&consumer, wait)? else { break };
                read += 1;
                let change = change(&codec, &message)?;
                let (writer, cache) = (&writer, &cache);
                out.push(async move {
                    writer.write(&[&change]).await?;
                    cache.delete(&[Key::of(&change)]).await?;
                    Outcome::Ok(())
                });
            }
            // As many as are there, then the log again.
            while let Ok(Some(written)) = timeout(Duration::from_millis(1), out.next()).await {
                written?;
                count += 1;
                if out.len() < self.in_flight / 2 {
                    break;
                }
            }
        }
        drop(out);
        consumer.commit(&self.offsets(&self.to)?, CommitMode::Sync)?;
        Ok(count)
    }
}

/// A raw change with its values checked and normalised, or why not.
fn checked(profile: &Profile, codec: &Codec, message: &BorrowedMessage<'_>) -> Outcome<Result<Change, Rejection>> {
    let origin = Origin::new(topics::RAW, message.partition(), message.offset()).ok_or("no origin")?;
    let millis = message.timestamp().to_millis().ok_or("a record without a time")?;
    let version = Version::at(millis * 1_000, Lane::Live).ok_or("no version")?;
    let place = Place { key: message.key(), origin, version };
    let draft = accept::read(codec, message.payload().unwrap_or_default());
    Ok(draft.and_then(|draft| accept::accept(profile, draft, place)).and_then(|change| rules::check(profile, change)))
}

fn change(codec: &Codec, message: &BorrowedMessage<'_>) -> Outcome<Change> {
    let headers = message.headers().ok_or("a record without headers")?;
    let origin = headers.iter().find(|header| header.key == headers::ORIGIN).and_then(|header| header.value);
    codec.decode_own(message.payload(), origin).map_err(|_| "a record of enriched that cannot be read".into())
}
