//! What was measured beside what it may be (ADR 18).
//!
//! A budget is a ratio to a loop that does the same work in the same run wherever there is one; memory, allocations and
//! the seconds until the first record are what they are on any machine.

use crate::report::{Line, StageLine};
use crate::table::Table;

/// The skew of the users at which a path is judged.
const SKEW: f64 = 0.99;
/// Changes that wait before the sink whose memory is judged.
const WAITING: u64 = 1_000_000;

/// One budget and what became of it.
#[derive(Clone, Debug, PartialEq)]
struct Verdict {
    what: &'static str,
    may_be: f64,
    is: f64,
    unit: &'static str,
}

impl Verdict {
    fn held(&self) -> bool {
        self.is <= self.may_be
    }
}

/// The table of budgets for a terminal: those of which something was measured.
pub(crate) fn table(lines: &[Line]) -> String {
    let mut table = Table::new(&["budget", "may be", "is", "unit", "held"]);
    for verdict in verdicts(lines) {
        let held = if verdict.held() { "yes" } else { "NO" }.to_owned();
        let [may_be, is] = [verdict.may_be, verdict.is].map(|figure| format!("{figure:.2}"));
        table.row([verdict.what.to_owned(), may_be, is, verdict.unit.to_owned(), held]);
    }
    table.to_string()
}

fn verdicts(lines: &[Line]) -> Vec<Verdict> {
    let of = |what, may_be, is: Option<f64>, unit| is.map(|is| Verdict { what, may_be, is, unit });
    let path = |of: fn(&StageLine) -> f64| {
        let stages = ["validate, bare checks", "enrich", "sink"].map(|name| stage(lines, name, SKEW).map(of));
        stages.into_iter().sum::<Option<f64>>()
    };
    let (ours, bare) = (path(|line| line.cpu_s_per_million), path(|line| line.bare_cpu_s_per_million));
    let cpu = |name| stage(lines, name, SKEW).map(|line| line.cpu_s_per_million);
    let ratio = |name, skew| stage(lines, name, skew).map(|line| line.ratio);
    let late = |name| row_p99(lines, name, 0.5);
    let row = late("sink").zip(late("bare")).map(|(ours, bare)| ours - bare);
    let found = [
        of("the path beside loops that do its work, skew 0.99", 1.1, ours.zip(bare).map(|(a, b)| a / b), "x"),
        of("validate, skew 0.99", 14.0, cpu("validate"), "µs"),
        of("validate beside a loop that checks, skew 0", 2.0, ratio("validate, bare checks", 0.0), "x"),
        of("validate beside a loop that checks, skew 0.99", 2.0, ratio("validate, bare checks", SKEW), "x"),
        of("enrich, skew 0.99", 10.0, cpu("enrich"), "µs"),
        of("sink beside its bare loop, skew 0", 1.3, ratio("sink", 0.0), "x"),
        of("sink beside its bare loop, skew 0.99", 1.0, ratio("sink", SKEW), "x"),
        of("memory of sink, a million before it, skew 0.99", 100.0, waiting(lines), "MiB"),
        of("first record", 2.0, first_record(lines), "s"),
        of("p99 from log to row at half load, beyond the bare loop's", 20.0, row, "ms"),
        of("allocations of the path, most by least over all backlogs", 1.05, growth(lines), "x"),
    ];
    found.into_iter().flatten().collect()
}

fn stage<'a>(lines: &'a [Line], name: &str, skew: f64) -> Option<&'a StageLine> {
    lines.iter().find_map(|line| {
        let Line::Stage(line) = line else { return None };
        (line.stage == name && (line.skew - skew).abs() < 1e-9).then_some(line)
    })
}

fn row_p99(lines: &[Line], name: &str, at: f64) -> Option<f64> {
    lines.iter().find_map(|line| {
        let Line::Latency { loop_name, load, row, .. } = line else { return None };
        (loop_name == name && (load - at).abs() < 1e-9).then_some(row.p99)
    })
}

fn first_record(lines: &[Line]) -> Option<f64> {
    lines.iter().find_map(|line| {
        let Line::Recovery { first_record_s, .. } = line else { return None };
        Some(*first_record_s)
    })
}

/// Most memory of a sink that had [`WAITING`] changes sent before it; of them, the rejected never come to it.
fn waiting(lines: &[Line]) -> Option<f64> {
    let all = lines.iter().filter_map(|line| {
        let Line::Backlog { stage, changes, rss_mib, .. } = line else { return None };
        (stage.starts_with("sink") && *changes * 10 >= WAITING * 9).then_some(*rss_mib)
    });
    all.reduce(f64::max)
}

/// `None` with fewer than two backlogs.
fn growth(lines: &[Line]) -> Option<f64> {
    let all = lines.iter().filter_map(|line| {
        let Line::Backlog { stage, allocations, .. } = line else { return None };
        allocations.filter(|_| stage == "all three")
    });
    let all: Vec<f64> = all.collect();
    let (least, most) = (all.iter().copied().reduce(f64::min)?, all.iter().copied().reduce(f64::max)?);
    (all.len() > 1).then_some(most / least)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cost::Cost;

    fn stages(name: &str, ours: f64, bare: f64) -> Line {
        let cost = |cpu| Cost { changes: 1_000_000, cpu, ..Cost::default() };
        Line::Stage(StageLine::of(name, SKEW, "bare", &[(cost(ours), cost(bare))]))
    }

    #[test]
    fn a_path_is_the_sum_of_its_stages_beside_the_sum_of_their_loops() {
        let lines = [stages("validate, bare checks", 10.0, 5.0), stages("enrich", 6.0, 3.0), stages("sink", 8.0, 16.0)];
        let found = verdicts(&lines);
        let of = |what: &str| found.iter().find(|verdict| verdict.what.starts_with(what)).unwrap();
        assert_eq!(of("the path beside").is, 1.0);
        assert!(of("sink beside").held() && of("validate beside").held());
    }

    #[test]
    fn what_was_not_measured_has_no_verdict_and_what_is_over_is_said() {
        assert_eq!(table(&[]), "");
        assert_eq!(verdicts(&[stages("validate, bare checks", 10.0, 4.9)]).len(), 1, "no path without all its stages");
        assert!(table(&[stages("sink", 8.1, 8.0)]).contains("NO"));
    }

    #[test]
    fn cost_is_flat_only_if_it_was_asked_at_two_lengths() {
        let backlog = |changes, allocations| Line::Backlog {
            stage: "all three".into(),
            skew: SKEW,
            changes,
            cpu_s_per_million: 1.0,
            changes_per_s: 1.0,
            allocations: Some(allocations),
            rss_mib: 1.0,
        };
        assert_eq!(growth(&[backlog(1, 90.0)]), None);
        assert_eq!(growth(&[backlog(1, 90.0), backlog(2, 99.0)]), Some(1.1));
    }
}
