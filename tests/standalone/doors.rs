//! Changes that come in over HTTP: what is acknowledged is there, also after a kill.

use crate::house::{House, settled};
use serde_json::{Value, json};
use tests::process::{Request, Worker};

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const LINES: &[(&str, &str)] = &[("content-type", "application/x-ndjson")];

fn took(worker: &Worker, request: &Request<'_>) -> Value {
    let answer = worker.ask(request).expect("the door answers");
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.json()
}

fn profile(house: &House, user: &str) -> Value {
    let told: Value = serde_json::from_str(&house.told(&["get", user], "")).unwrap();
    told["profile"].clone()
}

#[tokio::test]
async fn what_a_client_puts_patches_and_deletes_is_what_readers_see() {
    let mut house = House::new("doors");
    let (worker, access) = house.up("10ms").await;
    let ada = Request::new("PUT", "/v1/users/ada").headers(JSON);
    took(&worker, &ada.body(r#"{"name":"Ada","email":"ada@EXAMPLE.org"}"#));
    took(&worker, &Request::new("PATCH", "/v1/users/ada").headers(JSON).body(r#"{"name":null,"country":"gb"}"#));
    let answer = worker.ask(&ada.body(r#"{"name":7}"#)).unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (422, Some("application/problem+json")));
    assert_eq!((&answer.json()["code"], &answer.json()["field"]), (&json!("field-type"), &json!("set.name")));
    settled(&access).await;
    let expected = json!({"email": "ada@example.org", "email_domain": "example.org", "country": "GB", "region": "Northern Europe"});
    let found = profile(&house, "ada");
    assert_eq!((&found["email"], &found["country"]), (&expected["email"], &expected["country"]), "{found}");
    assert!(found.get("name").is_none());
    took(&worker, &Request::new("DELETE", "/v1/users/ada"));
    settled(&access).await;
    assert_eq!(house.refused(&["get", "ada"], "").0, 1);
    let verdict = house.verdict().await;
    assert_eq!((verdict.lost, verdict.wrong), (0, 0));
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

#[tokio::test]
async fn who_wrote_reads_what_they_wrote_and_is_told_what_became_of_it() {
    let mut house = House::new("receipts");
    let (worker, access) = house.up("10ms").await;
    for round in 0..5 {
        let body = format!(r#"{{"name":"Ada {round}","country":"gb"}}"#);
        let put = worker.ask(&Request::new("PUT", "/v1/users/ada").headers(JSON).body(&body)).unwrap();
        let receipt = put.header("tidewater-receipt").unwrap().to_owned();
        let own = [("tidewater-receipt", &*receipt)];
        let seen = worker.ask(&Request::new("GET", "/v1/users/ada").headers(&own)).unwrap();
        assert_eq!((seen.status, &seen.json()["name"]), (200, &json!(format!("Ada {round}"))), "{}", seen.body);
        let path = format!("/v1/changes/{receipt}");
        let told = worker.ask(&Request::new("GET", &path).headers(&[("prefer", "wait=9")])).unwrap();
        assert_eq!((told.status, &told.json()["state"]), (200, &json!("applied")), "{}", told.body);
    }
    let again = worker.ask(&Request::new("GET", "/v1/users/ada")).unwrap();
    assert!(again.header("etag").is_some() && again.header("tidewater-version").is_some());
    let known = [("if-none-match", again.header("etag").unwrap())];
    assert_eq!(worker.ask(&Request::new("GET", "/v1/users/ada").headers(&known)).unwrap().status, 304);
    assert_eq!(worker.ask(&Request::new("GET", "/v1/users/nobody")).unwrap().status, 404);
    assert_eq!(worker.ask(&Request::new("GET", "/elsewhere")).unwrap().status, 404);
    assert_eq!(worker.ask(&Request::new("POST", "/v1/users/ada")).unwrap().status, 405);
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once_also_over_a_kill() {
    let mut house = House::new("keys");
    let headers = [("content-type", "application/json"), ("idempotency-key", "k1")];
    let request = Request::new("PUT", "/v1/users/ada").headers(&headers).body(r#"{"name":"Ada"}"#);
    let mut receipts = Vec::new();
    for round in 0..3 {
        let (worker, access) = house.up("10ms").await;
        let answer = worker.ask(&request).unwrap();
        assert_eq!(
            (answer.status, answer.header("idempotency-replayed").is_some()),
            (202, round > 0),
            "{}",
            answer.body
        );
        receipts.push(answer.header("tidewater-receipt").unwrap().to_owned());
        drop(access);
        worker.kill();
    }
    assert!(receipts.iter().all(|receipt| *receipt == receipts[0]), "{receipts:?}");
    let (worker, access) = house.up("10ms").await;
    let held = access.watermarks(schemas::topics::RAW).await.unwrap();
    assert_eq!(held.iter().map(|held| held.high).sum::<i64>(), 1);
    drop(access);
    assert_eq!(worker.leave().await, 0);
}

#[tokio::test]
async fn no_change_that_was_acknowledged_is_lost_to_a_kill() {
    let mut house = House::new("doorkill");
    let mut acknowledged = Vec::new();
    for round in 0..3 {
        let (worker, access) = house.up("10ms").await;
        for at in 0..20 {
            let users: Vec<String> = (0..5).map(|user| format!("r{round}-{at}-{user}")).collect();
            let lines: Vec<String> = users
                .iter()
                .map(|user| format!(r#"{{"user_id":"{user}","op":"upsert","set":{{"name":"N"}}}}"#))
                .collect();
            let told = took(&worker, &Request::new("POST", "/v1/changes").headers(LINES).body(&lines.join("\n")));
            assert_eq!(told["accepted"], 5);
            let receipts = told["results"].as_array().unwrap().iter();
            let place = |receipt: &Value| (receipt["partition"].as_i64().unwrap(), receipt["offset"].as_i64().unwrap());
            acknowledged.extend(users.into_iter().zip(receipts.map(place)));
        }
        drop(access);
        worker.kill();
    }
    let (worker, access) = house.up("10ms").await;
    settled(&access).await;
    for (user, (partition, offset)) in &acknowledged {
        let row = access.row(&schemas::Tenant::default(), &schemas::UserId::new(user).unwrap()).await.unwrap();
        let row = row.unwrap_or_else(|| panic!("{user} was acknowledged and is gone")).row;
        assert_eq!((row.partition.map(i64::from), row.offset), (Some(*partition), Some(*offset)), "{user}'s receipt");
    }
    drop(access);
    assert_eq!(worker.leave().await, 0);
}
