//! Numbers about the process and spans of its batches, for `/metrics` and for a collector: the only place that touches
//! OpenTelemetry and Prometheus.
//!
//! Counting is one atomic addition: labels are resolved when a metric is made, and OpenTelemetry reads the numbers
//! when somebody scrapes. Labels are enums, never data.

use crate::clock::Clock;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram as OtelHistogram, MeterProvider as _};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use prometheus::{Registry, TextEncoder};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

mod otlp;
mod traces;

pub use otlp::{Config, Endpoint, Ratio};
pub(crate) use traces::BatchSpan;
pub use traces::Traces;

/// Seconds a write may take, from a hit in memory to the driver's timeouts.
const SECONDS_BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Seconds a partition may stand still, from a hand-over in good order to a broker's session and an outage.
const GAP_BOUNDS: [f64; 12] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];

/// No record is unsettled.
const NONE_MS: i64 = i64::MIN;

/// Where the numbers of one process meet. Metric names start with the service's. Clones are the same.
#[derive(Clone, Debug)]
pub struct Telemetry {
    service: &'static str,
    registry: Registry,
    provider: SdkMeterProvider,
    /// Where spans go; none if no collector is named.
    spans: Option<SdkTracerProvider>,
}

/// What may be left to send when the process ends, and the threads that send it, have this long.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);

/// The numbers could not be set up or gathered: a name or a label is not what Prometheus takes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("metrics could not be set up")]
    SetUp(#[source] opentelemetry_sdk::error::OTelSdkError),
    #[error("metrics could not be written as text")]
    Render(#[source] prometheus::Error),
    #[error("the way to telemetry.otlp_endpoint could not be set up; unset what OTEL_EXPORTER_OTLP_… asks for")]
    Exporter(#[source] opentelemetry_otlp::ExporterBuildError),
}

impl Telemetry {
    /// Numbers for `/metrics` and nothing that leaves by itself.
    ///
    /// # Errors
    /// If the exporter does not start.
    pub fn new(service: &'static str) -> Result<Self, Error> {
        Self::exporting(service, &Config::default())
    }

    /// The same, with spans and numbers sent to the collector that `config` names. Not within a tokio runtime, and not
    /// dropped in one before [`Telemetry::flush`]: the collector's client blocks.
    ///
    /// # Errors
    /// If an exporter does not start.
    pub fn exporting(service: &'static str, config: &Config) -> Result<Self, Error> {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .without_target_info()
            .scope_info_enabled(false)
            .build()
            .map_err(Error::SetUp)?;
        let numbers = SdkMeterProvider::builder().with_reader(reader);
        let Some(endpoint) = &config.endpoint else {
            return Ok(Self { service, registry, provider: numbers.build(), spans: None });
        };
        let resource = otlp::resource(service, config);
        let sent = otlp::metrics(endpoint, config.metrics_every)?;
        let provider = numbers.with_reader(sent).with_resource(resource.clone()).build();
        let mut telemetry = Self { service, registry, provider, spans: None };
        let counters = telemetry.span_counters();
        telemetry.spans = Some(otlp::spans(endpoint, config.sample_ratio, resource, counters)?);
        Ok(telemetry)
    }

    /// The same numbers, in which names start with another service's: for a process that is several in one.
    #[must_use]
    pub fn of(&self, service: &'static str) -> Self {
        Self { service, ..self.clone() }
    }

    /// Spans that the collector has taken, and those that it has not: their queue was full, or it was away.
    fn span_counters(&self) -> [Counter; 2] {
        let labels = ["exported", "dropped"].map(|outcome| vec![("outcome", outcome)]);
        let mut counters = self.counters("spans", "Sampled spans, by what became of them.", labels).into_iter();
        [(); 2].map(|()| counters.next().unwrap_or_default())
    }

    /// Makes the spans of a worker of the consumer group `group`; none if no collector is named.
    #[must_use]
    pub fn traces(&self, group: &str) -> Traces {
        self.spans.as_ref().map_or_else(Traces::default, |spans| Traces::new(spans.tracer("tidewater"), group))
    }

    /// Sends what is left to send, within three seconds, and ends the export. Nothing to do if no collector is named.
    pub async fn flush(&self) {
        let Some(spans) = self.spans.clone() else { return };
        let numbers = self.provider.clone();
        let (done, wait) = oneshot::channel();
        let flush = std::thread::Builder::new().name("telemetry-flush".to_owned()).spawn(move || {
            // What could not be sent was told by the exporters.
            let _told: (Result<_, _>, Result<_, _>) = (spans.shutdown_with_timeout(FLUSH_WITHIN), numbers.shutdown());
            // Nobody waits any more.
            let _late: Result<(), ()> = done.send(());
        });
        if flush.is_err() || timeout(FLUSH_WITHIN, wait).await.is_err() {
            warn!("telemetry could not be flushed in time, the last of it is lost");
        }
    }

    /// Everything, as Prometheus' text format has it.
    ///
    /// # Errors
    /// If a metric does not fit that format.
    pub fn render(&self) -> Result<String, Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(Error::Render)
    }

    /// `<service>_<name>_total`: only ever grows.
    #[must_use]
    pub fn counter(&self, name: &str, about: &'static str) -> Counter {
        self.counters(name, about, [Vec::new()]).pop().unwrap_or_default()
    }

    /// One counter for each set of labels, all of one name; in the order given.
    #[must_use]
    pub fn counters(
        &self,
        name: &str,
        about: &'static str,
        labels: impl IntoIterator<Item = Vec<(&'static str, &'static str)>>,
    ) -> Vec<Counter> {
        let cells: Vec<(Counter, Vec<KeyValue>)> =
            labels.into_iter().map(|labels| (Counter::default(), attributes(labels))).collect();
        let counters = cells.iter().map(|(counter, _)| counter.clone()).collect();
        let meter = self.provider.meter(self.service);
        let builder = meter.u64_observable_counter(self.name(name)).with_description(about);
        let _registered_for_good = builder
            .with_callback(move |observer| {
                for (counter, labels) in &cells {
                    observer.observe(counter.get(), labels);
                }
            })
            .build();
        counters
    }

    /// `<service>_<name>`: goes up and down.
    #[must_use]
    pub fn gauge(&self, name: &str, about: &'static str) -> Gauge {
        self.gauges(name, about, [Vec::new()]).pop().unwrap_or_default()
    }

    /// One gauge for each set of labels, all of one name; in the order given.
    #[must_use]
    pub fn gauges(
        &self,
        name: &str,
        about: &'static str,
        labels: impl IntoIterator<Item = Vec<(&'static str, &'static str)>>,
    ) -> Vec<Gauge> {
        let cells: Vec<(Gauge, Vec<KeyValue>)> =
            labels.into_iter().map(|labels| (Gauge::default(), attributes(labels))).collect();
        let gauges = cells.iter().map(|(gauge, _)| gauge.clone()).collect();
        let meter = self.provider.meter(self.service);
        let builder = meter.i64_observable_gauge(self.name(name)).with_description(about);
        let _registered_for_good = builder
            .with_callback(move |observer| {
                for (gauge, labels) in &cells {
                    observer.observe(gauge.get(), labels);
                }
            })
            .build();
        gauges
    }

    /// `<service>_<name>_seconds`: how old something is when somebody looks, 0 if there is nothing.
    #[must_use]
    pub fn age(&self, name: &str, about: &'static str, clock: Clock) -> Age {
        let age = Age::default();
        let shown = age.clone();
        let meter = self.provider.meter(self.service);
        let builder = meter.f64_observable_gauge(self.name(name)).with_unit("s").with_description(about);
        let _registered_for_good =
            builder.with_callback(move |observer| observer.observe(shown.seconds_at(&clock), &[])).build();
        age
    }

    /// `<service>_<name>_seconds`: how long something takes.
    #[must_use]
    pub fn seconds(&self, name: &str, about: &'static str) -> Seconds {
        self.seconds_within(&SECONDS_BOUNDS, name, about)
    }

    fn seconds_within(&self, bounds: &[f64], name: &str, about: &'static str) -> Seconds {
        let meter = self.provider.meter(self.service);
        let builder = meter.f64_histogram(self.name(name)).with_unit("s").with_description(about);
        Seconds(builder.with_boundaries(bounds.to_vec()).build())
    }

    fn name(&self, name: &str) -> String {
        format!("{}_{name}", self.service)
    }
}

fn attributes(labels: Vec<(&'static str, &'static str)>) -> Vec<KeyValue> {
    labels.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect()
}

/// A number that only grows. Clones are the same number.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down. Clones are the same number.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<AtomicI64>);

impl Gauge {
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn add(&self, count: i64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Since when something is so. The age is worked out when somebody looks, so that it grows while its owner is stuck.
#[derive(Clone, Debug)]
pub struct Age(Arc<AtomicI64>);

impl Default for Age {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(NONE_MS)))
    }
}

impl Age {
    /// Since `since_ms` (milliseconds since 1970-01-01), or not at all.
    pub fn set(&self, since_ms: Option<i64>) {
        self.0.store(since_ms.unwrap_or(NONE_MS), Ordering::Relaxed);
    }

    fn seconds_at(&self, clock: &Clock) -> f64 {
        let since_ms = self.0.load(Ordering::Relaxed);
        if since_ms == NONE_MS {
            return 0.0;
        }
        let age_ms = clock.now_ms().saturating_sub(since_ms);
        Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)).as_secs_f64()
    }
}

/// How long something takes, in buckets.
#[derive(Clone, Debug)]
pub struct Seconds(OtelHistogram<f64>);

impl Seconds {
    pub fn record(&self, took: Duration) {
        self.0.record(took.as_secs_f64(), &[]);
    }
}

/// What each worker shows, made once per process.
#[derive(Clone, Debug)]
pub struct WorkerMetrics {
    /// Records admitted.
    pub records_in: Counter,
    /// Bytes that the brokers sent to the consumer, as they go over the wire.
    pub fetched_bytes: Counter,
    /// Records settled by being forwarded.
    pub forwarded: Counter,
    rejected: Arc<[(&'static str, Counter)]>,
    /// One batch's write to the sink, tries and waits included.
    pub write: Seconds,
    /// Records admitted and not settled.
    pub in_flight: Gauge,
    /// Since when the oldest unsettled record waits, over all partitions: *the* alert.
    pub oldest_unsettled: Age,
    /// From the start of a rebalance until its partitions were given up or taken.
    pub rebalance_wait: Seconds,
    rebalance_gap: Seconds,
    clock: Clock,
    /// Writes tried again after a fault.
    pub retries: Counter,
    /// Commits that did not go through; each is tried again.
    pub commit_failures: Counter,
}

impl WorkerMetrics {
    /// Registers the metrics of a worker that can reject with `codes`.
    #[must_use]
    pub fn new(telemetry: &Telemetry, clock: Clock, codes: &[&'static str]) -> Self {
        let labels = |verdict, code| vec![("verdict", verdict), ("code", code)];
        let out = std::iter::once(labels("forwarded", "")).chain(codes.iter().map(|code| labels("rejected", code)));
        let about = "Records settled, by verdict; code says why one was rejected.";
        let mut out = telemetry.counters("records_out", about, out).into_iter();
        let forwarded = out.next().unwrap_or_default();
        Self {
            records_in: telemetry.counter("records_in", "Records admitted."),
            fetched_bytes: telemetry.counter("fetched_bytes", "Bytes from the brokers, as they go over the wire."),
            forwarded,
            rejected: codes.iter().copied().zip(out).collect(),
            write: telemetry.seconds("write", "One batch's write to the sink, with its retries."),
            in_flight: telemetry.gauge("in_flight_records", "Records admitted and not settled."),
            oldest_unsettled: telemetry.age(
                "oldest_unsettled",
                "Age of the oldest unsettled record over all partitions.",
                clock.clone(),
            ),
            rebalance_wait: telemetry.seconds("rebalance_wait", "How long all partitions stood in a rebalance."),
            rebalance_gap: telemetry.seconds_within(
                &GAP_BOUNDS,
                "rebalance_gap",
                "How old the first record of a partition was that was taken over.",
            ),
            clock,
            retries: telemetry.counter("retries", "Writes tried again after a fault."),
            commit_failures: telemetry.counter("commit_failures", "Commits that did not go through."),
        }
    }

    /// Notes how long a partition that was taken over has stood still, as far as its new owner can know: `at_ms`
    /// (milliseconds since 1970-01-01) is when the first record it reads was appended.
    pub(crate) fn took_over(&self, at_ms: i64) {
        let gap_ms = self.clock.now_ms().saturating_sub(at_ms);
        self.rebalance_gap.record(Duration::from_millis(u64::try_from(gap_ms).unwrap_or(0)));
    }

    /// Counts one rejection. `code` is one of those given to [`WorkerMetrics::new`]; another counts nowhere.
    pub fn reject(&self, code: &str) {
        let known = self.rejected.iter().find(|(known, _)| *known == code);
        debug_assert!(known.is_some(), "a code that was not registered");
        if let Some((_, counter)) = known {
            counter.add(1);
        }
    }
}

#[cfg(test)]
mod tests;
