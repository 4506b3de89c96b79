//! Spans of batches, as the messaging conventions of OpenTelemetry have them: one `process` for each batch of a lane,
//! with a link to what every record of it says it belongs to, and beneath it one span for each write.
//!
//! Made by hand and not from what is logged: a client's own spans may quote a request, and with it a user. Here is
//! only what is written down here. Never a span per record.

use crate::record::Record;
use crate::stage::{Admitted, Destination};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt as _, TraceState, Tracer as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, Span};
use std::sync::Arc;

/// The trace that a record belongs to (W3C).
const TRACEPARENT: &str = "traceparent";
/// Of version 0 a `traceparent` has 55 bytes; later ones may be longer, but not without end.
const TRACEPARENT_LEN_MAX: usize = 128;
/// Links of one span. The batch may hold more records; the span says how many.
pub(super) const LINKS_MAX: usize = 128;

/// Makes the spans of one worker, or none: off, it costs a look.
#[derive(Clone, Debug, Default)]
pub struct Traces(Option<Arc<Maker>>);

#[derive(Debug)]
struct Maker {
    tracer: SdkTracer,
    group: Arc<str>,
}

impl Traces {
    pub(super) fn new(tracer: SdkTracer, group: &str) -> Self {
        Self(Some(Arc::new(Maker { tracer, group: group.into() })))
    }

    /// The span of a batch, which ends when it is dropped. All records are of one partition.
    pub(crate) fn process(&self, batch: &[Admitted]) -> BatchSpan {
        let Some(maker) = &self.0 else { return BatchSpan(None) };
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return BatchSpan(None) };
        let place = &first.record.place;
        let builder = SpanBuilder::from_name(format!("process {}", place.topic)).with_kind(SpanKind::Consumer);
        let mut span = maker.tracer.build_with_context(builder, &Context::new());
        if !span.is_recording() {
            return BatchSpan(None);
        }
        span.set_attributes([
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.name", "process"),
            KeyValue::new("messaging.operation.type", "process"),
            KeyValue::new("messaging.destination.name", place.topic.clone()),
            KeyValue::new("messaging.destination.partition.id", place.partition.to_string()),
            KeyValue::new("messaging.consumer.group.name", maker.group.clone()),
            KeyValue::new("messaging.batch.message_count", count(batch.len())),
            KeyValue::new("tidewater.offset.first", first.record.offset.0),
            KeyValue::new("tidewater.offset.last", last.record.offset.0),
        ]);
        for link in links(batch) {
            span.add_link(link, Vec::new());
        }
        BatchSpan(Some(Box::new(Open { context: Context::new().with_span(span), maker: maker.clone() })))
    }
}

/// One batch on its way through a lane.
#[derive(Debug)]
pub(crate) struct BatchSpan(Option<Box<Open>>);

#[derive(Debug)]
struct Open {
    context: Context,
    maker: Arc<Maker>,
}

impl BatchSpan {
    /// The span of one write of this batch; ends when it is dropped.
    pub(crate) fn write(&self, to: Destination<'_>, records: usize) -> WriteSpan {
        let Some(Open { context, maker }) = self.0.as_deref() else { return WriteSpan { _span: None } };
        let (name, attributes) = match to {
            Destination::Topic(topic) => (
                format!("send {topic}"),
                vec![
                    KeyValue::new("messaging.system", "kafka"),
                    KeyValue::new("messaging.operation.name", "send"),
                    KeyValue::new("messaging.operation.type", "send"),
                    KeyValue::new("messaging.destination.name", topic.to_owned()),
                    KeyValue::new("messaging.batch.message_count", count(records)),
                ],
            ),
            Destination::Table { system, table } => (
                format!("write {table}"),
                vec![
                    KeyValue::new("db.system.name", system),
                    KeyValue::new("db.operation.name", "write"),
                    KeyValue::new("db.collection.name", table),
                    KeyValue::new("db.operation.batch.size", count(records)),
                ],
            ),
            Destination::Unnamed => ("write".to_owned(), Vec::new()),
        };
        let builder = SpanBuilder::from_name(name).with_kind(SpanKind::Client).with_attributes(attributes);
        WriteSpan { _span: Some(Box::new(maker.tracer.build_with_context(builder, context))) }
    }

    /// Every record has its verdict.
    pub(crate) fn settled(&self, rejected: usize) {
        if let Some(open) = &self.0 {
            open.context.span().set_attribute(KeyValue::new("tidewater.rejected", count(rejected)));
        }
    }

    /// A fault has ended the lane. The log says which; a span has no place for its words.
    pub(crate) fn failed(&self) {
        if let Some(open) = &self.0 {
            open.context.span().set_attribute(KeyValue::new("error.type", "fault"));
            open.context.span().set_status(Status::error("the lane met a fault"));
        }
    }
}

/// One write that is out. Dropped is ended, also when the lane is cancelled.
#[derive(Debug)]
pub(crate) struct WriteSpan {
    _span: Option<Box<Span>>,
}

/// What the records of a batch belong to, each once, the first ones if there are too many.
pub(super) fn links(batch: &[Admitted]) -> Vec<SpanContext> {
    let mut links: Vec<SpanContext> = Vec::new();
    for link in batch.iter().filter_map(|admitted| link(&admitted.record)) {
        if links.len() == LINKS_MAX {
            break;
        }
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links
}

/// Without `tracestate`: it is free text of whoever wrote the record.
fn link(record: &Record) -> Option<SpanContext> {
    let text = record.headers.last(TRACEPARENT).filter(|text| text.len() <= TRACEPARENT_LEN_MAX)?;
    let parent = Parent(std::str::from_utf8(text).ok()?);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &parent);
    let found = context.span().span_context().clone();
    let kept = |found: SpanContext| {
        SpanContext::new(found.trace_id(), found.span_id(), found.trace_flags(), true, TraceState::NONE)
    };
    found.is_valid().then(|| kept(found))
}

struct Parent<'h>(&'h str);

impl Extractor for Parent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

fn count(records: usize) -> i64 {
    i64::try_from(records).unwrap_or(i64::MAX)
}
