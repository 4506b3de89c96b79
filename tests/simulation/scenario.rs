//! Schedules with one purpose: what must hold of delays, which random ones say nothing of.

use crate::audit::PARTITIONS;
use crate::path::{Hop, Storm};
use crate::schedule::Scene;
use crate::table::Mood;
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
    }
}

/// The store never answers for one user of partition 0.
pub(crate) async fn stuck_user(scene: &mut Scene) {
    scene.limit(bench());
    scene.without_leaps();
    let salt = scene.dice.roll(1_000_000);
    let near = users_of(0, 13, salt);
    let far = [users_of(1, 3, salt), users_of(2, 3, salt)].concat();
    let (stuck, near) = near.split_first().unwrap();
    scene.users = [near, &far, std::slice::from_ref(stuck)].concat();
    scene.world.table.set_mood(Mood { slow_ms: 5, ..Mood::default() });
    scene.world.set_storm(Storm { strikes: 0, slow_ms: 3 });
    scene.world.table.set_stuck(Some(stuck));
    scene.crew.cover_all().await;
    for user in std::iter::once(stuck).chain(near) {
        scene.produce(user);
    }
    sleep(SOON).await;
    let moving = near.iter().filter(|user| scene.world.audit.is_through(user)).count();
    if moving < near.len() / 2 {
        scene.world.audit.break_promise(format!("I16: one stuck user leaves {moving} of {} others", near.len()));
    }
    for user in std::iter::repeat_n(stuck, 40).chain(&far).chain(&far) {
        scene.produce(user);
    }
    sleep(SOON).await;
    if let Some(partition) = (1..PARTITIONS).find(|p| far.iter().any(|u| is_behind(scene, u, *p))) {
        scene.world.audit.break_promise(format!("I16: a stuck user of partition 0 holds up partition {partition}"));
    }
    scene.world.table.set_stuck(None);
    scene.conclude().await;
}

fn is_behind(scene: &Scene, user: &str, partition: i32) -> bool {
    partition_for(user.as_bytes(), PARTITIONS) == partition && !scene.world.audit.is_through(user)
}

/// Shares move while records come in and every store is slow, though well; in every other run members are killed too.
pub(crate) async fn scale(scene: &mut Scene) {
    scene.limit(Limits { lanes: 4, drain: Duration::from_secs(3), ..bench() });
    scene.without_leaps();
    scene.world.table.set_mood(Mood { slow_ms: 5, ..Mood::default() });
    scene.world.set_storm(Storm { strikes: 0, slow_ms: 5 });
    let kills = scene.dice.one_in(2);
    scene.crew.cover_all().await;
    for _ in 0..12 {
        scene.produce_any(scene.dice.between(5, 20));
        sleep(MS(scene.dice.between(1, 25))).await;
        let (hop, partition) = (*scene.dice.pick(&Hop::ALL), i32::try_from(scene.dice.roll(3)).unwrap());
        let waited = scene.crew.hand_on(hop, partition).await;
        if waited > MS(200) {
            scene.world.audit.break_promise(format!("I17: {hop:?} took {waited:?} to hand on what takes less"));
        }
        if kills && scene.dice.one_in(3) {
            scene.crew.kill_any(hop).await;
        }
        scene.crew.cover_all().await;
    }
    scene.conclude().await;
    // What `validate` does again, `enrich` does again too.
    let (repeated, redone_max) = (scene.world.audit.known().repeated, 2 * scene.crew.redone_max);
    if repeated > redone_max {
        scene
            .world
            .audit
            .break_promise(format!("I17: {repeated} records were put out again, at most {redone_max} may"));
    }
}
