//! The whole path while nothing goes wrong.

use schemas::{Tenant, UserId, topics};
use store::cache::Key;
use tests::history::History;
use tests::installation::Installation;
use tests::stack::Stack;

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
