use super::*;
use std::time::Duration;
use tokio::time::sleep;

fn bounds(min: usize, max: usize) -> Bounds {
    Bounds { min, max, unhurried: Duration::ZERO }
}

#[tokio::test(start_paused = true)]
async fn no_more_are_out_than_there_are_permits_and_one_that_was_taken_away_does_not_come_back() {
    let permits = Permits::new(bounds(4, 64), Gauge::default());
    let mut most = 0;
    for _ in 0..2_000 {
        let limit = permits.limit();
        let mut out = Vec::new();
        for _ in 0..limit {
            out.push(permits.acquire().await);
        }
        most = most.max(limit);
        assert!(permits.semaphore.try_acquire().is_err(), "{limit} are out");
        sleep(Duration::from_millis(10)).await;
        // Somebody waits, so all are in use.
        permits.state().control.full();
        out.into_iter().for_each(|permit| permit.ended(Outcome::Answered));
        assert_eq!(permits.semaphore.available_permits(), permits.limit());
    }
    assert_eq!((most, permits.limit()), (64, 64));

    let mut out = Vec::new();
    for _ in 0..64 {
        out.push(permits.acquire().await);
    }
    for permit in out.drain(..63) {
        permit.ended(Outcome::Failed);
    }
    drop(out);
    assert!(permits.limit() <= 32, "{}", permits.limit());
    assert_eq!(permits.semaphore.available_permits(), permits.limit());
}

#[tokio::test(start_paused = true)]
async fn a_write_that_is_given_up_says_nothing() {
    let shown = Gauge::default();
    let permits = Permits::new(bounds(4, 64), shown.clone());
    for _ in 0..1_000 {
        let out = (permits.acquire().await, permits.acquire().await);
        sleep(Duration::from_millis(10)).await;
        drop(out);
    }
    assert_eq!((permits.limit(), permits.semaphore.available_permits(), shown.get()), (4, 4, 4));
}
