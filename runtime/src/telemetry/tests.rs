use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

const CODES: &[&str] = &["shape", "too-large"];

fn worker(clock: Clock) -> (Telemetry, WorkerMetrics) {
    let telemetry = Telemetry::new("sink").unwrap();
    let metrics = WorkerMetrics::new(&telemetry, clock, CODES);
    (telemetry, metrics)
}

fn shown(telemetry: &Telemetry, line_start: &str) -> String {
    let text = telemetry.render().unwrap();
    let line = text.lines().find(|line| line.starts_with(line_start));
    let line = line.unwrap_or_else(|| panic!("no {line_start} in\n{text}"));
    line.rsplit(' ').next().unwrap().to_owned()
}

/// `name type label,label`, one metric a line, with the service's name left open.
fn list(text: &str) -> String {
    let mut types = BTreeMap::new();
    let mut labels: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for line in text.lines() {
        if let Some(declared) = line.strip_prefix("# TYPE ") {
            let (name, kind) = declared.split_once(' ').unwrap();
            types.insert(name, kind);
        } else if let Some((series, rest)) = line.split_once('{') {
            let name = types.keys().find(|name| series.starts_with(**name)).unwrap();
            let keys = rest.split('}').next().unwrap().split(',').map(|label| label.split('=').next().unwrap());
            labels.entry(name).or_default().extend(keys.filter(|key| *key != "le"));
        }
    }
    types.iter().fold(String::new(), |mut out, (name, kind)| {
        let keys: Vec<&str> = labels.get(name).into_iter().flatten().copied().collect();
        writeln!(out, "{} {kind} {}", name.replacen("sink_", "<service>_", 1), keys.join(",")).unwrap();
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    })
}

#[test]
fn the_metrics_of_a_worker_are_those_of_the_golden_list() {
    let (telemetry, metrics) = worker(Clock::system());
    metrics.write.record(Duration::from_millis(3));
    metrics.rebalance_wait.record(Duration::from_millis(3));
    let golden = include_str!("../../../tests/goldens/metrics.txt");
    assert_eq!(list(&telemetry.render().unwrap()), golden, "a changed metric changes tests/goldens/metrics.txt");
}

#[test]
fn records_out_are_told_apart_by_verdict_and_code() {
    let (telemetry, metrics) = worker(Clock::system());
    metrics.forwarded.add(5);
    metrics.reject("too-large");
    metrics.reject("too-large");
    assert_eq!(shown(&telemetry, "sink_records_out_total{code=\"\",verdict=\"forwarded\"}"), "5");
    assert_eq!(shown(&telemetry, "sink_records_out_total{code=\"too-large\",verdict=\"rejected\"}"), "2");
    assert_eq!(shown(&telemetry, "sink_records_out_total{code=\"shape\",verdict=\"rejected\"}"), "0");
}

#[test]
fn a_counter_is_shown_before_it_counts() {
    let (telemetry, _metrics) = worker(Clock::system());
    assert_eq!(shown(&telemetry, "sink_commit_failures_total"), "0");
}

#[tokio::test(start_paused = true)]
async fn the_age_of_the_oldest_grows_while_the_worker_is_stuck() {
    let clock = Clock::fixed(50_000);
    let (telemetry, metrics) = worker(clock);
    assert_eq!(shown(&telemetry, "sink_oldest_unsettled_seconds"), "0");
    metrics.oldest_unsettled.set(Some(48_000));
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(shown(&telemetry, "sink_oldest_unsettled_seconds"), "12");
    metrics.oldest_unsettled.set(None);
    assert_eq!(shown(&telemetry, "sink_oldest_unsettled_seconds"), "0");
}

#[test]
fn a_record_from_the_future_has_no_age() {
    let (telemetry, metrics) = worker(Clock::fixed(1_000));
    metrics.oldest_unsettled.set(Some(9_000));
    assert_eq!(shown(&telemetry, "sink_oldest_unsettled_seconds"), "0");
}

#[test]
fn a_write_falls_into_the_bucket_of_its_seconds() {
    let (telemetry, metrics) = worker(Clock::system());
    metrics.write.record(Duration::from_millis(3));
    assert_eq!(shown(&telemetry, "sink_write_seconds_bucket{le=\"0.0025\"}"), "0");
    assert_eq!(shown(&telemetry, "sink_write_seconds_bucket{le=\"0.005\"}"), "1");
}

#[test]
fn in_flight_goes_up_and_down() {
    let (telemetry, metrics) = worker(Clock::system());
    metrics.in_flight.add(7);
    metrics.in_flight.add(-3);
    assert_eq!(shown(&telemetry, "sink_in_flight_records"), "4");
}
