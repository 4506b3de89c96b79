use super::*;
use crate::backoff::Pauses;
use crate::health::Health;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::task::JoinSet;
use tokio::time::{advance, sleep, timeout};

const PAUSES: Pauses = Pauses { min: Duration::from_millis(20), max: Duration::from_secs(5), seed: Some(7) };
const KEYS: usize = Rule::KEYS;

#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

struct Bench {
    breaker: Breaker,
    health: Health,
    metrics: BreakerMetrics,
}

fn bench() -> Bench {
    let health = Health::new();
    let telemetry = Telemetry::new("sink").unwrap();
    let metrics = BreakerMetrics::new(&telemetry, "cassandra");
    let breaker = Breaker::new(Rule::new(PAUSES), health.condition("cassandra", ""), metrics.clone());
    Bench { breaker, health, metrics }
}

impl Bench {
    /// 0 closed, 1 half-open, 2 open.
    fn is(&self) -> i64 {
        self.metrics.state.get()
    }

    /// What `/ready` says.
    fn waiting(&self) -> Option<String> {
        let body = self.health.ready().body;
        body["conditions"]["cassandra"]["waiting"].as_str().map(str::to_owned)
    }

    async fn fail(&self, key: u64) {
        let mut work = self.breaker.work(key);
        let pass = work.pass().await;
        work.failed(pass, &NoAnswer);
    }

    async fn open(&self) {
        for key in 0..KEYS as u64 {
            assert_eq!(self.is(), 0, "{key} failures are too few");
            self.fail(key).await;
        }
        assert_eq!(self.is(), 2);
    }
}

/// Whether the pass is there without waiting.
async fn at_once<'b>(work: &mut Work<'b>) -> Option<Pass<'b>> {
    timeout(Duration::ZERO, work.pass()).await.ok()
}

#[tokio::test(start_paused = true)]
async fn it_opens_when_enough_keys_have_failed_and_none_succeeded() {
    let bench = bench();
    bench.open().await;
    assert_eq!(bench.metrics.opens.get(), 1);
    assert_eq!(bench.metrics.tries.get(), KEYS as u64);
    let mut work = bench.breaker.work(99);
    assert!(at_once(&mut work).await.is_none(), "nobody tries");
    let text = bench.waiting().unwrap();
    assert!(text.starts_with("open") && text.ends_with("no answer"), "{text}");
}

/// What waited was revoked, and no other came: the replica has nothing to do, and is ready to be given something.
#[tokio::test(start_paused = true)]
async fn an_open_breaker_that_keeps_nobody_waiting_is_no_reason_not_to_be_ready() {
    let bench = bench();
    bench.open().await;
    assert_eq!(bench.waiting(), None, "what failed was given up");
    let mut work = bench.breaker.work(99);
    assert!(at_once(&mut work).await.is_none());
    assert!(bench.waiting().is_some());
    drop(work);
    assert_eq!((bench.is(), bench.waiting()), (2, None));
}

/// I16.
#[tokio::test(start_paused = true)]
async fn one_key_that_always_fails_never_opens_it() {
    let bench = bench();
    let mut work = bench.breaker.work(1);
    for _ in 0..200 {
        let pass = work.pass().await;
        work.failed(pass, &NoAnswer);
        assert!(at_once(&mut bench.breaker.work(2)).await.is_some(), "nobody else waits");
    }
    assert_eq!((bench.is(), bench.metrics.opens.get()), (0, 0));
    let text = bench.waiting().unwrap();
    assert!(text.starts_with("closed, and some writes fail"), "{text}");
    drop(work);
    assert_eq!(bench.waiting(), None);
}

#[tokio::test(start_paused = true)]
async fn keys_that_fail_while_another_succeeds_do_not_open_it() {
    let bench = bench();
    for _ in 0..20 {
        for key in 1..KEYS as u64 {
            bench.fail(key).await;
        }
        bench.breaker.work(0).pass().await.succeeded();
    }
    assert_eq!(bench.metrics.opens.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn failures_of_long_ago_do_not_count() {
    let bench = bench();
    for key in 0..50 {
        bench.fail(key).await;
        advance(Rule::WITHIN / u32::try_from(KEYS - 1).unwrap() + Duration::from_millis(1)).await;
    }
    assert_eq!(bench.metrics.opens.get(), 0);
}

#[tokio::test(start_paused = true)]
async fn after_the_pause_exactly_one_goes_and_its_success_lets_all_go() {
    let bench = bench();
    bench.open().await;
    let (out, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut waiters = JoinSet::new();
    for key in 0..50 {
        let (breaker, out, done) = (bench.breaker.clone(), out.clone(), done.clone());
        waiters.spawn(async move {
            let pass = breaker.work(key).pass().await;
            out.fetch_add(1, Ordering::SeqCst);
            sleep(Duration::from_secs(7)).await;
            pass.succeeded();
            done.fetch_add(1, Ordering::SeqCst);
        });
    }
    sleep(Duration::from_secs(6)).await;
    assert_eq!((out.load(Ordering::SeqCst), bench.is()), (1, 1), "one, however long it takes");
    assert!(bench.waiting().unwrap().starts_with("half-open"));
    sleep(Duration::from_secs(2)).await;
    assert_eq!((out.load(Ordering::SeqCst), done.load(Ordering::SeqCst)), (50, 1), "all at once");
    assert_eq!((bench.is(), bench.waiting()), (0, None));
    waiters.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_fails_opens_it_again_and_pauses_grow_to_their_bound() {
    let bench = bench();
    bench.open().await;
    let started = Instant::now();
    let mut longest = Duration::ZERO;
    for _ in 0..100 {
        let paused = Instant::now();
        bench.fail(99).await;
        assert_eq!(bench.is(), 2);
        longest = longest.max(paused.elapsed());
    }
    assert!(longest <= PAUSES.max + Duration::from_millis(1) && longest > PAUSES.max / 2, "{longest:?}");
    assert!(started.elapsed() > 30 * PAUSES.max, "{:?} for 100 probes is too hasty", started.elapsed());
    assert_eq!(bench.metrics.opens.get(), 1, "it was not closed in between");
}

/// What a revocation does to the lane that happened to probe.
#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_is_handed_to_the_next() {
    let bench = bench();
    bench.open().await;
    let mut first = bench.breaker.work(1);
    let probe = first.pass().await;
    let mut second = bench.breaker.work(2);
    assert!(at_once(&mut second).await.is_none());
    drop(probe);
    let probe = at_once(&mut second).await.expect("without another pause");
    assert_eq!(bench.is(), 1);
    // Nobody is there to take it; whoever comes does.
    drop(probe);
    assert!(at_once(&mut bench.breaker.work(3)).await.is_some());
}

#[tokio::test(start_paused = true)]
async fn one_that_leaves_while_it_waits_keeps_nobody_from_probing() {
    let bench = bench();
    bench.open().await;
    let mut first = bench.breaker.work(1);
    let mut leaving = Box::pin(first.pass());
    assert!(timeout(Duration::ZERO, &mut leaving).await.is_err());
    let breaker = bench.breaker.clone();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { breaker.work(2).pass().await.succeeded() });
    tokio::task::yield_now().await;
    drop(leaving);
    assert!(timeout(PAUSES.max, tasks.join_all()).await.is_ok());
    assert_eq!(bench.is(), 0);
}

/// I16: somebody else's bad keys do not keep a working store shut.
#[tokio::test(start_paused = true)]
async fn who_has_not_failed_yet_probes_before_those_who_have() {
    let bench = bench();
    let mut tasks = JoinSet::new();
    for key in 0..KEYS as u64 {
        let breaker = bench.breaker.clone();
        tasks.spawn(async move {
            let mut work = breaker.work(key);
            loop {
                let pass = work.pass().await;
                sleep(Duration::from_millis(10)).await;
                work.failed(pass, &NoAnswer);
            }
        });
    }
    sleep(Duration::from_secs(60)).await;
    assert!(bench.metrics.opens.get() > 0);
    let mut work = bench.breaker.work(99);
    let pass = timeout(PAUSES.max + Duration::from_millis(20), work.pass()).await;
    pass.expect("within one probe that is out and one pause").succeeded();
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_before_it_turned_says_nothing_when_it_fails_and_all_when_it_succeeds() {
    let bench = bench();
    let (mut one, mut two) = (bench.breaker.work(100), bench.breaker.work(101));
    let (early, earlier) = (one.pass().await, two.pass().await);
    assert!(early.holds());
    bench.open().await;
    assert!(!early.holds(), "whoever waited behind the pass has to ask again");
    let mut third = bench.breaker.work(102);
    let probe = third.pass().await;
    assert!(probe.holds());
    one.failed(early, &NoAnswer);
    assert_eq!(bench.is(), 1, "the probe decides");
    earlier.succeeded();
    assert_eq!(bench.is(), 0, "a store that answers is there");
    third.failed(probe, &NoAnswer);
    assert_eq!(bench.is(), 0, "and is not shut for what went before");
}

#[tokio::test(start_paused = true)]
async fn who_pauses_goes_on_as_soon_as_it_closes() {
    let health = Health::new();
    let pauses = Pauses { min: PAUSES.max, ..PAUSES };
    let breaker = Breaker::new(Rule::new(pauses), health.condition("redis", ""), BreakerMetrics::default());
    let mut works: Vec<Work<'_>> = (0..KEYS as u64).map(|key| breaker.work(key)).collect();
    for work in &mut works {
        let pass = work.pass().await;
        work.failed(pass, &NoAnswer);
    }
    breaker.succeeded();
    let now = Instant::now();
    for work in &mut works {
        work.pass().await.succeeded();
    }
    assert_eq!(now.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn work_that_the_store_answers_and_that_has_to_wait_closes_it_and_is_told_of() {
    let bench = bench();
    bench.open().await;
    let mut work = bench.breaker.work(1);
    for _ in 0..20 {
        let pass = work.pass().await;
        work.put_off(pass, &NoAnswer);
        assert_eq!(bench.is(), 0);
        sleep(Duration::from_millis(100)).await;
    }
    assert!(bench.waiting().unwrap().starts_with("closed, and some writes fail"));
}

#[tokio::test(start_paused = true)]
async fn it_opens_at_once_where_an_error_leaves_no_doubt() {
    let bench = bench();
    bench.breaker.succeeded();
    bench.breaker.trip(&NoAnswer, Duration::from_secs(3));
    assert_eq!(bench.is(), 0, "somebody's work has just succeeded");
    sleep(Duration::from_secs(3)).await;
    bench.breaker.trip(&NoAnswer, Duration::from_secs(3));
    bench.breaker.trip(&NoAnswer, Duration::from_secs(3));
    assert_eq!((bench.is(), bench.metrics.opens.get()), (2, 1));
}

#[test]
fn the_breakers_of_a_process_are_told_apart_by_their_store() {
    let telemetry = Telemetry::new("sink").unwrap();
    let [cassandra, redis] = ["cassandra", "redis"].map(|store| BreakerMetrics::new(&telemetry, store));
    cassandra.state.set(2);
    redis.opens.add(3);
    let text = telemetry.render().unwrap();
    for line in [
        "sink_breaker_state{store=\"cassandra\"} 2",
        "sink_breaker_state{store=\"redis\"} 0",
        "sink_breaker_opens_total{store=\"cassandra\"} 0",
        "sink_breaker_opens_total{store=\"redis\"} 3",
    ] {
        assert!(text.lines().any(|shown| shown == line), "no {line} in\n{text}");
    }
}

/// A store that is there and away in turns, and the work of a run on it.
#[derive(Clone)]
struct World {
    breaker: Breaker,
    metrics: BreakerMetrics,
    /// Lengths of the stretches in which the store is there, away, there, …; there for good behind them.
    stretches: Arc<[u64]>,
    since: Instant,
    dice: Arc<AtomicU64>,
    /// Openings whose probe is out.
    probes: Arc<Mutex<BTreeSet<u64>>>,
    written: Arc<AtomicUsize>,
}

impl World {
    fn is_away(&self) -> bool {
        let mut left_ms = u64::try_from(self.since.elapsed().as_millis()).unwrap();
        for (at, stretch_ms) in self.stretches.iter().enumerate() {
            let Some(behind) = left_ms.checked_sub(*stretch_ms) else { return at % 2 == 1 };
            left_ms = behind;
        }
        false
    }

    fn roll(&self, sides: u64) -> u64 {
        let seed = self.dice.fetch_add(1, Ordering::Relaxed);
        let wait = Schedule::seeded(Duration::from_secs(1), Duration::from_secs(1), seed).next_wait();
        u64::from(wait.subsec_nanos()) % sides
    }

    async fn settle(self, key: u64) {
        let mut work = self.breaker.work(key);
        loop {
            let pass = work.pass().await;
            let opening = self.breaker.watched().state.generation();
            let is_probe = self.metrics.state.get() == 1;
            if is_probe {
                assert!(self.probes.lock().unwrap().insert(opening), "exactly one probe is out");
            }
            assert_ne!(self.metrics.state.get(), 2, "nobody tries while it is open");
            let given_up = timeout(Duration::from_millis(self.roll(400)), sleep(Duration::from_millis(self.roll(300))));
            let is_given_up = given_up.await.is_err();
            if is_probe {
                self.probes.lock().unwrap().remove(&opening);
            }
            if is_given_up {
                drop(pass);
            } else if self.is_away() {
                work.failed(pass, &NoAnswer);
            } else {
                pass.succeeded();
                self.written.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_the_store_does_one_probes_at_a_time_and_all_work_ends_once_it_is_there(
        stretches in prop::collection::vec(0_u64..8_000, 0..6),
        seed: u64,
        works in 1_u64..40,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let metrics = BreakerMetrics { state: Gauge::default(), opens: Counter::default(), tries: Counter::default() };
            let pauses = Pauses { seed: Some(seed), ..PAUSES };
            let condition = Health::new().condition("store", "");
            let world = World {
                breaker: Breaker::new(Rule::new(pauses), condition, metrics.clone()),
                metrics,
                stretches: stretches.into(),
                since: Instant::now(),
                dice: Arc::new(AtomicU64::new(seed >> 1)),
                probes: Arc::default(),
                written: Arc::default(),
            };
            let mut tasks = JoinSet::new();
            for key in 0..works {
                let world = world.clone();
                tasks.spawn(async move {
                    sleep(Duration::from_millis(world.roll(20_000))).await;
                    world.settle(key).await;
                });
            }
            timeout(Duration::from_secs(600), tasks.join_all()).await.expect("everything that waits goes on");
            assert_eq!(world.written.load(Ordering::Relaxed), usize::try_from(works).unwrap(), "nothing is dropped");
            assert_eq!(world.metrics.state.get(), 0);
        });
    }
}
