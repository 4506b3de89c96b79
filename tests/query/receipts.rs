//! Reading one's own writes (I12), and what became of them.

use crate::house::{House, WITHIN};
use axum::http::StatusCode;
use std::time::Duration;
use tests::until;
use tokio::time::{sleep, timeout};

const NAMED: &str = r#""op":"upsert","set":{"name":"Ada"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn with_its_receipt_a_write_is_read_however_soon() {
    let house = House::at_work("own");
    for round in 0..50 {
        let change = format!(r#""op":"patch","set":{{"bio":"{round}"}}"#);
        let receipt = house.send("ada", &change).await;
        let headers = [("tidewater-receipt", &*receipt), ("prefer", "wait=10")];
        let answer = house.ask("/v1/users/ada?fields=bio", &headers).await;
        assert_eq!((answer.status, &*answer.body), (StatusCode::OK, &*format!(r#"{{"bio":"{round}"}}"#)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_settled_in_time_is_not_answered_with_something_older() {
    let house = House::new("waiting");
    house.start_validate();
    let receipt = house.send("ada", NAMED).await;
    let headers = [("tidewater-receipt", &*receipt), ("prefer", "wait=1")];
    let answer = timeout(Duration::from_secs(5), house.ask("/v1/users/ada", &headers)).await.unwrap();
    assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::CONFLICT, "1"));
    assert_eq!(answer.json()["code"], "not-yet");
    assert_eq!(house.ask("/v1/users/ada", &[]).await.status, StatusCode::NOT_FOUND, "as it is now");
    let path = format!("/v1/changes/{receipt}");
    assert_eq!(house.ask(&path, &[]).await.json()["state"], "not-yet");
    house.start_sink();
    let answer = house.ask("/v1/users/ada", &[("tidewater-receipt", &*receipt), ("prefer", "wait=10")]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, r#"{"name":"Ada"}"#));
    let told = house.ask(&path, &[("prefer", "wait=10")]).await;
    assert_eq!((told.status, told.json()["state"].as_str()), (StatusCode::OK, Some("applied")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_write_is_settled_too_and_only_its_own_page_tells_which() {
    let house = House::at_work("rejected");
    house.settle("ada", NAMED).await;
    let receipt = house.send("ada", r#""op":"upsert","set":{"email":"nonsense"}"#).await;
    let answer = house.ask("/v1/users/ada", &[("tidewater-receipt", &*receipt), ("prefer", "wait=10")]).await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, r#"{"name":"Ada"}"#));
    let told = house.ask(&format!("/v1/changes/{receipt}"), &[]).await;
    assert_eq!(
        (told.json()["state"].as_str(), told.json()["code"].as_str()),
        (Some("rejected"), Some("format-invalid"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_change_that_takes_the_receipt_away_keeps_nobody_waiting() {
    let house = House::at_work("pinned");
    let receipt = house.settle("ada", NAMED).await;
    let newest: i64 = house.ask("/v1/users/ada", &[]).await.header("tidewater-version").parse().unwrap();
    house.pin("ada", r#""op":"upsert","set":{"name":"Pinned"}"#, newest + 8).await;
    let replaced = async || house.ask("/v1/users/ada", &[]).await.body.contains("Pinned").then_some(());
    until("the pinned change", WITHIN, replaced).await;
    let headers = [("tidewater-receipt", &*receipt), ("prefer", "wait=10")];
    let answer = timeout(Duration::from_secs(5), house.ask("/v1/users/ada", &headers)).await.unwrap();
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, r#"{"name":"Pinned"}"#));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_that_is_none_of_this_user_is_refused() {
    let house = House::at_work("foreign");
    let receipt = house.send("ada", NAMED).await;
    let partition: i32 = receipt.split('/').next().unwrap().parse().unwrap();
    let elsewhere = format!("{}/0", (partition + 1) % 3);
    for (wrong, code) in [("x", "receipt-invalid"), ("1/-1", "receipt-invalid"), (&elsewhere, "receipt-elsewhere")] {
        let answer = house.ask("/v1/users/ada", &[("tidewater-receipt", wrong)]).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (StatusCode::BAD_REQUEST, Some(code)), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_what_the_log_does_not_have_nothing_is_told() {
    let house = House::at_work("unknown");
    let receipt = house.settle("ada", NAMED).await;
    let (partition, _) = receipt.split_once('/').unwrap();
    for beyond in [format!("{partition}/5"), "77/0".to_owned()] {
        let answer = house.ask(&format!("/v1/changes/{beyond}"), &[]).await;
        assert_eq!((answer.status, answer.json()["code"].as_str()), (StatusCode::NOT_FOUND, Some("change-unknown")));
    }
    for wrong in ["0/x", "-1/0", "0/99999999999999999999"] {
        let answer = house.ask(&format!("/v1/changes/{wrong}"), &[]).await;
        assert_eq!(answer.json()["code"], "receipt-invalid", "{wrong}");
    }
}

/// Others write all the time: the ends of topics never stand still.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_never_quiet_keeps_nobody_waiting() {
    let house = House::at_work("busy");
    let receipt = house.send("ada", r#""op":"upsert","set":{"email":"nonsense"}"#).await;
    let noise = async {
        loop {
            for other in 0..20 {
                house.send(&format!("u{other}"), NAMED).await;
            }
            sleep(Duration::from_millis(1)).await;
        }
    };
    let asking = async {
        let headers = [("tidewater-receipt", &*receipt), ("prefer", "wait=10")];
        timeout(Duration::from_secs(8), house.ask("/v1/users/ada", &headers)).await.expect("it is settled")
    };
    let answer = tokio::select! {
        answer = asking => answer,
        () = noise => unreachable!("it goes on"),
    };
    assert_eq!(answer.status, StatusCode::NOT_FOUND, "the only change was rejected");
}
