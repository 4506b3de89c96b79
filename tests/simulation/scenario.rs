//! Schedules with one purpose: what must hold of delays and of memory, which random ones say little of.

use crate::audit::PARTITIONS;
use crate::cassandra::Mood;
use crate::path::{Hop, Storm};
use crate::promise::Promise;
use crate::schedule::Scene;
use runtime::limits::Limits;
use schemas::topics::partition_for;
use std::time::Duration;
use tokio::time::sleep;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// More than anything takes that waits for nobody.
const SOON: Duration = Duration::from_millis(400);

/// Users whose changes go to one partition.
fn users_of(partition: i32, count: usize, salt: u64) -> Vec<String> {
    let names = (0..).map(|n: u32| format!("s{n}-{salt}"));
    names.filter(|name| partition_for(name.as_bytes(), PARTITIONS) == partition).take(count).collect()
}

fn bench() -> Limits {
    Limits {
        lanes: 16,
        lane_queue_len: 8,
        batch_len_max: 8,
        span_max: 100,
        in_flight_bytes: 90_000,
        drain: MS(100),
        commit_every: MS(10),
        retry_min: MS(1),
        retry_max: MS(1),
        retry_seed: Some(0),
    }
}

/// The store never answers for one user of partition 0. Records are small in one run and large in the next.
pub(crate) async fn stuck_user(scene: &mut Scene) {
    scene.limit(bench());
    let dice = scene.dice.split();
    let salt = dice.roll(1_000_000);
    let ballast = *dice.pick(&[0, 0, 500, 4_000, 15_000]);
    let near = users_of(0, 13, salt);
    let far = [users_of(1, 3, salt), users_of(2, 3, salt)].concat();
    let (stuck, near) = near.split_first().unwrap();
    scene.users = [near, &far, std::slice::from_ref(stuck)].concat();
    scene.world.cassandra.set_mood(Mood { slow_ms: 5, ..Mood::default() });
    scene.world.set_storm(Storm { strikes: 0, slow_ms: 3 });
    scene.world.cassandra.set_stuck(Some(stuck));
    scene.crew.cover_all().await;
    for user in std::iter::once(stuck).chain(near) {
        scene.produce_heavy(user, 0, &dice);
    }
    sleep(SOON).await;
    let audit = scene.world.audit.clone();
    let moving = near.iter().filter(|user| audit.is_through(user)).count();
    if moving < near.len() / 2 {
        audit.break_promise(Promise::StuckAlone, format!("one stuck user leaves {moving} of {} others", near.len()));
    }
    for user in std::iter::repeat_n(stuck, 40).chain(&far).chain(&far) {
        scene.produce_heavy(user, ballast, &dice);
    }
    sleep(SOON).await;
    let behind = far.iter().find(|user| !audit.is_through(user));
    if let Some(user) = behind {
        let partition = partition_for(user.as_bytes(), PARTITIONS);
        let what = format!("a stuck user of partition 0 holds up partition {partition}, with {ballast} B a record");
        audit.break_promise(Promise::StuckAlone, what);
    }
    scene.world.cassandra.set_stuck(None);
    scene.conclude().await;
}

/// Cassandra is away while more comes in than any worker may hold; then it is back.
pub(crate) async fn backlog(scene: &mut Scene) {
    let dice = scene.dice.split();
    let tiny = |low, high| usize::try_from(dice.between(low, high)).unwrap();
    scene.limit(Limits {
        lanes: tiny(1, 8),
        lane_queue_len: tiny(1, 16),
        batch_len_max: tiny(1, 16),
        span_max: dice.between(10, 200),
        in_flight_bytes: tiny(2_000, 60_000),
        ..bench()
    });
    scene.users = users_of(0, 6, 1).into_iter().chain(users_of(1, 6, 1)).chain(users_of(2, 6, 1)).collect();
    scene.world.cassandra.set_mood(Mood { away: (0, 2), ..Mood::default() });
    for _ in 0..500 {
        let user = dice.pick(&scene.users).clone();
        scene.produce_heavy(&user, if dice.one_in(3) { tiny(0, 4_000) } else { 0 }, &dice);
    }
    scene.crew.cover_all().await;
    for _ in 0..4 {
        sleep(MS(dice.between(20, 200))).await;
        let hop = *dice.pick(&Hop::ALL);
        match dice.roll(3) {
            0 => scene.crew.kill_any(hop).await,
            1 => drop(scene.crew.hand_on(hop, dice.pick(&hop.shares())).await),
            _ => {}
        }
        scene.crew.cover_all().await;
    }
    scene.conclude().await;
}

/// Shares move while records come in and every store is slow, though well; in every other run members are killed too.
pub(crate) async fn scale(scene: &mut Scene) {
    scene.limit(Limits { lanes: 4, drain: Duration::from_secs(3), ..bench() });
    let dice = scene.dice.split();
    scene.users = (0..dice.between(3, 9)).map(|user| format!("u{user}-{}", dice.roll(1_000))).collect();
    scene.world.cassandra.set_mood(Mood { slow_ms: 5, ..Mood::default() });
    scene.world.set_storm(Storm { strikes: 0, slow_ms: 5 });
    let kills = dice.one_in(2);
    scene.crew.cover_all().await;
    for _ in 0..12 {
        for _ in 0..dice.between(5, 20) {
            let user = dice.pick(&scene.users).clone();
            scene.produce(&user, &dice);
        }
        sleep(MS(dice.between(1, 25))).await;
        let hop = *dice.pick(&Hop::ALL);
        let waited = scene.crew.hand_on(hop, dice.pick(&hop.shares())).await;
        if waited > MS(200) {
            let what = format!("{hop:?} took {waited:?} to hand on what takes less");
            scene.world.audit.break_promise(Promise::ScaleSteps, what);
        }
        if kills && dice.one_in(3) {
            scene.crew.kill_any(hop).await;
        }
        scene.crew.cover_all().await;
    }
    scene.conclude().await;
    // What `validate` does again, `enrich` does again too.
    let (repeated, redone_max) = (scene.world.audit.known().repeated, 2 * scene.crew.redone_max);
    if repeated > redone_max {
        let what = format!("{repeated} records were put out again, at most {redone_max} may");
        scene.world.audit.break_promise(Promise::ScaleSteps, what);
    }
}
