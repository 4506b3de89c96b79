//! One installation to measure on, and drains of our own workers over parts of its topics.

use crate::Outcome;
use crate::cost::{self, Cost};
use crate::count;
use runtime::kafka::{Config, Group};
use runtime::offsets::Committed;
use schemas::topics;
use std::time::Duration;
use tests::installation::{Installation, PATH};
use tests::process::Worker;
use tests::stack::Stack;
use tokio::time::{Instant, sleep};

/// As many as a new installation has.
pub(crate) const PARTITIONS: i32 = 12;

/// Between two looks at what is committed.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What no drain takes.
const STANDSTILL: Duration = Duration::from_secs(1_200);

/// Topics, a keyspace, and the servers beneath them.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) home: Installation,
    pub(crate) kafka: Config,
    cassandra: u32,
    broker: u32,
}

/// A part of a topic: where each partition starts and ends.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Part {
    pub(crate) from: Vec<i64>,
    pub(crate) to: Vec<i64>,
}

impl Part {
    pub(crate) fn len(&self) -> u64 {
        self.to.iter().zip(&self.from).map(|(to, from)| to.abs_diff(*from)).sum()
    }
}

/// A worker, and what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Stage {
    Validate,
    Enrich,
    Sink,
}

impl Stage {
    pub(crate) const ALL: [Self; 3] = [Self::Validate, Self::Enrich, Self::Sink];

    pub(crate) fn worker(self) -> &'static str {
        PATH[self as usize].0
    }

    pub(crate) fn input(self) -> &'static str {
        PATH[self as usize].1
    }

    /// The topic it writes, if it writes one.
    pub(crate) fn output(self) -> Option<&'static str> {
        match self {
            Self::Validate => Some(topics::VALID),
            Self::Enrich => Some(topics::ENRICHED),
            Self::Sink => None,
        }
    }
}

impl Ground {
    pub(crate) async fn new(name: &str) -> Outcome<Self> {
        let stack = Stack::of_run();
        let kafka = Config { brokers: stack.brokers.clone(), ..Config::default() };
        let (cassandra, broker) = (stack.pid("cassandra-1"), stack.pid("kafka-1"));
        let home = Installation::build_wide(&stack, name, PARTITIONS).await.within(Duration::from_secs(24 * 3600));
        Ok(Self { home, kafka, cassandra, broker })
    }

    pub(crate) fn cassandra_cpu(&self) -> Outcome<f64> {
        cost::cpu_of_group(self.cassandra)
    }

    pub(crate) fn broker_cpu(&self) -> Outcome<f64> {
        cost::cpu_of_group(self.broker)
    }

    /// Where each partition of a topic ends.
    pub(crate) async fn ends(&self, topic: &str) -> Vec<i64> {
        self.home.watermarks(topic).await.iter().map(|held| held.high).collect()
    }

    /// What was written to a topic since it ended at `from`.
    pub(crate) async fn since(&self, topic: &str, from: Vec<i64>) -> Part {
        Part { to: self.ends(topic).await, from }
    }

    /// All that a topic has.
    pub(crate) async fn whole(&self, topic: &str) -> Part {
        self.since(topic, vec![0; PARTITIONS as usize]).await
    }

    /// Starts a worker with a group of its own that reads `part` and whatever comes behind it.
    pub(crate) async fn start(&self, stage: Stage, run: &str, part: &Part) -> Outcome<(Worker, Group)> {
        let prefix = format!("{}.{run}.", self.home.name());
        let group = Group::new(&self.kafka, &format!("{prefix}{}", stage.worker()))?;
        // `validate` makes its versions from the start on, and would not believe an offset without a mark.
        if part.from.iter().any(|offset| *offset > 0) {
            let places = (0..).zip(&part.from);
            let targets: Vec<Committed> = places
                .map(|(partition, offset)| Committed { partition, offset: *offset, metadata: String::new() })
                .collect();
            group.commit(&self.home.topic(stage.input()), &targets).await?;
        }
        let environment = [
            ("TIDEWATER__KAFKA__GROUP_PREFIX", prefix.as_str()),
            // As they come: the tests commit more often.
            ("TIDEWATER__LIMITS__COMMIT_EVERY", "500ms"),
            ("MALLOC_CONF", count::TELLING),
        ];
        Ok((self.home.start_in(stage.worker(), &environment), group))
    }

    /// How many records of a part a group has committed.
    pub(crate) async fn done(&self, stage: Stage, group: &Group, part: &Part) -> Outcome<u64> {
        let committed = group.committed(&self.home.topic(stage.input()), PARTITIONS).await?;
        let bounds = part.from.iter().zip(&part.to);
        let done = committed.iter().zip(bounds).map(|(committed, (from, to))| {
            committed.as_ref().map_or(0, |committed| committed.offset.clamp(*from, *to).abs_diff(*from))
        });
        Ok(done.sum())
    }

    /// Waits until a group has committed all of a part.
    pub(crate) async fn finish(&self, stage: Stage, group: &Group, part: &Part) -> Outcome<()> {
        let since = Instant::now();
        while self.done(stage, group, part).await? < part.len() {
            if since.elapsed() > STANDSTILL {
                return Err(format!("{} is not done after {} s", stage.worker(), STANDSTILL.as_secs()).into());
            }
            sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }

    /// Waits until Cassandra has done what was left to it: flushes and compactions of what came before.
    pub(crate) async fn settle(&self) -> Outcome<()> {
        for _ in 0..30 {
            let before = self.cassandra_cpu()?;
            sleep(Duration::from_millis(500)).await;
            if self.cassandra_cpu()? - before < 0.05 {
                break;
            }
        }
        Ok(())
    }

    /// What it costs one worker alone to read a part, from its start to its last commit.
    pub(crate) async fn drain(&self, stage: Stage, run: &str, part: &Part) -> Outcome<Cost> {
        self.settle().await?;
        let (before, since) = (self.cassandra_cpu()?, Instant::now());
        let (worker, group) = self.start(stage, run, part).await?;
        self.finish(stage, &group, part).await?;
        let wall = since.elapsed();
        let statements = worker.shown("breaker_tries", "cassandra");
        let cost = Cost {
            changes: part.len(),
            wall,
            cpu: cost::cpu(worker.pid())?,
            peak_mib: cost::peak_mib(worker.pid())?,
            cassandra_cpu: self.cassandra_cpu()? - before,
            statements: statements.map(|count| count as u64),
            allocations: None,
        };
        Ok(Cost { allocations: count::allocations(&worker.last_words().await), ..cost })
    }
}
