//! How records come: whole, in order, and only of partitions that may be read.

use crate::member::{PATIENCE, SILENCE, Seen, assigned, joined, leave, record, records, stopped, write};
use crate::worlds::{GROUP, PARTITIONS, World};
use bytes::Bytes;
use runtime::clock::Clock;
use runtime::record::{Headers, Outgoing, Timestamp};
use runtime::source::{Demand, Event, Source as _};
use runtime::stage::Sink as _;
use std::time::Duration;
use tests::history::Random;
use tokio::time::{sleep, timeout};

pub(crate) async fn records_come_as_they_were_written_in_the_order_of_their_partition_and_stamped_by_the_log<
    W: World,
>(
    world: &W,
) {
    let written = shapes();
    let before_ms = Clock::system().now_ms();
    write(world, &written).await;
    let after_ms = Clock::system().now_ms();
    let (mut source, _) = joined(world, GROUP).await;
    let mut seen = Seen::default();
    seen.reach(written.len(), &mut source, &Demand::default()).await;
    seen.assert_is(&written);
    for record in seen.all() {
        let Timestamp::LogAppend(at_ms) = record.timestamp else { panic!("{record:?}: {:?}", record.timestamp) };
        assert!((before_ms..=after_ms).contains(&at_ms), "{record:?}: {at_ms}, not {before_ms} to {after_ms}");
    }
    leave(source).await;
}

pub(crate) async fn of_a_topic_that_producers_stamp_a_record_carries_their_time<W: World>(world: &W) {
    let before_ms = Clock::system().now_ms();
    write(world, &records(0..30, 10)).await;
    let after_ms = Clock::system().now_ms();
    let (mut source, _) = joined(world, GROUP).await;
    let mut seen = Seen::default();
    seen.reach(30, &mut source, &Demand::default()).await;
    for record in seen.all() {
        let Timestamp::Create(at_ms) = record.timestamp else { panic!("{record:?}: {:?}", record.timestamp) };
        assert!((before_ms..=after_ms).contains(&at_ms), "{record:?}: {at_ms}, not {before_ms} to {after_ms}");
    }
    leave(source).await;
}

/// Keys and values that are there, empty and null, in all combinations with headers of every kind.
fn shapes() -> Vec<Outgoing> {
    let text = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let parts = || [None, text(""), Some((0..=255_u8).collect::<Bytes>())];
    let headers: [&[(&str, Option<Bytes>)]; 6] = [
        &[],
        &[("one", text("1"))],
        &[("one", text("1")), ("two", Some((0..=255_u8).collect()))],
        &[("twice", text("first")), ("between", text("")), ("twice", text("second"))],
        &[("null", None), ("empty", text(""))],
        &[("名", text("значение"))],
    ];
    let mut random = Random::new(1);
    let mut shapes = Vec::new();
    for key in parts() {
        for value in parts() {
            for headers in headers {
                let mut item =
                    Outgoing { partition: 0, key: key.clone(), value: value.clone(), headers: Headers::default() };
                headers.iter().for_each(|(name, value)| item.headers.push(*name, value.clone()));
                shapes.push(item);
            }
        }
        // Larger than what is read at once, and than what may wait for a partition.
        let value = (0..700_000).map(|_| random.number().to_le_bytes()[0]).collect();
        shapes.push(Outgoing { partition: 0, key, value: Some(value), headers: Headers::default() });
    }
    let elsewhere = shapes.iter().cloned().map(|item| Outgoing { partition: 1, ..item }).collect();
    [shapes, elsewhere].concat()
}

pub(crate) async fn a_partition_that_is_stopped_stands_alone_and_goes_on_without_a_gap<W: World>(world: &W) {
    // Three times what may wait for a partition, so that the one that stands has more before it than it can hold.
    let (first, more) = (records(0..9_000, 500), records(9_000..18_000, 500));
    write(world, &first).await;
    let (mut source, _) = joined(world, GROUP).await;
    let (mut seen, all) = (Seen::default(), Demand::default());
    seen.reach(30, &mut source, &all).await;
    let early = seen.of(1).len();
    seen.reach(6_000 + early, &mut source, &stopped(world, [1])).await;
    // The others are at their end, and it stays stopped while they are given more.
    let nothing = timeout(SILENCE, source.next(&stopped(world, [1]))).await;
    assert!(nothing.is_err(), "{nothing:?}");
    write(world, &more).await;
    seen.reach(12_000 + early, &mut source, &stopped(world, [1])).await;
    assert_eq!(seen.of(1).len(), early);

    // It catches up by itself while another one stands, at times alone.
    write(world, &records(18_000..18_003, 500)).await;
    seen.reach(15_000, &mut source, &stopped(world, [0, 2])).await;
    assert_eq!((seen.of(0).len(), seen.of(2).len()), (6_000, 6_000));
    seen.reach(16_000, &mut source, &stopped(world, [0])).await;
    assert_eq!(seen.of(0).len(), 6_000);
    seen.reach(18_003, &mut source, &all).await;
    let written = [first, more, records(18_000..18_003, 500)].concat();
    seen.assert_is(&written);
    leave(source).await;
}

/// Partitions are stopped and let go at random while more is written: whatever is left behind catches up.
pub(crate) async fn whatever_is_stopped_and_let_go_each_record_comes_once_and_in_order<W: World>(world: &W) {
    let mut written = Vec::new();
    for (seed, group) in (1..).zip(["one", "two", "three"]) {
        let mut random = Random::new(seed);
        let mut more = records(written.len()..written.len() + 3_000, 300);
        // One partition has most of them, and a few fill what may wait for a partition by themselves.
        for item in &mut more {
            item.partition = [0, 1, 2, 2, 2][random.below(5)];
            if random.below(150) == 0 {
                item.value = Some(vec![7; random.below(400_000)].into());
            }
        }
        let (mut source, _) = joined(world, group).await;
        let count = written.len() + more.len();
        let reading = timeout(PATIENCE, read_at_random(world, &mut source, &mut random, count));
        let (seen, ()) = tokio::join!(reading, write(world, &more));
        written.append(&mut more);
        seen.expect("it gets there").assert_is(&written);
        leave(source).await;
    }
}

/// Reads until there are so many, with others stopped every now and then, at times all.
async fn read_at_random<W: World>(world: &W, source: &mut W::Source, random: &mut Random, count: usize) -> Seen {
    let mut seen = Seen::default();
    while seen.count() < count {
        let demand = stopped(world, (0..PARTITIONS).filter(|_| random.below(2) == 0));
        for _ in 0..random.below(400) {
            let next = match random.below(2) {
                0 => source.ready(&demand).unwrap().map(Event::Record),
                _ => match timeout(Duration::from_millis(5), source.next(&demand)).await {
                    Ok(event) => event.unwrap(),
                    // Perhaps nothing is left of what may be read.
                    Err(_) => break,
                },
            };
            match next {
                Some(Event::Record(record)) => {
                    assert!(!demand.stopped.contains(&record.place), "{record:?} must wait");
                    seen.add(record);
                }
                Some(event @ (Event::Assigned(_) | Event::Revoking { .. } | Event::Lost(_))) => panic!("{event:?}"),
                None => {}
            }
        }
    }
    seen
}

pub(crate) async fn ready_gives_what_is_there_of_partitions_that_may_be_read_and_never_an_event<W: World>(world: &W) {
    let written = records(0..3_000, 100);
    write(world, &written).await;
    let mut source = world.source(GROUP, "").await;
    let (all, none, last) = (Demand::default(), stopped(world, 0..PARTITIONS), stopped(world, [0, 1]));
    assert!(source.ready(&all).unwrap().is_none(), "what comes first is no record");
    assigned(world, &mut source).await;
    assert!(source.ready(&none).unwrap().is_none());
    let nothing = timeout(SILENCE, source.next(&none)).await;
    assert!(nothing.is_err(), "{nothing:?} of partitions that must wait");
    assert!(source.ready(&none).unwrap().is_none());

    let (mut seen, mut by_ready) = (Seen::default(), 0);
    for (demand, until) in [(&last, 1_000), (&all, 3_000)] {
        while seen.count() < until {
            seen.add(record(&mut source, demand).await);
            while let Some(record) = source.ready(demand).unwrap() {
                assert!(!demand.stopped.contains(&record.place), "{record:?} must wait");
                seen.add(record);
                by_ready += 1;
            }
        }
        assert_eq!(seen.count(), until);
        assert!(source.ready(demand).unwrap().is_none(), "at the end nothing is there");
    }
    assert!(by_ready > 1_000, "{by_ready} of 3,000 records are there when one has come");
    seen.assert_is(&written);
    leave(source).await;
}

pub(crate) async fn dropping_a_wait_for_the_next_event_loses_nothing<W: World>(world: &W) {
    let written = records(0..2_000, 500);
    let sink = world.sink();
    let writing = async {
        for batch in written.chunks(50) {
            sleep(Duration::from_millis(4)).await;
            assert!(sink.write(batch).await.unwrap().is_empty());
        }
    };
    let mut source = world.source(GROUP, "").await;
    let reading = async {
        let (mut seen, mut held, mut dropped) = (Seen::default(), 0, 0);
        while seen.count() < written.len() {
            match timeout(Duration::from_millis(1), source.next(&Demand::default())).await {
                Ok(Ok(Some(Event::Assigned(partitions)))) => held += partitions.len(),
                Ok(Ok(Some(Event::Record(record)))) => seen.add(record),
                Ok(other) => panic!("{other:?}"),
                Err(_) => dropped += 1,
            }
        }
        assert_eq!(held, usize::try_from(PARTITIONS).unwrap());
        assert!(dropped > 10, "{dropped} waits were dropped");
        seen.assert_is(&written);
    };
    timeout(PATIENCE, async { tokio::join!(writing, reading) }).await.expect("it gets there");
    leave(source).await;
}
