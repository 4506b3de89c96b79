//! `GET /v1/changes/{partition}/{offset}`: what became of a change.

use crate::error::Problem;
use crate::fates::Fate;
use crate::log::Log;
use crate::receipt::{Receipt, preferred};
use crate::{House, users};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use store::through::{Cache, Rows};
use tokio::time::{Instant, sleep};

/// Whoever may read a user may ask: the answer tells a state and a code, and nothing of whose change it was.
pub(crate) async fn answer<C: Cache, R: Rows, L: Log>(
    State(house): State<Arc<House<C, R, L>>>,
    request: Request,
) -> Response {
    let wait = preferred(request.headers()).unwrap_or(Duration::ZERO);
    let mut parts = request.uri().path().rsplit('/');
    let receipt = parts.next().zip(parts.next()).and_then(|(offset, partition)| Receipt::parse(partition, offset));
    let Some(receipt) = receipt else { return Problem::ReceiptInvalid.into_response() };
    match follow(&house, receipt, wait).await {
        Ok(fate) => shown(receipt, fate),
        Err(problem) => problem.into_response(),
    }
}

async fn follow<C: Cache, R: Rows, L: Log>(
    house: &House<C, R, L>,
    receipt: Receipt,
    wait: Duration,
) -> Result<Fate, Problem> {
    let deadline = Instant::now() + wait;
    let mut pauses = users::pauses();
    loop {
        let fate = house.fates.fate(receipt.partition, receipt.offset).await.map_err(|_| Problem::LogAway)?;
        match fate {
            Fate::NotYet | Fate::Unknown => {}
            Fate::Applied | Fate::Rejected(_) | Fate::Gone => return Ok(fate),
        }
        let pause = pauses.next().unwrap_or_default();
        if Instant::now() + pause > deadline {
            return Ok(fate);
        }
        sleep(pause).await;
    }
}

fn shown(receipt: Receipt, fate: Fate) -> Response {
    let Receipt { partition, offset } = receipt;
    let body = match fate {
        Fate::Unknown => return Problem::ChangeUnknown.into_response(),
        Fate::Gone => return Problem::ChangeGone.into_response(),
        Fate::NotYet => json!({"partition": partition, "offset": offset, "state": "not-yet"}),
        Fate::Applied => json!({"partition": partition, "offset": offset, "state": "applied"}),
        Fate::Rejected(code) => json!({
            "partition": partition,
            "offset": offset,
            "state": "rejected",
            "code": code.map_or("unknown", |code| code.as_str()),
            "reason": code.map_or("the code is of a later release", |code| code.reason()),
        }),
    };
    let mut response = ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if fate == Fate::NotYet {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
