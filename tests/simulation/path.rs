//! The three hops of the path: the product's own workers on a memory log, each part in a wrapper that sabotage can use.

use crate::audit::Audit;
use crate::dice::Dice;
use crate::plan::{EDITIONS, FLOOR_MICROS, PROFILE};
use crate::sabotage::Sabotage;
use crate::table::{GC_GRACE_MS, Table};
use crate::wrapped::{Fence, Judged, Marked, Watched};
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
use runtime::telemetry::{Gauge, Telemetry, WorkerMetrics};
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

    pub(crate) fn input(self) -> &'static str {
        match self {
            Self::Validate => topics::RAW,
            Self::Enrich => topics::VALID,
            Self::Sink => topics::ENRICHED,
        }
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

    pub(crate) fn place(self, partition: i32) -> TopicPartition {
        TopicPartition::new(self.input(), partition)
    }
}

/// How bad the log is; 0 for never.
#[derive(Clone, Copy, Debug, Default)]
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
    pub(crate) table: Table,
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
    pub(crate) held: Vec<i32>,
    /// How far it has read each partition.
    pub(crate) fence: Fence,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<Ended, Fault>>,
}

/// Numbers nobody looks at; making instruments costs more than a run.
static METRICS: LazyLock<WorkerMetrics> = LazyLock::new(|| {
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
        let table = Table::new(audit.clone(), sabotage, dice.split());
        let (dice, storm) = (dice.split(), Arc::default());
        Self { audit, table, sabotage, dice, storm, shelf: Shelf::new(TABLES.clone()), health: Health::new() }
    }

    pub(crate) fn set_storm(&self, storm: Storm) {
        *self.storm.lock().unwrap() = storm;
    }

    fn weather(&self) -> Weather {
        let (dice, storm) = (self.dice.clone(), self.storm.clone());
        Weather::new(move |_| {
            let Storm { strikes, slow_ms } = *storm.lock().unwrap();
            if strikes > 0 && dice.one_in(strikes) {
                return if dice.one_in(2) { Strike::Refused } else { Strike::ReplyLost };
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

    fn topic(&self, name: &str) -> MemorySink {
        MemorySink::new(self.audit.log.clone(), name, self.audit.clock.clone(), self.weather())
    }

    /// Starts a member that holds nothing yet.
    pub(crate) fn start(&self, hop: Hop, number: u64, limits: Limits) -> Member {
        let limits = match self.sabotage {
            Sabotage::SharedLanes => Limits { lanes: 1, ..limits },
            _ => limits,
        };
        let clock = self.belief();
        match hop {
            Hop::Validate => {
                let mark = Marked::new(Fold::new(FLOOR_MICROS), self.sabotage, self.audit.clock.clone());
                let stage = Validate::new(PROFILE.clone(), clock, crate::audit::PARTITIONS, FLOOR_MICROS);
                self.spawn(hop, number, limits, (mark, stage, self.topic(topics::VALID)))
            }
            Hop::Enrich => {
                let stage = Enrich::new(PROFILE.clone(), self.shelf.clone());
                self.spawn(hop, number, limits, ((), stage, self.topic(topics::ENRICHED)))
            }
            Hop::Sink => {
                let gc_grace = match self.sabotage {
                    Sabotage::NoTooOld => Duration::from_secs(100 * 86_400),
                    _ => Duration::from_millis(GC_GRACE_MS.unsigned_abs()),
                };
                let stage = Decode::new(Codec::new(PROFILE.clone()), Horizon::new(gc_grace, FLOOR_MICROS), clock);
                let condition = |name| self.health.condition(name, "");
                let breaker =
                    |store| Breaker::new(Rule::new(limits.pauses()), condition(store), BreakerMetrics::default());
                let bounds = Bounds { min: 4, max: 128, unhurried: Duration::ZERO };
                let permits = Permits::new(bounds, Gauge::default());
                let gates = Gates { cassandra: breaker("cassandra"), redis: breaker("redis"), permits };
                let (table, cache) = (self.table.clone(), Some(self.table.clone()));
                let sink = ProfileSink::new(table, cache, self.audit.clock.clone(), gates);
                self.spawn(hop, number, limits, ((), stage, sink))
            }
        }
    }

    fn spawn<M, P, W>(&self, hop: Hop, number: u64, limits: Limits, machine: (M, P, W)) -> Member
    where
        M: Mark,
        P: Stage<In = Admitted>,
        W: Sink<Item = P::Out>,
    {
        let (mark, stage, sink) = machine;
        let log = self.audit.log.clone();
        let (source, group) = MemorySource::join(log, hop.group(), &hop.first_metadata(), self.weather());
        let (source, fence) = Watched::new(source, hop, self);
        let dead = DeadLetters::new(hop.group(), self.topic(topics::DEAD), self.audit.clock.clone());
        let stage = Judged { stage, sabotage: self.sabotage };
        let vitals = Vitals {
            metrics: METRICS.clone(),
            lanes: self.health.condition("lanes", ""),
            heartbeat: self.health.heartbeat("worker", Duration::from_secs(30)),
            troubles: Troubles::default(),
        };
        let worker = Worker::new(Parts { source, mark, stage, sink, dead, limits }, vitals);
        let shutdown = CancellationToken::new();
        #[allow(clippy::disallowed_methods, reason = "a simulated process has no lifecycle")]
        let task = tokio::spawn(worker.run(shutdown.clone()));
        self.audit.tell(|| format!("{hop:?} #{number} starts"));
        Member { hop, number, group, held: Vec::new(), fence, shutdown, task }
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
        drain: Duration::from_millis(dice.between(10, 120)),
        commit_every: Duration::from_millis(dice.between(5, 30)),
        // The pauses between tries are jittered by the process's own chance; of one length they are the same each run.
        retry_min: Duration::from_millis(1),
        retry_max: Duration::from_millis(1),
        ..Limits::default()
    }
}
