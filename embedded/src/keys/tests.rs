use super::*;
use crate::home::{Founding, Home, Options};
use schemas::{Profile, Tenant};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use store::keys::{ANSWER_LEN_MAX, Scope};
use tokio::time::advance;

/// A directory and its keeper; removed when it is dropped.
struct World {
    dir: PathBuf,
    home: Option<Home>,
    clock: Clock,
}

impl World {
    async fn new() -> Self {
        let mut world = Self { dir: Self::dir(), home: None, clock: Clock::fixed(1_795_331_234_567) };
        world.restart().await;
        world
    }

    fn dir() -> PathBuf {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tidewater-keys-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        std::env::temp_dir().join(name)
    }

    /// What a process leaves that is killed now: what the system has, and not what is in its own memory.
    async fn killed(&self) -> Self {
        let mut left = Self { dir: Self::dir(), home: None, clock: self.clock.clone() };
        copy(&self.dir, &left.dir);
        left.restart().await;
        left
    }

    /// As a new process opens it.
    async fn restart(&mut self) {
        if let Some(home) = self.home.take() {
            home.close().await.unwrap();
        }
        let profile = Arc::new(Profile::embedded().unwrap());
        let options = Options { clock: self.clock.clone(), ..Options::new(profile, Durability::Always) };
        self.home = Some(Home::open(&self.dir, Some(Founding::default()), &options).unwrap());
    }

    fn keys(&self) -> &TableKeys {
        &self.home.as_ref().unwrap().keys
    }

    fn kept(&self) -> (usize, usize) {
        self.home.as_ref().unwrap().table.kept_count()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.home = None;
        std::fs::remove_dir_all(&self.dir).ok();
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn key(text: &str) -> IdempotencyKey {
    let scope = Scope { tenant: &Tenant::default(), client: "shop", method: "POST", path: "/v1/changes" };
    scope.key(text.as_bytes()).unwrap()
}

fn body() -> BodyDigest {
    BodyDigest::of(b"{}")
}

async fn turn(keys: &TableKeys, text: &str) -> Turn {
    let Begun::New(turn) = keys.begin(&key(text), &body()).await.unwrap() else { panic!("somebody has the key") };
    turn
}

#[tokio::test(start_paused = true)]
async fn turns_and_answers_come_back_after_a_new_start() {
    let mut world = World::new().await;
    let finished = turn(world.keys(), "finished").await;
    assert_eq!(world.keys().finish(finished, b"202").await, Ok(Finished::Kept));
    let _died = turn(world.keys(), "in-flight").await;
    world.restart().await;
    let again = world.keys().begin(&key("finished"), &body()).await;
    assert!(matches!(again, Ok(Begun::Answered(answer)) if answer == b"202"));
    let again = world.keys().begin(&key("in-flight"), &body()).await.unwrap();
    assert!(matches!(again, Begun::InFlight { retry_after } if retry_after == Duration::from_secs(30)), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_loses_neither_answer_nor_lease_in_any_mode_of_sync() {
    let world = World::new().await;
    let table = &world.home.as_ref().unwrap().table;
    for durability in [Durability::System, Durability::Soon, Durability::Always] {
        let keys = TableKeys::new(table.clone(), world.clock.clone(), durability);
        let (finished, abandoned) = (format!("finished-{durability}"), format!("abandoned-{durability}"));
        let mine = turn(&keys, &finished).await;
        assert_eq!(keys.finish(mine, b"202").await, Ok(Finished::Kept));
        let mine = turn(&keys, &abandoned).await;
        keys.abandon(mine).await.unwrap();
        let in_flight = format!("in-flight-{durability}");
        let _died = turn(&keys, &in_flight).await;
        let left = world.killed().await;
        let again = left.keys().begin(&key(&finished), &body()).await;
        assert!(matches!(again, Ok(Begun::Answered(_))), "{durability}: {again:?}");
        let again = left.keys().begin(&key(&in_flight), &body()).await;
        assert!(matches!(again, Ok(Begun::InFlight { .. })), "{durability}: {again:?}");
        let again = left.keys().begin(&key(&abandoned), &body()).await;
        assert!(matches!(again, Ok(Begun::New(_))), "{durability}: {again:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_over_is_swept_and_nothing_else() {
    let world = World::new().await;
    for number in 0..300 {
        let turn = turn(world.keys(), &format!("a{number}")).await;
        if number < 290 {
            world.keys().finish(turn, &vec![b'x'; ANSWER_LEN_MAX * (number % 2)]).await.unwrap();
        }
    }
    assert_eq!(world.kept(), (300, 300), "of each entry one moment");
    advance(Duration::from_millis(29_999)).await;
    assert_eq!((world.keys().sweep().unwrap(), world.kept()), (0, (300, 300)));
    advance(Duration::from_millis(1)).await;
    let begun_anew = turn(world.keys(), "a295").await;
    assert_eq!((world.keys().sweep().unwrap(), world.kept()), (9, (291, 291)), "leases");
    world.keys().abandon(begun_anew).await.unwrap();
    assert_eq!(world.kept(), (290, 290));
    advance(Duration::from_secs(86_400)).await;
    assert_eq!((world.keys().sweep().unwrap(), world.kept()), (290, (0, 0)), "answers, in more than one page");
}

#[tokio::test(start_paused = true)]
async fn the_process_that_has_the_directory_sweeps_it() {
    let world = World::new().await;
    let _died = turn(world.keys(), "a").await;
    let home = world.home.clone().unwrap();
    tokio::time::timeout(Duration::from_secs(200), home.tend(&[])).await.unwrap_err();
    assert_eq!(world.kept(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_ours_stops_everybody_and_stays() {
    let world = World::new().await;
    let mine = turn(world.keys(), "a").await;
    world.home.as_ref().unwrap().table.plant(key("a").as_bytes(), b"of a newer release");
    assert!(matches!(world.keys().begin(&key("a"), &body()).await, Err(KeysError::Foreign)));
    assert_eq!(world.keys().finish(mine, b"202").await, Err(KeysError::Foreign));
    advance(Duration::from_secs(86_400)).await;
    world.keys().sweep().unwrap();
    assert_eq!(world.kept(), (1, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_is_on_disk_before_finish_returns_unless_that_is_left_to_the_system() {
    let world = World::new().await;
    let table = &world.home.as_ref().unwrap().table;
    for durability in [Durability::Always, Durability::Soon, Durability::System] {
        let keys = TableKeys::new(table.clone(), world.clock.clone(), durability);
        let mut all = tokio::task::JoinSet::new();
        for number in 0..64 {
            let keys = keys.clone();
            let turn = turn(&keys, &format!("{durability}-{number}")).await;
            all.spawn(async move {
                let finished = keys.finish(turn, b"202").await;
                (finished, keys.0.written.load(Ordering::SeqCst), *keys.0.synced.lock().unwrap())
            });
        }
        for (finished, written, synced) in all.join_all().await {
            assert_eq!(finished, Ok(Finished::Kept));
            assert_eq!((written > 0, synced > 0), (durability != Durability::System, durability != Durability::System));
        }
        assert_eq!(keys.0.written.load(Ordering::SeqCst), *keys.0.synced.lock().unwrap(), "{durability}");
    }
}
