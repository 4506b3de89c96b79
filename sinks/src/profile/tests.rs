use super::*;
use runtime::Health;
use runtime::backoff::Pauses;
use runtime::breaker::{Breaker, BreakerMetrics, Rule};
use runtime::health::Report;
use runtime::permits::{Bounds, Permits};
use runtime::telemetry::Gauge;
use schemas::{FieldSet, Op, Origin, Row, Tenant, UserId};
use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// What the stores were asked, in order, and what they answer.
#[derive(Clone, Debug, Default)]
struct Stores(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    asked: Vec<Asked>,
    /// Versions of changes that Cassandra refuses, alone or with others.
    refused: BTreeSet<i64>,
    /// Answers to the next writes, before refusals are looked at.
    writes: VecDeque<WriteError>,
    deletes: VecDeque<CacheError>,
    /// Whose fault refusals are; of the change if there is nothing here.
    blames: VecDeque<Result<Blame, WriteError>>,
    is_away: bool,
    /// Writes to this user time out.
    hot: Option<String>,
    /// All users share requests.
    is_together: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    /// A user and the versions written.
    Write(String, Vec<i64>),
    /// Users who shared a request.
    Together(Vec<String>),
    Probe(i64),
    Delete(Vec<String>),
}

impl Stores {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    fn writes(&self) -> Vec<Vec<i64>> {
        let versions = |asked| match asked {
            Asked::Write(_, versions) => Some(versions),
            Asked::Together(_) | Asked::Probe(_) | Asked::Delete(_) => None,
        };
        self.asked().into_iter().filter_map(versions).collect()
    }
}

impl Profiles for Stores {
    async fn write(&self, changes: &[&Change]) -> Result<(), WriteError> {
        tokio::task::yield_now().await;
        let versions: Vec<i64> = changes.iter().map(|change| change.version.get()).collect();
        let mut state = self.state();
        let is_refused = versions.iter().any(|version| state.refused.contains(version));
        state.asked.push(Asked::Write(changes[0].user_id.as_str().into(), versions));
        if state.is_away || state.hot.as_deref() == Some(changes[0].user_id.as_str()) {
            return Err(WriteError::Ambiguous("a time-out".into()));
        }
        match state.writes.pop_front() {
            Some(error) => Err(error),
            None if is_refused => Err(WriteError::Refused("invalid".into())),
            None => Ok(()),
        }
    }

    fn runs(&self, users: &[Vec<&Change>]) -> Vec<Vec<usize>> {
        let all = 0..users.len();
        if self.state().is_together { vec![all.collect()] } else { all.map(|at| vec![at]).collect() }
    }

    async fn write_together(&self, users: &[&[&Change]]) -> Result<(), WriteError> {
        tokio::task::yield_now().await;
        let mut state = self.state();
        let names = users.iter().map(|changes| changes[0].user_id.as_str().to_owned()).collect::<Vec<_>>();
        let is_hot = state.hot.as_ref().is_some_and(|hot| names.contains(hot));
        let mut versions = users.iter().flat_map(|changes| changes.iter()).map(|change| change.version.get());
        let is_refused = versions.any(|version| state.refused.contains(&version));
        state.asked.push(Asked::Together(names));
        match (state.is_away || is_hot, is_refused) {
            (true, _) => Err(WriteError::Ambiguous("a time-out".into())),
            (false, true) => Err(WriteError::Refused("invalid".into())),
            (false, false) => Ok(()),
        }
    }

    async fn probe(&self, change: &Change, _now: Version) -> Result<Blame, WriteError> {
        let mut state = self.state();
        state.asked.push(Asked::Probe(change.version.get()));
        state.blames.pop_front().unwrap_or(Ok(Blame::Change))
    }
}

impl Invalidate for Stores {
    async fn delete(&self, keys: &[Key]) -> Result<(), CacheError> {
        let mut state = self.state();
        state.asked.push(Asked::Delete(keys.iter().map(|key| key.as_str().to_owned()).collect()));
        state.deletes.pop_front().map_or(Ok(()), Err)
    }
}

struct Bench {
    stores: Stores,
    health: Health,
    sink: ProfileSink<Stores, Stores>,
}

fn bench_with(cache: bool, pause: Duration) -> Bench {
    let (stores, health) = (Stores::default(), Health::new());
    let pauses = Pauses { min: pause, max: pause, seed: Some(7) };
    let breaker = |store| Breaker::new(Rule::new(pauses), health.condition(store, ""), BreakerMetrics::default());
    let permits = Permits::new(Bounds { min: 4, max: 4, unhurried: Duration::ZERO }, Gauge::default());
    let gates = Gates { cassandra: breaker("cassandra"), redis: breaker("redis"), permits };
    let cache = cache.then(|| stores.clone());
    let sink = ProfileSink::new(stores.clone(), cache, Clock::fixed(0), gates);
    Bench { stores, health, sink }
}

fn bench() -> Bench {
    bench_with(true, Duration::from_millis(1))
}

/// A delete, for nothing here depends on what a change does.
fn change(user: &str, version: i64) -> Change {
    Change {
        id: Default::default(),
        tenant: Tenant::default(),
        user_id: UserId::new(user).unwrap(),
        op: Op::Delete,
        set: Row::default(),
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Version::new(version).unwrap(),
        origin: Origin::new(schemas::origin::RAW, 0, version).unwrap(),
    }
}

fn write(user: &str, versions: &[i64]) -> Asked {
    Asked::Write(user.into(), versions.into())
}

fn delete(users: &[&str]) -> Asked {
    Asked::Delete(users.iter().map(|user| format!("tw:p1:{{main/{user}}}")).collect())
}

fn positions(refused: &Refused) -> Vec<(usize, &'static str)> {
    refused.iter().map(|(at, rejection)| (*at, rejection.code)).collect()
}

/// I9: a reader that misses after the deletion reads a row that has the change.
#[tokio::test]
async fn users_are_written_merged_and_only_then_taken_out_of_the_cache() {
    let Bench { stores, sink, .. } = bench();
    let batch = [change("ada", 8), change("bob", 16), change("ada", 24)];
    assert_eq!(sink.write(&batch).await.unwrap(), []);
    assert_eq!(stores.asked(), [write("ada", &[8, 24]), write("bob", &[16]), delete(&["ada", "bob"])]);
}

/// I9.
#[tokio::test]
async fn nothing_is_settled_before_the_cache_has_confirmed() {
    let Bench { stores, sink, .. } = bench();
    stores.state().deletes.extend([CacheError::Ambiguous("gone".into()), CacheError::Ambiguous("gone".into())]);
    assert_eq!(sink.write(&[change("ada", 8)]).await.unwrap(), []);
    assert_eq!(stores.asked(), [write("ada", &[8]), delete(&["ada"]), delete(&["ada"]), delete(&["ada"])]);
}

#[tokio::test]
async fn an_installation_without_a_cache_writes_all_the_same() {
    let Bench { stores, sink, .. } = bench_with(false, Duration::from_millis(1));
    assert_eq!(sink.write(&[change("ada", 8)]).await.unwrap(), []);
    assert_eq!(stores.asked(), [write("ada", &[8])]);
}

/// I8.
#[tokio::test]
async fn an_ambiguous_write_is_tried_again_with_the_same_changes_and_never_refused() {
    let Bench { stores, sink, .. } = bench();
    stores.state().writes.extend((0..50).map(|_| WriteError::Ambiguous("a time-out".into())));
    let batch = [change("ada", 8), change("ada", 16)];
    assert_eq!(sink.write(&batch).await.unwrap(), []);
    assert_eq!(stores.writes(), vec![vec![8, 16]; 51]);
}

#[tokio::test]
async fn a_store_that_is_away_is_waited_for_and_ready_says_so() {
    let Bench { stores, sink, health } = bench();
    stores.state().is_away = true;
    let batch = [change("ada", 8)];
    assert!(timeout(Duration::from_millis(1_300), sink.write(&batch)).await.is_err(), "for ever");
    let mut waiting = Box::pin(sink.write(&batch));
    assert!(timeout(Duration::from_millis(1_300), &mut waiting).await.is_err());
    let Report { is_ok, body } = health.ready();
    assert!(!is_ok && body.to_string().contains("a time-out"), "{body}");
    stores.state().is_away = false;
    assert_eq!(waiting.await.unwrap(), []);
    assert!(health.ready().is_ok);
}

fn together(users: &[&str]) -> Asked {
    Asked::Together(users.iter().map(|user| (*user).to_owned()).collect())
}

#[tokio::test]
async fn users_whose_rows_lie_on_the_same_nodes_share_a_request() {
    let Bench { stores, sink, .. } = bench();
    stores.state().is_together = true;
    let batch = [change("ada", 8), change("bob", 16), change("ada", 24)];
    assert_eq!(sink.write(&batch).await.unwrap(), []);
    assert_eq!(stores.asked(), [together(&["ada", "bob"]), delete(&["ada", "bob"])]);
}

/// I8.
#[tokio::test]
async fn of_a_shared_request_that_is_refused_each_user_is_then_written_alone() {
    let Bench { stores, sink, .. } = bench();
    stores.state().is_together = true;
    stores.state().refused.insert(16);
    let batch = [change("ada", 8), change("bob", 16), change("cyd", 24)];
    assert_eq!(positions(&sink.write(&batch).await.unwrap()), [(1, "store-refused")]);
    let asked = stores.asked();
    assert_eq!(asked.first(), Some(&together(&["ada", "bob", "cyd"])));
    assert_eq!(asked.last(), Some(&delete(&["ada", "bob", "cyd"])));
    let mut versions = stores.writes();
    versions.sort();
    assert_eq!(versions, [[8], [16], [16], [16], [24]], "bob's as a merge, then alone on both sides of the probe");
}

/// I16.
#[tokio::test]
async fn a_user_whose_writes_time_out_is_written_alone_from_then_on() {
    let Bench { stores, sink, .. } = bench();
    stores.state().is_together = true;
    stores.state().hot = Some("bob".into());
    let batch = [change("ada", 8), change("bob", 16), change("cyd", 24)];
    let mut writing = Box::pin(sink.write(&batch));
    assert!(timeout(Duration::from_millis(100), &mut writing).await.is_err(), "bob is waited for");
    let asked = stores.asked();
    assert_eq!(asked.first(), Some(&together(&["ada", "bob", "cyd"])));
    assert_eq!(asked.iter().filter(|it| **it == write("ada", &[8]) || **it == write("cyd", &[24])).count(), 2);
    assert!(
        asked.iter().skip(1).all(|it| matches!(it, Asked::Write(..))),
        "nobody else is asked together with bob again"
    );
    stores.state().hot = None;
    assert_eq!(writing.await.unwrap(), []);
    assert_eq!(stores.asked().last(), Some(&delete(&["ada", "bob", "cyd"])));
}

#[tokio::test(start_paused = true)]
async fn many_for_one_that_failed_wait_for_its_pause() {
    let Bench { stores, sink, .. } = bench_with(true, Duration::from_secs(60));
    stores.state().is_together = true;
    stores.state().hot = Some("bob".into());
    let batch = [change("ada", 8), change("bob", 16)];
    let mut writing = Box::pin(sink.write(&batch));
    assert!(timeout(Duration::from_millis(5), &mut writing).await.is_err(), "it is not done");
    assert_eq!(stores.asked(), [together(&["ada", "bob"])]);
    stores.state().hot = None;
    assert_eq!(writing.await.unwrap(), []);
    assert_eq!(stores.asked().iter().filter(|it| matches!(it, Asked::Write(..))).count(), 2);
}

/// I8.
#[tokio::test]
async fn a_refused_change_takes_no_neighbour_along() {
    let Bench { stores, sink, .. } = bench();
    stores.state().refused.insert(16);
    let batch = [change("ada", 24), change("ada", 16), change("bob", 32), change("ada", 8)];
    let refused = sink.write(&batch).await.unwrap();
    assert_eq!(positions(&refused), [(1, "store-refused")]);
    let theirs: Vec<Asked> = stores.asked().into_iter().filter(|asked| *asked != write("bob", &[32])).collect();
    let alone = [write("ada", &[16]), Asked::Probe(16), write("ada", &[16])];
    let oldest_first = [write("ada", &[8])].into_iter().chain(alone).chain([write("ada", &[24])]);
    let want: Vec<Asked> =
        [write("ada", &[24, 16, 8])].into_iter().chain(oldest_first).chain([delete(&["ada", "bob"])]).collect();
    assert_eq!(theirs, want);
}

#[tokio::test]
async fn refused_changes_of_several_users_are_named_by_their_place_in_the_batch() {
    let Bench { stores, sink, .. } = bench();
    stores.state().refused.extend([16, 24, 48]);
    let users = ["ada", "bob", "ada", "cid", "bob", "bob"];
    let batch: Vec<Change> = users.iter().zip(1..).map(|(user, n)| change(user, 8 * n)).collect();
    let refused = sink.write(&batch).await.unwrap();
    let code = "store-refused";
    assert_eq!(positions(&refused), [(1, code), (2, code), (5, code)]);
    for (at, rejection) in refused {
        assert_eq!(rejection.facts, facts::of(&batch[at]));
        assert_eq!((rejection.reason, rejection.field), (RejectCode::StoreRefused.reason(), None));
    }
}

#[tokio::test]
async fn a_refused_change_is_taken_out_of_the_cache_like_any_other() {
    let Bench { stores, sink, .. } = bench();
    stores.state().refused.insert(8);
    sink.write(&[change("ada", 8)]).await.unwrap();
    assert_eq!(stores.asked().last(), Some(&delete(&["ada"])));
}

/// I8: what refuses the probe row would refuse everybody's change.
#[tokio::test]
async fn a_refusal_that_is_the_stores_own_fault_waits_until_it_is_mended() {
    let Bench { stores, sink, .. } = bench();
    let broken = || Ok(Blame::Store { reason: "a column is gone".into() });
    stores.state().refused.insert(8);
    stores.state().blames.extend([broken(), broken(), Err(WriteError::Ambiguous("a time-out".into()))]);
    let batch = [change("ada", 8)];
    assert_eq!(positions(&sink.write(&batch).await.unwrap()), [(0, "store-refused")], "at last it is the change's");
    let probes = stores.asked().into_iter().filter(|asked| *asked == Asked::Probe(8)).count();
    assert_eq!(probes, 4);

    let Bench { stores, sink, .. } = bench();
    stores.state().refused.insert(8);
    stores.state().blames.extend((0..1_000_000).map(|_| broken()));
    let mut waiting = Box::pin(sink.write(&batch));
    assert!(timeout(Duration::from_millis(50), &mut waiting).await.is_err(), "nobody's change is lost meanwhile");
    stores.state().refused.clear();
    assert_eq!(waiting.await.unwrap(), []);
}

/// I8: between a refusal and its probe somebody may have mended the table.
#[tokio::test]
async fn a_refusal_counts_only_behind_a_probe_that_went_through() {
    let Bench { stores, sink, .. } = bench();
    stores.state().writes.extend([WriteError::Refused("a column".into()), WriteError::Refused("a column".into())]);
    assert_eq!(sink.write(&[change("ada", 8)]).await.unwrap(), []);
    let write = || write("ada", &[8]);
    assert_eq!(stores.asked(), [write(), write(), Asked::Probe(8), write(), delete(&["ada"])]);
}

#[tokio::test]
async fn an_ambiguous_answer_while_changes_are_sent_alone_is_no_refusal() {
    let Bench { stores, sink, .. } = bench();
    stores.state().writes.extend([
        WriteError::Refused("invalid".into()),
        WriteError::Ambiguous("a time-out".into()),
        WriteError::Ambiguous("a time-out".into()),
    ]);
    assert_eq!(sink.write(&[change("ada", 8), change("ada", 16)]).await.unwrap(), []);
    assert_eq!(stores.writes(), [vec![8, 16], vec![8], vec![8], vec![8], vec![16]]);
}

#[tokio::test]
async fn what_no_repetition_cures_ends_the_process() {
    let stop = || WriteError::Stop("unauthorized".into());
    let of_cassandra = bench();
    of_cassandra.stores.state().writes.push_back(stop());
    let of_probe = bench();
    of_probe.stores.state().refused.insert(8);
    of_probe.stores.state().blames.push_back(Err(stop()));
    let of_redis = bench();
    of_redis.stores.state().deletes.push_back(CacheError::Stop("NOAUTH".into()));
    for Bench { sink, .. } in [of_cassandra, of_probe, of_redis] {
        let fault = sink.write(&[change("ada", 8)]).await.unwrap_err();
        assert!(matches!(fault, Fault::Fatal { exit: Exit::Component, .. }), "{fault:?}");
    }
}

/// I16: users are brought up to date side by side.
#[tokio::test]
async fn a_user_that_waits_does_not_keep_another_of_its_batch_from_being_written() {
    let Bench { stores, sink, .. } = bench();
    stores.state().writes.push_back(WriteError::Ambiguous("a time-out".into()));
    let batch: Vec<Change> = (1..=4).map(|n| change(&format!("u{n}"), 8 * n)).collect();
    sink.write(&batch).await.unwrap();
    assert_eq!(stores.writes(), [vec![8], vec![16], vec![24], vec![32], vec![8]]);
}

/// A crowd whose writes take a moment.
fn crowd(users: u64) -> Vec<Change> {
    (0..users).map(|user| change(&format!("u{user}"), 8)).collect()
}

#[tokio::test]
async fn while_cassandra_is_away_one_write_at_a_time_asks_for_it_and_nothing_is_dropped() {
    let Bench { stores, sink, health } = bench();
    stores.state().is_away = true;
    let batch = crowd(200);
    let started = Instant::now();
    let mut waiting = Box::pin(sink.write(&batch));
    assert!(timeout(Duration::from_millis(300), &mut waiting).await.is_err());
    let tries = u128::try_from(stores.writes().len()).unwrap();
    let most = started.elapsed().as_millis() + 20;
    assert!(tries <= most, "{tries} are more than opened it and one for each pause of a millisecond since, {most}");
    let Report { body, .. } = health.ready();
    assert!(body.to_string().contains("open"), "{body}");
    stores.state().is_away = false;
    assert_eq!(waiting.await.unwrap(), []);
    let written: BTreeSet<String> = stores.asked().into_iter().filter_map(written).collect();
    assert_eq!(written.len(), 200);
    assert!(health.ready().is_ok);
}

fn written(asked: Asked) -> Option<String> {
    match asked {
        Asked::Write(user, _) => Some(user),
        Asked::Together(_) | Asked::Probe(_) | Asked::Delete(_) => None,
    }
}

/// A lane is cancelled when its partition is revoked; it may be the one that was to find out.
#[tokio::test]
async fn a_write_that_is_given_up_while_it_probes_leaves_that_to_another() {
    let Bench { stores, sink, .. } = bench();
    stores.state().is_away = true;
    let (lost, kept) = (crowd(20), crowd(30));
    for _ in 0..50 {
        let mut revoked = Box::pin(sink.write(&lost));
        assert!(timeout(Duration::from_millis(3), &mut revoked).await.is_err());
    }
    stores.state().is_away = false;
    assert!(timeout(Duration::from_secs(5), sink.write(&kept)).await.is_ok());
}

/// I16.
#[tokio::test]
async fn a_user_whose_writes_always_time_out_stops_nobody_elses() {
    let Bench { stores, sink, .. } = bench();
    stores.state().hot = Some("hot".into());
    let hot = [change("hot", 8)];
    let mut stuck = Box::pin(sink.write(&hot));
    for round in 0..50 {
        assert!(timeout(Duration::from_millis(10), &mut stuck).await.is_err());
        let done = timeout(Duration::from_secs(5), sink.write(&[change(&format!("u{round}"), 8)])).await;
        assert_eq!(done.expect("nobody else waits").unwrap(), []);
    }
    stores.state().hot = None;
    assert_eq!(stuck.await.unwrap(), []);
}
