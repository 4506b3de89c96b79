//! The way out to a collector: OTLP over HTTP in protobuf, for spans and metrics. Off unless an endpoint is set.
//!
//! The path never waits for it. Spans go into a queue with a bound; those that find it full, and those that the
//! collector does not take, are counted and gone. A collector that is away is told of once, until it is back. Client
//! and queue live on threads of the SDK's own, for the client blocks and must neither be made nor dropped on a runtime.

use super::Counter;
use crate::config::{Section, Settings, Value};
use crate::logs::chain;
use http::Uri;
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{MetricExporter, Protocol, SpanExporter as OtlpSpans, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider, Span, SpanData, SpanExporter, SpanProcessor,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tracing::{info, warn};

/// Spans that wait to be sent. With links of a full batch one takes up to 10 KiB, so this is 20 MiB at the very most.
const QUEUE_LEN: usize = 2048;
/// Spans of one request.
const REQUEST_LEN: usize = 256;
/// How long a span waits for company.
const SPANS_EVERY: Duration = Duration::from_secs(2);
/// One request and its retries.
const REQUEST_WITHIN: Duration = Duration::from_secs(3);

/// `[telemetry]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where the collector listens; nothing leaves without it.
    pub endpoint: Option<Endpoint>,
    /// The part of all batches that get a span.
    pub sample_ratio: Ratio,
    /// How often metrics are sent.
    pub metrics_every: Duration,
    /// What tells this process from the others of its service.
    pub instance: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { endpoint: None, sample_ratio: Ratio(0.01), metrics_every: Duration::from_secs(30), instance: None }
    }
}

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        let own = Self::default();
        let endpoint = "Collector that takes OTLP over HTTP (/v1/traces, /v1/metrics); nothing is sent if unset.";
        let ratio = "Part of all batches that get a span.";
        let every = "How often metrics are sent to otlp_endpoint.";
        let instance = "What tells this process from others of its service; machine name and process id if unset.";
        let (least, most) = (Duration::from_millis(100), Duration::from_secs(3600));
        Self {
            endpoint: section.value("otlp_endpoint", endpoint).optional(),
            sample_ratio: section.value("sample_ratio", ratio).default(own.sample_ratio),
            metrics_every: section.duration("metrics_every", every).between(least, most).default(own.metrics_every),
            instance: section.text("instance", instance).optional(),
        }
    }
}

/// Address of a collector, without the path of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint(Box<str>);

impl Endpoint {
    fn of(&self, signal: &str) -> String {
        format!("{}/v1/{signal}", self.0.trim_end_matches('/'))
    }
}

impl Value for Endpoint {
    fn expected() -> String {
        "an address without user, query and TLS: \"http://127.0.0.1:4318\"".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        let uri = text.parse::<Uri>().ok()?;
        let authority = uri.authority()?;
        let is_plain = uri.scheme_str() == Some("http") && !authority.as_str().contains('@') && uri.query().is_none();
        (is_plain && !text.contains('#')).then(|| Self(text.into()))
    }
    fn to_toml(&self) -> toml::Value {
        (*self.0).into()
    }
    fn stand_in() -> Self {
        Self("http://localhost".into())
    }
}

/// A part of the whole, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio(f64);

impl Value for Ratio {
    fn expected() -> String {
        "a number from 0 to 1: 0.01".to_owned()
    }
    fn from_text(text: &str) -> Option<Self> {
        text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).map(Self)
    }
    fn from_toml(value: &toml::Value) -> Option<Self> {
        match value.as_integer() {
            Some(0) => Some(Self(0.0)),
            Some(1) => Some(Self(1.0)),
            Some(_) => None,
            None => value.as_float().filter(|ratio| (0.0..=1.0).contains(ratio)).map(Self),
        }
    }
    fn to_toml(&self) -> toml::Value {
        self.0.into()
    }
    fn stand_in() -> Self {
        Self(0.0)
    }
}

/// Who speaks: the same for spans and metrics.
pub(super) fn resource(service: &'static str, config: &Config) -> Resource {
    let instance = config.instance.clone().unwrap_or_else(own_name);
    Resource::builder_empty()
        .with_attributes([
            KeyValue::new("service.namespace", "tidewater"),
            KeyValue::new("service.name", service),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
        ])
        .build()
}

fn own_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", machine.trim(), std::process::id())
}

/// Reads all metrics once in a while and sends them.
pub(super) fn metrics(
    endpoint: &Endpoint,
    every: Duration,
) -> Result<PeriodicReader<Told<MetricExporter>>, super::Error> {
    let exporter = MetricExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.of("metrics"))
        .with_timeout(REQUEST_WITHIN)
        .with_temporality(Temporality::Cumulative)
        .build()
        .map_err(super::Error::Exporter)?;
    Ok(PeriodicReader::builder(Told::new(exporter, "metrics")).with_interval(every).build())
}

/// Sends sampled spans. `exported` and `dropped` count what became of them.
pub(super) fn spans(
    endpoint: &Endpoint,
    ratio: Ratio,
    resource: Resource,
    [exported, dropped]: [Counter; 2],
) -> Result<SdkTracerProvider, super::Error> {
    let exporter = OtlpSpans::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(endpoint.of("traces"))
        .with_timeout(REQUEST_WITHIN)
        .build()
        .map_err(super::Error::Exporter)?;
    let waiting = Arc::new(AtomicUsize::new(0));
    let counted = Counted {
        exporter: Told::new(exporter, "spans"),
        waiting: waiting.clone(),
        exported,
        dropped: dropped.clone(),
    };
    // Every setting by hand: what is left out would be read from the environment. Never full, `Bounded` sees to that.
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(QUEUE_LEN + REQUEST_LEN)
        .with_max_export_batch_size(REQUEST_LEN)
        .with_scheduled_delay(SPANS_EVERY)
        .build();
    let queue = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio.0)));
    Ok(SdkTracerProvider::builder()
        .with_span_processor(Bounded { queue, waiting, dropped })
        .with_sampler(sampler)
        .with_resource(resource)
        .build())
}

/// The SDK's queue, with a count of what it does not take: its own is not to be read.
#[derive(Debug)]
struct Bounded {
    queue: BatchSpanProcessor,
    waiting: Arc<AtomicUsize>,
    dropped: Counter,
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.queue.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        if self.waiting.fetch_add(1, Ordering::AcqRel) >= QUEUE_LEN {
            self.waiting.fetch_sub(1, Ordering::AcqRel);
            self.dropped.add(1);
            return;
        }
        self.queue.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.queue.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.queue.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.queue.set_resource(resource);
    }
}

/// Counts what became of the spans that the queue gave out.
#[derive(Debug)]
struct Counted {
    exporter: Told<OtlpSpans>,
    waiting: Arc<AtomicUsize>,
    exported: Counter,
    dropped: Counter,
}

impl SpanExporter for Counted {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        self.waiting.fetch_sub(count, Ordering::AcqRel);
        let outcome = self.exporter.tell(self.exporter.exporter.export(batch).await);
        let counter = if outcome.is_ok() { &self.exported } else { &self.dropped };
        counter.add(count as u64);
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.exporter.set_resource(resource);
    }
}

/// An exporter that says once that the collector does not take what it sends, and once that it does again.
#[derive(Debug)]
pub(super) struct Told<E> {
    exporter: E,
    what: &'static str,
    is_away: AtomicBool,
}

impl<E> Told<E> {
    fn new(exporter: E, what: &'static str) -> Self {
        Self { exporter, what, is_away: AtomicBool::new(false) }
    }

    fn tell(&self, outcome: OTelSdkResult) -> OTelSdkResult {
        match &outcome {
            Ok(()) => {
                if self.is_away.swap(false, Ordering::AcqRel) {
                    info!(what = self.what, "the collector takes telemetry again");
                }
            }
            Err(error) => {
                if !self.is_away.swap(true, Ordering::AcqRel) {
                    let what = self.what;
                    warn!(what, error = %chain(error), "the collector takes no telemetry; records go on without it");
                }
            }
        }
        outcome
    }
}

impl PushMetricExporter for Told<MetricExporter> {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        self.tell(self.exporter.export(metrics).await)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.exporter.temporality()
    }
}
