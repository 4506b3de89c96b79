//! `GET` and `HEAD /v1/users/{id}`: a profile.

use crate::error::Problem;
use crate::log::Log;
use crate::receipt::{Receipt, wait_of};
use crate::view::{Asked, View};
use crate::{House, Reader};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use runtime::auth::Identity;
use schemas::{Tenant, UserId};
use std::sync::Arc;
use std::time::Duration;
use store::through::{Cache, Rows, Seen, Source};
use tokio::time::{Instant, sleep};

pub(crate) async fn answer<C: Cache, R: Rows, L: Log>(
    State(house): State<Arc<House<C, R, L>>>,
    request: Request,
) -> Response {
    // All that is asked of the request is out of it before anything is waited for.
    let asked = ask(&house, &request);
    drop(request);
    match find(&house, asked).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

/// One request, understood.
struct Question {
    reader: Reader,
    user_id: UserId,
    asked: Asked,
    /// And how long to wait for it.
    receipt: Option<(Receipt, Duration)>,
    known: Vec<axum::http::HeaderValue>,
}

fn ask<C: Cache, R: Rows, L: Log>(house: &House<C, R, L>, request: &Request) -> Result<Question, Problem> {
    let headers = request.headers();
    // As it came: what the router makes of it is decoded already, and would be decoded twice.
    let id = request.uri().path().rsplit('/').next().unwrap_or_default();
    let user_id = user_of(id).ok_or(Problem::UserIdInvalid)?;
    let asked = Asked::parse(request.uri().query(), house.profiles.profile())?;
    let receipt = match Receipt::of(headers)? {
        Some(receipt) => Some((receipt.check(&user_id, house.fates.partitions())?, wait_of(headers))),
        None => None,
    };
    let reader = match request.extensions().get::<Identity>() {
        Some(identity) => Reader::of(identity, house.profiles.profile()).ok_or(Problem::TenantInvalid)?,
        None => request.extensions().get::<Reader>().cloned().unwrap_or_default(),
    };
    let known = headers.get_all(axum::http::header::IF_NONE_MATCH).iter().cloned().collect();
    Ok(Question { reader, user_id, asked, receipt, known })
}

async fn find<C: Cache, R: Rows, L: Log>(
    house: &House<C, R, L>,
    question: Result<Question, Problem>,
) -> Result<Response, Problem> {
    let Question { reader, user_id, asked, receipt, known } = question?;
    let seen = match receipt {
        None => house.profiles.get(&reader.tenant, &user_id).await?,
        Some((receipt, wait)) => house.follow(&reader.tenant, &user_id, receipt, wait).await?,
    };
    let view = View::of(seen, asked, &reader, house.profiles.profile())?;
    Ok(view.answer(&known))
}

impl<C: Cache, R: Rows, L: Log> House<C, R, L> {
    /// The profile once the change of a receipt is settled, which must be one of this user's.
    async fn follow(
        &self,
        tenant: &Tenant,
        user_id: &UserId,
        receipt: Receipt,
        wait: Duration,
    ) -> Result<Seen, Problem> {
        let deadline = Instant::now() + wait;
        let mut pauses = pauses();
        loop {
            let seen = self.profiles.get(tenant, user_id).await?;
            if receipt.is_in(seen.receipt) {
                if seen.source == Source::Cache {
                    return Ok(seen);
                }
                // The replicas of one read answer at different instants: the later may have the receipt, and the earlier have
                // come too early for a change before it. A read that begins now has both; so has what was filled.
                return Ok(self.profiles.get(tenant, user_id).await?);
            }
            // It may have been rejected, or what came from elsewhere took its offset away: the commits tell. If the log does
            // not answer, they do not yet.
            if self.fates.is_settled(receipt.partition, receipt.offset).await.unwrap_or(false) {
                return Ok(self.profiles.get(tenant, user_id).await?);
            }
            let pause = pauses.next().unwrap_or_default();
            if Instant::now() + pause > deadline {
                return Err(Problem::NotYet);
            }
            sleep(pause).await;
        }
    }
}

/// Between two looks at what was not there yet: soon at first, and ten times a second later on.
pub(crate) fn pauses() -> impl Iterator<Item = Duration> + Send {
    std::iter::successors(Some(10_u64), |ms| Some((ms * 2).min(100))).map(Duration::from_millis)
}

/// The id of a path: percent-decoded, as it is, never normalised.
fn user_of(raw: &str) -> Option<UserId> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high << 4 | low).ok()?);
    }
    UserId::of(String::from_utf8(bytes).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_byte_for_byte() {
        for (raw, id) in
            [("ada", "ada"), ("a%2Fb", "a/b"), ("a%2fb+c", "a/b+c"), ("e%CC%81", "e\u{301}"), ("%C3%A9", "\u{e9}")]
        {
            assert_eq!(user_of(raw), UserId::new(id), "{raw}");
        }
        let (longest, longer) = ("%41".repeat(128), "a".repeat(129));
        assert!(user_of(&longest).is_some());
        for wrong in ["", "%", "%4", "%zz", "a%00", "%7F", "%C3", "%ff", "a%0Ab", &longer] {
            assert_eq!(user_of(wrong), None, "{wrong}");
        }
    }
}
