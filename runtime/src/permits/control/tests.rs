use super::*;
use crate::backoff::Schedule;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A store that works on so many writes at once; the others wait in a queue of its own.
#[derive(Clone, Copy, Debug)]
struct Store {
    knee: usize,
    service: Duration,
    /// How much longer each takes for every `knee` that are there beyond the first `knee`, in percent.
    thrash: u32,
    /// Up to so much longer or shorter, in percent.
    jitter: u64,
    /// Whoever waits longer hears of a time-out; the work is done all the same.
    timeout: Duration,
    is_down: bool,
}

const STORE: Store = Store {
    knee: 24,
    service: Duration::from_millis(20),
    thrash: 10,
    jitter: 30,
    timeout: Duration::from_secs(2),
    is_down: false,
};

/// One run in virtual time: more to write than can be.
struct Run {
    store: Store,
    control: Control,
    now: Instant,
    dice: Schedule,
    /// Ends of what is worked on, and when that was begun by the writer.
    working: BinaryHeap<Reverse<(Instant, Instant)>>,
    queue: VecDeque<Instant>,
    answered: u64,
}

impl Run {
    fn new(store: Store, bounds: Bounds, seed: u64) -> Self {
        let now = Instant::now();
        let dice = Schedule::seeded(Duration::from_secs(1), Duration::from_secs(1), seed);
        let control = Control::new(bounds, now);
        Self { store, control, now, dice, working: BinaryHeap::new(), queue: VecDeque::new(), answered: 0 }
    }

    fn out(&self) -> usize {
        self.working.len() + self.queue.len()
    }

    fn takes(&mut self) -> Duration {
        let Store { knee, service, thrash, jitter, is_down, .. } = self.store;
        if is_down {
            return ms(1);
        }
        let beyond = self.out().saturating_sub(knee) as f64 / knee as f64;
        let random = self.dice.next_wait().as_secs_f64() * 2.0 - 1.0;
        service.mul_f64((1.0 + beyond * f64::from(thrash) / 100.0) * (1.0 + random * jitter as f64 / 100.0))
    }

    /// Answers per second over this time.
    fn go_on(&mut self, span: Duration) -> f64 {
        let (until, before) = (self.now + span, self.answered);
        while self.now < until {
            while self.out() < self.control.limit() {
                self.queue.push_back(self.now);
                self.start();
            }
            self.control.full();
            let Some(Reverse((end, begun))) = self.working.pop() else { break };
            self.now = end;
            self.start();
            let is_late = end.duration_since(begun) > self.store.timeout;
            let outcome = if is_late || self.store.is_down { Outcome::Failed } else { Outcome::Answered };
            self.answered += u64::from(outcome == Outcome::Answered);
            self.control.ended(begun, outcome, end);
        }
        (self.answered - before) as f64 / span.as_secs_f64()
    }

    fn start(&mut self) {
        if self.working.len() < self.store.knee
            && let Some(begun) = self.queue.pop_front()
        {
            let end = self.now + self.takes();
            self.working.push(Reverse((end, begun)));
        }
    }
}

fn bounds(min: usize, max: usize) -> Bounds {
    Bounds { min, max, unhurried: Duration::ZERO }
}

/// The best that any number of permits gives that does not change.
fn best(store: Store, max: usize) -> (f64, usize) {
    let of = |limit: usize| (Run::new(store, bounds(limit, limit), 1).go_on(Duration::from_secs(5)), limit);
    let limits = [1, 2, 4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 96, 128, 192, 256];
    limits.into_iter().filter(|limit| *limit <= max).map(of).max_by(|one, other| one.0.total_cmp(&other.0)).unwrap()
}

#[test]
fn at_the_knee_of_a_store_at_least_nine_tenths_of_the_best_fixed_limit_get_through() {
    for (name, store) in [
        ("as it is", STORE),
        ("more only waits", Store { thrash: 0, ..STORE }),
        ("more makes it slower", Store { thrash: 25, ..STORE }),
        ("small", Store { knee: 4, ..STORE }),
        ("quick", Store { service: ms(1), ..STORE }),
        ("slow", Store { service: ms(300), ..STORE }),
        ("moody", Store { jitter: 90, ..STORE }),
        ("large", Store { knee: 150, ..STORE }),
    ] {
        let (best, at) = best(store, 256);
        let mut run = Run::new(store, bounds(4, 256), 2);
        run.go_on(Duration::from_secs(60));
        // Over more than one turn of what it remembers.
        let reached = run.go_on(Duration::from_secs(100));
        let limit = run.control.limit();
        assert!(reached >= 0.9 * best, "{name}: {reached:.0} a second at {limit}, {best:.0} at {at}");
        assert!(limit <= 4 * store.knee, "{name}: {limit} is far beyond the knee at {}", store.knee);
    }
}

#[test]
fn where_too_many_permits_ruin_everything_the_limit_stays_away_from_there() {
    let store = Store { timeout: ms(150), thrash: 25, ..STORE };
    let (best, _) = best(store, 256);
    let ruin = Run::new(store, bounds(256, 256), 1).go_on(Duration::from_secs(60));
    assert!(ruin < best / 4.0, "{ruin} of {best}: this store forgives everything");
    let mut run = Run::new(store, bounds(4, 256), 2);
    run.go_on(Duration::from_secs(60));
    assert!(run.go_on(Duration::from_secs(120)) >= 0.9 * best);
}

#[test]
fn a_store_that_was_away_has_all_its_permits_again_soon_after() {
    let mut run = Run::new(STORE, bounds(4, 256), 3);
    run.go_on(Duration::from_secs(60));
    let before = run.go_on(Duration::from_secs(30));
    run.store.is_down = true;
    run.go_on(Duration::from_secs(20));
    assert_eq!(run.control.limit(), 4);
    run.store.is_down = false;
    run.go_on(Duration::from_secs(5));
    let after = run.go_on(Duration::from_secs(30));
    assert!(after > 0.9 * before, "{after} after {before}");
}

#[test]
fn a_store_that_becomes_slower_or_smaller_for_good_is_learnt_anew() {
    for changed in [Store { knee: 6, ..STORE }, Store { service: ms(100), ..STORE }, Store { knee: 100, ..STORE }] {
        let mut run = Run::new(STORE, bounds(4, 256), 4);
        run.go_on(Duration::from_secs(60));
        run.store = changed;
        run.go_on(Duration::from_secs(120));
        let (best, _) = best(changed, 256);
        let reached = run.go_on(Duration::from_secs(120));
        assert!(reached >= 0.9 * best, "{changed:?}: {reached} of {best}");
    }
}

#[test]
fn a_store_that_is_quick_enough_has_all_permits() {
    let unhurried = Bounds { unhurried: ms(400), ..bounds(4, 128) };
    let mut run = Run::new(STORE, unhurried, 5);
    run.go_on(Duration::from_secs(60));
    assert_eq!(run.control.limit(), 128);
}

/// I16: whose writes always time out holds one permit, and does not take the others'.
#[test]
fn a_key_that_always_fails_among_others_takes_no_permits_away() {
    let mut control = Control::new(bounds(4, 64), Instant::now());
    let mut now = Instant::now();
    for at in 0..20_000_u32 {
        let begun = now;
        now += ms(2);
        control.full();
        control.ended(begun, if at % 20 == 0 { Outcome::Failed } else { Outcome::Answered }, now);
    }
    assert_eq!(control.limit(), 64);
}

#[test]
fn permits_that_nobody_uses_are_not_added_to() {
    let mut control = Control::new(bounds(4, 64), Instant::now());
    let mut now = Instant::now();
    for _ in 0..10_000 {
        let begun = now;
        now += ms(2);
        control.ended(begun, Outcome::Answered, now);
    }
    assert_eq!(control.limit(), 4);
}

proptest! {
    #[test]
    fn the_limit_stays_within_its_bounds_and_recovers_whatever_happened(
        min in 0_usize..50,
        max in 0_usize..300,
        unhurried in 0_u64..50,
        history in prop::collection::vec((0_u64..3_000, 0_u64..10_000, 0_u8..10, any::<bool>()), 0..2_000),
    ) {
        let given = Bounds { min, max, unhurried: ms(unhurried) };
        let (min, max) = (min.clamp(1, max.max(1)), max.max(1));
        let mut now = Instant::now();
        let mut control = Control::new(given, now);
        let within = |control: &Control| (min..=max).contains(&control.limit());
        for (wait, took, luck, is_full) in history {
            let begun = now + ms(wait);
            // Ends come in any order, and some very late.
            now += ms(wait + took * u64::from(luck) / 10);
            if is_full {
                control.full();
            }
            control.ended(begun, if luck < 3 { Outcome::Failed } else { Outcome::Answered }, now.max(begun));
            prop_assert!(within(&control), "{}", control.limit());
        }
        // A store at its best again, for longer than anything is remembered.
        for _ in 0..60 {
            for _ in 0..10 * max.max(ROUND_MIN) {
                control.full();
                control.ended(now, Outcome::Answered, now + ms(1));
                now += ms(1);
            }
            now += Duration::from_secs(2);
        }
        prop_assert_eq!(control.limit(), max);
    }
}
