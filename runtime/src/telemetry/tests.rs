use super::*;
use crate::breaker::BreakerMetrics;
use crate::config::Value as _;
use crate::permits;
use crate::record::{Headers, Offset, Record, Timestamp, TopicPartition};
use crate::stage::{Admitted, Destination};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};

const CODES: &[&str] = &["shape", "too-large"];

/// Telemetry that is sent to `collector`, every span of it.
fn exporting(collector: SocketAddr) -> Telemetry {
    let endpoint = Endpoint::from_text(&format!("http://{collector}"));
    let config = Config { endpoint, sample_ratio: Ratio::from_text("1").unwrap(), ..Config::default() };
    Telemetry::exporting("sink", &config).unwrap()
}

/// A collector that is not there.
fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

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
    let telemetry = exporting(nobody());
    let metrics = WorkerMetrics::new(&telemetry, Clock::system(), CODES);
    metrics.write.record(Duration::from_millis(3));
    metrics.rebalance_wait.record(Duration::from_millis(3));
    metrics.took_over(0);
    let _of_a_store = (BreakerMetrics::new(&telemetry, "cassandra"), permits::gauge(&telemetry, "cassandra"));
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
fn a_partition_taken_over_has_stood_as_long_as_its_first_record() {
    let (telemetry, metrics) = worker(Clock::fixed(9_000));
    metrics.took_over(2_000);
    metrics.took_over(9_500);
    assert_eq!(shown(&telemetry, "sink_rebalance_gap_seconds_sum"), "7", "and what comes from the future, not at all");
    assert_eq!(shown(&telemetry, "sink_rebalance_gap_seconds_count"), "2");
    assert_eq!(shown(&telemetry, "sink_rebalance_gap_seconds_bucket{le=\"5\"}"), "1");
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

fn batch(traceparents: &[&str]) -> Vec<Admitted> {
    let record = |(at, traceparent): (usize, &&str)| {
        let mut headers = Headers::default();
        headers.push_text("traceparent", *traceparent);
        Record {
            place: TopicPartition::new("changes.raw.v1", 3),
            offset: Offset(i64::try_from(at).unwrap()),
            timestamp: Timestamp::LogAppend(0),
            key: None,
            value: None,
            headers,
            is_damaged: false,
        }
    };
    traceparents.iter().enumerate().map(record).map(|record| Admitted { record, mark: 0 }).collect()
}

#[test]
fn spans_that_find_the_queue_full_are_counted_and_nobody_waits() {
    // Takes connections, and never a request.
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    // Never dropped: it would try once more for five seconds.
    let telemetry = std::mem::ManuallyDrop::new(exporting(mute.local_addr().unwrap()));
    let traces = telemetry.traces("sink");
    let batch = batch(&["00-000000000000000000000000000000ab-00000000000000cd-01"]);
    for _ in 0..6_000 {
        traces.process(&batch).settled(0);
    }
    let dropped: u64 = shown(&telemetry, "sink_spans_total{outcome=\"dropped\"}").parse().unwrap();
    assert!((2_000..6_000).contains(&dropped), "{dropped} of 6000 do not fit into a queue of 2048");
    assert_eq!(shown(&telemetry, "sink_spans_total{outcome=\"exported\"}"), "0");
}

#[test]
fn a_span_has_each_link_once_and_no_more_than_its_bound() {
    let parent = |n: usize| format!("00-{:032x}-{:016x}-01", 1, n);
    let many: Vec<String> = (1..=2 * traces::LINKS_MAX).flat_map(|n| [parent(n), parent(n)]).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let found = traces::links(&batch(&many));
    assert_eq!(found.len(), traces::LINKS_MAX);
    assert_eq!(format!("{:?}", found[1].span_id()), "0000000000000002");
    let long = format!("{}-{}", parent(1), "x".repeat(200));
    for none in ["", "x", "00-0-0-0", "00-00000000000000000000000000000000-0000000000000001-01", &long] {
        assert!(traces::links(&batch(&[none])).is_empty(), "{none}");
    }
}

#[test]
fn without_a_collector_there_is_no_span() {
    let (telemetry, _metrics) = worker(Clock::system());
    let span = telemetry.traces("sink").process(&batch(&["x"]));
    let write = span.write(Destination::Topic("t"), 1);
    assert_eq!(format!("{span:?} {write:?}"), "BatchSpan(None) WriteSpan { _span: None }");
}

#[test]
fn an_endpoint_is_a_plain_address_and_a_ratio_a_part() {
    for right in ["http://127.0.0.1:4318", "http://collector:4318/", "http://collector/otlp"] {
        assert!(Endpoint::from_text(right).is_some(), "{right}");
    }
    for wrong in
        ["", "collector:4318", "https://c:1", "http://", "http://ada:pw@c:1", "http://c:1/?token=x", "http://c/#x"]
    {
        assert_eq!(Endpoint::from_text(wrong), None, "{wrong}");
    }
    for right in ["0", "1", "0.25"] {
        assert!(Ratio::from_text(right).is_some(), "{right}");
    }
    for wrong in ["", "-0.1", "1.1", "NaN", "inf", "1/2"] {
        assert_eq!(Ratio::from_text(wrong), None, "{wrong}");
    }
}
