//! A client that does not find back into its group, and the one that takes its place.

use crate::outage::servers;
use runtime::health::Health;
use runtime::kafka::{Config, KafkaSource, Membership, Protocol, SourceConfig};
use runtime::record::{Offset, Record, TopicPartition};
use runtime::source::{Commit, Committer as _, Demand, Event, Source};
use runtime::telemetry::Counter;
use schemas::topics;
use std::time::Duration;
use tests::installation::Installation;
use tokio::time::timeout;

async fn event(member: &mut impl Source) -> Event {
    let demand = Demand::default();
    let next = timeout(Duration::from_secs(60), member.next(&demand));
    next.await.expect("something happens").unwrap().expect("the source goes on")
}

async fn assigned(member: &mut impl Source) -> i64 {
    loop {
        match event(member).await {
            Event::Assigned(partitions) if !partitions.is_empty() => return partitions[0].1.offset.0,
            Event::Record(_) => panic!("a record of a partition that is not assigned"),
            Event::Revoking { released, .. } => released.send(()).unwrap(),
            Event::Assigned(_) | Event::Lost(_) => {}
        }
    }
}

async fn record(member: &mut impl Source) -> Record {
    loop {
        if let Event::Record(record) = event(member).await {
            return record;
        }
    }
}

/// I17: whatever keeps a client out, the partitions are read again from where they were committed, and commits that were
/// asked for through the old one's hands go through the new one.
#[tokio::test]
async fn a_client_that_stays_out_of_its_group_is_replaced_and_its_work_goes_on() {
    let (stack, _turn) = servers().await;
    let home = Installation::build_wide(&stack, "rejoin", 1).await;
    let own = SourceConfig {
        group: format!("{}.validate", home.name()),
        worker: "validate",
        only: String::new(),
        topic: home.topic(topics::RAW),
        first_metadata: String::new(),
        membership: Membership {
            protocol: Protocol::Classic { session_timeout: Duration::from_secs(3) },
            instance_id: None,
        },
        fetched_bytes: Counter::default(),
        release_within: Duration::from_secs(1),
        rejoin_after: Duration::from_secs(2),
    };
    let kafka = Config { brokers: stack.brokers.clone(), ..Config::default() };
    let health = Health::new();
    let condition = health.condition("kafka", "not yet");
    let heartbeat = health.heartbeat("poll", Duration::from_secs(60));
    let mut member = KafkaSource::join(&kafka, own, condition, heartbeat).unwrap();
    let committer = member.committer();
    let place = TopicPartition::new(home.topic(topics::RAW), 0);
    let commit = |offset| vec![Commit { place: place.clone(), offset, metadata: "here".into() }];
    assert!(committer.commit(commit(Offset(1))).await.is_err(), "who has no partition commits none");
    assert_eq!(assigned(&mut member).await, 0);
    let feed = home.feed(topics::RAW);
    feed.changes("u", &[r#""op": "delete""#; 3]).await;
    assert_eq!(record(&mut member).await.offset, Offset(0));
    committer.commit(commit(Offset(1))).await.unwrap();
    assert!(health.ready().is_ok);

    stack.server("pause", "kafka").await;
    // Its own client gives the partition up once; whatever is lost after that, another one never had.
    for _ in 0..2 {
        while !matches!(event(&mut member).await, Event::Lost(_)) {}
        assert!(!health.ready().is_ok, "{}", health.ready().body);
    }
    assert!(committer.commit(commit(Offset(2))).await.is_err(), "a commit of before is no business of the new one");
    stack.server("resume", "kafka").await;

    assert_eq!(assigned(&mut member).await, 1);
    assert_eq!(record(&mut member).await.offset, Offset(1));
    committer.commit(commit(Offset(2))).await.unwrap();
    assert_eq!(home.committed("validate").await, [2]);
    assert!(health.ready().is_ok, "{}", health.ready().body);
    member.close().await;
}
