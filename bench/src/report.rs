//! What was measured, as lines of JSON and as a table.

use crate::Outcome;
use crate::cost::{Cost, Spread};
use crate::table::Table;
use serde::{Deserialize, Serialize};
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// One line of the results.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Line {
    /// A stage beside its bare loop: the middle of the pairs, and of the ratio its ends, too.
    Stage(StageLine),
    /// The same work after a backlog of so many.
    Backlog {
        stage: String,
        skew: f64,
        changes: u64,
        cpu_s_per_million: f64,
        changes_per_s: f64,
        allocations: Option<f64>,
        rss_mib: f64,
    },
    /// From the log to the row, and to a cache without the user, at a part of the greatest speed; milliseconds.
    Latency { loop_name: String, load: f64, changes_per_s: f64, row: Quantiles, clean: Quantiles },
    /// Seconds.
    Recovery { first_record_s: f64, zero_lag_after_kill_s: f64, backlog: u64 },
    /// One process on one disk, end to end; reopened after a kill.
    Standalone {
        sync: String,
        skew: f64,
        changes: u64,
        changes_per_s: f64,
        cpu_s_per_million: f64,
        /// Of whoever made the changes up and sent them, on the same cores.
        feeder_cpu_s_per_million: f64,
        rss_mib: f64,
        disk_mib: f64,
        /// Disk by what has to be kept: records and rows.
        disk_ratio: f64,
        reopen_s: f64,
        log_mib: f64,
    },
    /// The load generator itself.
    Load { changes: u64, cpu_s_per_million: f64 },
    /// What a day's work costs, and what it does to the rows.
    Plain {
        skew: f64,
        changes: u64,
        cpu_s_per_million: f64,
        cassandra_cpu_s_per_million: f64,
        rss_mib: f64,
        users: u64,
        wrong_rows: u64,
    },
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct StageLine {
    pub(crate) stage: String,
    pub(crate) skew: f64,
    pub(crate) changes: u64,
    pub(crate) pairs: usize,
    pub(crate) changes_per_s: f64,
    pub(crate) cpu_s_per_million: f64,
    pub(crate) bare: String,
    pub(crate) bare_changes_per_s: f64,
    pub(crate) bare_cpu_s_per_million: f64,
    pub(crate) ratio: f64,
    pub(crate) ratio_min: f64,
    pub(crate) ratio_max: f64,
    pub(crate) cassandra_cpu_s_per_million: f64,
    pub(crate) bare_cassandra_cpu_s_per_million: f64,
    pub(crate) statements_per_1000: Option<f64>,
    /// For each change, the start of the process among them.
    pub(crate) allocations: Option<f64>,
    /// For each change, without the clients.
    pub(crate) instructions: Option<f64>,
    pub(crate) rss_mib: f64,
    pub(crate) bare_rss_mib: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Quantiles {
    pub(crate) count: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
}

impl Quantiles {
    pub(crate) fn of(mut figures: Vec<f64>) -> Self {
        figures.sort_by(f64::total_cmp);
        // The smallest of which at least that share is no larger.
        let at = |share: f64| {
            let rank = (share * figures.len() as f64).ceil().max(1.0) as usize;
            figures.get(rank - 1).copied().unwrap_or(f64::NAN)
        };
        Self { count: figures.len(), p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }
}

impl StageLine {
    pub(crate) fn of(stage: &str, skew: f64, bare: &str, pairs: &[(Cost, Cost)]) -> Self {
        let middle = |figure: &dyn Fn(&(Cost, Cost)) -> f64| Spread::of(pairs.iter().map(figure)).median;
        let ratio = Spread::of(pairs.iter().map(|(ours, bare)| ours.cpu_per_million() / bare.cpu_per_million()));
        let median_of = |figure: &dyn Fn(&Cost) -> Option<f64>| {
            let found: Vec<f64> = pairs.iter().filter_map(|(ours, _)| figure(ours)).collect();
            (!found.is_empty()).then(|| Spread::of(found).median)
        };
        Self {
            stage: stage.to_owned(),
            skew,
            changes: pairs.iter().map(|(ours, _)| ours.changes).max().unwrap_or_default(),
            pairs: pairs.len(),
            changes_per_s: middle(&|(ours, _)| ours.per_second()),
            cpu_s_per_million: middle(&|(ours, _)| ours.cpu_per_million()),
            bare: bare.to_owned(),
            bare_changes_per_s: middle(&|(_, bare)| bare.per_second()),
            bare_cpu_s_per_million: middle(&|(_, bare)| bare.cpu_per_million()),
            ratio: ratio.median,
            ratio_min: ratio.min,
            ratio_max: ratio.max,
            cassandra_cpu_s_per_million: middle(&|(ours, _)| ours.cassandra_per_million()),
            bare_cassandra_cpu_s_per_million: middle(&|(_, bare)| bare.cassandra_per_million()),
            statements_per_1000: median_of(&|ours| ours.statements_per_1000()),
            allocations: median_of(&|ours| ours.allocations_each()),
            instructions: None,
            rss_mib: Spread::of(pairs.iter().map(|(ours, _)| ours.peak_mib)).max,
            bare_rss_mib: Spread::of(pairs.iter().map(|(_, bare)| bare.peak_mib)).max,
        }
    }
}

/// Where lines go: each is on the disk as soon as it is known.
#[derive(Debug)]
pub(crate) struct Results {
    path: PathBuf,
    pub(crate) lines: Vec<Line>,
}

impl Results {
    pub(crate) fn new(path: &Path) -> Outcome<Self> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, "")?;
        Ok(Self { path: path.to_owned(), lines: Vec::new() })
    }

    pub(crate) fn read(path: &Path) -> Outcome<Vec<Line>> {
        let text = std::fs::read_to_string(path)?;
        let lines: Result<Vec<Line>, _> = text.lines().map(serde_json::from_str).collect();
        Ok(lines?)
    }

    pub(crate) fn add(&mut self, line: Line) -> Outcome<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        writeln!(file, "{}", serde_json::to_string(&line)?)?;
        self.lines.push(line);
        Ok(())
    }
}

/// The tables for a terminal.
pub(crate) fn tables(lines: &[Line]) -> String {
    let mut stages = Table::new(&[
        "stage",
        "skew",
        "changes",
        "pairs",
        "per s",
        "CPU µs",
        "bare µs",
        "ratio",
        "least",
        "most",
        "stmts/1000",
        "allocs",
        "instrs",
        "Cassandra µs",
        "its bare",
        "MiB",
        "bare MiB",
    ]);
    let mut backlogs = Table::new(&["stage", "skew", "changes", "per s", "CPU µs", "allocs", "MiB"]);
    let mut latencies =
        Table::new(&["loop", "load", "per s", "row p50", "p99", "p99.9", "clean p50", "p99", "p99.9", "probes"]);
    let mut rest = String::new();
    for line in lines {
        match line {
            Line::Stage(line) => stages.row(line.cells()),
            Line::Backlog { stage, skew, changes, cpu_s_per_million, changes_per_s, allocations, rss_mib } => backlogs
                .row([
                    stage.clone(),
                    format!("{skew}"),
                    changes.to_string(),
                    format!("{changes_per_s:.0}"),
                    format!("{cpu_s_per_million:.2}"),
                    if_counted(*allocations, 1),
                    format!("{rss_mib:.0}"),
                ]),
            Line::Latency { loop_name, load, changes_per_s, row, clean } => {
                let of = |quantiles: &Quantiles| [quantiles.p50, quantiles.p99, quantiles.p999].map(one);
                let ([a, b, c], [d, e, f]) = (of(row), of(clean));
                let load = format!("{:.0} %", load * 100.0);
                let name = loop_name.clone();
                latencies.row([name, load, format!("{changes_per_s:.0}"), a, b, c, d, e, f, row.count.to_string()]);
            }
            Line::Recovery { .. } | Line::Load { .. } | Line::Plain { .. } | Line::Standalone { .. } => {
                rest += &sentence(line);
            }
        }
    }
    let parts = [stages.to_string(), backlogs.to_string(), latencies.to_string(), rest];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
}

fn if_counted(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.digits$}"))
}

fn one(value: f64) -> String {
    format!("{value:.1}")
}

impl StageLine {
    fn cells(&self) -> [String; 17] {
        let two = |value: f64| format!("{value:.2}");
        [
            self.stage.clone(),
            format!("{}", self.skew),
            self.changes.to_string(),
            self.pairs.to_string(),
            format!("{:.0}", self.changes_per_s),
            two(self.cpu_s_per_million),
            two(self.bare_cpu_s_per_million),
            two(self.ratio),
            two(self.ratio_min),
            two(self.ratio_max),
            if_counted(self.statements_per_1000, 0),
            if_counted(self.allocations, 1),
            if_counted(self.instructions, 0),
            one(self.cassandra_cpu_s_per_million),
            one(self.bare_cassandra_cpu_s_per_million),
            format!("{:.0}", self.rss_mib),
            format!("{:.0}", self.bare_rss_mib),
        ]
    }
}

/// What stands in no table.
fn sentence(line: &Line) -> String {
    match line {
        Line::Recovery { first_record_s, zero_lag_after_kill_s, backlog } => format!(
            "first record after {first_record_s:.2} s; after a SIGKILL with {backlog} before it, no lag after \
             {zero_lag_after_kill_s:.2} s\n"
        ),
        Line::Load { changes, cpu_s_per_million } => {
            format!("load generator: {cpu_s_per_million:.2} µs a change, of {changes}\n")
        }
        Line::Plain { skew, changes, cpu_s_per_million, cassandra_cpu_s_per_million, rss_mib, users, wrong_rows } => {
            format!(
                "plain, skew {skew}: {cpu_s_per_million:.2} µs a change, Cassandra {cassandra_cpu_s_per_million:.1}, \
                 {rss_mib:.0} MiB; {wrong_rows} of {users} rows wrong after {changes} changes\n"
            )
        }
        Line::Standalone {
            sync,
            changes,
            changes_per_s,
            cpu_s_per_million,
            feeder_cpu_s_per_million,
            rss_mib,
            disk_mib,
            disk_ratio,
            reopen_s,
            log_mib,
            ..
        } => format!(
            "standalone, sync {sync}: {changes} changes at {changes_per_s:.0} a second end to end, {cpu_s_per_million:.2} µs \
             each beside {feeder_cpu_s_per_million:.2} of the feeder; {rss_mib:.0} MiB; disk {disk_mib:.0} MiB, \
             {disk_ratio:.2} of what is kept; open {reopen_s:.2} s after a SIGKILL with {log_mib:.0} MiB of log\n"
        ),
        Line::Stage(_) | Line::Backlog { .. } | Line::Latency { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_figures_that_were_measured() {
        let quantiles = Quantiles::of((1..=1_000).rev().map(f64::from).collect());
        assert_eq!(quantiles, Quantiles { count: 1_000, p50: 500.0, p99: 990.0, p999: 999.0 });
        assert_eq!(Quantiles::of(vec![3.0]), Quantiles { count: 1, p50: 3.0, p99: 3.0, p999: 3.0 });
    }

    #[test]
    fn a_stage_is_judged_by_its_pairs() {
        let cost = |cpu: f64| Cost { changes: 1_000_000, cpu, ..Cost::default() };
        let line = StageLine::of(
            "sink",
            0.0,
            "store",
            &[(cost(2.0), cost(1.0)), (cost(9.0), cost(3.0)), (cost(1.0), cost(1.0))],
        );
        assert_eq!((line.ratio_min, line.ratio, line.ratio_max), (1.0, 2.0, 3.0));
        assert_eq!(line.statements_per_1000, None);
    }
}
