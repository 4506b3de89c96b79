//! What leaves for a collector: a span for each batch, linked to what its records belong to, and the numbers.

use runtime::record::Outgoing;
use schemas::topics;
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::time::Duration;
use tests::collector::{Collector, Span};
use tests::installation::{Installation, PATH};
use tests::process::Worker;
use tests::stack::Stack;
use tests::until;
use tokio::time::Instant;

/// As in every user id and value that is sent here.
const USER: &str = "canary51b0";
const RECORDS: usize = 300;
/// A drain, the last commit, the group's goodbye and three seconds for telemetry.
const LEAVES_WITHIN: Duration = Duration::from_secs(25);

/// What the `n`th record says it belongs to: ten records share a trace, each has a span of its own.
fn parent(n: usize) -> (String, String) {
    (format!("{:032x}", 0xabc0 + n / 10), format!("{:016x}", 0x0def_0000 + n))
}

fn traced(home: &Installation) -> Vec<Outgoing> {
    let feed = home.feed(topics::RAW);
    let of = |n: usize| {
        let change = format!(r#""op": "patch", "set": {{"name": "{USER} {n}"}}"#);
        let mut record = feed.of(&format!("{USER}-{}", n % 7), &change);
        let (trace, span) = parent(n);
        record.headers.push_text("traceparent", format!("00-{trace}-{span}-01"));
        record.headers.push_text("tracestate", format!("vendor={USER}"));
        record
    };
    let mut records: Vec<Outgoing> = (0..RECORDS).map(of).collect();
    for wrong in ["", USER, "00-0-0-01", "ff-00000000000000000000000000000abc-0000000000000abc-01"] {
        let mut record = feed.of(&format!("{USER}-odd"), r#""op": "delete""#);
        record.headers.push_text("traceparent", wrong);
        records.push(record);
    }
    records.push(feed.of(&format!("{USER}-odd"), r#""op": "none""#));
    records
}

fn start(home: &Installation, worker: &'static str, endpoint: &str) -> Worker {
    let every = "200ms";
    let telemetry = [("OTLP_ENDPOINT", endpoint), ("SAMPLE_RATIO", "1"), ("METRICS_EVERY", every), ("INSTANCE", "a")];
    let names = telemetry.map(|(name, value)| (format!("TELEMETRY__{name}"), value));
    home.start(worker, &names.each_ref().map(|(name, value)| (name.as_str(), *value)))
}

async fn leave(worker: Worker) {
    let since = Instant::now();
    let name = worker.name();
    assert_eq!(worker.leave().await, 0, "{name}");
    assert!(since.elapsed() < LEAVES_WITHIN, "{name} took {} ms to leave", since.elapsed().as_millis());
}

fn sum(spans: &[&Span], attribute: &str) -> usize {
    spans.iter().map(|span| span.attribute(attribute).parse::<usize>().unwrap()).sum()
}

#[tokio::test]
async fn a_batch_is_one_span_with_links_to_what_its_records_belong_to() {
    let home = Installation::build(&Stack::of_run(), "traced").await;
    let collector = Collector::start();
    // Before the workers, so that there are batches of more than one record.
    let records = traced(&home);
    home.feed(topics::RAW).send(&records).await;
    let path = PATH.map(|(worker, _)| start(&home, worker, &collector.endpoint()));
    home.settled().await;
    for worker in path {
        leave(worker).await;
    }

    let spans = collector.spans();
    let raw_to = [("validate", topics::VALID), ("enrich", topics::ENRICHED)];
    for (service, input) in PATH {
        let of: Vec<&Span> = spans.iter().filter(|span| span.service() == service).collect();
        let resource = &of[0].resource;
        assert_eq!((&*resource["service.namespace"], &*resource["service.instance.id"]), ("tidewater", "a"));
        assert_eq!(resource["service.version"], env!("CARGO_PKG_VERSION"));
        let batches: Vec<&Span> = of.iter().copied().filter(|span| span.parent.is_empty()).collect();
        let count = if service == "validate" { records.len() } else { records.len() - 1 };
        assert_eq!(sum(&batches, "messaging.batch.message_count"), count, "{service}: each record is of one span");
        assert!(batches.len() < count / 2, "{service}: {} spans are one per record, not per batch", batches.len());
        for batch in &batches {
            let topic = home.topic(input);
            assert_eq!((&batch.name, batch.kind, batch.is_error), (&format!("process {topic}"), 5, false));
            assert_eq!(batch.attribute("messaging.system"), "kafka");
            assert_eq!(batch.attribute("messaging.operation.type"), "process");
            assert_eq!(batch.attribute("messaging.destination.name"), topic);
            assert_eq!(batch.attribute("messaging.consumer.group.name"), format!("{}.{service}", home.name()));
        }
        let linked: BTreeSet<_> = batches.iter().flat_map(|span| span.links.clone()).collect();
        assert_eq!(linked, (0..RECORDS).map(parent).collect(), "{service}: what the records belong to, and no more");

        let by_id: BTreeMap<&str, &Span> = batches.iter().map(|span| (&*span.id, *span)).collect();
        let writes: Vec<&Span> = of.iter().copied().filter(|span| !span.parent.is_empty()).collect();
        assert!(writes.iter().all(|write| by_id[&*write.parent].trace == write.trace && write.kind == 3));
        if let Some((_, output)) = raw_to.iter().find(|(worker, _)| *worker == service) {
            let sent: Vec<&Span> =
                writes.iter().copied().filter(|span| span.name == format!("send {}", home.topic(output))).collect();
            assert_eq!(sum(&sent, "messaging.batch.message_count"), records.len() - 1, "{service}");
        } else {
            assert!(writes.iter().all(|span| span.name == "write profiles"));
            assert_eq!(sum(&writes, "db.operation.batch.size"), records.len() - 1);
            assert_eq!(writes[0].attribute("db.system.name"), "cassandra");
        }
        assert!(collector.metrics()[service].contains(&format!("{service}_records_in")), "{:?}", collector.metrics());
    }
    let letter = format!("send {}", home.topic(topics::DEAD));
    assert_eq!(spans.iter().filter(|span| span.name == letter).count(), 1);
    assert_eq!(
        spans.iter().filter_map(|span| span.attributes.get("tidewater.rejected")).filter(|n| *n == "1").count(),
        1
    );
    for request in collector.requests() {
        let found = request.body.windows(USER.len()).any(|part| part.eq_ignore_ascii_case(USER.as_bytes()));
        assert!(!found, "{} names a user", request.path);
    }
}

#[tokio::test]
async fn a_collector_that_is_away_or_does_not_answer_costs_a_warning_and_its_spans() {
    let home = Installation::build(&Stack::of_run(), "untraced").await;
    let mute = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoints = [gone, mute.local_addr().unwrap()].map(|address| format!("http://{address}"));
    let [validate, enrich] =
        [("validate", &endpoints[0]), ("enrich", &endpoints[1])].map(|(worker, at)| start(&home, worker, at));
    let feed = home.feed(topics::RAW);
    for n in 0..20 {
        feed.change(&format!("{USER}-{n}"), r#""op": "delete""#).await;
    }
    for worker in ["validate", "enrich"] {
        home.settled_by(worker).await;
    }
    until("spans to be given up", LEAVES_WITHIN, async || {
        (validate.metric("spans_total")? > 0.0 && enrich.metric("spans_total")? > 0.0).then_some(())
    })
    .await;
    for worker in [validate, enrich] {
        let (_, metrics) = worker.get("/metrics").unwrap();
        let taken = format!("{}_spans_total{{outcome=\"exported\"}} 0", worker.name());
        assert!(metrics.contains(&taken), "{metrics}");
        let log = worker.log();
        for what in ["spans", "metrics"] {
            let warned = log.lines().filter(|line| {
                line.contains("the collector takes no telemetry") && line.contains(&format!("\"what\":\"{what}\""))
            });
            assert_eq!(warned.count(), 1, "{}: {log}", worker.name());
        }
        leave(worker).await;
    }
}
