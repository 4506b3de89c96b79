//! The Kafka sink: a batch is written when the brokers have acknowledged all of it.
//!
//! Idempotent, acks of all replicas, no time limit on a record: one that timed out would be overtaken by its successor.
//! Records are enqueued in order; where the client's queue is full, the batch waits there.
//!
//! So nothing fails while the brokers are away, and silence is what tells: a batch of which, and of everything else that
//! is out, nothing was acknowledged for [`SILENCE`] counts as failed for the breaker before the brokers. What is out
//! stays out, for the client to send again; only new batches wait.

mod flight;

pub use flight::Appended;

use self::flight::Flight;
use super::config::Config;
use crate::breaker::{Breaker, Pass, Rule};
use crate::fault::{Cause, Exit, Fault};
use crate::record::Outgoing;
use crate::stage::{Destination, Refused, Sink, too_large};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, NoCustomPartitioner, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

/// How a topic is written.
#[derive(Clone, Debug)]
pub struct SinkConfig {
    pub topic: String,
    /// `none`, `lz4`, `zstd`.
    pub compression: &'static str,
    /// Largest record the client takes, in bytes; the topic has its own bound.
    pub message_bytes_max: u32,
    /// Records that wait for acknowledgement, in KiB.
    pub queue_kbytes: u32,
    /// How long the client waits for company before it sends a batch.
    pub linger: Duration,
}

/// Writes to one topic.
pub struct KafkaSink {
    topic: String,
    client: ClientConfig,
    producer: Mutex<Arc<Producer>>,
    answers: Arc<Answers>,
    breaker: Option<Breaker>,
    /// Partitions whose last write failed or met silence: one of the others is a better probe.
    failing: Mutex<BTreeSet<i32>>,
    /// A write that is out for longer has its producer made anew.
    stall: Duration,
}

type Producer = ThreadedProducer<Deliveries, NoCustomPartitioner>;

/// A full client queue is looked at again after this.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);

/// Longer than a leader takes to be elected, in which a partition is silent and nothing is wrong.
const SILENCE: Duration = Duration::from_secs(3);

/// Longer than any election, and than the client's own time-out of a request. An idempotent producer that lost all brokers
/// for a moment was seen to send nothing more to a partition for as long as one looked, without a word (ADR 10).
const STALL: Duration = Duration::from_secs(90);

/// Partitions that are silent together while nobody is acknowledged: one has lost its leader or its replicas, and must
/// stop no other.
const SILENT_PARTITIONS: usize = 3;

/// What the rule of the breaker before the brokers is, its pauses apart.
pub(super) fn rule(rule: Rule) -> Rule {
    Rule { keys: SILENT_PARTITIONS, ..rule }
}

impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink").field("topic", &self.topic).finish_non_exhaustive()
    }
}

impl KafkaSink {
    /// Makes the client; brokers are reached on the first write.
    ///
    /// # Errors
    /// Fatal if the client cannot be made with this configuration.
    pub fn new(config: &Config, own: SinkConfig) -> Result<Self, Fault> {
        let mut client = config.client_config();
        client
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("message.timeout.ms", "0")
            .set("compression.type", own.compression)
            .set("message.max.bytes", own.message_bytes_max.to_string())
            .set("queue.buffering.max.kbytes", own.queue_kbytes.to_string())
            .set("linger.ms", own.linger.as_millis().to_string());
        let answers = Arc::default();
        let producer = Mutex::new(Arc::new(make(&client, &answers)?));
        Ok(Self { topic: own.topic, client, producer, answers, breaker: None, failing: Mutex::default(), stall: STALL })
    }

    /// The same behind the breaker of the cluster: while nothing is acknowledged, new batches wait for one that is.
    #[must_use]
    pub fn behind(self, breaker: Breaker) -> Self {
        Self { breaker: Some(breaker), ..self }
    }

    fn failing(&self) -> MutexGuard<'_, BTreeSet<i32>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn producer(&self) -> Arc<Producer> {
        self.producer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A producer that met a fatal error sends nothing any more; the next try has a new one.
    fn rebuild(&self, broken: &Arc<Producer>) -> Result<(), Fault> {
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, broken) {
            warn!(topic = self.topic, "the producer met a fatal error and is made anew");
            *current = Arc::new(make(&self.client, &self.answers)?);
        }
        Ok(())
    }

    /// Writes a batch like [`Sink::write`], and tells where each record is.
    ///
    /// # Errors
    /// A fault: of each record nobody knows whether it is there.
    pub async fn append(&self, batch: &[Outgoing]) -> Result<Vec<Appended>, Fault> {
        let flight = Arc::new(Flight::telling());
        match self.send(batch, &flight).await {
            Ok(()) => return Ok(flight.places(batch)),
            Err(Failure::Fault(fault)) => return Err(fault),
            Err(Failure::Refused) => {}
        }
        // Those that were written are written twice: the later place is told, and the earlier is a copy of it.
        let mut appended = Vec::with_capacity(batch.len());
        for item in batch {
            let (one, flight) = (std::slice::from_ref(item), Arc::new(Flight::telling()));
            match self.send(one, &flight).await {
                Ok(()) => appended.extend(flight.places(one)),
                Err(Failure::Fault(fault)) => return Err(fault),
                Err(Failure::Refused) => appended.push(Appended::TooLarge),
            }
        }
        Ok(appended)
    }

    async fn send(&self, batch: &[Outgoing], flight: &Arc<Flight>) -> Result<(), Failure> {
        let Some(breaker) = &self.breaker else { return self.deliver_alone(batch, flight).await };
        let partition = batch.first().map_or(0, |item| item.partition);
        let is_failing = self.failing().contains(&partition);
        let mut work = breaker.work(u64::from(partition.unsigned_abs())).suspected(is_failing);
        let mut pass: Option<Pass<'_>> = Some(work.pass().await);
        let producer = self.producer();
        let mut delivery = pin!(self.deliver(&producer, batch, flight));
        let since = Instant::now();
        loop {
            if since.elapsed() >= self.stall {
                self.give_up(&producer);
            }
            let acknowledged = self.answers.acknowledged.load(Ordering::Relaxed);
            match timeout(SILENCE, &mut delivery).await {
                Ok(Ok(())) => {
                    self.failing().remove(&partition);
                    match pass {
                        Some(pass) => pass.succeeded(),
                        None => breaker.succeeded(),
                    }
                    return Ok(());
                }
                Ok(Err(Failure::Refused)) => return Err(Failure::Refused),
                Ok(Err(Failure::Fault(fault))) => {
                    self.failing().insert(partition);
                    if let Some(pass) = pass {
                        work.failed(pass, &fault);
                    }
                    return Err(Failure::Fault(fault));
                }
                Err(_) if self.answers.acknowledged.load(Ordering::Relaxed) == acknowledged => {
                    self.failing().insert(partition);
                    if let Some(pass) = pass.take() {
                        work.failed(pass, &Silence);
                    }
                    if self.answers.are_brokers_down.load(Ordering::Relaxed) {
                        breaker.trip(&Silence, SILENCE);
                    }
                }
                // Others are acknowledged: this partition's own trouble.
                Err(_) => {}
            }
        }
    }

    /// Without a breaker there is one thing to watch: whether it takes too long.
    async fn deliver_alone(&self, batch: &[Outgoing], flight: &Arc<Flight>) -> Result<(), Failure> {
        let producer = self.producer();
        let mut delivery = pin!(self.deliver(&producer, batch, flight));
        loop {
            match timeout(self.stall, &mut delivery).await {
                Ok(outcome) => return outcome,
                Err(_) => self.give_up(&producer),
            }
        }
    }

    /// Ends what is out with an error, so that it is tried again by a producer made anew. What of it was written after all
    /// is written twice, in the same bytes.
    fn give_up(&self, producer: &Producer) {
        warn!(topic = self.topic, "a write is not acknowledged for long; the producer is given up");
        producer.purge(PurgeConfig::default().queue().inflight());
    }

    async fn deliver(&self, producer: &Arc<Producer>, batch: &[Outgoing], flight: &Arc<Flight>) -> Result<(), Failure> {
        for item in batch {
            flight.out.fetch_add(1, Ordering::AcqRel);
            let mut record = to_record(&self.topic, item, flight.clone());
            while let Err((error, back)) = producer.send(record) {
                // What is out may have failed meanwhile: then the batch is tried again as a whole.
                if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) || flight.has_failed() {
                    flight.land(Some(error));
                    flight.wait().await;
                    return Err(self.judge(producer, flight.error()));
                }
                record = back;
                sleep(QUEUE_FULL_PAUSE).await;
            }
        }
        flight.wait().await;
        match flight.error() {
            None => Ok(()),
            error => Err(self.judge(producer, error)),
        }
    }

    fn judge(&self, producer: &Arc<Producer>, error: Option<KafkaError>) -> Failure {
        let Some(error) = error else {
            return Failure::Fault(Fault::transient("kafka: a write ended without an answer"));
        };
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge) => Failure::Refused,
            Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight) => {
                match self.rebuild(producer) {
                    Ok(()) => Failure::Fault(Fault::Transient(Cause::with("kafka: the producer was made anew", error))),
                    Err(fault) => Failure::Fault(fault),
                }
            }
            Some(
                RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition,
            ) => Failure::Fault(Fault::Transient(Cause::with(
                format!("kafka: topic {} or a partition of it does not exist; run: tidewater topics apply", self.topic),
                error,
            ))),
            _ => {
                Failure::Fault(Fault::Transient(Cause::with(format!("kafka: writing to {} failed", self.topic), error)))
            }
        }
    }
}

/// Why a batch is not durable.
enum Failure {
    /// Some record of it is refused for good.
    Refused,
    Fault(Fault),
}

impl Sink for KafkaSink {
    type Item = Outgoing;

    async fn write(&self, batch: &[Outgoing]) -> Result<Refused, Fault> {
        match self.send(batch, &Arc::default()).await {
            Ok(()) => Ok(Vec::new()),
            Err(Failure::Fault(fault)) => Err(fault),
            // The client does not say which: one by one it is found. Those that were written are written twice.
            Err(Failure::Refused) => {
                let mut refused = Vec::new();
                for (at, item) in batch.iter().enumerate() {
                    match self.send(std::slice::from_ref(item), &Arc::default()).await {
                        Ok(()) => {}
                        Err(Failure::Fault(fault)) => return Err(fault),
                        Err(Failure::Refused) => refused.push((at, too_large(item))),
                    }
                }
                Ok(refused)
            }
        }
    }

    fn destination(&self) -> Destination<'_> {
        Destination::Topic(&self.topic)
    }
}

/// Nothing was acknowledged for a while, and records are out.
#[derive(Debug, thiserror::Error)]
#[error("kafka acknowledges nothing; check that brokers run, and that enough replicas are in sync")]
struct Silence;

fn make(client: &ClientConfig, answers: &Arc<Answers>) -> Result<Producer, Fault> {
    client.create_with_context(Deliveries(answers.clone())).map_err(|error| Fault::Fatal {
        exit: Exit::Config,
        cause: Cause::with("the producer cannot be made with these settings ([kafka])", error),
    })
}

fn to_record<'a>(topic: &'a str, item: &'a Outgoing, flight: Arc<Flight>) -> BaseRecord<'a, [u8], [u8], Arc<Flight>> {
    let mut record = BaseRecord::with_opaque_to(topic, flight).partition(item.partition);
    record.key = item.key.as_deref();
    record.payload = item.value.as_deref();
    if !item.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(item.headers.len());
        for (name, value) in item.headers.iter() {
            headers = headers.insert(Header { key: name, value: value.map(|value| &value[..]) });
        }
        record.headers = Some(headers);
    }
    record
}

/// What the brokers have said of late.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    acknowledged: AtomicU64,
    /// The client has lost all of them, and none has acknowledged anything since.
    are_brokers_down: AtomicBool,
}

/// The producer's context: acknowledgements and the client's log.
pub(crate) struct Deliveries(Arc<Answers>);

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        super::client_log(level, facility, message);
    }

    fn error(&self, error: KafkaError, _reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.0.are_brokers_down.store(true, Ordering::Relaxed);
        }
        warn!(error = %error, "the producer meets errors and goes on trying");
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Arc<Flight>;

    fn delivery(&self, result: &DeliveryResult<'_>, flight: Arc<Flight>) {
        if result.is_ok() {
            self.0.acknowledged.fetch_add(1, Ordering::Relaxed);
            self.0.are_brokers_down.store(false, Ordering::Relaxed);
        }
        if let Ok(record) = result {
            flight.place(record.partition(), record.offset());
        }
        flight.land(result.as_ref().err().map(|(error, _)| error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::Pauses;
    use crate::breaker::BreakerMetrics;
    use crate::health::Health;
    use crate::record::Headers;

    #[tokio::test]
    async fn a_producer_that_stays_silent_is_given_up_and_its_batch_tried_again() {
        let own = SinkConfig {
            topic: "nowhere".into(),
            compression: "none",
            message_bytes_max: 1 << 20,
            queue_kbytes: 1 << 10,
            linger: Duration::ZERO,
        };
        let nobody = Config { brokers: "127.0.0.1:1".into(), ..Config::default() };
        let pauses = Pauses { min: Duration::from_millis(1), max: Duration::from_millis(1), seed: Some(1) };
        let condition = Health::new().condition("brokers", "");
        let breaker = Breaker::new(rule(Rule::new(pauses)), condition, BreakerMetrics::default());
        let alone = || KafkaSink { stall: Duration::from_millis(10), ..KafkaSink::new(&nobody, own.clone()).unwrap() };
        for sink in [alone().behind(breaker), alone()] {
            let before = sink.producer();
            let item = Outgoing { partition: 0, key: None, value: None, headers: Headers::default() };
            let fault = timeout(Duration::from_secs(60), sink.write(&[item])).await.expect("it ends").unwrap_err();
            assert!(matches!(fault, Fault::Transient(_)), "{fault:?}");
            assert!(!Arc::ptr_eq(&before, &sink.producer()), "the next try has another producer");
        }
    }
}
