//! Requests that are repeated, before a keeper that decides as every keeper does and can be sent away.

use super::*;
use crate::routes::tests::{Door, JSON, Log, change, door_keeping};
use axum::extract::Request;
use serde_json::json;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use store::keys::Terms;
use store::keys::protocol::Entry;
use tokio::time::{Instant, sleep};

/// Keys in memory.
#[derive(Clone, Debug)]
pub(crate) struct Memory {
    entries: Arc<Mutex<HashMap<IdempotencyKey, Entry>>>,
    is_away: Arc<AtomicBool>,
    start: Instant,
}

impl Memory {
    fn new() -> Self {
        Self { entries: Arc::default(), is_away: Arc::default(), start: Instant::now() }
    }

    fn decide<T>(&self, key: &IdempotencyKey, decide: impl FnOnce(&mut Entry, i64) -> T) -> Result<T, KeysError> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(KeysError::Unavailable("it is away".into()));
        }
        let now_ms = i64::try_from(self.start.elapsed().as_millis()).unwrap();
        Ok(decide(self.entries.lock().unwrap().entry(key.clone()).or_default(), now_ms))
    }
}

impl Keys for Memory {
    async fn begin(&self, key: &IdempotencyKey, body: &BodyDigest) -> Result<Begun, KeysError> {
        let turn = Turn::ask(key, body);
        let lease = Terms::default().lease;
        let began = self.decide(key, |entry, now_ms| entry.begin(now_ms, turn.token(), &body.0, lease).unwrap())?;
        Ok(turn.told(began))
    }

    async fn finish(&self, turn: Turn, answer: &[u8]) -> Result<Finished, KeysError> {
        let held = (turn.token(), &turn.body().0);
        self.decide(turn.key(), |entry, now| entry.finish(now, held, answer, Terms::default().keep_for).unwrap())
    }

    async fn abandon(&self, turn: Turn) -> Result<(), KeysError> {
        self.decide(turn.key(), |entry, now_ms| {
            entry.abandon(now_ms, turn.token()).unwrap();
        })
    }
}

fn keeping(degraded: Degraded) -> (Memory, Keeping<Memory>) {
    let keys = Memory::new();
    (keys.clone(), Keeping { keys, degraded })
}

fn post(key: &str, body: String) -> Request {
    let request = Request::builder().method("POST").uri("/v1/changes").header(header::CONTENT_TYPE, JSON);
    request.header(KEY, key).body(Body::from(body)).unwrap()
}

fn keyed(log: Log) -> Door {
    door_keeping(log, Some(keeping(Degraded::Refuse).1))
}

#[tokio::test(start_paused = true)]
async fn a_repetition_is_answered_like_the_first_and_not_written_again() {
    let door = keyed(Log::default());
    let first = door.send(post("k1", change("ada"))).await;
    let again = door.send(post("\"k1\"", change("ada"))).await;
    assert_eq!((first.status, again.status, first.receipt.as_ref()), (202, 202, again.receipt.as_ref()));
    assert_eq!((&first.body, first.said(header::CONTENT_TYPE)), (&again.body, again.said(header::CONTENT_TYPE)));
    assert_eq!((first.headers.get(REPLAYED), again.said(REPLAYED)), (None, "true"));
    assert_eq!(door.users(), ["ada"]);
    door.send(post("k2", change("ada"))).await;
    assert_eq!(door.users(), ["ada", "ada"], "another key is another change");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_kept_like_any_answer() {
    let door = keyed(Log::default());
    let wrong = change("ada").replace("\"name\"", "\"nick\"");
    let statuses = [door.send(post("k", wrong.clone())).await.status, door.send(post("k", wrong)).await.status];
    assert_eq!(statuses, [422, 422]);
    let other = door.send(post("k", change("ada"))).await;
    assert_eq!((other.status, &other.body["code"]), (422, &json!("idempotency-key-reused")));
    assert!(door.users().is_empty());
}

#[tokio::test(start_paused = true)]
async fn while_one_does_it_the_others_are_told_so_and_of_one_that_died_it_is_done_once_more() {
    let door = Arc::new(keyed(Log { hangs_at: Some(0), ..Log::default() }));
    // Whoever waits is cut off, as a killed process is.
    let cut_off = tokio::time::timeout(Duration::from_secs(1), door.send(post("k", change("ada")))).await;
    assert!(cut_off.is_err());
    let told = door.send(post("k", change("ada"))).await;
    assert_eq!((told.status, &told.body["code"]), (409, &json!("idempotency-in-flight")));
    let left: u64 = told.said(header::RETRY_AFTER).parse().unwrap();
    assert!((28..=30).contains(&left), "{left}");
    sleep(Duration::from_secs(left)).await;
    let again = door.send(post("k", change("ada"))).await;
    assert_eq!((again.status, &again.body["code"]), (503, &json!("unacknowledged")), "it was tried once more");
}

#[tokio::test(start_paused = true)]
async fn what_the_log_did_not_acknowledge_is_no_answer_to_be_kept() {
    let door = keyed(Log { fails_at: Some(0), ..Log::default() });
    assert_eq!(door.send(post("k", change("ada"))).await.status, 503);
    assert_eq!(door.send(post("k", change("ada"))).await.status, 409, "it may be done: nobody else is to do it yet");
    sleep(Terms::default().lease).await;
    assert_eq!(door.send(post("k", change("ada"))).await.status, 503, "and is then free");
}

#[tokio::test(start_paused = true)]
async fn without_its_keeper_a_request_with_a_key_is_refused_or_done_as_it_was_chosen() {
    for (degraded, status) in [(Degraded::Refuse, 503), (Degraded::Accept, 202)] {
        let (keys, keeping) = keeping(degraded);
        let door = door_keeping(Log::default(), Some(keeping));
        keys.is_away.store(true, Ordering::Relaxed);
        let answer = door.send(post("k", change("ada"))).await;
        assert_eq!(answer.status, status, "{degraded:?}");
        assert_eq!(door.ask("POST", "/v1/changes", JSON, change("bob")).await.status, 202, "without a key all is well");
    }
    let door = door_keeping(Log::default(), None);
    let answer = door.send(post("k", change("ada"))).await;
    assert_eq!((answer.status, &answer.body["code"]), (400, &json!("idempotency-unsupported")));
    assert!(door.users().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_key_is_its_clients_and_its_paths() {
    let door = keyed(Log::default());
    for (tenant, client) in [("acme", "crm"), ("acme", "shop"), ("other", "crm")] {
        let mut request = post("k", change("ada"));
        request.extensions_mut().insert(Identity::new(tenant, client, "changes:write", None));
        assert_eq!(door.send(request).await.headers.get(REPLAYED), None, "{tenant} {client}");
    }
    let delete = Request::builder().method("DELETE").uri("/v1/users/ada").header(KEY, "k").body(Body::empty()).unwrap();
    assert_eq!(door.send(delete).await.status, 202);
    assert_eq!(door.users().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_key_is_refused_before_anything_is_done() {
    let door = keyed(Log::default());
    for wrong in ["\"open", "", "a b", &"x".repeat(256)] {
        let answer = door.send(post(wrong, change("ada"))).await;
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("idempotency-key-malformed")), "{wrong:?}");
    }
    let mut twice = post("a", change("ada"));
    twice.headers_mut().append(KEY, HeaderValue::from_static("b"));
    assert_eq!(door.send(twice).await.status, 400);
    assert!(door.users().is_empty());
}
