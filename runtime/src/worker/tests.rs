//! Each rule of the worker under paused time: virtual seconds cost nothing and never jitter.

use super::*;
use crate::fault::{Rejection, Verdict};
use crate::memory::{MemoryGroup, MemoryLog, MemorySource, Operation, Strike, Weather};
use crate::stage::Refused;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::task::JoinHandle;
use tokio::time::{Duration, sleep};

const TOPIC: &str = "t";

fn place(partition: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, partition)
}

/// Forwards key and value; a value of `bad` is rejected, one of `boom` panics.
#[derive(Debug)]
struct Plain;

type Item = (String, String);

impl Stage for Plain {
    type In = Admitted;
    type Out = Item;

    async fn apply(&self, item: &Admitted) -> Result<Verdict<Item>, Fault> {
        let text = |bytes: &Option<bytes::Bytes>| String::from_utf8(bytes.clone().unwrap_or_default().into()).unwrap();
        let (key, value) = (text(&item.record.key), text(&item.record.value));
        match value.as_str() {
            "bad" => Ok(Verdict::Reject(rejection("bad"))),
            "boom" => panic!("planted"),
            _ => Ok(Verdict::Forward((key, value))),
        }
    }
}

fn rejection(code: &'static str) -> Rejection {
    Rejection { code, reason: "planted", field: None, facts: Vec::new() }
}

/// What a shelf of items is like to write to.
#[derive(Clone, Debug, Default)]
struct Shelf(Arc<ShelfState>);

#[derive(Debug, Default)]
struct ShelfState {
    batches: Mutex<Vec<Vec<Item>>>,
    /// Writes that hold this key never end while set.
    stuck: Mutex<Option<String>>,
    /// Every write fails while set.
    down: AtomicBool,
    attempts: AtomicUsize,
}

impl Shelf {
    fn batches(&self) -> Vec<Vec<Item>> {
        self.0.batches.lock().unwrap().clone()
    }

    fn values(&self) -> Vec<String> {
        self.batches().into_iter().flatten().map(|(_, value)| value).collect()
    }
}

impl Sink for Shelf {
    type Item = Item;

    async fn write(&self, batch: &[Item]) -> Result<Refused, Fault> {
        self.0.attempts.fetch_add(1, Ordering::Relaxed);
        sleep(Duration::from_millis(10)).await;
        if self.0.down.load(Ordering::Relaxed) {
            return Err(Fault::transient("planted"));
        }
        let stuck = self.0.stuck.lock().unwrap().clone();
        if stuck.is_some_and(|key| batch.iter().any(|(k, _)| *k == key)) {
            std::future::pending::<()>().await;
        }
        let refused: Refused = batch
            .iter()
            .enumerate()
            .filter(|(_, (_, value))| value == "refuse")
            .map(|(at, _)| (at, rejection("refused")))
            .collect();
        let written = batch.iter().filter(|(_, value)| value != "refuse").cloned().collect();
        self.0.batches.lock().unwrap().push(written);
        Ok(refused)
    }
}

/// Dead letters: code and offset.
#[derive(Clone, Debug, Default)]
struct Dead(Arc<Mutex<Vec<(&'static str, i64)>>>);

impl Sink for Dead {
    type Item = Rejected;

    async fn write(&self, batch: &[Rejected]) -> Result<Refused, Fault> {
        let mut letters = self.0.lock().unwrap();
        letters.extend(batch.iter().map(|rejected| (rejected.rejection.code, rejected.record.offset.0)));
        Ok(Vec::new())
    }
}

fn vitals() -> Vitals {
    let telemetry = crate::telemetry::Telemetry::new("test").unwrap();
    Vitals::new(&crate::Health::new(), &telemetry, crate::Clock::fixed(0), &["bad", "refused"])
}

struct Bench {
    log: MemoryLog,
    shelf: Shelf,
    dead: Dead,
    group: MemoryGroup,
    shutdown: CancellationToken,
    worker: JoinHandle<Result<Ended, Fault>>,
}

fn bench(limits: Limits, weather: Weather) -> Bench {
    let (log, shelf, dead) = (MemoryLog::default(), Shelf::default(), Dead::default());
    let (source, group) = MemorySource::join(log.clone(), "g", "", weather);
    let parts = Parts { source, mark: (), stage: Plain, sink: shelf.clone(), dead: dead.clone(), limits };
    let shutdown = CancellationToken::new();
    let worker = Worker::new(parts, vitals());
    #[allow(clippy::disallowed_methods, reason = "a test's worker has no lifecycle")]
    let worker = tokio::spawn(worker.run(shutdown.clone()));
    Bench { log, shelf, dead, group, shutdown, worker }
}

impl Bench {
    fn append(&self, partition: i32, key: &str, value: &str) {
        self.log.append_plain(&place(partition), key.as_bytes(), value.as_bytes(), 1);
    }

    fn committed(&self, partition: i32) -> i64 {
        self.log.committed("g", &place(partition)).map_or(0, |(offset, _)| offset.0)
    }

    async fn stop(self) -> Result<Ended, Fault> {
        self.shutdown.cancel();
        self.worker.await.unwrap()
    }
}

async fn seconds(n: u64) {
    sleep(Duration::from_secs(n)).await;
}

#[tokio::test(start_paused = true)]
async fn records_reach_the_sink_and_are_committed_behind_it() {
    let bench = bench(Limits::default(), Weather::default());
    bench.group.assign(&[place(0)]).await;
    for n in 0..100 {
        bench.append(0, &format!("k{}", n % 7), &n.to_string());
    }
    seconds(2).await;
    assert_eq!(bench.shelf.values().len(), 100);
    assert_eq!(bench.committed(0), 100);
    assert_eq!(bench.stop().await.unwrap(), Ended::Drained);
}

#[tokio::test(start_paused = true)]
async fn the_order_of_a_key_is_kept_and_a_batch_is_what_queued_meanwhile() {
    let bench = bench(Limits::default(), Weather::default());
    bench.group.assign(&[place(0)]).await;
    bench.append(0, "k", "0");
    sleep(Duration::from_millis(5)).await;
    for n in 1..=50 {
        bench.append(0, "k", &n.to_string());
    }
    seconds(1).await;
    let want: Vec<String> = (0..=50).map(|n| n.to_string()).collect();
    assert_eq!(bench.shelf.values(), want);
    let sizes: Vec<usize> = bench.shelf.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, 50], "no timer: the second batch is what waited for the first");
    bench.stop().await.unwrap();
}

/// I16.
#[tokio::test(start_paused = true)]
async fn a_stuck_key_stops_its_lane_then_its_partition_and_never_another() {
    let limits = Limits { span_max: 500, ..Limits::default() };
    let bench = bench(limits, Weather::default());
    *bench.shelf.0.stuck.lock().unwrap() = Some("stuck".into());
    bench.group.assign(&[place(0), place(1)]).await;
    bench.append(0, "stuck", "first");
    for n in 0..2_000 {
        bench.append(0, &format!("k{n}"), "zero");
        bench.append(1, &format!("k{n}"), "one");
    }
    seconds(3).await;
    let count = |value: &str| bench.shelf.values().iter().filter(|v| *v == value).count();
    assert_eq!(count("one"), 2_000, "the other partition never waits");
    assert_eq!(bench.committed(1), 2_000);
    assert!(count("zero") > 100, "its own partition goes on while the lane and the window have room");
    assert!(count("zero") < 500, "and stops when the window is full");
    assert_eq!(bench.committed(0), 0);
    *bench.shelf.0.stuck.lock().unwrap() = None;
    // The write that is out stays out: only a shutdown or a rebalance cuts it.
    assert_eq!(bench.stop().await.unwrap(), Ended::RanOut);
}

/// I16 at any record size: one partition's large records take its own share of memory.
#[tokio::test(start_paused = true)]
async fn a_partition_of_large_records_takes_no_other_partitions_memory() {
    let limits = Limits { in_flight_bytes: 20_000, ..Limits::default() };
    let bench = bench(limits, Weather::default());
    *bench.shelf.0.stuck.lock().unwrap() = Some("large".into());
    bench.group.assign(&[place(0), place(1)]).await;
    bench.append(0, "large", &"x".repeat(50_000));
    for n in 0..100 {
        bench.append(0, &format!("k{n}"), "zero");
        bench.append(1, &format!("k{n}"), &"y".repeat(5_000));
    }
    seconds(5).await;
    assert_eq!(bench.committed(1), 100, "its share is its own");
    assert_eq!(bench.shelf.values().iter().filter(|v| *v == "zero").count(), 0, "one record over the share goes alone");
    bench.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_always_ends_and_says_that_work_was_left() {
    let bench = bench(Limits::default(), Weather::default());
    *bench.shelf.0.stuck.lock().unwrap() = Some("stuck".into());
    bench.group.assign(&[place(0)]).await;
    bench.append(0, "fine", "a");
    bench.append(0, "stuck", "b");
    seconds(1).await;
    let log = bench.log.clone();
    let before = Instant::now();
    assert_eq!(bench.stop().await.unwrap(), Ended::RanOut);
    assert!(before.elapsed() <= Limits::default().drain + Duration::from_millis(100));
    assert_eq!(log.committed("g", &place(0)).unwrap().0, Offset(1), "what was settled is committed");
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_while_every_write_fails() {
    let bench = bench(Limits::default(), Weather::default());
    bench.shelf.0.down.store(true, Ordering::Relaxed);
    bench.group.assign(&[place(0)]).await;
    bench.append(0, "k", "a");
    seconds(60).await;
    assert!(bench.shelf.0.attempts.load(Ordering::Relaxed) > 10, "a fault is tried again for ever");
    assert_eq!(bench.committed(0), 0, "and never releases its offset");
    assert_eq!(bench.stop().await.unwrap(), Ended::RanOut);
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_heals_loses_nothing() {
    let bench = bench(Limits::default(), Weather::default());
    bench.shelf.0.down.store(true, Ordering::Relaxed);
    bench.group.assign(&[place(0)]).await;
    bench.append(0, "k", "a");
    seconds(30).await;
    bench.shelf.0.down.store(false, Ordering::Relaxed);
    seconds(10).await;
    assert_eq!(bench.shelf.values(), ["a"]);
    assert_eq!(bench.committed(0), 1);
    assert_eq!(bench.stop().await.unwrap(), Ended::Drained);
}

/// I17.
#[tokio::test(start_paused = true)]
async fn a_revoke_takes_no_longer_than_its_work_and_commits_it() {
    let bench = bench(Limits::default(), Weather::default());
    bench.group.assign(&[place(0), place(1)]).await;
    for n in 0..60 {
        bench.append(0, &format!("k{n}"), "a");
    }
    sleep(Duration::from_millis(1)).await;
    let before = Instant::now();
    bench.group.revoke(&[place(0)]).await;
    assert!(before.elapsed() < Duration::from_millis(100), "10 ms of writing, not the 3 s of the deadline");
    assert_eq!(bench.committed(0), 60, "nothing that was written is done again");
    bench.append(1, "k", "b");
    seconds(1).await;
    assert_eq!(bench.committed(1), 1, "what was kept goes on");
    bench.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_revoke_of_stuck_work_ends_at_the_deadline_and_the_rest_is_read_again() {
    let bench = bench(Limits::default(), Weather::default());
    *bench.shelf.0.stuck.lock().unwrap() = Some("stuck".into());
    bench.group.assign(&[place(0)]).await;
    bench.append(0, "stuck", "a");
    seconds(1).await;
    let before = Instant::now();
    bench.group.revoke(&[place(0)]).await;
    let limits = Limits::default();
    assert!(before.elapsed() >= limits.drain && before.elapsed() < limits.drain + Duration::from_millis(100));
    assert_eq!(bench.committed(0), 0);
    *bench.shelf.0.stuck.lock().unwrap() = None;
    bench.group.assign(&[place(0)]).await;
    seconds(1).await;
    assert_eq!(bench.shelf.values(), ["a"]);
    assert_eq!(bench.stop().await.unwrap(), Ended::Drained);
}

/// I17.
#[tokio::test(start_paused = true)]
async fn of_two_revokes_side_by_side_neither_waits_for_the_other() {
    let bench = bench(Limits::default(), Weather::default());
    *bench.shelf.0.stuck.lock().unwrap() = Some("stuck".into());
    bench.group.assign(&[place(0), place(1)]).await;
    bench.append(0, "stuck", "a");
    bench.append(1, "k", "b");
    seconds(1).await;
    let before = Instant::now();
    let took = async |partition| {
        bench.group.revoke(&[place(partition)]).await;
        before.elapsed()
    };
    let (stuck, quick) = tokio::join!(took(0), took(1));
    let (drain, moment) = (Limits::default().drain, Duration::from_millis(100));
    assert!(quick < moment, "{quick:?} for what takes no time");
    assert!(stuck >= drain && stuck < drain + moment, "{stuck:?} for what never ends");
    assert_eq!((bench.committed(0), bench.committed(1)), (0, 1));
}

/// I7.
#[tokio::test(start_paused = true)]
async fn nothing_of_a_lost_partition_is_committed() {
    let bench = bench(Limits::default(), Weather::default());
    bench.group.assign(&[place(0)]).await;
    bench.append(0, "k", "a");
    sleep(Duration::from_millis(5)).await;
    bench.group.lose(&[place(0)]).await;
    seconds(5).await;
    assert_eq!(bench.committed(0), 0);
    bench.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_failed_commit_is_tried_again_without_new_records() {
    let left = Arc::new(AtomicUsize::new(3));
    let weather = Weather::new(move |operation| match operation {
        Operation::Commit if left.load(Ordering::Relaxed) > 0 => {
            left.fetch_sub(1, Ordering::Relaxed);
            Strike::Refused
        }
        Operation::Commit | Operation::Write => Strike::Calm,
    });
    let bench = bench(Limits::default(), weather);
    bench.group.assign(&[place(0)]).await;
    bench.append(0, "k", "a");
    seconds(5).await;
    assert_eq!(bench.committed(0), 1);
    bench.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_hangs_stops_neither_records_nor_shutdown() {
    let weather = Weather::new(|operation| match operation {
        Operation::Commit => Strike::Slow(Duration::from_secs(3_600)),
        _ => Strike::Calm,
    });
    let bench = bench(Limits::default(), weather);
    bench.group.assign(&[place(0)]).await;
    bench.append(0, "k", "a");
    seconds(1).await;
    for n in 0..100 {
        bench.append(0, &format!("k{n}"), "b");
    }
    seconds(1).await;
    assert_eq!(bench.shelf.values().len(), 101);
    let before = Instant::now();
    assert_eq!(bench.stop().await.unwrap(), Ended::RanOut, "what is not committed is done again");
    assert!(before.elapsed() < Duration::from_secs(30));
}

/// I17.
#[tokio::test(start_paused = true)]
async fn a_drain_tries_its_last_commit_again() {
    let left = Arc::new(AtomicUsize::new(0));
    let strikes = left.clone();
    let weather = Weather::new(move |operation| match operation {
        Operation::Commit if strikes.load(Ordering::Relaxed) > 0 => {
            strikes.fetch_sub(1, Ordering::Relaxed);
            Strike::Refused
        }
        Operation::Commit | Operation::Write => Strike::Calm,
    });
    let bench = bench(Limits::default(), weather);
    bench.group.assign(&[place(0), place(1)]).await;
    bench.append(0, "k", "a");
    sleep(Duration::from_millis(5)).await;
    left.store(2, Ordering::Relaxed);
    bench.group.revoke(&[place(0)]).await;
    assert_eq!(bench.committed(0), 1, "handed on as far as it was settled");
    bench.append(1, "k", "b");
    sleep(Duration::from_millis(5)).await;
    left.store(2, Ordering::Relaxed);
    let log = bench.log.clone();
    assert_eq!(bench.stop().await.unwrap(), Ended::Drained);
    assert_eq!(log.committed("g", &place(1)).unwrap().0, Offset(1));
}

#[tokio::test(start_paused = true)]
async fn rejected_and_refused_records_are_dead_letters_behind_the_forwards() {
    let bench = bench(Limits::default(), Weather::default());
    bench.group.assign(&[place(0)]).await;
    for value in ["a", "bad", "refuse", "b"] {
        bench.append(0, "k", value);
    }
    seconds(2).await;
    assert_eq!(bench.shelf.values(), ["a", "b"]);
    assert_eq!(*bench.dead.0.lock().unwrap(), [("bad", 1), ("refused", 2)]);
    assert_eq!(bench.committed(0), 4);
    bench.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_lane_ends_the_worker_with_what_was_settled_committed() {
    let bench = bench(Limits::default(), Weather::default());
    bench.group.assign(&[place(0)]).await;
    bench.append(0, "k", "a");
    seconds(1).await;
    bench.append(0, "k", "boom");
    let fault = bench.worker.await.unwrap().unwrap_err();
    assert!(matches!(fault, Fault::Fatal { exit: Exit::Component, .. }), "{fault:?}");
    assert!(!crate::logs::chain(&fault).to_string().contains("planted"), "a panic's message may quote a record");
    assert_eq!(bench.log.committed("g", &place(0)).unwrap().0, Offset(1));
}
