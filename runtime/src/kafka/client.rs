//! What every administrative client has in common: one consumer, its last complaint, and a thread to wait on.

use super::config::Config;
use super::error::{self, Error};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long one call may wait for its broker: longer than the election of a leader or coordinator takes, short enough
/// for a person to wait for.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Before a call that no broker was ready for is made again.
const ASK_AGAIN: Duration = Duration::from_millis(200);

/// So many of the client's errors are looked at to say why nobody answered.
const COMPLAINTS_MAX: u32 = 64;

/// Remembers what the client last complained about: a time-out alone does not say why nobody answered.
#[derive(Debug, Default)]
pub(super) struct Listener {
    complaint: Mutex<Option<String>>,
}

impl Listener {
    fn heard(&self) -> String {
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        complaint.as_ref().map_or_else(String::new, |text| format!(" ({text})"))
    }
}

impl ClientContext for Listener {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        super::client_log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // Said beside every other error of a lone broker, and less than they say.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
    }
}

impl ConsumerContext for Listener {}

/// A consumer that joins no group, to ask brokers with and to read by assignment.
#[derive(Clone)]
pub(super) struct Client {
    consumer: Arc<BaseConsumer<Listener>>,
    brokers: Arc<str>,
}

impl Client {
    /// `own` goes on top of what is configured. Connects in the background: the first call finds out who is there.
    pub(super) fn new(config: &Config, own: impl FnOnce(&mut ClientConfig)) -> Result<Self, Error> {
        let mut settings = config.client_config();
        settings.set("enable.auto.commit", "false").set("allow.auto.create.topics", "false");
        own(&mut settings);
        let consumer = settings.create_with_context(Listener::default()).map_err(Error::of_creation)?;
        Ok(Self { consumer: Arc::new(consumer), brokers: config.brokers.as_str().into() })
    }

    pub(super) fn consumer(&self) -> &BaseConsumer<Listener> {
        &self.consumer
    }

    /// Runs `call`, which waits for a broker, on a thread that may wait; again while a broker is only getting ready.
    pub(super) async fn ask<T, F>(&self, asked: impl Into<String>, call: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: Fn(&BaseConsumer<Listener>) -> Result<T, KafkaError> + Send + Sync + 'static,
    {
        let call = Arc::new(call);
        let patience_ends = Instant::now() + PATIENCE;
        loop {
            let (consumer, call) = (Arc::clone(&self.consumer), Arc::clone(&call));
            let answer = tokio::task::spawn_blocking(move || call(&consumer)).await.map_err(|_| Error::ThreadEnded)?;
            match answer {
                Ok(answer) => return Ok(answer),
                Err(error) if error::is_silence(&error) && Instant::now() < patience_ends => sleep(ASK_AGAIN).await,
                Err(error) => return Err(self.failed(asked, error)),
            }
        }
    }

    /// Says of a failed call whether nobody answered or somebody refused.
    pub(super) fn failed(&self, asked: impl Into<String>, error: KafkaError) -> Error {
        if error::is_silence(&error) {
            return self.silent(asked);
        }
        Error::Refused { asked: asked.into(), hint: error::hint(&error), source: error }
    }

    pub(super) fn silent(&self, asked: impl Into<String>) -> Error {
        // The client's errors wait in its queue until somebody polls, and a poll that met one may answer with nothing.
        for _ in 0..COMPLAINTS_MAX {
            drop(self.consumer.poll(Duration::ZERO));
        }
        Error::NoAnswer {
            brokers: self.brokers.to_string(),
            asked: asked.into(),
            waited: PATIENCE,
            heard: self.consumer.context().heard(),
        }
    }
}
