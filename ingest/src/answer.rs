//! What a client is told: receipts, and of what is not written the reason, as problems of RFC 9457.

use crate::judge::Refusal;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use runtime::http::Problem;
use schemas::RejectCode;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

/// The place of a change on the raw topic as `<partition>/<offset>`: what a reader hands in to read its own write.
pub(crate) const RECEIPT: HeaderName = HeaderName::from_static("tidewater-receipt");

/// After so many seconds a client may try again what the log did not take.
const RETRY_AFTER_S: u32 = 1;

/// What became of one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted(Receipt),
    Refused(Refusal),
    /// The log did not answer: it may have it or not.
    Unacknowledged,
    /// The log did not answer for one before it: it was not written.
    Untried,
}

/// Where a change stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Receipt {
    /// The change's own, else the one that its place gives it; unknown if the place is and it brought none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<Uuid>,
    pub(crate) partition: i32,
    /// `None` if the log did not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<i64>,
}

/// The answer to a request that is one change.
pub(crate) fn single(outcome: Outcome) -> Response {
    match outcome {
        Outcome::Accepted(receipt) => {
            let place = receipt.offset.map(|offset| format!("{}/{offset}", receipt.partition));
            let mut response = json_of(StatusCode::ACCEPTED, &json!(receipt));
            if let Some(place) = place.and_then(|place| HeaderValue::try_from(place).ok()) {
                response.headers_mut().insert(RECEIPT, place);
            }
            response
        }
        Outcome::Refused(refusal) => refused(&refusal).into_response(),
        Outcome::Unacknowledged | Outcome::Untried => silent().into_response(),
    }
}

/// The answer to a request of several: 202 if all were taken, 207 if some were, 422 if none was.
pub(crate) fn several(outcomes: &[Outcome]) -> Response {
    let is_accepted = |outcome: &&Outcome| matches!(outcome, Outcome::Accepted(_));
    let accepted = outcomes.iter().filter(is_accepted).count();
    if outcomes.iter().any(|outcome| matches!(outcome, Outcome::Unacknowledged)) {
        return with(silent(), outcomes).into_response();
    }
    let status = match accepted {
        _ if accepted == outcomes.len() => StatusCode::ACCEPTED,
        0 => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::MULTI_STATUS,
    };
    let body = json!({
        "accepted": accepted,
        "refused": outcomes.len() - accepted,
        "results": results(outcomes),
    });
    json_of(status, &body)
}

fn json_of(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// A problem, with what became of the changes before it.
pub(crate) fn with(problem: Problem, outcomes: &[Outcome]) -> Problem {
    problem.member("results", results(outcomes))
}

/// The log does not answer. What it was given may be there, so trying again may be a second change.
fn silent() -> Problem {
    let title = "the log did not acknowledge it in time";
    let detail = "it may be kept or not; send again what has no receipt";
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unacknowledged", title).detail(detail).retry_after(RETRY_AFTER_S)
}

fn results(outcomes: &[Outcome]) -> Value {
    let of = |outcome: &Outcome| match outcome {
        Outcome::Accepted(receipt) => json!(receipt),
        Outcome::Refused(refusal) => refused(refusal).to_json(),
        Outcome::Unacknowledged => silent().to_json(),
        Outcome::Untried => {
            let title = "the log failed before it; it was not written";
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "untried", title).to_json()
        }
    };
    outcomes.iter().map(of).collect()
}

fn refused(refusal: &Refusal) -> Problem {
    let rejection = match refusal {
        Refusal::Rejected(rejection) => rejection,
        Refusal::Forbidden { field } => {
            let title = "the client may not write the field";
            return Problem::new(StatusCode::FORBIDDEN, "field-forbidden", title).field(&**field);
        }
    };
    let mut status = StatusCode::UNPROCESSABLE_ENTITY;
    if rejection.code == RejectCode::TooLarge {
        status = StatusCode::PAYLOAD_TOO_LARGE;
    } else if rejection.code == RejectCode::Undecodable {
        status = StatusCode::BAD_REQUEST;
    }
    let problem = Problem::new(status, rejection.code.as_str(), rejection.code.reason());
    match &rejection.field {
        Some(field) => problem.field(&**field),
        None => problem,
    }
}
