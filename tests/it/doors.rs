//! Changes that come in over HTTP before real brokers: a receipt is the place of a record, and no answer is a promise
//! that a broker did not make first.

use crate::outage;
use bytes::Bytes;
use schemas::{Tenant, UserId, topics};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::time::Duration;
use tests::installation::Installation;
use tests::process::{Request, Worker};
use tests::stack::{self, Stack};
use tests::until;
use tokio::time::{Instant, sleep};

const LINES: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];
const ANYWHERE: (&str, &str) = ("INGEST__LISTEN", "127.0.0.1:0");

/// Users and the places they were promised.
type Promised = Vec<(String, i32, i64)>;

async fn door(home: &Installation, options: &[(&str, &str)]) -> Worker {
    let mut door = home.start("ingest", &[&[ANYWHERE], options].concat());
    door.ready().await;
    door
}

/// Posts an upsert for each user; what was promised of them.
fn post(door: &Worker, users: &[String]) -> Promised {
    let change = |user: &String| json!({"user_id": user, "op": "upsert", "set": {"name": user}}).to_string();
    let lines: Vec<String> = users.iter().map(change).collect();
    let Some(answer) = door.ask(&Request::new("POST", "/v1/changes").headers(LINES).body(&lines.join("\n"))) else {
        return Vec::new();
    };
    let told = answer.json();
    let results = told["results"].as_array().map(Vec::as_slice).unwrap_or_default();
    let place = |result: &Value| Some((i32::try_from(result["partition"].as_i64()?).ok()?, result["offset"].as_i64()?));
    let promised = users.iter().zip(results).filter_map(|(user, result)| Some((user, place(result)?)));
    promised.map(|(user, (partition, offset))| (user.clone(), partition, offset)).collect()
}

async fn assert_kept(home: &Installation, promised: &Promised) {
    let records = home.records(topics::RAW).await;
    let kept: HashMap<(i32, i64), Option<Bytes>> =
        records.into_iter().map(|record| ((record.place.partition, record.offset.0), record.key)).collect();
    for (user, partition, offset) in promised {
        let key = kept.get(&(*partition, *offset)).and_then(Option::as_deref);
        assert_eq!(key, Some(user.as_bytes()), "{partition}/{offset} is not what was promised");
    }
}

#[tokio::test]
async fn a_receipt_is_the_place_of_the_record_and_of_the_row_that_comes_of_it() {
    let home = Installation::build(&Stack::of_run(), "doors").await;
    let _path = home.start_path();
    let door = door(&home, &[]).await;
    let users: Vec<String> = (0..700).map(|user| format!("{}-{user}", home.name())).collect();
    let promised = post(&door, &users);
    assert_eq!(promised.len(), users.len(), "all of it, in more than one batch");
    assert_kept(&home, &promised).await;
    home.settled().await;
    for (user, partition, offset) in promised.iter().step_by(50) {
        let row = home.row_of(&Tenant::default(), &UserId::new(user).unwrap()).await;
        assert_eq!((row.partition, row.offset), (Some(*partition), Some(*offset)));
    }
    let answer = door.ask(&Request::new("DELETE", &format!("/v1/users/{}", users[0]))).unwrap();
    let again = post(&door, &users[..1]);
    let receipt = answer.header("tidewater-receipt").unwrap();
    assert_eq!(receipt, format!("{}/{}", again[0].1, again[0].2 - 1), "one user, one order");
    assert_eq!(door.leave().await, 0);
}

#[tokio::test]
async fn what_a_killed_door_had_answered_for_is_in_the_log() {
    let home = Installation::build(&Stack::of_run(), "doorkill").await;
    let mut promised = Vec::new();
    for round in 0..3 {
        let door = door(&home, &[]).await;
        let pid = door.pid();
        let (killed, kill) = std::sync::mpsc::channel::<()>();
        let killer = std::thread::spawn(move || {
            // In the middle of whatever is posted then.
            kill.recv_timeout(Duration::from_millis(300)).ok();
            std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        });
        let since = Instant::now();
        for at in 0.. {
            let users: Vec<String> = (0..40).map(|user| format!("{}-{round}-{at}-{user}", home.name())).collect();
            let more = post(&door, &users);
            let is_gone = more.is_empty();
            promised.extend(more);
            if is_gone || since.elapsed() > Duration::from_secs(20) {
                break;
            }
        }
        drop(killed);
        killer.join().unwrap();
    }
    assert!(promised.len() > 100, "{} were promised", promised.len());
    assert_kept(&home, &promised).await;
}

#[tokio::test]
async fn an_answer_is_kept_for_its_key_whichever_door_is_asked_again() {
    let home = Installation::build(&Stack::of_run(), "doorkeys").await;
    let (host, port) = stack::keys();
    let port = port.to_string();
    let options = [("IDEMPOTENCY__HOST", &*host), ("IDEMPOTENCY__PORT", &*port)];
    let (first, second) = (door(&home, &options).await, door(&home, &options).await);
    let headers = [("content-type", "application/json"), ("idempotency-key", home.name())];
    let change = |name: &str| json!({"user_id": home.name(), "op": "upsert", "set": {"name": name}}).to_string();
    let ada = change("Ada");
    let request = Request::new("POST", "/v1/changes").headers(&headers);
    let told = first.ask(&request.body(&ada)).unwrap();
    assert_eq!(told.status, 202, "{}", told.body);
    first.kill();
    let again = second.ask(&request.body(&ada)).unwrap();
    assert_eq!((again.status, again.header("idempotency-replayed")), (202, Some("true")));
    assert_eq!((again.header("tidewater-receipt"), &again.body), (told.header("tidewater-receipt"), &told.body));
    assert_eq!(second.ask(&request.body(&change("Another"))).unwrap().status, 422);
    let written = home.records(topics::RAW).await.len();
    assert_eq!(written, 1, "the change was asked for twice, and is there once");
}

#[tokio::test]
async fn a_door_does_not_begin_with_keys_that_would_be_forgotten() {
    let home = Installation::build(&Stack::of_run(), "doorcache").await;
    let (host, port) = home.stack.redis_address();
    let port = port.to_string();
    let options = [ANYWHERE, ("IDEMPOTENCY__HOST", host), ("IDEMPOTENCY__PORT", &*port)];
    let mut door = home.start("ingest", &options);
    assert_eq!(door.exit().await, 64, "{}", door.log());
    assert!(door.log().contains("appendonly yes"), "{}", door.log());
}

#[tokio::test]
async fn while_brokers_are_away_the_door_says_so_and_promises_nothing() {
    let (stack, _turn) = outage::servers().await;
    let home = Installation::build(&stack, "doorless").await;
    let mut door = door(&home, &[("INGEST__ACK_WITHIN", "1s")]).await;
    let user = |at: usize| vec![format!("{}-{at}", home.name())];
    let mut promised = post(&door, &user(0));
    stack.server("stop", "kafka").await;
    for at in 1..4 {
        let since = Instant::now();
        let change = json!({"user_id": user(at)[0], "op": "delete"}).to_string();
        let answer = door.ask(&Request::new("POST", "/v1/changes").body(&change)).expect("it answers");
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.body);
        assert_eq!(answer.json()["code"], "unacknowledged");
        assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    }
    stack.server("start", "kafka").await;
    let more = until("the door to take changes again", Duration::from_secs(60), async || {
        let more = post(&door, &user(9));
        sleep(Duration::from_millis(100)).await;
        (!more.is_empty()).then_some(more)
    })
    .await;
    promised.extend(more);
    assert!(door.is_running());
    assert_eq!(promised.len(), 2);
    assert_kept(&home, &promised).await;
}
