//! Requests with an `Idempotency-Key`: done once, and answered the same when they are repeated.
//!
//! The key is taken before anything is written and the answer is kept after the log has acknowledged. Of whoever dies in
//! between the key is free again when its lease is over, so a request is done at most once more. What the log did not
//! acknowledge in time has no answer to be kept: its key waits for the lease, too, because it may be done.

use axum::body::{Body, to_bytes};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use runtime::auth::Identity;
use runtime::http::Problem;
use runtime::logs::chain;
use schemas::Tenant;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use store::keys::{Begun, BodyDigest, Finished, IdempotencyKey, KeyMalformed, Keys, KeysError, Scope, Turn};
use tracing::warn;

/// What makes a repetition be answered like the first.
const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// The answer is one that was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Longest answer that is looked at: results of the largest request.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What becomes of a request with a key while nobody can tell whether it was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Degraded {
    /// It is refused with 503.
    #[default]
    Refuse,
    /// It is done as if it had no key.
    Accept,
}

/// Who keeps the keys of a door.
#[derive(Clone, Debug)]
pub struct Keeping<K> {
    pub keys: K,
    pub degraded: Degraded,
}

/// An answer as it is kept.
#[derive(Deserialize, Serialize)]
struct Kept {
    status: u16,
    media: Option<String>,
    receipt: Option<String>,
    body: String,
}

impl<K: Keys> Keeping<K> {
    /// The turn to do a request with this body; `None` if it is done without one.
    ///
    /// # Errors
    /// With the answer to who is not to do it.
    pub(crate) async fn begin(&self, key: &IdempotencyKey, body: &[u8]) -> Result<Option<Turn>, Box<Response>> {
        match self.keys.begin(key, &BodyDigest::of(body)).await {
            Ok(Begun::New(turn)) => Ok(Some(turn)),
            Ok(Begun::Answered(answer)) => Err(Box::new(replayed(&answer))),
            Ok(Begun::Done) => {
                let title = "it was done, and its answer was too long to be kept";
                Err(Box::new(Problem::new(StatusCode::CONFLICT, "idempotency-done", title).into_response()))
            }
            Ok(Begun::InFlight { retry_after }) => Err(Box::new(in_flight(retry_after))),
            Ok(Begun::OtherBody) => {
                let title = "the key was used for another request";
                let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", title);
                Err(Box::new(problem.detail("a key stands for one request; take another").into_response()))
            }
            Err(error) => self.unknown(&error),
        }
    }

    /// Keeps the answer under its key, unless it is none that will stand.
    pub(crate) async fn finish(&self, turn: Turn, response: Response) -> Response {
        let (parts, body) = response.into_parts();
        let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        };
        if !parts.status.is_server_error()
            && let Some(answer) = encode(parts.status, &parts.headers, &body)
        {
            match self.keys.finish(turn, &answer).await {
                Ok(Finished::Kept) => {}
                Ok(Finished::Lost) => warn!("a request outlasted the lease of its key, and was done once more"),
                Err(error) => warn!(error = %chain(&error), "an answer could not be kept under its key"),
            }
        }
        Response::from_parts(parts, Body::from(body))
    }

    fn unknown(&self, error: &KeysError) -> Result<Option<Turn>, Box<Response>> {
        warn!(error = %chain(error), "idempotency keys are away");
        if self.degraded == Degraded::Accept && matches!(error, KeysError::Unavailable(_)) {
            return Ok(None);
        }
        let title = "nobody can tell whether the key was used";
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "idempotency-unavailable", title);
        Err(Box::new(problem.detail("nothing was done; try again").retry_after(1).into_response()))
    }
}

/// The key of a request, if it has one.
pub(crate) fn key_of(parts: &Parts) -> Result<Option<IdempotencyKey>, Problem> {
    let mut sent = parts.headers.get_all(KEY).iter();
    let Some(first) = sent.next() else { return Ok(None) };
    let malformed = |error: KeyMalformed| {
        let title = "the Idempotency-Key is none";
        Problem::new(StatusCode::BAD_REQUEST, "idempotency-key-malformed", title).detail(error.to_string())
    };
    if sent.next().is_some() {
        return Err(malformed(KeyMalformed));
    }
    let identity = parts.extensions.get::<Identity>();
    let tenant = identity.and_then(|identity| Tenant::new(&identity.tenant)).unwrap_or_default();
    let client = identity.map_or("anonymous", |identity| &*identity.client);
    let scope = Scope { tenant: &tenant, client, method: parts.method.as_str(), path: parts.uri.path() };
    scope.key(first.as_bytes()).map(Some).map_err(malformed)
}

/// A key, and nobody who keeps it.
pub(crate) fn unkept() -> Problem {
    let title = "idempotency keys are not kept here";
    Problem::new(StatusCode::BAD_REQUEST, "idempotency-unsupported", title)
        .detail("set idempotency.host, or send without a key; nothing was done")
}

fn in_flight(retry_after: Duration) -> Response {
    let seconds = u32::try_from(retry_after.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX).max(1);
    let title = "a request with this key is under way, or was broken off";
    Problem::new(StatusCode::CONFLICT, "idempotency-in-flight", title).retry_after(seconds).into_response()
}

/// `None` for an answer that is none of ours.
fn encode(status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Option<Vec<u8>> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let kept = Kept {
        status: status.as_u16(),
        media: text(header::CONTENT_TYPE),
        receipt: text(crate::answer::RECEIPT),
        body: String::from_utf8(body.to_vec()).ok()?,
    };
    serde_json::to_vec(&kept).ok()
}

fn replayed(answer: &[u8]) -> Response {
    let read = || {
        let kept: Kept = serde_json::from_slice(answer).ok()?;
        let mut response = Response::new(Body::from(kept.body));
        *response.status_mut() = StatusCode::from_u16(kept.status).ok()?;
        let headers = response.headers_mut();
        let value = |text: Option<String>| text.and_then(|text| HeaderValue::try_from(text).ok());
        headers.extend(value(kept.media).map(|media| (header::CONTENT_TYPE, media)));
        headers.extend(value(kept.receipt).map(|receipt| (crate::answer::RECEIPT, receipt)));
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
        Some(response)
    };
    read().unwrap_or_else(|| {
        let title = "what is kept under the key is not of this release";
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "idempotency-unavailable", title).into_response()
    })
}

#[cfg(test)]
pub(crate) mod tests;
