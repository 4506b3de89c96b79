//! Brokers that go away while a worker has its hands full.

use crate::outage::servers;
use runtime::record::Outgoing;
use schemas::{headers, topics};
use std::collections::BTreeSet;
use std::time::Duration;
use tests::installation::Installation;
use tests::until;
use tokio::time::sleep;

/// More than a worker gets done until it is noticed that it has begun, and as much as it fetches ahead.
const BACKLOG: usize = 60_000;

/// I7, I8: nothing fails, for a write is tried until it is acknowledged; silence is what tells.
#[tokio::test]
async fn brokers_that_acknowledge_nothing_stop_the_intake_and_cost_no_record() {
    let (stack, _turn) = servers().await;
    let home = Installation::build(&stack, "brokers").await;
    let feed = home.feed(topics::RAW);
    let change = |user: usize| feed.of(&format!("u-{user}"), r#""op": "delete""#);
    feed.send(&(0..BACKLOG).map(change).collect::<Vec<Outgoing>>()).await;
    let validate = home.start("validate", &[]);
    until("validate to begin", Duration::from_secs(60), async || {
        validate.metric("records_out_total").filter(|out| *out > 0.0)
    })
    .await;
    stack.server("kill", "kafka").await;
    until("validate to notice that nothing is acknowledged", Duration::from_secs(30), async || {
        validate.shown("breaker_opens", "kafka").filter(|opens| *opens > 0.0)
    })
    .await;
    // On /ready until its session ends, and its partitions with it.
    let log = validate.log();
    let mut said = log.lines().filter(|line| line.contains(r#""condition":"brokers""#));
    assert!(said.any(|line| line.contains("open") && line.contains("acknowledges nothing")), "{log}");
    assert_ne!(validate.shown("breaker_state", "kafka"), Some(0.0));
    let before = validate.shown("breaker_tries", "kafka").unwrap();
    sleep(Duration::from_secs(3)).await;
    let tries = validate.shown("breaker_tries", "kafka").unwrap() - before;
    assert!(tries <= 10.0, "{tries} batches were handed to brokers that are away");
    stack.server("start", "kafka").await;
    home.settled_by("validate").await;

    assert_eq!(validate.waits_for("brokers"), None);
    let valid = home.records(topics::VALID).await;
    let origins: BTreeSet<_> = valid.iter().map(|record| record.headers.last(headers::ORIGIN).unwrap()).collect();
    assert_eq!(origins.len(), BACKLOG, "each is there, once or more");
    assert_eq!(home.records(topics::DEAD).await.len(), 0, "an outage dead-letters nothing");
}
