use super::*;
use std::sync::atomic::{AtomicU32, Ordering};

const BUDGET: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(25);

fn life() -> (Lifecycle, Health) {
    let health = Health::new();
    (Lifecycle::new(health.clone(), Handle::current()), health)
}

async fn until_told(stop: CancellationToken) -> Result<(), Failure> {
    stop.cancelled().await;
    Ok(())
}

fn code(ended: Result<(), Failure>) -> u8 {
    ended.map_or_else(|failure| failure.exit_code(), |()| 0)
}

#[tokio::test(start_paused = true)]
async fn parts_that_end_when_told_are_a_clean_end() {
    let (life, health) = life();
    life.spawn("worker", BUDGET, until_told);
    life.spawn_beneath("producer", BUDGET, until_told);
    assert_eq!(code(life.wind_down(GRACE).await), 0);
    assert!(!health.ready().is_ok, "a process that leaves is not ready");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_ends_unasked_has_failed_and_everyone_is_told() {
    let (life, _) = life();
    life.spawn("worker", BUDGET, until_told);
    life.spawn("source", BUDGET, |_| async { Ok(()) });
    life.leaving().await;
    let failure = life.wind_down(GRACE).await.unwrap_err();
    assert_eq!(failure.exit_code(), 70);
    assert_eq!(chain(&failure).to_string(), "a component failed: ended without being asked to");
}

#[tokio::test(start_paused = true)]
async fn a_part_that_panics_has_failed_and_hangs_nobody() {
    let (life, _) = life();
    life.spawn("worker", BUDGET, |_| async { panic!("user 42 has no e-mail") });
    life.leaving().await;
    let failure = life.wind_down(GRACE).await.unwrap_err();
    assert_eq!(failure.exit_code(), 70);
    assert_eq!(chain(&failure).to_string(), "a component failed: panicked", "its message may quote data");
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_stopping_has_failed_too() {
    let (life, _) = life();
    life.spawn("worker", BUDGET, |stop| async move {
        stop.cancelled().await;
        panic!("in the drain");
    });
    assert_eq!(code(life.wind_down(GRACE).await), 70);
}

#[tokio::test(start_paused = true)]
async fn a_part_over_its_budget_is_cut_off() {
    let (life, _) = life();
    let started = Instant::now();
    life.spawn("worker", BUDGET, |_| std::future::pending());
    assert_eq!(code(life.wind_down(GRACE).await), 75);
    assert_eq!(started.elapsed(), BUDGET);
}

#[tokio::test(start_paused = true)]
async fn the_grace_ends_it_whatever_the_budgets_say() {
    let (life, _) = life();
    let started = Instant::now();
    life.spawn("worker", 10 * GRACE, |_| std::future::pending());
    life.spawn_beneath("producer", 10 * GRACE, |_| std::future::pending());
    assert_eq!(code(life.wind_down(GRACE).await), 75);
    assert!(started.elapsed() <= GRACE + Duration::from_millis(1));
}

#[tokio::test(start_paused = true)]
async fn what_the_others_stand_on_is_told_last() {
    let (life, _) = life();
    let draining = Arc::new(AtomicU32::new(2));
    for name in ["raw", "pinned"] {
        let draining = Arc::clone(&draining);
        life.spawn(name, BUDGET, |stop| async move {
            stop.cancelled().await;
            tokio::time::sleep(BUDGET / 2).await;
            draining.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        });
    }
    let seen = Arc::clone(&draining);
    life.spawn_beneath("producer", BUDGET, |stop| async move {
        stop.cancelled().await;
        assert_eq!(seen.load(Ordering::SeqCst), 0, "the producer was told before the workers had drained");
        Ok(())
    });
    assert_eq!(code(life.wind_down(GRACE).await), 0);
}

#[tokio::test(start_paused = true)]
async fn the_first_failure_decides_the_exit_code() {
    let (life, _) = life();
    life.spawn("worker", BUDGET, |_| std::future::pending());
    life.spawn("store", BUDGET, |_| async { Err(Failure::config("the table has drifted")) });
    life.leaving().await;
    assert_eq!(code(life.wind_down(GRACE).await), 64, "the drain that ran out follows from the failure");
}

#[tokio::test(start_paused = true)]
async fn a_part_can_ask_the_process_to_leave() {
    let (life, _) = life();
    let own = life.clone();
    life.spawn("replay", BUDGET, |stop| async move {
        own.leave();
        until_told(stop).await
    });
    life.leaving().await;
    assert_eq!(code(life.wind_down(GRACE).await), 0);
}

#[tokio::test(start_paused = true)]
async fn a_part_spawned_while_leaving_is_told_at_once() {
    let (life, _) = life();
    let own = life.clone();
    life.spawn("worker", BUDGET, |stop| async move {
        stop.cancelled().await;
        own.spawn("late", BUDGET, until_told);
        Ok(())
    });
    assert_eq!(code(life.wind_down(GRACE).await), 0);
}

#[tokio::test(start_paused = true)]
async fn a_set_up_that_panics_or_fails_has_failed() {
    let (life, _) = life();
    assert!(!life.set_up(async { panic!("at the start") }).await);
    assert_eq!(code(life.wind_down(GRACE).await), 70);
    let (life, _) = self::life();
    assert!(!life.set_up(async { Err(Failure::config("no topic")) }).await);
    assert_eq!(code(life.wind_down(GRACE).await), 64);
}

#[tokio::test(start_paused = true)]
async fn a_set_up_is_dropped_with_the_one_who_waits_for_it() {
    let (life, _) = life();
    let (held, gone) = tokio::sync::oneshot::channel::<()>();
    let set_up = life.set_up(async move {
        let _held = held;
        std::future::pending().await
    });
    assert!(tokio::time::timeout(BUDGET, set_up).await.is_err());
    assert!(gone.await.is_err(), "the set-up still runs");
}

#[test]
fn parts_that_block_every_thread_cannot_hang_the_end() {
    let parts = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let own = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (release, blocked) = std::sync::mpsc::channel::<()>();
    let ended = own.block_on(async {
        let life = Lifecycle::new(Health::new(), parts.handle().clone());
        let (begun, begins) = tokio::sync::oneshot::channel();
        life.spawn("worker", Duration::from_millis(50), |_| async move {
            begun.send(()).unwrap();
            let _released = blocked.recv();
            Ok(())
        });
        begins.await.unwrap();
        life.wind_down(GRACE).await
    });
    assert_eq!(code(ended), 75);
    drop(release);
}
