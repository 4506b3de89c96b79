//! The whole path while nothing goes wrong.

use crate::load::under_load;
use schemas::{Tenant, UserId, topics};
use std::time::Duration;
use store::cache::Key;
use tests::history::History;
use tests::installation::Installation;
use tests::process::logs_in;
use tests::stack::Stack;
use tokio::time::sleep;

fn key(user: &str) -> String {
    Key::new(&Tenant::default(), &UserId::new(user).unwrap()).as_str().to_owned()
}

#[tokio::test]
async fn every_change_of_a_mixed_history_arrives_and_no_row_is_wrong() {
    let home = Installation::build(&Stack::of_run(), "mixed").await;
    let _path = home.start_path();
    let users: Vec<String> = (0..150).map(|user| key(&format!("{}-{user}", home.name()))).collect();
    let stays = key(&format!("{}-nobody", home.name()));
    let entries: Vec<&str> = users.iter().chain([&stays]).flat_map(|key| [&**key, "V-stale"]).collect();
    assert_eq!(home.stack.redis(&[&["MSET"], &entries[..]].concat()), "OK");

    let mut history = History::new(20_261_122, home.name(), users.len());
    let feed = home.feed(topics::RAW);
    for _ in 0..6 {
        feed.send(&history.next(500, &feed)).await;
    }
    home.settled().await;

    home.assert_is(&history).await;
    let changed: Vec<String> =
        history.known().keys().filter(|(tenant, _)| tenant == "main").map(|(_, user)| key(user)).collect();
    assert!(changed.len() > 100, "{} users were changed", changed.len());
    let names: Vec<&str> = changed.iter().map(|key| &**key).collect();
    assert_eq!(home.stack.redis(&[&["EXISTS"], &names[..]].concat()), "0", "entries of changed users are still there");
    assert_eq!(home.stack.redis(&["GET", &stays]), "V-stale", "nobody else's entry is touched");
}

#[tokio::test]
async fn nothing_that_a_worker_logs_or_counts_names_a_user() {
    const CANARY: &str = "canary7f3a";
    let home = Installation::build(&Stack::of_run(), "quiet").await;
    let mut path: Vec<_> =
        ["validate", "enrich", "sink"].map(|worker| home.start(worker, &[("LOG__FILTER", "debug")])).into();
    for worker in &mut path {
        worker.ready().await;
    }
    let mut history = History::new(7, CANARY, 40);
    under_load(&home, &mut history, 20, sleep(Duration::from_secs(1))).await;
    let feed = home.feed(topics::RAW);
    let user = format!("{CANARY}-poison");
    for poison in [
        format!(r#""op": "patch", "set": {{"email": "{CANARY} at home"}}"#),
        format!(r#""op": "patch", "set": {{"phone": "{CANARY}", "{CANARY}": 1}}"#),
        format!(r#""op": "{CANARY}""#),
        format!(r#""op": "delete", "tenant": "{CANARY}!""#),
        CANARY.to_owned(),
    ] {
        feed.change(&user, &poison).await;
    }
    for topic in [topics::VALID, topics::ENRICHED] {
        let feed = home.feed(topic);
        feed.send(&[feed.record(Some(user.as_bytes()), Some(CANARY.as_bytes()))]).await;
    }
    home.settled().await;
    home.assert_nothing_is_lost().await;
    assert_eq!(home.records(topics::DEAD).await.len(), 7, "the poison is poison");

    for worker in &path {
        for page in ["/metrics", "/ready", "/live"] {
            let (_, body) = worker.get(page).unwrap();
            assert!(!body.to_lowercase().contains(CANARY), "{page} of {} names a user", worker.name());
        }
    }
    let logs = logs_in(home.dir());
    assert_eq!(logs.len(), 3);
    for (path, log) in logs {
        assert!(log.lines().count() > 10, "{} is a log", path.display());
        let told = log.lines().find(|line| line.to_lowercase().contains(CANARY));
        assert_eq!(told, None, "{} names a user", path.display());
    }
}
