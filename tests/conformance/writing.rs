//! What a sink has written when it says so, and what it refuses.

use crate::member::{Seen, content, joined, leave, record, records};
use crate::worlds::{GROUP, PARTITIONS, World};
use bytes::Bytes;
use runtime::record::Outgoing;
use runtime::source::Demand;
use runtime::stage::{Sink, too_large};
use std::collections::HashSet;
use tests::history::Random;

pub(crate) async fn what_a_write_has_returned_for_is_read_in_its_partition_in_order<W: World>(world: &W) {
    let written = records(0..600, 200);
    let (mut source, _) = joined(world, GROUP).await;
    let (mut seen, all) = (Seen::default(), Demand::default());
    let sink = world.sink();
    assert!(sink.write(&[]).await.unwrap().is_empty(), "nothing is written at once");
    for batch in written[..300].chunks(15) {
        assert!(sink.write(batch).await.unwrap().is_empty());
        // Nothing more is needed for it to be seen.
        seen.reach(seen.count() + batch.len(), &mut source, &all).await;
    }
    seen.assert_is(&written[..300]);

    // Two that write at once: each in its own order.
    let another = world.sink();
    let half = |sink, mine: &[Outgoing]| write_with(sink, mine.to_vec());
    tokio::join!(half(&sink, &written[300..450]), half(&another, &written[450..]));
    seen.reach(600, &mut source, &all).await;
    for half in [&written[300..450], &written[450..]] {
        for partition in 0..PARTITIONS {
            let wanted: Vec<&Outgoing> = half.iter().filter(|item| item.partition == partition).collect();
            let found: Vec<Outgoing> =
                seen.of(partition).iter().map(content).filter(|item| half.contains(item)).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), wanted);
        }
    }
    leave(source).await;

    let (mut later, _) = joined(world, "later").await;
    let mut again = Seen::default();
    again.reach(600, &mut later, &all).await;
    assert!(again.all().eq(seen.all()), "who reads later reads the same");
    leave(later).await;
}

async fn write_with(sink: &impl Sink<Item = Outgoing>, records: Vec<Outgoing>) {
    for batch in records.chunks(10) {
        assert!(sink.write(batch).await.unwrap().is_empty());
    }
}

pub(crate) async fn of_a_batch_the_record_that_is_too_large_is_refused_alone<W: World>(world: &W) {
    let mut batch = records(0..30, 100);
    let mut random = Random::new(2);
    // Half as large again as the topic takes, and no compression makes it less.
    let value: Bytes = (0..3 << 19).map(|_| random.number().to_le_bytes()[0]).collect();
    batch[16].value = Some(value);
    batch[16].headers.push_text("tw-origin", "changes.raw.v1/1/5");
    let sink = world.sink();
    assert_eq!(sink.write(&batch).await.unwrap(), [(16, too_large(&batch[16]))]);
    assert_eq!(too_large(&batch[16]).code, "too-large");
    // And the next one is as any other.
    let behind = records(30..33, 100);
    assert!(sink.write(&behind).await.unwrap().is_empty());
    let large = batch.remove(16);
    let wanted = [batch, behind.clone()].concat();

    let (mut source, _) = joined(world, GROUP).await;
    let mut seen = Seen::default();
    while !behind.iter().all(|item| seen.all().any(|record| content(record) == *item)) {
        seen.add(record(&mut source, &Demand::default()).await);
    }
    for partition in 0..PARTITIONS {
        // Kafka does not say which one it refuses, so the neighbours may have been written once more.
        let mut known = HashSet::new();
        let mut found: Vec<Outgoing> = seen.of(partition).iter().map(content).collect();
        found.retain(|item| known.insert(item.value.clone()));
        let wanted: Vec<Outgoing> = wanted.iter().filter(|item| item.partition == partition).cloned().collect();
        assert_eq!(found, wanted, "partition {partition}");
        assert!(!known.contains(&large.value));
    }
    leave(source).await;
}
