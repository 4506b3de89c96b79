//! The paths of the door, and how a request becomes changes.

use crate::answer::{several, single, with};
use crate::batch::{Batch, Ingest};
use crate::judge::Sender;
use crate::keyed::{key_of, unkept};
use crate::lines::{Line, Lines};
use crate::raw::Raw;
use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts as _, Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{post, put};
use bytes::Bytes;
use http::request::Parts;
use http::{StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use runtime::auth::Identity;
use runtime::http::{BodyFault, BodyWatch, Problem};
use schemas::{Op, RejectCode, UserId, accept};
use serde_json::value::RawValue;
use std::sync::Arc;
use store::keys::{Keys, Turn};

/// What an access token must allow for any of these paths.
pub const SCOPE: &str = "changes:write";

/// What a body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Media {
    /// One change or an array of them.
    Json,
    /// One change a line.
    Lines,
}

/// The paths under `/v1`: `POST /v1/changes`, and `PUT`, `PATCH` and `DELETE` of `/v1/users/{id}`.
///
/// On whose behalf a request is made it finds in its extensions, as an [`Identity`]; without one, changes are believed.
pub fn router<R: Raw, K: Keys + 'static>(ingest: Arc<Ingest<R, K>>) -> Router {
    Router::new()
        .route("/v1/changes", post(changes::<R, K>))
        .route("/v1/users/{id}", put(upsert::<R, K>).patch(patch::<R, K>).delete(delete::<R, K>))
        .with_state(ingest)
}

async fn changes<R: Raw, K: Keys + 'static>(State(ingest): State<Arc<Ingest<R, K>>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let watch = watch(&parts);
    let sender = match sender(&ingest, &parts) {
        Ok(sender) => sender,
        Err(problem) => return problem.into_response(),
    };
    let (turn, body) = match turn(&ingest, &parts, body, &watch).await {
        Turned::Mine(turn, body) => (turn, body),
        Turned::Told(response) => return *response,
    };
    let taken = match media(&parts) {
        Ok(Media::Json) => Box::pin(whole(&ingest, &sender, body, &watch)).await,
        Ok(Media::Lines) => Box::pin(streamed(&ingest, &sender, body, &watch)).await,
        Err(problem) => Err(problem),
    };
    keep(&ingest, turn, taken.unwrap_or_else(Problem::into_response)).await
}

/// Who does a request.
enum Turned {
    /// We do, with this body; with a turn if there is a key.
    Mine(Option<Turn>, Body),
    /// It was done, or must not be: this is the answer.
    Told(Box<Response>),
}

/// Takes the turn of a request with a key, which stands for the whole body.
async fn turn<R: Raw, K: Keys>(ingest: &Ingest<R, K>, parts: &Parts, body: Body, watch: &BodyWatch) -> Turned {
    let told = |problem: Problem| Turned::Told(Box::new(problem.into_response()));
    let key = match key_of(parts) {
        Ok(Some(key)) => key,
        Ok(None) => return Turned::Mine(None, body),
        Err(problem) => return told(problem),
    };
    let Some(keeping) = &ingest.keeping else { return told(unkept()) };
    let body = match collect(body, ingest.limits.body_bytes_max, watch).await {
        Ok(body) => body,
        Err(problem) => return told(problem),
    };
    match keeping.begin(&key, &body).await {
        Ok(turn) => Turned::Mine(turn, Body::from(body)),
        Err(response) => Turned::Told(response),
    }
}

/// Keeps the answer of a request that has a turn.
async fn keep<R: Raw, K: Keys>(ingest: &Ingest<R, K>, turn: Option<Turn>, response: Response) -> Response {
    match (turn, &ingest.keeping) {
        (Some(turn), Some(keeping)) => keeping.finish(turn, response).await,
        _ => response,
    }
}

/// One change, or an array of them.
async fn whole<R: Raw, K: Keys>(
    ingest: &Ingest<R, K>,
    sender: &Sender,
    body: Body,
    watch: &BodyWatch,
) -> Result<Response, Problem> {
    let body = collect(body, ingest.limits.body_bytes_max, watch).await?;
    if !body.trim_ascii_start().starts_with(b"[") {
        return Ok(single(ingest.one(ingest.judge.change(sender, &body)).await));
    }
    let items: Vec<&RawValue> = serde_json::from_slice(&body).map_err(|_| {
        let detail = "it is no array of JSON objects in UTF-8; nothing of it was taken";
        Problem::new(StatusCode::BAD_REQUEST, RejectCode::Undecodable.as_str(), RejectCode::Undecodable.reason())
            .detail(detail)
    })?;
    if items.len() > ingest.limits.changes_max {
        return Err(too_many(ingest.limits.changes_max));
    }
    let mut batch = ingest.batch(sender);
    for item in items {
        batch.push(item.get().as_bytes()).await;
    }
    Ok(several(&batch.finish().await))
}

/// Lines, taken as they come: what is told at the end is true of each, also if the body broke off.
async fn streamed<R: Raw, K: Keys>(
    ingest: &Ingest<R, K>,
    sender: &Sender,
    mut body: Body,
    watch: &BodyWatch,
) -> Result<Response, Problem> {
    let (mut batch, mut lines) = (ingest.batch(sender), Lines::new(accept::RECORD_BYTES_MAX));
    let broken = loop {
        while !batch.is_over()
            && let Some(line) = lines.next()
        {
            if !take(&mut batch, line).await {
                break;
            }
        }
        if batch.is_over() || batch.is_overfull() {
            break None;
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(bytes) = frame.into_data() {
                    lines.push(&bytes);
                }
            }
            Some(Err(_)) => break Some(broken_off(watch)),
            None => break None,
        }
    };
    if broken.is_none()
        && !batch.is_over()
        && !batch.is_overfull()
        && let Some(line) = lines.last()
    {
        take(&mut batch, line).await;
    }
    let broken = broken.or_else(|| batch.is_overfull().then(|| too_many(ingest.limits.changes_max)));
    let outcomes = batch.finish().await;
    match broken {
        Some(problem) => Err(with(problem, &outcomes)),
        None => Ok(several(&outcomes)),
    }
}

/// Whether there was room for the line.
async fn take<R: Raw, K: Keys>(batch: &mut Batch<'_, R, K>, line: Line) -> bool {
    match line {
        _ if !batch.has_room() => return false,
        Line::Whole(text) => batch.push(&text).await,
        Line::TooLong => batch.push_too_long(),
    }
    true
}

async fn upsert<R: Raw, K: Keys + 'static>(State(ingest): State<Arc<Ingest<R, K>>>, request: Request) -> Response {
    user(&ingest, Op::Upsert, request).await
}

async fn patch<R: Raw, K: Keys + 'static>(State(ingest): State<Arc<Ingest<R, K>>>, request: Request) -> Response {
    user(&ingest, Op::Patch, request).await
}

async fn delete<R: Raw, K: Keys + 'static>(State(ingest): State<Arc<Ingest<R, K>>>, request: Request) -> Response {
    user(&ingest, Op::Delete, request).await
}

/// A request on one user: one change.
async fn user<R: Raw, K: Keys>(ingest: &Ingest<R, K>, op: Op, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let watch = watch(&parts);
    let sender = match sender(ingest, &parts) {
        Ok(sender) => sender,
        Err(problem) => return problem.into_response(),
    };
    let named = Path::<String>::from_request_parts(&mut parts, &()).await;
    let Some(user_id) = named.ok().and_then(|Path(id)| UserId::of(id)) else {
        let code = RejectCode::UserIdInvalid;
        let problem = Problem::new(StatusCode::BAD_REQUEST, code.as_str(), code.reason());
        return problem.detail("percent-encode it in the path").into_response();
    };
    let (turn, body) = match turn(ingest, &parts, body, &watch).await {
        Turned::Mine(turn, body) => (turn, body),
        Turned::Told(response) => return *response,
    };
    let taken = match (op, media(&parts)) {
        (Op::Delete, _) => Ok(Bytes::new()),
        (Op::Upsert | Op::Patch, Ok(Media::Json)) => collect(body, ingest.limits.body_bytes_max, &watch).await,
        (Op::Upsert | Op::Patch, Ok(Media::Lines)) => Err(unsupported()),
        (Op::Upsert | Op::Patch, Err(problem)) => Err(problem),
    };
    let response = match taken {
        Ok(body) => single(ingest.one(ingest.judge.user(&sender, op, &user_id, &body)).await),
        Err(problem) => problem.into_response(),
    };
    keep(ingest, turn, response).await
}

/// On whose behalf a request is made: who was let in is in its extensions.
fn sender<R: Raw, K: Keys>(ingest: &Ingest<R, K>, parts: &Parts) -> Result<Sender, Problem> {
    let Some(identity) = parts.extensions.get::<Identity>() else { return Ok(Sender::default()) };
    Sender::of(identity, ingest.judge.profile()).ok_or_else(|| {
        let code = RejectCode::TenantInvalid;
        let detail = "the access token speaks for a tenant that cannot be one";
        Problem::new(StatusCode::FORBIDDEN, code.as_str(), code.reason()).detail(detail)
    })
}

fn media(parts: &Parts) -> Result<Media, Problem> {
    let Some(named) = parts.headers.get(header::CONTENT_TYPE) else { return Ok(Media::Json) };
    let named = named.to_str().unwrap_or_default();
    let essence = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" | "application/merge-patch+json" => Ok(Media::Json),
        "application/x-ndjson" | "application/jsonl" => Ok(Media::Lines),
        _ => Err(unsupported()),
    }
}

fn unsupported() -> Problem {
    let detail = "say content-type: application/json for a change or an array of them, application/x-ndjson for a change a \
                  line, application/merge-patch+json for a patch of a user";
    let title = "the media type is none that is read here";
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type-unsupported", title).detail(detail)
}

fn too_many(most: usize) -> Problem {
    let title = "the request holds more changes than one may";
    let detail = format!("at most {most}; send the rest in further requests");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "too-many-changes", title).detail(detail)
}

async fn collect(body: Body, most: usize, watch: &BodyWatch) -> Result<Bytes, Problem> {
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(too_large().detail(format!("at most {most} bytes; send fewer changes at once, or lines")))
        }
        Err(_) => Err(broken_off(watch)),
    }
}

fn too_large() -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, RejectCode::TooLarge.as_str(), "the body is larger than one may be")
}

/// Why a body did not come whole.
fn broken_off(watch: &BodyWatch) -> Problem {
    let detail = "send again what has no receipt";
    match watch.fault() {
        Some(BodyFault::TooLarge | BodyFault::Inflated) => too_large().detail(detail),
        Some(BodyFault::TooSlow) => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "body-timeout", "the body came to a halt").detail(detail)
        }
        None => {
            let title = "the body broke off, or is not what its encoding says";
            Problem::new(StatusCode::BAD_REQUEST, "body-incomplete", title).detail(detail)
        }
    }
}

fn watch(parts: &Parts) -> BodyWatch {
    parts.extensions.get::<BodyWatch>().cloned().unwrap_or_default()
}

#[cfg(test)]
pub(crate) mod tests;
