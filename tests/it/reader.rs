//! Reading spans of a topic from outside the path.

use crate::servers;
use runtime::kafka::{Config, Error, Reader};
use runtime::offsets::Span;
use schemas::topics;
use std::time::Duration;
use tests::installation::Installation;
use tests::stack::Stack;

/// A new leader knows of fewer records for a while than were confirmed; here they come only later.
#[tokio::test]
async fn a_span_is_read_to_its_end_and_not_to_the_end_of_the_partition() {
    let home = Installation::build(&Stack::of_run(), "spans").await;
    let feed = home.feed(topics::RAW);
    let record = || feed.record(None, Some(b"x"));
    feed.send(&[record(), record(), record()]).await;
    let kafka = Config { brokers: servers::brokers(), ..Config::default() };
    let open = |to| {
        let span = Span { partition: 0, from: 1, to };
        Reader::open(&kafka, &home.topic(topics::RAW), &[span]).unwrap()
    };
    let read = async |mut reader: Reader| {
        let mut offsets = Vec::new();
        while let Some(record) = reader.next().await? {
            offsets.push(record.offset.0);
        }
        Ok::<_, Error>(offsets)
    };
    let more = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        feed.send(&[record(), record()]).await;
    };
    let (within, beyond, never, ()) = tokio::join!(read(open(3)), read(open(5)), read(open(7)), more);
    assert_eq!(within.unwrap(), [1, 2]);
    assert_eq!(beyond.unwrap(), [1, 2, 3, 4], "what came after the end was met");
    let error = never.unwrap_err();
    let is_told = matches!(error, Error::Stalled { partition: 0, next: 5, to: 7, .. });
    assert!(is_told, "{error}");
}
