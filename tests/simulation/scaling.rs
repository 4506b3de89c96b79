//! What docs/scaling.md says of the sink's throughput, held against the product's own worker in virtual time: there no
//! processor is ever busy, so what is left is what waits, and how much of a log merges.

use crate::path::METRICS;
use crate::plan::{FLOOR_MICROS, PROFILE};
use runtime::backoff::Pauses;
use runtime::breaker::{Breaker, BreakerMetrics, Rule};
use runtime::dead::DeadLetters;
use runtime::limits::Limits;
use runtime::memory::{MemoryLog, MemorySink, MemorySource, Weather};
use runtime::permits::{Bounds, Permits};
use runtime::record::{Headers, Outgoing, TopicPartition};
use runtime::telemetry::{Gauge, Traces};
use runtime::trouble::Troubles;
use runtime::vitals::Vitals;
use runtime::worker::Parts;
use runtime::{Clock, Health, Worker};
use schemas::{Change, Codec, FieldSet, FieldValue, Lane, Op, Origin, Row, Tenant, UserId, Version, headers, topics};
use sinks::{Decode, Gates, Horizon, Invalidate, ProfileSink, Profiles};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use store::cache::{CacheError, Key};
use store::cql::{Blame, WriteError};
use tests::history::Random;
use tests::zipf::Zipf;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const NOW_MS: i64 = 1_767_225_600_000;
const GROUP: &str = "sink";
const USERS: usize = 50_000;
/// Users of one request, as the product has them at most.
const RUN_LEN: usize = 8;
/// Requests of one replica that are out at a time.
const PERMITS: usize = 32;
/// How long a request takes.
const ANSWER: Duration = Duration::from_millis(20);

/// A store that takes its time, always the same.
#[derive(Clone, Debug, Default)]
struct Store(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: AtomicU64,
    rows: AtomicU64,
}

impl Store {
    async fn take(&self, rows: usize) -> Result<(), WriteError> {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.rows.fetch_add(rows as u64, Ordering::Relaxed);
        sleep(ANSWER).await;
        Ok(())
    }
}

impl Profiles for Store {
    async fn write(&self, _changes: &[&Change]) -> Result<(), WriteError> {
        self.take(1).await
    }

    fn runs(&self, users: &[Vec<&Change>]) -> Vec<Vec<usize>> {
        let all: Vec<usize> = (0..users.len()).collect();
        all.chunks(RUN_LEN).map(<[_]>::to_vec).collect()
    }

    async fn write_together(&self, users: &[&[&Change]]) -> Result<(), WriteError> {
        self.take(users.len()).await
    }

    async fn probe(&self, _change: &Change, _now: Version) -> Result<Blame, WriteError> {
        Ok(Blame::Change)
    }
}

impl Invalidate for Store {
    async fn delete(&self, _keys: &[Key]) -> Result<(), CacheError> {
        sleep(Duration::from_millis(1)).await;
        Ok(())
    }
}

/// A backlog, and who works it off.
#[derive(Clone, Copy, Debug)]
struct Plant {
    changes: usize,
    skew: f64,
    partitions: i32,
    replicas: i32,
}

#[derive(Clone, Copy, Debug)]
struct Found {
    changes_per_s: f64,
    rows_per_1000: f64,
    requests_per_1000: f64,
}

/// Patches of one field, as `enrich` writes them.
fn backlog(plant: Plant) -> MemoryLog {
    let (log, codec, topic) = (MemoryLog::default(), Codec::new(PROFILE.clone()), topics::ENRICHED.into());
    let (zipf, mut random, name) = (Zipf::new(USERS, plant.skew), Random::new(7), PROFILE.position("name").unwrap());
    for at in 0..i64::try_from(plant.changes).unwrap() {
        let user = format!("u{}", zipf.draw(&mut random));
        let partition = topics::partition_for(user.as_bytes(), plant.partitions);
        let mut set = Row::default();
        set.set(name, FieldValue::Text(format!("name {at}")));
        let change = Change {
            id: Default::default(),
            tenant: Tenant::default(),
            user_id: UserId::new(&user).unwrap(),
            op: Op::Patch,
            set,
            unset: FieldSet::EMPTY,
            occurred_at: None,
            source: None,
            version: Version::at(NOW_MS * 1_000 + 8 * at, Lane::Live).unwrap(),
            origin: Origin::new(topics::RAW, partition, at).unwrap(),
        };
        let (mut value, mut kept) = (Vec::new(), Headers::default());
        codec.encode(&change, &mut value).unwrap();
        kept.push_text(headers::ORIGIN, change.origin.to_string());
        kept.push_text(headers::VERSION, change.version.to_string());
        let item = Outgoing { partition, key: Some(user.into()), value: Some(value.into()), headers: kept };
        log.append(&topic, item, NOW_MS);
    }
    log
}

async fn drain(plant: Plant) -> Found {
    let (log, store, clock) = (backlog(plant), Store::default(), Clock::fixed(NOW_MS));
    let places: Vec<TopicPartition> =
        (0..plant.partitions).map(|partition| TopicPartition::new(topics::ENRICHED, partition)).collect();
    let limits = Limits { commit_every: Duration::from_millis(5), ..Limits::default() };
    let (since, shutdown, mut working) = (Instant::now(), CancellationToken::new(), Vec::new());
    for replica in 0..plant.replicas {
        let (source, group) = MemorySource::join(log.clone(), GROUP, "", Weather::default());
        let worker = sink(source, &store, limits, &log, &clock);
        #[allow(clippy::disallowed_methods, reason = "a simulated process has no lifecycle")]
        let task = tokio::spawn(worker.run(shutdown.clone()));
        let shares: Vec<_> =
            places.iter().filter(|place| place.partition % plant.replicas == replica).cloned().collect();
        group.assign(&shares).await;
        working.push((task, group));
    }
    let ends: Vec<_> = places.iter().map(|place| (place, i64::try_from(log.records(place).len()).unwrap())).collect();
    let is_left =
        |(place, end): &(&TopicPartition, i64)| log.committed(GROUP, place).is_none_or(|(offset, _)| offset.0 < *end);
    while ends.iter().any(is_left) {
        assert!(since.elapsed() < Duration::from_secs(600), "{plant:?} stands still");
        sleep(Duration::from_millis(5)).await;
    }
    let took = since.elapsed().as_secs_f64();
    shutdown.cancel();
    let changes = plant.changes as f64;
    let per_1000 = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / changes * 1e3;
    let (rows_per_1000, requests_per_1000) = (per_1000(&store.0.rows), per_1000(&store.0.requests));
    Found { changes_per_s: changes / took, rows_per_1000, requests_per_1000 }
}

type Sink = Worker<MemorySource, (), Decode, ProfileSink<Store, Store>, DeadLetters<MemorySink>>;

fn sink(source: MemorySource, store: &Store, limits: Limits, log: &MemoryLog, clock: &Clock) -> Sink {
    let health = Health::new();
    let pauses = Pauses { min: Duration::from_millis(1), max: Duration::from_millis(1), seed: Some(1) };
    let breaker = |name| Breaker::new(Rule::new(pauses), health.condition(name, ""), BreakerMetrics::default());
    let bounds = Bounds { min: PERMITS, max: PERMITS, unhurried: Duration::from_secs(1) };
    let permits = Permits::new(bounds, Gauge::default());
    let gates = Gates { cassandra: breaker("cassandra"), redis: breaker("redis"), permits };
    let dead = MemorySink::new(log.clone(), topics::DEAD, clock.clone(), Weather::default());
    let horizon = Horizon::new(Duration::from_secs(45 * 86_400), FLOOR_MICROS);
    let parts = Parts {
        source,
        mark: (),
        stage: Decode::new(Codec::new(PROFILE.clone()), horizon, clock.clone()),
        sink: ProfileSink::new(store.clone(), Some(store.clone()), clock.clone(), gates),
        dead: DeadLetters::new(GROUP, dead, clock.clone()),
        limits,
    };
    let vitals = Vitals {
        metrics: METRICS.clone(),
        lanes: health.condition("lanes", ""),
        heartbeat: health.heartbeat("worker", Duration::from_secs(30)),
        troubles: Troubles::default(),
        traces: Traces::default(),
    };
    Worker::new(parts, vitals)
}

/// Rows of a thousand changes, by the page's formula: a user is written once a batch, however often he is in it. The
/// busiest lane of a partition has full batches, and the partition is read as fast as that one gets on: the others have
/// what comes meanwhile. Which users share a lane is chance, so any even sharing does.
fn rows_per_1000(plant: Plant) -> f64 {
    let Limits { lanes, batch_len_max, .. } = Limits::default();
    let partitions = usize::try_from(plant.partitions).unwrap();
    let mut weights: Vec<Vec<Vec<f64>>> = vec![vec![Vec::new(); lanes]; partitions];
    let mut random = Random::new(3);
    for rank in 1..=USERS {
        weights[random.below(partitions)][random.below(lanes)].push((rank as f64).powf(-plant.skew));
    }
    let all: f64 = weights.iter().flatten().flatten().sum();
    let of_partition = |lanes: &Vec<Vec<f64>>| {
        let busiest = lanes.iter().map(|lane| lane.iter().sum()).fold(0.0, f64::max);
        let of_lane = |lane: &Vec<f64>| {
            let sum: f64 = lane.iter().sum();
            let batch = batch_len_max as f64 * sum / busiest;
            let rows: f64 = lane.iter().map(|weight| 1.0 - (1.0 - weight / sum).powf(batch)).sum();
            rows / batch * sum / all
        };
        lanes.iter().map(of_lane).sum::<f64>()
    };
    weights.iter().map(of_partition).sum::<f64>() * 1e3
}

/// Changes a second, by the page's formula, where requests that are out are what bounds it.
fn changes_per_s(plant: Plant, found: Found) -> f64 {
    let working = f64::from(plant.replicas.min(plant.partitions));
    working * PERMITS as f64 / ANSWER.as_secs_f64() / found.requests_per_1000 * 1e3
}

fn hold(what: &str, found: f64, said: f64, within: f64) {
    println!("{what}: {found:.0}, and by the formula {said:.0}");
    assert!((found / said - 1.0).abs() < within, "{what}: {found:.1}, and by the formula {said:.1}");
}

fn run(plant: Plant) -> Found {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(drain(plant))
}

#[test]
fn throughput_grows_with_replicas_until_each_has_one_partition() {
    let base = Plant { changes: 40_000, skew: 0.0, partitions: 4, replicas: 1 };
    for replicas in [1, 2, 4] {
        let plant = Plant { replicas, ..base };
        let found = run(plant);
        hold(&format!("{replicas} replicas, changes a second"), found.changes_per_s, changes_per_s(plant, found), 0.2);
    }
    let (full, over) = (run(Plant { replicas: 4, ..base }), run(Plant { replicas: 8, ..base }));
    hold("8 replicas for 4 partitions, beside 4", over.changes_per_s, full.changes_per_s, 0.05);
}

#[test]
fn rows_are_as_many_as_the_distinct_users_of_each_batch() {
    for (skew, partitions) in [(0.0, 4), (0.99, 4), (0.99, 12)] {
        let plant = Plant { changes: 60_000, skew, partitions, replicas: 1 };
        let found = run(plant);
        let what = format!("skew {skew}, {partitions} partitions, rows per 1,000 changes");
        hold(&what, found.rows_per_1000, rows_per_1000(plant), 0.1);
    }
}
