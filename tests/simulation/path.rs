//! The three hops of the path: the product's own workers on a memory log, each part in a wrapper that sabotage can use.

use crate::audit::{Audit, PARTITIONS};
use crate::cassandra::{Cassandra, GC_GRACE_MS};
use crate::dice::Dice;
use crate::frost::Frost;
use crate::oracle::EDITIONS;
use crate::plan::{FLOOR_MICROS, PROFILE, Place};
use crate::redis::Redis;
use crate::sabotage::Sabotage;
use crate::watched::{Fence, Watched};
use crate::wrapped::{Judged, Marked, Port, Settling, Topic};
use processors::enrich::{Enrich, Shelf};
use processors::validate::{Fold, Validate};
use runtime::breaker::{Breaker, BreakerMetrics, Rule};
use runtime::dead::DeadLetters;
use runtime::fault::Fault;
use runtime::limits::Limits;
use runtime::memory::{MemoryGroup, MemorySink, MemorySource, Strike, Weather};
use runtime::permits::{Bounds, Permits};
use runtime::record::TopicPartition;
use runtime::stage::{Admitted, Mark, Sink, Stage};
use runtime::telemetry::{Gauge, Telemetry, Traces, WorkerMetrics};
use runtime::trouble::Troubles;
use runtime::vitals::Vitals;
use runtime::worker::{Ended, Parts};
use runtime::{Clock, Health, Worker};
use schemas::reference::{Table as Reference, Tables};
use schemas::{Codec, RejectCode, topics};
use sinks::{Decode, Gates, Horizon, ProfileSink};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Hop {
    Validate,
    Enrich,
    Sink,
}

impl Hop {
    pub(crate) const ALL: [Self; 3] = [Self::Validate, Self::Enrich, Self::Sink];

    pub(crate) fn inputs(self) -> &'static [&'static str] {
        match self {
            Self::Validate => &[topics::RAW, topics::PINNED],
            Self::Enrich => &[topics::VALID],
            Self::Sink => &[topics::ENRICHED],
        }
    }

    /// Every partition of its inputs.
    pub(crate) fn shares(self) -> Vec<TopicPartition> {
        let of =
            |topic: &&'static str| (0..PARTITIONS).map(|partition| TopicPartition::new(*topic, partition)).collect();
        self.inputs().iter().flat_map(|topic| -> Vec<_> { of(topic) }).collect()
    }

    /// The name of its consumer group.
    pub(crate) fn group(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Enrich => "enrich",
            Self::Sink => "sink",
        }
    }

    /// What is committed with offset 0.
    pub(crate) fn first_metadata(self) -> String {
        match self {
            Self::Validate => Fold::new(FLOOR_MICROS).first(),
            Self::Enrich | Self::Sink => String::new(),
        }
    }

    /// A partition of the input on the way from raw.
    pub(crate) fn place(self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.inputs()[0], partition)
    }
}

impl Place {
    /// The partition that it is of.
    pub(crate) fn share(self) -> TopicPartition {
        TopicPartition::new(self.topic(), self.partition)
    }
}

/// How bad the log is; 0 for never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Storm {
    /// One operation in so many fails.
    pub(crate) strikes: u64,
    /// Every operation takes this long at most.
    pub(crate) slow_ms: u64,
}

/// What all members of a run share.
#[derive(Clone, Debug)]
pub(crate) struct World {
    pub(crate) audit: Audit,
    pub(crate) cassandra: Cassandra,
    pub(crate) redis: Redis,
    pub(crate) sabotage: Sabotage,
    pub(crate) dice: Dice,
    pub(crate) storm: Arc<Mutex<Storm>>,
    shelf: Shelf,
    health: Health,
}

/// One running worker.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) hop: Hop,
    pub(crate) number: u64,
    pub(crate) group: MemoryGroup,
    pub(crate) held: Vec<TopicPartition>,
    /// How far it has read each partition.
    pub(crate) fence: Fence,
    pub(crate) frost: Frost,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<Ended, Fault>>,
}

/// Numbers nobody looks at; making instruments costs more than a run.
pub(crate) static METRICS: LazyLock<WorkerMetrics> = LazyLock::new(|| {
    let codes: Vec<&str> = RejectCode::ALL.iter().map(|code| code.as_str()).collect();
    WorkerMetrics::new(&Telemetry::new("simulation").unwrap(), Clock::system(), &codes)
});

static TABLES: LazyLock<Tables> = LazyLock::new(|| {
    let mut tables = Tables::default();
    for (name, text) in EDITIONS {
        assert!(tables.insert(&name.parse().unwrap(), Reference::parse(text).unwrap()));
    }
    tables
});

impl World {
    pub(crate) fn new(audit: Audit, sabotage: Sabotage, dice: &Dice) -> Self {
        let cassandra = Cassandra::new(audit.clone(), sabotage, dice.split());
        let redis = Redis::new(audit.clone(), sabotage, dice.split());
        let (dice, storm) = (dice.split(), Arc::default());
        let (shelf, health) = (Shelf::new(TABLES.clone()), Health::new());
        Self { audit, cassandra, redis, sabotage, dice, storm, shelf, health }
    }

    pub(crate) fn set_storm(&self, storm: Storm) {
        *self.storm.lock().unwrap() = storm;
    }

    fn weather(&self, frost: Frost) -> Weather {
        let (dice, storm) = (self.dice.clone(), self.storm.clone());
        Weather::new(move |_| {
            let Storm { strikes, slow_ms } = *storm.lock().unwrap();
            let frozen = frost.left();
            if !frozen.is_zero() {
                return Strike::Slow(frozen);
            }
            if strikes > 0 && dice.one_in(strikes) {
                return match dice.roll(3) {
                    0 => Strike::Refused,
                    1 => Strike::ReplyLost,
                    _ => Strike::Late(Duration::from_millis(dice.between(1, 80))),
                };
            }
            if slow_ms == 0 {
                return Strike::Calm;
            }
            Strike::Slow(Duration::from_millis(dice.roll(slow_ms + 1)))
        })
    }

    /// The clock that the stages believe in.
    fn belief(&self) -> Clock {
        match self.sabotage {
            // Not so far ahead that anything seems too old.
            Sabotage::NoFutureCheck => Clock::fixed(self.audit.clock.now_ms() + GC_GRACE_MS / 2),
            _ => self.audit.clock.clone(),
        }
    }

    fn topic(&self, name: &str, frost: &Frost) -> Topic {
        let (log, clock) = (self.audit.log.clone(), self.audit.clock.clone());
        Topic(MemorySink::new(log, name, clock, self.weather(frost.clone())))
    }

    /// Starts a member that holds nothing yet.
    pub(crate) fn start(&self, hop: Hop, number: u64, limits: Limits) -> Member {
        let frost = Frost::default();
        match hop {
            Hop::Validate => {
                let mark = Marked::new(Fold::new(FLOOR_MICROS), self.sabotage, self.audit.clock.clone());
                let floor = match self.sabotage {
                    Sabotage::NoClamp => i64::MAX,
                    _ => FLOOR_MICROS,
                };
                let stage = Validate::new(PROFILE.clone(), self.belief(), PARTITIONS, floor);
                let sink = self.topic(topics::VALID, &frost);
                self.spawn((hop, number, frost), limits, (mark, stage, sink))
            }
            Hop::Enrich => {
                let stage = Enrich::new(PROFILE.clone(), self.shelf.clone());
                let sink = self.topic(topics::ENRICHED, &frost);
                self.spawn((hop, number, frost), limits, ((), stage, sink))
            }
            Hop::Sink => {
                let gc_grace = match self.sabotage {
                    Sabotage::NoTooOld => Duration::from_secs(100 * 86_400),
                    _ => Duration::from_millis(GC_GRACE_MS.unsigned_abs()),
                };
                let horizon = Horizon::new(gc_grace, FLOOR_MICROS);
                let stage = Decode::new(Codec::new(PROFILE.clone()), horizon, self.belief());
                let condition = |name| self.health.condition(name, "");
                let breaker =
                    |store| Breaker::new(Rule::new(limits.pauses()), condition(store), BreakerMetrics::default());
                let bounds = Bounds { min: 4, max: 128, unhurried: Duration::ZERO };
                let permits = Permits::new(bounds, Gauge::default());
                let gates = Gates { cassandra: breaker("cassandra"), redis: breaker("redis"), permits };
                let Self { cassandra, redis, sabotage, .. } = self.clone();
                let port = Port { cassandra, redis, frost: frost.clone(), sabotage };
                let sink = ProfileSink::new(port.clone(), Some(port), self.audit.clock.clone(), gates);
                let sink = Settling { sink, audit: self.audit.clone() };
                self.spawn((hop, number, frost), limits, ((), stage, sink))
            }
        }
    }

    fn spawn<M, P, W>(&self, who: (Hop, u64, Frost), limits: Limits, machine: (M, P, W)) -> Member
    where
        M: Mark,
        P: Stage<In = Admitted>,
        W: Sink<Item = P::Out>,
    {
        let ((hop, number, frost), (mark, stage, sink)) = (who, machine);
        let log = self.audit.log.clone();
        let weather = self.weather(frost.clone());
        let (source, group) = MemorySource::join(log, hop.group(), &hop.first_metadata(), weather);
        let source = Watched::new(source, hop, self, (limits, frost.clone()));
        let fence = source.fence();
        let dead = DeadLetters::new(hop.group(), self.topic(topics::DEAD, &frost), self.audit.clock.clone());
        let stage = Judged { stage, sabotage: self.sabotage };
        let vitals = Vitals {
            metrics: METRICS.clone(),
            lanes: self.health.condition("lanes", ""),
            heartbeat: self.health.heartbeat("worker", Duration::from_secs(30)),
            troubles: Troubles::default(),
            traces: Traces::default(),
        };
        let limits = self.spoiled(limits);
        let worker = Worker::new(Parts { source, mark, stage, sink, dead, limits }, vitals);
        let shutdown = CancellationToken::new();
        #[allow(clippy::disallowed_methods, reason = "a simulated process has no lifecycle")]
        let task = tokio::spawn(worker.run(shutdown.clone()));
        self.audit.tell(|| format!("{hop:?} #{number} starts"));
        Member { hop, number, group, held: Vec::new(), fence, frost, shutdown, task }
    }

    /// The limits that a worker is given, and what sabotage makes of them.
    fn spoiled(&self, limits: Limits) -> Limits {
        match self.sabotage {
            Sabotage::SharedLanes => Limits { lanes: 1, ..limits },
            Sabotage::UnboundedQueue => {
                Limits { lane_queue_len: 1 << 16, span_max: u64::MAX, in_flight_bytes: usize::MAX, ..limits }
            }
            _ => limits,
        }
    }
}

/// Bounds of a member, small enough to be met.
pub(crate) fn small_limits(dice: &Dice) -> Limits {
    let tiny = |low, high| usize::try_from(dice.between(low, high)).unwrap();
    Limits {
        lanes: tiny(1, 4),
        lane_queue_len: tiny(1, 6),
        batch_len_max: tiny(1, 8),
        span_max: dice.between(4, 40),
        in_flight_bytes: tiny(1_000, 20_000),
        drain: Duration::from_millis(dice.between(10, 120)),
        commit_every: Duration::from_millis(dice.between(5, 30)),
        // The pauses between tries are jittered by the process's own chance; of one length they are the same each run.
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(1),
        ..Limits::default()
    }
}
