//! Brokers that take no writes, while everything else works.

use crate::load::under_load;
use runtime::kafka::{Admin, Config, Plan, TopicSpec};
use schemas::topics;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::history::History;
use tests::installation::{Installation, PARTITIONS};
use tests::stack::Stack;
use tests::until;
use tokio::time::sleep;

/// Asks for so many replicas in sync of a topic that has one.
async fn want_replicas(home: &Installation, topic: &str, count: u8) {
    let admin = Admin::new(&Config { brokers: home.stack.brokers.clone(), ..Config::default() }).unwrap();
    let name = home.topic(topic);
    let configs = BTreeMap::from([("min.insync.replicas".to_owned(), count.to_string())]);
    let found = admin.describe(std::slice::from_ref(&name)).await.unwrap();
    let spec = TopicSpec { name, partitions: PARTITIONS, replication: 1, configs };
    admin.apply(&Plan::between(&[spec], &found).unwrap()).await.unwrap();
}

/// I7, I8: nothing fails, for a write is tried until it is acknowledged; silence is what tells.
#[tokio::test]
async fn brokers_that_acknowledge_nothing_stop_the_intake_and_cost_no_record() {
    let home = Installation::build(&Stack::of_run(), "brokers").await;
    let mut path = home.start_path();
    for worker in &mut path {
        worker.ready().await;
    }
    let mut history = History::new(29, home.name(), 100);
    under_load(&home, &mut history, 20, async {
        want_replicas(&home, topics::VALID, 2).await;
        let validate = &path[0];
        let said = until("validate to say that nothing is acknowledged", Duration::from_secs(30), async || {
            validate.waits_for("brokers")
        });
        let said = said.await;
        assert!(said.contains("open") && said.contains("acknowledges nothing"), "{said}");
        assert_ne!(validate.shown("breaker_state", "kafka"), Some(0.0));
        let before = validate.shown("breaker_tries", "kafka").unwrap();
        sleep(Duration::from_secs(5)).await;
        let tries = validate.shown("breaker_tries", "kafka").unwrap() - before;
        assert!(tries <= 10.0, "{tries} batches were handed to brokers that take none");
        assert_ne!(home.lag("validate").await, Some(0), "what was not written is not committed");
        assert_eq!(path[1].waits_for("brokers"), None, "enrich writes to another topic");
        want_replicas(&home, topics::VALID, 1).await;
    })
    .await;
    home.settled().await;

    assert_eq!(path[0].waits_for("brokers"), None);
    assert_eq!(path[0].shown("breaker_state", "kafka"), Some(0.0));
    home.assert_is(&history).await;
    assert_eq!(home.records(topics::DEAD).await.len(), 0, "an outage dead-letters nothing");
}
