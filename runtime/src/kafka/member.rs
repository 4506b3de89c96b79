//! One client in a group, with the thread that serves it. A source outlives its clients.

use super::assignment::{Context, Notice, Owner};
use super::config::Config;
use super::source::SourceConfig;
use crate::fault::{Cause, Exit, Fault};
use crate::health::Heartbeat;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

/// Bytes that one partition's queue may hold before nothing more is fetched for it.
const QUEUE_KBYTES: &str = "512";
/// Bytes that one fetch may add to it. They come compressed, and the client keeps a structure of its own for each record
/// beside: in memory it is four times as much, for every partition held.
const FETCH_BYTES: &str = "262144";
/// One answer of a broker, for all partitions together. Set by hand: the queue's bound would pull it down.
const FETCH_ANSWER_BYTES: &str = "16777216";
/// How long a full queue waits before it fetches again; the default of a second costs a third of the speed.
const FETCH_BACKOFF_MS: &str = "10";
/// How often the client says what it has received, and whether it is in its group. Half a millisecond of work each time.
const STATISTICS_MS: &str = "2000";

/// A client in the group, or on its way there.
pub(super) struct Member {
    pub(super) consumer: Arc<BaseConsumer<Context>>,
    pub(super) notices: mpsc::Receiver<Notice>,
    stop: Arc<AtomicBool>,
    closed: oneshot::Receiver<()>,
}

impl Member {
    /// # Errors
    /// Fatal if the client cannot be made with this configuration.
    pub(super) fn join(config: &Config, own: &SourceConfig, heartbeat: &Arc<Heartbeat>) -> Result<Self, Fault> {
        let (notify, notices) = mpsc::channel(64);
        let owner = Owner {
            notices: notify,
            runtime: tokio::runtime::Handle::current(),
            group: own.group.clone(),
            worker: own.worker,
            only: own.only.clone(),
            first_metadata: own.first_metadata.clone(),
            release_within: own.release_within,
            heartbeat: heartbeat.clone(),
            fetched_bytes: own.fetched_bytes.clone(),
            is_idle_told: own.membership.is_idle_told(),
        };
        let bad = |error| Fault::Fatal {
            exit: Exit::Config,
            cause: Cause::with("the consumer cannot be made with these settings ([kafka])", error),
        };
        let client = consumer_config(config, own);
        let consumer: BaseConsumer<Context> = client.create_with_context(Context::new(owner)).map_err(bad)?;
        let consumer = Arc::new(consumer);
        consumer.context().know(&consumer);
        consumer.subscribe(&[&own.topic]).map_err(bad)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (closed_tx, closed) = oneshot::channel();
        let thread = PollThread { consumer: consumer.clone(), stop: stop.clone(), heartbeat: heartbeat.clone() };
        std::thread::Builder::new()
            .name("kafka-poll".into())
            .spawn(move || {
                thread.run();
                // The source may have stopped waiting.
                closed_tx.send(()).ok();
            })
            .map_err(|error| Fault::component("the poll thread cannot be started", error))?;
        Ok(Self { consumer, notices, stop, closed })
    }

    /// Whether it is giving partitions out or taking them back at this moment.
    pub(super) fn is_answering(&self) -> bool {
        self.consumer.context().is_answering()
    }

    /// Lets go of a client that is good for nothing: it may take its time to end, and nobody waits for it.
    pub(super) fn dismiss(self) {
        let Self { consumer, stop, closed, notices } = self;
        // Before the thread stops, so that it is the thread that ends the client, which may take long; a notice may hold
        // the client, too. Nobody hears what it still has to say, and whoever asks for its partitions has them at once.
        drop((closed, notices, consumer));
        stop.store(true, Ordering::Release);
    }

    /// Leaves the group, and lets go of whatever it asks for.
    pub(super) async fn leave(self) {
        let Self { mut notices, stop, mut closed, .. } = self;
        stop.store(true, Ordering::Release);
        loop {
            tokio::select! {
                _ = &mut closed => return,
                Some(notice) = notices.recv() => {
                    if let Notice::Revoking { released, .. } = notice {
                        // The poll thread may have stopped waiting.
                        released.send(()).ok();
                    }
                }
            }
        }
    }
}

/// Serves the group's events until told to stop, then leaves the group.
struct PollThread {
    consumer: Arc<BaseConsumer<Context>>,
    stop: Arc<AtomicBool>,
    heartbeat: Arc<Heartbeat>,
}

impl PollThread {
    fn run(self) {
        let context = self.consumer.context();
        while !self.stop.load(Ordering::Acquire) {
            self.heartbeat.beat();
            match self.consumer.poll(Duration::from_millis(100)) {
                None => {}
                Some(Ok(_)) => {
                    context.tell(Notice::Failed(Fault::Fatal {
                        exit: Exit::Component,
                        cause: Cause::new("a record came past its partition's queue"),
                    }));
                    break;
                }
                Some(Err(error)) => context.tell(Notice::Error(error)),
            }
        }
        if let Err(error) = self.consumer.close_queue() {
            debug!(error = %error, "the consumer was closed before");
            return;
        }
        while !self.consumer.closed() {
            self.consumer.poll(Duration::from_millis(100));
        }
    }
}

fn consumer_config(config: &Config, own: &SourceConfig) -> ClientConfig {
    let mut client = config.client_config();
    client
        .set("group.id", &own.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("queued.max.messages.kbytes", QUEUE_KBYTES)
        .set("max.partition.fetch.bytes", FETCH_BYTES)
        .set("fetch.max.bytes", FETCH_ANSWER_BYTES)
        .set("fetch.queue.backoff.ms", FETCH_BACKOFF_MS)
        .set("statistics.interval.ms", STATISTICS_MS);
    own.membership.apply(&mut client);
    client
}
