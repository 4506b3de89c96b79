//! What a processor puts out: the change as our Avro, with its place in history as headers.

use bytes::Bytes;
use runtime::fault::Rejection;
use runtime::record::{Headers, Outgoing, Record};
use schemas::avro::Codec;
use schemas::{Change, accept, headers};

/// Headers of a record that are carried from end to end: the trace that it belongs to.
const TRACE: [&str; 2] = [headers::TRACEPARENT, "tracestate"];

/// A rejection in the pipeline's words, with what is known of the change by then.
pub(crate) fn rejection(rejection: schemas::Rejection, facts: Vec<(&'static str, String)>) -> Rejection {
    let schemas::Rejection { code, field } = rejection;
    Rejection { code: code.as_str(), reason: code.reason(), field, facts }
}

/// The record that carries `change` on, in the partition it came from.
///
/// # Errors
/// `too-large` if it is over the limit of what a stage may put out.
pub(crate) fn outgoing(codec: &Codec, change: &Change, record: &Record) -> Result<Outgoing, schemas::Rejection> {
    let mut value = Vec::with_capacity(512);
    if codec.encode(change, &mut value).is_err() {
        debug_assert!(false, "a checked change can be written");
        return Err(schemas::Rejection::new(schemas::RejectCode::Undecodable));
    }
    let mut kept = Headers::with_capacity(4);
    for (name, text) in record.headers.iter().filter(|(name, _)| TRACE.contains(&&***name)) {
        kept.push(name.clone(), text.cloned());
    }
    kept.push_text(ORIGIN.clone(), change.origin.to_string());
    kept.push_text(VERSION.clone(), change.version.to_string());
    let key = Some(Bytes::copy_from_slice(change.user_id.as_str().as_bytes()));
    let outgoing = Outgoing { partition: record.place.partition, key, value: Some(Bytes::from(value)), headers: kept };
    accept::check_size(outgoing.bytes(), accept::OUTPUT_BYTES_MAX)?;
    Ok(outgoing)
}

/// Header names as shared texts, so that a record costs no allocation for them.
static ORIGIN: std::sync::LazyLock<std::sync::Arc<str>> = std::sync::LazyLock::new(|| headers::ORIGIN.into());
static VERSION: std::sync::LazyLock<std::sync::Arc<str>> = std::sync::LazyLock::new(|| headers::VERSION.into());
