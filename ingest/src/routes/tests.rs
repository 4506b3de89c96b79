//! Requests and their answers, before a log that does what it is told.

use super::*;
use crate::batch::Limits;
use crate::keyed::Keeping;
use crate::keyed::tests::Memory;
use crate::raw::Placed;
use runtime::auth::FieldMask;
use runtime::fault::Fault;
use runtime::record::{Offset, Outgoing};
use schemas::{Origin, Profile, topics};
use serde_json::{Value, json};
use std::future::pending;
use std::sync::Mutex;
use std::time::Duration;
use tower::ServiceExt as _;

/// A log that counts, and breaks where it is told to.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) kept: Mutex<Vec<(Outgoing, i64)>>,
    /// It fails, or is silent, once it holds so many.
    pub(crate) fails_at: Option<usize>,
    pub(crate) hangs_at: Option<usize>,
    pub(crate) too_large: bool,
    pub(crate) is_mute: bool,
}

impl Raw for Arc<Log> {
    fn partitions(&self) -> i32 {
        12
    }

    async fn append(&self, batch: &[Outgoing]) -> Result<Vec<Placed>, Fault> {
        let len = self.kept.lock().unwrap().len();
        if self.hangs_at.is_some_and(|at| len >= at) {
            pending::<()>().await;
        }
        if self.fails_at.is_some_and(|at| len >= at) {
            return Err(Fault::transient("the log is away"));
        }
        if self.too_large {
            return Ok(vec![Placed::TooLarge; batch.len()]);
        }
        let mut kept = self.kept.lock().unwrap();
        let mut placed = Vec::new();
        for item in batch {
            let offset = kept.iter().filter(|(other, _)| other.partition == item.partition).count() as i64;
            kept.push((item.clone(), offset));
            placed.push(if self.is_mute { Placed::Somewhere } else { Placed::At(Offset(offset)) });
        }
        Ok(placed)
    }
}

pub(crate) struct Door {
    log: Arc<Log>,
    router: Router,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) receipt: Option<String>,
    pub(crate) body: Value,
    pub(crate) headers: http::HeaderMap,
}

impl Answer {
    pub(crate) fn said(&self, name: http::HeaderName) -> &str {
        self.headers[name].to_str().unwrap()
    }
}

const SMALL: Limits =
    Limits { changes_max: 7, body_bytes_max: 2 << 20, batch_len_max: 2, ack_within: Duration::from_secs(10) };

fn door(log: Log) -> Door {
    door_keeping(log, None)
}

pub(crate) fn door_keeping(log: Log, keeping: Option<Keeping<Memory>>) -> Door {
    let log = Arc::new(log);
    let profile = Arc::new(Profile::embedded().unwrap());
    Door { router: router(Arc::new(Ingest::new(profile, log.clone(), keeping, SMALL))), log }
}

impl Door {
    pub(crate) async fn ask(&self, method: &str, path: &str, media: &str, body: impl Into<Body>) -> Answer {
        let request = Request::builder().method(method).uri(path).header(header::CONTENT_TYPE, media);
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        let receipt = headers.get("tidewater-receipt").map(|text| text.to_str().unwrap().to_owned());
        let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        Answer { status, receipt, body, headers }
    }

    pub(crate) fn users(&self) -> Vec<String> {
        let kept = self.log.kept.lock().unwrap();
        kept.iter().map(|(item, _)| String::from_utf8(item.key.clone().unwrap().to_vec()).unwrap()).collect()
    }
}

pub(crate) fn change(user: &str) -> String {
    json!({"user_id": user, "op": "upsert", "set": {"name": user}}).to_string()
}

fn bad(user: &str) -> String {
    change(user).replace("\"name\"", "\"nick\"")
}

pub(crate) const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

#[tokio::test]
async fn a_change_is_answered_with_its_place_and_the_id_that_validate_will_give_it() {
    let door = door(Log::default());
    let answer = door.ask("POST", "/v1/changes", JSON, change("ada")).await;
    let partition = topics::partition_for(b"ada", 12);
    assert_eq!((answer.status, answer.receipt.unwrap()), (202, format!("{partition}/0")));
    let id = accept::id_of(&Origin::new(topics::RAW, partition, 0).unwrap());
    assert_eq!(answer.body, json!({"id": id, "partition": partition, "offset": 0}));
    let own = "7d9f1f3e-0000-4000-8000-000000000001";
    let brought = change("ada").replacen('{', &format!("{{\"id\":\"{own}\","), 1);
    assert_eq!(door.ask("POST", "/v1/changes", JSON, brought).await.body["id"], own);
    assert_eq!(door.users(), ["ada", "ada"]);
}

#[tokio::test]
async fn a_change_that_validate_would_reject_is_a_problem_and_is_not_written() {
    let door = door(Log::default());
    let answer = door.ask("POST", "/v1/changes", JSON, bad("ada")).await;
    assert_eq!((answer.status, answer.said(header::CONTENT_TYPE)), (422, "application/problem+json"));
    assert_eq!((&answer.body["code"], &answer.body["field"]), (&json!("field-unknown"), &json!("set.nick")));
    assert_eq!(answer.body["type"], "/problems/field-unknown");
    assert_eq!(door.ask("POST", "/v1/changes", JSON, "{").await.status, 400);
    assert_eq!(door.ask("POST", "/v1/changes", JSON, " ".repeat(1 << 20) + "{}").await.status, 413);
    assert!(door.users().is_empty());
}

#[tokio::test]
async fn each_change_of_several_is_answered_for_itself_in_its_place() {
    let all = [change("ada"), bad("bob"), change("cy"), change("ada")];
    for (media, body) in [(JSON, format!("[{}]", all.join(","))), (LINES, all.join("\n"))] {
        let door = door(Log::default());
        let answer = door.ask("POST", "/v1/changes", media, body).await;
        assert_eq!((answer.status, &answer.body["accepted"], &answer.body["refused"]), (207, &json!(3), &json!(1)));
        let results = answer.body["results"].as_array().unwrap();
        assert_eq!(results[1]["code"], "field-unknown");
        assert_eq!((&results[0]["offset"], &results[3]["offset"]), (&json!(0), &json!(1)), "in the order of its user");
        assert_eq!(door.users(), ["ada", "cy", "ada"], "{media}");
    }
}

#[tokio::test]
async fn the_status_of_several_tells_whether_all_some_or_none_were_taken() {
    let door = door(Log::default());
    let status = async |all: &[String]| door.ask("POST", "/v1/changes", LINES, all.join("\n")).await.status;
    assert_eq!(status(&[change("ada"), change("bob")]).await, 202);
    assert_eq!(status(&[change("ada"), bad("bob")]).await, 207);
    assert_eq!(status(&[bad("ada"), bad("bob")]).await, 422);
    assert_eq!(status(&[]).await, 202, "nothing was asked, and nothing left out");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_that_the_log_did_not_and_nothing_follows_it() {
    let all: Vec<String> = (0..6).map(|user| change(&format!("u{user}"))).collect();
    for log in [Log { fails_at: Some(2), ..Log::default() }, Log { hangs_at: Some(2), ..Log::default() }] {
        let door = door(log);
        let answer = door.ask("POST", "/v1/changes", LINES, all.join("\n")).await;
        assert_eq!((answer.status, answer.said(header::RETRY_AFTER)), (503, "1"));
        let results = answer.body["results"].as_array().unwrap();
        let codes: Vec<&str> = results.iter().map(|result| result["code"].as_str().unwrap_or("kept")).collect();
        assert_eq!(codes[..4], ["kept", "kept", "unacknowledged", "unacknowledged"]);
        assert!(codes[4..].iter().all(|code| *code == "untried"), "{codes:?}");
        assert_eq!(door.users().len(), 2);
        let answer = door.ask("POST", "/v1/changes", JSON, change("ada")).await;
        assert_eq!((answer.status, answer.receipt, &answer.body["code"]), (503, None, &json!("unacknowledged")));
    }
}

#[tokio::test]
async fn what_the_log_says_of_a_record_is_what_its_client_hears() {
    let large = door(Log { too_large: true, ..Log::default() });
    let answer = large.ask("POST", "/v1/changes", JSON, change("ada")).await;
    assert_eq!((answer.status, &answer.body["code"]), (413, &json!("too-large")));
    let mute = door(Log { is_mute: true, ..Log::default() });
    let answer = mute.ask("POST", "/v1/changes", JSON, change("ada")).await;
    assert_eq!((answer.status, answer.receipt), (202, None), "it is kept, and nobody makes a place up");
    assert_eq!(answer.body, json!({"partition": topics::partition_for(b"ada", 12)}));
}

#[tokio::test]
async fn a_request_holds_no_more_changes_than_it_may() {
    let all: Vec<String> = (0..9).map(|user| change(&format!("u{user}"))).collect();
    let whole = door(Log::default());
    let answer = whole.ask("POST", "/v1/changes", JSON, format!("[{}]", all.join(","))).await;
    assert_eq!((answer.status, whole.users().len()), (413, 0), "an array is refused before any of it is taken");
    let lines = door(Log::default());
    let answer = lines.ask("POST", "/v1/changes", LINES, all.join("\n")).await;
    assert_eq!((answer.status, &answer.body["code"]), (413, &json!("too-many-changes")));
    assert_eq!(answer.body["results"].as_array().unwrap().len(), 7, "those before it are told");
    assert_eq!(lines.users().len(), 7);
}

#[tokio::test]
async fn a_body_that_breaks_off_is_answered_with_what_was_taken_of_it() {
    let door = door(Log::default());
    let pieces = vec![Ok(Bytes::from(change("ada") + "\n" + &change("bob") + "\n{\"user")), Err("cut")];
    let body = Body::new(http_body_util::StreamBody::new(Pieces(pieces.into_iter())));
    let answer = door.ask("POST", "/v1/changes", LINES, body).await;
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("body-incomplete")));
    assert_eq!(answer.body["results"].as_array().unwrap().len(), 2);
    assert_eq!(door.users(), ["ada", "bob"]);
}

#[tokio::test]
async fn a_user_is_put_patched_and_deleted_by_requests_on_him() {
    let door = door(Log::default());
    for (method, body) in [("PUT", r#"{"name":"Ada"}"#), ("PATCH", r#"{"email":null}"#), ("DELETE", "")] {
        let answer = door.ask(method, "/v1/users/a%2Fd%C3%A4", JSON, body).await;
        assert_eq!((answer.status, answer.receipt.is_some()), (202, true), "{method}: {}", answer.body);
    }
    assert_eq!(door.users(), ["a/dä", "a/dä", "a/dä"]);
    for path in ["/v1/users/a%0A", "/v1/users/%FF", &format!("/v1/users/{}", "x".repeat(129))] {
        assert_eq!(door.ask("DELETE", path, JSON, "").await.status, 400, "{path}");
    }
    assert_eq!(door.ask("PUT", "/v1/users/ada", JSON, r#"{"name":7}"#).await.status, 422);
}

#[tokio::test]
async fn whoever_sends_is_found_in_the_request_and_not_in_the_change() {
    let door = door(Log::default());
    let mask = Arc::new(["email"].into_iter().collect::<FieldMask>());
    let sender = Identity::new("acme", "crm", "changes:write", Some(mask));
    let mut request = Request::builder().method("DELETE").uri("/v1/users/ada").body(Body::empty()).unwrap();
    request.extensions_mut().insert(sender.clone());
    assert_eq!(door.send(request).await.status, 202);
    let written: Value = serde_json::from_slice(door.log.kept.lock().unwrap()[0].0.value.as_ref().unwrap()).unwrap();
    assert_eq!((&written["tenant"], &written["source"]), (&json!("acme"), &json!("crm")));
    let mut request =
        Request::builder().method("PUT").uri("/v1/users/ada").body(Body::from(r#"{"name":"A"}"#)).unwrap();
    request.extensions_mut().insert(sender);
    let answer = door.send(request).await;
    assert_eq!((answer.status, &answer.body["code"]), (403, &json!("field-forbidden")));
    let mut request = Request::builder().method("DELETE").uri("/v1/users/ada").body(Body::empty()).unwrap();
    request.extensions_mut().insert(Identity::new("No Tenant", "crm", "changes:write", None));
    let answer = door.send(request).await;
    assert_eq!((answer.status, &answer.body["code"]), (403, &json!("tenant-invalid")));
    assert_eq!(door.users().len(), 1);
}

#[tokio::test]
async fn a_media_type_that_is_none_of_ours_is_said_to_be() {
    let door = door(Log::default());
    let answer = door.ask("POST", "/v1/changes", "application/x-www-form-urlencoded", change("ada")).await;
    assert_eq!((answer.status, &answer.body["code"]), (415, &json!("media-type-unsupported")));
    assert_eq!(door.ask("PUT", "/v1/users/ada", LINES, "{}").await.status, 415);
    let untold = Request::builder().method("POST").uri("/v1/changes").body(Body::from(change("ada"))).unwrap();
    assert_eq!(door.send(untold).await.status, 202);
}

/// A body in pieces, of which one may be its end.
struct Pieces(std::vec::IntoIter<Result<Bytes, &'static str>>);

impl futures_util::Stream for Pieces {
    type Item = Result<http_body::Frame<Bytes>, &'static str>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next().map(|piece| piece.map(http_body::Frame::data)))
    }
}
