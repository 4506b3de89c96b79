//! What a processor puts out: the change as our Avro, with its place in history as headers.

use bytes::Bytes;
use runtime::fault::Rejection;
use runtime::record::{Headers, Outgoing, Record};
use schemas::avro::Codec;
use schemas::{Change, accept, headers};
use std::fmt::Display;
use std::io::Write as _;

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
    // All of it in one buffer, of which value, key and our two headers are slices: one allocation and not one for each.
    let mut buffer = Vec::with_capacity(record.bytes() + OURS_LEN);
    if codec.encode(change, &mut buffer).is_err() {
        debug_assert!(false, "a checked change can be written");
        return Err(schemas::Rejection::new(schemas::RejectCode::Undecodable));
    }
    let value = 0..buffer.len();
    buffer.extend_from_slice(change.user_id.as_str().as_bytes());
    let key = value.end..buffer.len();
    let origin = key.end..written(&mut buffer, &change.origin);
    let version = origin.end..written(&mut buffer, &change.version);
    let buffer = Bytes::from(buffer);
    let mut kept = Headers::with_capacity(4);
    for (name, text) in record.headers.iter().filter(|(name, _)| TRACE.contains(&&***name)) {
        kept.push(name.clone(), text.cloned());
    }
    kept.push(ORIGIN.clone(), Some(buffer.slice(origin)));
    kept.push(VERSION.clone(), Some(buffer.slice(version)));
    let (key, value) = (Some(buffer.slice(key)), Some(buffer.slice(value)));
    let outgoing = Outgoing { partition: record.place.partition, key, value, headers: kept };
    accept::check_size(outgoing.bytes(), accept::OUTPUT_BYTES_MAX)?;
    Ok(outgoing)
}

/// Room for what a change has as our Avro and not as its producer wrote it, derived fields and headers.
const OURS_LEN: usize = 96;

/// Writes a text behind what is there; where it ends.
fn written(buffer: &mut Vec<u8>, text: &impl Display) -> usize {
    // Memory that takes no more ends the process before an error could be told.
    write!(buffer, "{text}").ok();
    buffer.len()
}

/// Header names as shared texts, so that a record costs no allocation for them.
static ORIGIN: std::sync::LazyLock<std::sync::Arc<str>> = std::sync::LazyLock::new(|| headers::ORIGIN.into());
static VERSION: std::sync::LazyLock<std::sync::Arc<str>> = std::sync::LazyLock::new(|| headers::VERSION.into());
