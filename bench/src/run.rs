//! Everything that is measured, in one run: ours and the bare loops by turns, so that both meet the same machine.

use crate::bare::What;
use crate::cost::{self, Cost};
use crate::ground::{Ground, PARTITIONS, Part, Stage};
use crate::report::{Line, Results, StageLine, tables};
use crate::{Outcome, budgets, count, latency, plot, recovery, say, show};
use clap::Args;
use schemas::topics;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tests::installation::told;
use tokio::process::Command;
use tokio::time::Instant;

/// What is measured, and how much of it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Run {
    /// Where the lines go
    #[arg(long, default_value = "bench/results/latest.jsonl")]
    out: PathBuf,
    /// Changes of one drain
    #[arg(long, default_value_t = 200_000)]
    changes: u64,
    /// Drains of each kind, ours and bare by turns
    #[arg(long, default_value_t = 5)]
    pairs: usize,
    /// Skews of the users, comma separated
    #[arg(long, value_delimiter = ',', default_values_t = [0.0, 0.99])]
    skews: Vec<f64>,
    /// Backlogs to drain through the whole path, in changes, comma separated
    #[arg(long, value_delimiter = ',', default_values_t = [100_000, 1_000_000, 3_000_000])]
    backlogs: Vec<u64>,
    /// Parts to leave out: pairs, instructions, path, latency, recovery, plain, standalone
    #[arg(long, value_delimiter = ',')]
    without: Vec<String>,
}

impl Run {
    pub(crate) async fn execute(self) -> Outcome<()> {
        let since = Instant::now();
        let mut results = Results::new(&self.out)?;
        let mut instructions = [None; Stage::ALL.len()];
        if self.takes("instructions") {
            for (stage, count) in Stage::ALL.into_iter().zip(&mut instructions) {
                *count = count::instructions(stage).await?;
            }
        }
        for skew in self.skews.clone() {
            if self.takes("pairs") {
                Box::pin(self.pairs(skew, instructions, &mut results)).await?;
            }
            if self.takes("plain") {
                results.add(Box::pin(crate::watch::plain(self.changes, skew)).await?)?;
            }
        }
        if self.takes("path") {
            for (at, changes) in self.backlogs.iter().enumerate() {
                Box::pin(self.path(at, *changes, &mut results)).await?;
            }
        }
        if self.takes("standalone") {
            results.add(Box::pin(crate::standalone::Standalone::of(5 * self.changes).measure()).await?)?;
        }
        show(&tables(&results.lines));
        show(&budgets::table(&results.lines));
        let plots = plot::draw(&results.lines, self.out.parent().unwrap_or_else(|| Path::new(".")))?;
        say(&format!("bench: {} and {} after {} s", self.out.display(), plots.join(", "), since.elapsed().as_secs()));
        Ok(())
    }

    fn takes(&self, part: &str) -> bool {
        !self.without.iter().any(|left| left == part)
    }

    /// Each stage alone beside its bare loop.
    async fn pairs(&self, skew: f64, instructions: [Option<f64>; 3], results: &mut Results) -> Outcome<()> {
        let ground = Ground::new(&format!("pairs{}", (skew * 100.0) as u64)).await?;
        let line = load(&ground, self.changes, skew, 1).await?;
        results.add(line)?;
        let raw = ground.whole(topics::RAW).await;
        let (mut found, mut consume, mut checks) = (vec![Vec::new(); Stage::ALL.len()], Vec::new(), Vec::new());
        // The first round warms JVMs, page caches and connections, and does not count.
        for round in 0..=self.pairs {
            let mut part = raw.clone();
            for (stage, pairs) in Stage::ALL.into_iter().zip(&mut found) {
                let before = match stage.output() {
                    Some(output) => ground.ends(output).await,
                    None => Vec::new(),
                };
                let what = [What::Transform, What::Carry, What::Store][stage as usize];
                // By turns the first: what one leaves to the servers must not always be the other's.
                let (ours, bare) = if round % 2 == 0 {
                    let ours = ground.drain(stage, &format!("r{round}"), &part).await?;
                    (ours, self.bare(&ground, what, stage.input(), &part).await?)
                } else {
                    let bare = self.bare(&ground, what, stage.input(), &part).await?;
                    (ground.drain(stage, &format!("r{round}"), &part).await?, bare)
                };
                say(&format!(
                    "bench: skew {skew}, round {round}, {}: {:.2} µs, bare {:.2}, {:.0} and {:.0} a second",
                    stage.worker(),
                    ours.cpu_per_million(),
                    bare.cpu_per_million(),
                    ours.per_second(),
                    bare.per_second(),
                ));
                if round > 0 {
                    pairs.push((ours, bare));
                }
                if stage == Stage::Validate {
                    checks.push((ours, self.bare(&ground, What::Check, stage.input(), &part).await?));
                }
                if let Some(output) = stage.output() {
                    part = ground.since(output, before).await;
                }
            }
            consume.push(self.bare(&ground, What::Consume, topics::RAW, &raw).await?);
        }
        for (stage, pairs) in Stage::ALL.into_iter().zip(&found) {
            let bare =
                ["consume + decode + produce", "consume + decode + produce", "consume + decode + write + delete"];
            let mut line = StageLine::of(stage.worker(), skew, bare[stage as usize], pairs);
            line.instructions = instructions[stage as usize];
            results.add(Line::Stage(line))?;
        }
        let bare = "consume + decode + check + encode + produce";
        results.add(Line::Stage(StageLine::of(
            "validate, bare checks",
            skew,
            bare,
            checks.get(1..).unwrap_or_default(),
        )))?;
        let consumed: Vec<(Cost, Cost)> = consume.iter().skip(1).map(|cost| (*cost, *cost)).collect();
        results.add(Line::Stage(StageLine::of("bare consume", skew, "itself", &consumed)))?;
        let sink = found.last().ok_or("no sink")?;
        let most = sink.iter().map(|(ours, _)| ours.per_second()).fold(0.0, f64::max);
        self.under_load(&ground, skew, most, results).await
    }

    /// What needs a ground with records and a known speed.
    async fn under_load(&self, ground: &Ground, skew: f64, most: f64, results: &mut Results) -> Outcome<()> {
        if skew == 0.0 {
            return Ok(());
        }
        if self.takes("recovery") {
            let whole = ground.whole(topics::ENRICHED).await;
            results.add(recovery::measure(ground, &whole).await?)?;
        }
        if self.takes("latency") {
            let first = ground.home.records(topics::ENRICHED).await;
            let records = Arc::new(first.into_iter().take(100_000).collect::<Vec<_>>());
            for load in [0.25, 0.5, 0.75] {
                for name in ["sink", "bare"] {
                    let line = latency::measure(ground, name, load, load * most, &records).await?;
                    say(&format!("bench: {line:?}"));
                    results.add(line)?;
                }
            }
        }
        Ok(())
    }

    /// All three workers at once, over a backlog of raw changes.
    async fn path(&self, at: usize, changes: u64, results: &mut Results) -> Outcome<()> {
        let ground = Ground::new(&format!("path{at}")).await?;
        load(&ground, changes, 0.99, 2).await?;
        let raw = ground.whole(topics::RAW).await;
        let (cassandra, broker, since) = (ground.cassandra_cpu()?, ground.broker_cpu()?, Instant::now());
        let mut working = Vec::new();
        for stage in Stage::ALL {
            let from = Part { from: vec![0; PARTITIONS as usize], to: Vec::new() };
            working.push((stage, ground.start(stage, "path", &from).await?));
        }
        let mut part = raw;
        for (stage, (_, group)) in &working {
            ground.finish(*stage, group, &part).await?;
            if let Some(output) = stage.output() {
                part = ground.whole(output).await;
            }
        }
        let wall = since.elapsed();
        let servers = [("cassandra", ground.cassandra_cpu()? - cassandra), ("broker", ground.broker_cpu()? - broker)];
        let mut all = Cost { changes, wall, allocations: Some(0), ..Cost::default() };
        for (stage, (worker, _)) in working {
            let (cpu, peak_mib) = (cost::cpu(worker.pid())?, cost::peak_mib(worker.pid())?);
            let allocations = count::allocations(&worker.last_words().await);
            all.cpu += cpu;
            all.peak_mib += peak_mib;
            all.allocations = all.allocations.zip(allocations).map(|(sum, more)| sum + more);
            results.add(backlog(stage.worker(), &Cost { cpu, peak_mib, allocations, ..all }))?;
        }
        results.add(backlog("all three", &all))?;
        for (server, cpu) in servers {
            results.add(backlog(server, &Cost { changes, wall, cpu, ..Cost::default() }))?;
        }
        say(&format!("bench: {changes} changes through all three: {:.2} µs each", all.cpu_per_million()));
        // All of it waits before the sink: in the path it never does.
        let alone = ground.drain(Stage::Sink, "alone", &ground.whole(topics::ENRICHED).await).await?;
        results.add(backlog("sink alone", &alone))
    }

    async fn bare(&self, ground: &Ground, what: What, topic: &str, part: &Part) -> Outcome<Cost> {
        ground.settle().await?;
        let before = ground.cassandra_cpu()?;
        let output = bare(ground, what, topic, part)?.output().await?;
        let told: Value = serde_json::from_str(&told(&output))?;
        let number = |name: &str| told[name].as_f64().ok_or_else(|| format!("a bare loop does not tell its {name}"));
        Ok(Cost {
            changes: part.len(),
            wall: Duration::from_secs_f64(number("seconds")?),
            cpu: number("cpu")?,
            peak_mib: number("peak_mib")?,
            cassandra_cpu: ground.cassandra_cpu()? - before,
            statements: None,
            allocations: None,
        })
    }
}

fn backlog(stage: &str, cost: &Cost) -> Line {
    Line::Backlog {
        stage: stage.to_owned(),
        skew: 0.99,
        changes: cost.changes,
        cpu_s_per_million: cost.cpu_per_million(),
        changes_per_s: cost.per_second(),
        allocations: cost.allocations_each(),
        rss_mib: cost.peak_mib,
    }
}

/// Fills the raw topic of a ground, in a process of its own.
pub(crate) async fn load(ground: &Ground, changes: u64, skew: f64, seed: u64) -> Outcome<Line> {
    let (topic, count, skew, seed) =
        (ground.home.topic(topics::RAW), changes.to_string(), skew.to_string(), seed.to_string());
    let mut command = Command::new(std::env::current_exe()?);
    command.args([
        "load",
        "--brokers",
        &ground.kafka.brokers,
        "--topic",
        &topic,
        "--count",
        &count,
        "--skew",
        &skew,
        "--seed",
        &seed,
    ]);
    let told: Value = serde_json::from_str(&told(&command.output().await?))?;
    let cpu_s_per_million = told["cpu_s_per_million"].as_f64().ok_or("the load does not tell its cost")?;
    Ok(Line::Load { changes, cpu_s_per_million })
}

/// A bare loop as a process that has not been started.
pub(crate) fn bare(ground: &Ground, what: What, topic: &str, part: &Part) -> Outcome<Command> {
    let join = |offsets: &[i64]| offsets.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
    let what = clap::ValueEnum::to_possible_value(&what).ok_or("a loop without a name")?;
    let home = &ground.home;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bare", what.get_name(), "--brokers", &ground.kafka.brokers, "--topic", &home.topic(topic)]);
    // What it carries on goes where no worker reads.
    command.args(["--from", &join(&part.from), "--to", &join(&part.to), "--out", &home.topic(topics::DEAD)]);
    command.args([
        "--cassandra",
        &home.stack.cassandra.join(","),
        "--keyspace",
        home.name(),
        "--redis",
        &home.stack.redis,
    ]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    Ok(command)
}
