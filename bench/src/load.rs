//! Writes made-up changes to a raw topic.

use crate::change::{Format, Maker, Spec};
use crate::cost;
use crate::{Outcome, show};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::ToBytes;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use std::time::Duration;
use tokio::time::Instant;

/// The load, and where it goes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Load {
    /// host:port, comma separated
    #[arg(long)]
    pub(crate) brokers: String,
    /// The raw topic
    #[arg(long)]
    pub(crate) topic: String,
    #[arg(long, default_value_t = 12)]
    pub(crate) partitions: i32,
    /// How many changes
    #[arg(long, default_value_t = 200_000)]
    pub(crate) count: u64,
    /// Changes a second; as fast as it goes if not given
    #[arg(long)]
    pub(crate) rate: Option<u64>,
    #[arg(long, default_value_t = 100_000)]
    pub(crate) users: usize,
    /// 0: all users alike; 0.99: as in most studies of real traffic
    #[arg(long, default_value_t = 0.99)]
    pub(crate) skew: f64,
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Of a thousand
    #[arg(long, default_value_t = 300)]
    pub(crate) patches: usize,
    /// Of a thousand
    #[arg(long, default_value_t = 50)]
    pub(crate) deletes: usize,
    /// Of a thousand
    #[arg(long, default_value_t = 2)]
    pub(crate) invalid: usize,
    /// Bytes of one change
    #[arg(long, default_value_t = 400)]
    pub(crate) bytes: usize,
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: Format,
}

impl Load {
    fn spec(&self) -> Spec {
        let Self { users, skew, seed, patches, deletes, invalid, bytes, format, .. } = *self;
        Spec { users, skew, seed, patches, deletes, invalid, bytes, format }
    }

    pub(crate) async fn execute(self) -> Outcome<()> {
        let since = Instant::now();
        let count = self.count;
        tokio::task::spawn_blocking(move || self.write()).await??;
        let cpu = cost::cpu(std::process::id())?;
        let line = serde_json::json!({
            "changes": count,
            "seconds": since.elapsed().as_secs_f64(),
            "cpu_s_per_million": cpu / count as f64 * 1e6,
        });
        show(&line.to_string());
        Ok(())
    }

    /// Writes all of them; returns when the brokers have acknowledged the last.
    fn write(&self) -> Outcome<()> {
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", &self.brokers)
            .set("linger.ms", if self.rate.is_some() { "5" } else { "50" })
            .set("batch.num.messages", "10000")
            .set("queue.buffering.max.messages", "200000")
            .set("queue.buffering.max.kbytes", "131072")
            .set("compression.type", "lz4");
        let producer: BaseProducer = client.create()?;
        let mut maker = Maker::new(self.spec(), self.partitions)?;
        let since = Instant::now();
        for sent in 0..self.count {
            if let Some(rate) = self.rate {
                let due = Duration::from_secs_f64(sent as f64 / rate as f64);
                // In steps of a millisecond: more often is not seen from outside.
                if let Some(early) = due.checked_sub(since.elapsed()).filter(|early| early.as_millis() > 0) {
                    producer.poll(early);
                    std::thread::sleep(due.saturating_sub(since.elapsed()));
                }
            }
            let made = maker.next()?;
            let record = BaseRecord::to(&self.topic).partition(made.partition).key(&made.user).payload(&made.value);
            hand_over(&producer, record)?;
            if sent % 1_000 == 0 {
                producer.poll(Duration::ZERO);
            }
        }
        Ok(producer.flush(Duration::from_secs(120))?)
    }
}

/// Gives a record to the client, however long its queue is full.
pub(crate) fn hand_over<K, P>(producer: &BaseProducer, mut record: BaseRecord<'_, K, P>) -> Outcome<()>
where
    K: ToBytes + ?Sized,
    P: ToBytes + ?Sized,
{
    while let Err((error, back)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error.into());
        }
        producer.poll(Duration::from_millis(5));
        record = back;
    }
    Ok(())
}
