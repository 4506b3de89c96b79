//! Where a member of a group goes on, and what commits have to do with it.

use crate::member::{Seen, assigned, event, joined, leave, records, write};
use crate::worlds::{GROUP, PARTITIONS, World};
use runtime::fault::{Exit, Fault};
use runtime::record::Offset;
use runtime::source::{Commit, Committer as _, Demand, Event, Resume, Source as _};
use std::collections::BTreeMap;

pub(crate) async fn a_first_start_is_told_of_every_partition_at_0_and_that_is_committed<W: World>(world: &W) {
    // What is there before anybody has read is read, too.
    write(world, &records(0..10, 10)).await;
    assert!(world.committed(GROUP).await.iter().all(Option::is_none));
    let mut source = world.source(GROUP, "v1:7:7").await;
    let first = Resume { offset: Offset(0), metadata: "v1:7:7".into() };
    let resumes = assigned(world, &mut source).await;
    assert_eq!(resumes, (0..PARTITIONS).map(|partition| (partition, first.clone())).collect());
    assert!(world.committed(GROUP).await.iter().all(|found| *found == Some((0, "v1:7:7".into()))));
    leave(source).await;

    let mut second = world.source(GROUP, "another").await;
    assert_eq!(assigned(world, &mut second).await, resumes, "the text of the first start stands");
    leave(second).await;
}

pub(crate) async fn a_new_member_goes_on_at_the_commit_with_its_text_and_reads_again_what_was_not_committed<
    W: World,
>(
    world: &W,
) {
    let written = records(0..30, 100);
    write(world, &written).await;
    let mut source = world.source(GROUP, "first").await;
    assigned(world, &mut source).await;
    let (mut seen, all) = (Seen::default(), Demand::default());
    seen.reach(30, &mut source, &all).await;
    let commit = |partition, offset, text: &str| Commit {
        place: world.place(partition),
        offset: Offset(offset),
        metadata: text.into(),
    };
    let committer = source.committer();
    committer.commit(vec![commit(0, 2, "v1:16:8"), commit(1, 9, "early")]).await.unwrap();
    // A later one replaces it, here by the end of what is there and no text; one partition may stay away.
    committer.commit(vec![commit(0, 4, "v1:32:8 ∎"), commit(1, 10, "")]).await.unwrap();
    let resume = |offset, text: &str| Resume { offset: Offset(offset), metadata: text.into() };
    let wanted = BTreeMap::from([(0, resume(4, "v1:32:8 ∎")), (1, resume(10, "")), (2, resume(0, "first"))]);
    let told = |wanted: &BTreeMap<i32, Resume>| -> Vec<_> {
        wanted.values().map(|resume| Some((resume.offset.0, resume.metadata.clone()))).collect()
    };
    assert_eq!(world.committed(GROUP).await, told(&wanted));
    leave(source).await;

    let mut source = world.source(GROUP, "second").await;
    assert_eq!(assigned(world, &mut source).await, wanted);
    let mut again = Seen::default();
    again.reach(6 + 10, &mut source, &all).await;
    assert_eq!(again.of(0), &seen.of(0)[4..]);
    assert_eq!(again.of(2), seen.of(2));
    write(world, &records(30..33, 100)).await;
    again.reach(6 + 10 + 3, &mut source, &all).await;
    assert_eq!(again.of(1).iter().map(|record| record.offset).collect::<Vec<_>>(), [Offset(10)]);
    assert_eq!(world.committed(GROUP).await, told(&wanted), "reading commits nothing");
    leave(source).await;
}

pub(crate) async fn a_commit_of_one_group_moves_no_other<W: World>(world: &W) {
    write(world, &records(0..30, 10)).await;
    let ((mut one, _), (mut other, _)) = (joined(world, "one").await, joined(world, "other").await);
    let all = Demand::default();
    Seen::default().reach(30, &mut one, &all).await;
    let commit = |offset| vec![Commit { place: world.place(0), offset: Offset(offset), metadata: "here".into() }];
    one.committer().commit(commit(5)).await.unwrap();
    Seen::default().reach(30, &mut other, &all).await;
    other.committer().commit(commit(7)).await.unwrap();
    let at_first = Some((0, String::new()));
    for (group, offset) in [("one", 5), ("other", 7)] {
        let wanted = [Some((offset, "here".to_owned())), at_first.clone(), at_first.clone()];
        assert_eq!(world.committed(group).await, wanted, "{group}");
    }
    leave(one).await;
    leave(other).await;
    for (group, offset) in [("one", 5), ("other", 7)] {
        let (source, resumes) = joined(world, group).await;
        assert_eq!(resumes[&0].offset, Offset(offset), "{group}");
        leave(source).await;
    }
}

pub(crate) async fn a_commit_behind_the_end_of_the_log_stops_the_start_and_names_the_way_on<W: World>(world: &W) {
    write(world, &records(0..30, 10)).await;
    let (source, _) = joined(world, GROUP).await;
    let commit = Commit { place: world.place(1), offset: Offset(11), metadata: "v1:88:8".into() };
    source.committer().commit(vec![commit]).await.unwrap();
    leave(source).await;
    let before = world.committed(GROUP).await;

    let mut source = world.source(GROUP, "").await;
    let fault = loop {
        match event(&mut source, &Demand::default()).await {
            Ok(Event::Assigned(partitions)) if partitions.is_empty() => {}
            Ok(event) => panic!("{event:?}"),
            Err(fault) => break fault,
        }
    };
    let Fault::Fatal { exit: Exit::Config, cause } = fault else { panic!("another way to end: {fault:?}") };
    let text = cause.to_string();
    assert!(text.contains("tidewater rewind"), "{text}");
    assert!(text.contains("committed offset 11") && text.contains("ends at 10"), "{text}");
    leave(source).await;
    assert_eq!(world.committed(GROUP).await, before, "nothing is moved but by a person");
}
