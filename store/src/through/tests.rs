use super::*;
use crate::cache::Cached;
use crate::cache::protocol::{self, Entry, Get, Leased};
use schemas::{FieldValue, Row, Version};
use std::collections::HashMap;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// The cache as the protocol writes it down, whose clock stands; it can be away.
#[derive(Clone, Default)]
struct Memory(Arc<Kept>);

#[derive(Default)]
struct Kept {
    entries: Mutex<HashMap<Key, Entry>>,
    is_away: AtomicBool,
    asked: AtomicUsize,
    /// Fills that were tried, and those that were accepted.
    tried: AtomicUsize,
    filled: AtomicUsize,
}

impl Memory {
    fn entries(&self) -> MutexGuard<'_, HashMap<Key, Entry>> {
        self.0.entries.lock().unwrap()
    }
}

impl Cache for Memory {
    async fn look_up(&self, key: &Key) -> Answer {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        if self.0.is_away.load(Ordering::Relaxed) {
            return Answer::Bypass(Bypass::Fault(CacheError::Ambiguous("away".into())));
        }
        let mut entries = self.entries();
        let entry = entries.entry(key.clone()).or_default();
        match entry.get(0) {
            Get::Hit(value) => return Answer::Hit(Cached::from(value)),
            Get::Garbage => return Answer::Bypass(Bypass::Garbage),
            Get::Miss => {}
        }
        let lease = Lease::ask(key.clone());
        match entry.lease(0, lease.token()).unwrap() {
            Leased::Granted => Answer::Miss(lease),
            Leased::Busy | Leased::Found(_) => Answer::Bypass(Bypass::Busy),
        }
    }

    async fn fill(&self, lease: Lease, value: &Value<'_>) -> Result<Filled, CacheError> {
        self.0.tried.fetch_add(1, Ordering::Relaxed);
        let keep_for = protocol::keep_for(value, lease.token());
        let mut entries = self.entries();
        let entry = entries.entry(lease.key().clone()).or_default();
        let filled = entry.fill(0, lease.token(), &value.encode().unwrap(), keep_for).unwrap();
        self.0.filled.fetch_add(usize::from(filled == Filled::Accepted), Ordering::Relaxed);
        Ok(filled)
    }
}

/// A table that takes what is settled as a read begins, and answers when it may.
#[derive(Clone)]
struct Table(Arc<Rest>);

struct Rest {
    /// Of the newest change of everybody.
    version: AtomicI64,
    begun: AtomicUsize,
    is_shut: AtomicBool,
    is_mad: AtomicBool,
    opened: Notify,
}

impl Table {
    fn settle(&self, cache: &Memory, version: i64) {
        self.0.version.store(version, Ordering::SeqCst);
        // As the sink does: the table first.
        cache.entries().values_mut().for_each(Entry::delete);
    }

    fn shut(&self) {
        self.0.is_shut.store(true, Ordering::SeqCst);
    }

    fn open(&self) {
        self.0.is_shut.store(false, Ordering::SeqCst);
        self.0.opened.notify_waiters();
    }

    fn begun(&self) -> usize {
        self.0.begun.load(Ordering::SeqCst)
    }
}

impl Rows for Table {
    async fn read(&self, _: &Tenant, _: &UserId) -> Result<Option<ProfileRow>, Error> {
        let version = Version::new(self.0.version.load(Ordering::SeqCst));
        self.0.begun.fetch_add(1, Ordering::SeqCst);
        loop {
            let opened = self.0.opened.notified();
            if !self.0.is_shut.load(Ordering::SeqCst) {
                break;
            }
            opened.await;
        }
        assert!(!self.0.is_mad.load(Ordering::SeqCst), "as if there were a mistake in it");
        Ok(version.map(|version| ProfileRow { version: Some(version), live: Some(version), ..ProfileRow::default() }))
    }
}

type Readers = Arc<Through<Memory, Table>>;

fn house(limits: Limits) -> (Readers, Memory, Table) {
    let rest = Rest {
        version: AtomicI64::new(16),
        begun: AtomicUsize::new(0),
        is_shut: AtomicBool::new(false),
        is_mad: AtomicBool::new(false),
        opened: Notify::new(),
    };
    let (cache, table) = (Memory::default(), Table(Arc::new(rest)));
    let profile = Arc::new(Profile::embedded().unwrap());
    (Arc::new(Through::new(Some(cache.clone()), table.clone(), profile, limits)), cache, table)
}

fn ask(readers: &Readers, user: &str) -> JoinHandle<Result<Seen, Error>> {
    let (readers, user) = (Arc::clone(readers), UserId::new(user).unwrap());
    #[allow(clippy::disallowed_methods, reason = "the test waits for it")]
    tokio::spawn(async move { readers.get(&Tenant::default(), &user).await })
}

/// Until everybody has come as far as they can.
async fn rest() {
    sleep(Duration::from_millis(1)).await;
}

fn version_of(seen: &Seen) -> i64 {
    seen.version.map_or(0, Version::get)
}

#[tokio::test(start_paused = true)]
async fn a_reader_is_never_told_what_was_read_before_it_asked() {
    let (readers, cache, table) = house(Limits::default());
    table.shut();
    let early = ask(&readers, "ada");
    rest().await;
    assert_eq!(table.begun(), 1);
    table.settle(&cache, 24);
    let late = [ask(&readers, "ada"), ask(&readers, "ada")];
    rest().await;
    assert_eq!(table.begun(), 1, "of one user one read at a time");
    table.open();
    assert_eq!(version_of(&early.await.unwrap().unwrap()), 16);
    for late in late {
        assert_eq!(version_of(&late.await.unwrap().unwrap()), 24, "it was settled when this one asked");
    }
    assert_eq!(table.begun(), 2);
    let seen = ask(&readers, "ada").await.unwrap().unwrap();
    assert!(version_of(&seen) == 24 && seen.source == Source::Cache, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_thousand_readers_of_a_cold_entry_cost_one_read_or_two_if_some_come_while_it_is_read() {
    let (readers, cache, table) = house(Limits::default());
    table.shut();
    let mut asked: Vec<_> = (0..500).map(|_| ask(&readers, "ada")).collect();
    rest().await;
    assert_eq!(table.begun(), 1);
    asked.extend((0..500).map(|_| ask(&readers, "ada")));
    rest().await;
    table.open();
    for asked in asked {
        assert_eq!(version_of(&asked.await.unwrap().unwrap()), 16);
    }
    assert_eq!((table.begun(), cache.0.filled.load(Ordering::Relaxed)), (2, 1));
    for asked in (0..500).map(|_| ask(&readers, "ada")).collect::<Vec<_>>() {
        assert_eq!(asked.await.unwrap().unwrap().source, Source::Cache);
    }
    assert_eq!((table.begun(), readers.shared.flights.len()), (2, 0), "and nothing is left of it");
}

#[tokio::test(start_paused = true)]
async fn a_read_outlives_the_reader_that_began_it() {
    let (readers, cache, table) = house(Limits::default());
    let first = ask(&readers, "ada");
    let second = ask(&readers, "ada");
    table.shut();
    rest().await;
    first.abort();
    rest().await;
    table.open();
    assert_eq!(version_of(&second.await.unwrap().unwrap()), 16);
    assert_eq!((table.begun(), cache.0.filled.load(Ordering::Relaxed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_for_a_place_is_told_so_and_does_not_read_later() {
    let (readers, _, table) = house(Limits { reads_in_flight_max: 1, wait_max: Duration::from_millis(200) });
    table.shut();
    let ada = ask(&readers, "ada");
    rest().await;
    let others: Vec<_> = (0..10).map(|at| ask(&readers, &format!("u{at}"))).collect();
    for other in others {
        assert_eq!(other.await.unwrap(), Err(Error::Overloaded));
    }
    rest().await;
    assert_eq!(readers.shared.flights.len(), 1, "nobody waits for the others any more");
    table.open();
    assert_eq!(version_of(&ada.await.unwrap().unwrap()), 16);
    rest().await;
    assert_eq!(table.begun(), 1);
    assert!(ask(&readers, "u1").await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn no_more_rows_are_read_at_once_than_there_are_places() {
    let (readers, _, table) = house(Limits { reads_in_flight_max: 3, ..Limits::default() });
    table.shut();
    let asked: Vec<_> = (0..10).map(|at| ask(&readers, &format!("u{at}"))).collect();
    rest().await;
    assert_eq!(table.begun(), 3);
    table.open();
    for asked in asked {
        asked.await.unwrap().unwrap();
    }
    assert_eq!(table.begun(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_away_costs_no_answer_and_is_soon_left_alone() {
    let (readers, cache, table) = house(Limits::default());
    cache.0.is_away.store(true, Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(ask(&readers, "ada").await.unwrap().unwrap().source, Source::Store);
    }
    assert_eq!((cache.0.asked.load(Ordering::Relaxed), table.begun()), (3, 20));
    assert_eq!(cache.0.tried.load(Ordering::Relaxed), 0, "who was given no right fills nothing");
    cache.0.is_away.store(false, Ordering::Relaxed);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ask(&readers, "ada").await.unwrap().unwrap().source, Source::Store);
    assert_eq!(ask(&readers, "ada").await.unwrap().unwrap().source, Source::Cache);
    assert_eq!(cache.0.asked.load(Ordering::Relaxed), 5);
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_nothing_is_filled() {
    let (readers, cache, table) = house(Limits::default());
    let key = Key::new(&Tenant::default(), &UserId::new("ada").unwrap());
    for planted in [Entry::of("garbage"), Entry::foreign()] {
        cache.entries().insert(key.clone(), planted.clone());
        assert_eq!(ask(&readers, "ada").await.unwrap().unwrap().source, Source::Store);
        assert_eq!(cache.entries().get(&key), Some(&planted));
    }
    // Another process has the lease.
    let (mut leased, token) = (Entry::default(), [7; 16]);
    assert!(leased.lease(0, &token) == Ok(Leased::Granted));
    cache.entries().insert(key.clone(), leased.clone());
    assert_eq!(ask(&readers, "ada").await.unwrap().unwrap().source, Source::Store);
    assert!(cache.entries().get(&key) == Some(&leased) && table.begun() == 3);
    assert_eq!(cache.0.tried.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_read_that_breaks_down_takes_only_its_readers_along() {
    let (readers, _, table) = house(Limits::default());
    table.0.is_mad.store(true, Ordering::SeqCst);
    let lost = ask(&readers, "ada").await.unwrap();
    assert!(matches!(lost, Err(Error::Unreachable(_))), "{lost:?}");
    table.0.is_mad.store(false, Ordering::SeqCst);
    assert_eq!(version_of(&ask(&readers, "ada").await.unwrap().unwrap()), 16);
}

#[test]
fn a_profile_looks_the_same_from_the_cache_as_from_the_row() {
    let profile = Profile::embedded().unwrap();
    let mut named = Row::with_width(profile.fields().len());
    named.set(profile.position("name").unwrap(), FieldValue::Text("Ada \"L\"".into()));
    let version = Version::new(8_004);
    let alive =
        ProfileRow { row: named, version, live: version, partition: Some(3), offset: Some(7), ..Default::default() };
    let deleted = ProfileRow { version, dead: version, ..ProfileRow::default() };
    for (row, payload) in [(Some(&alive), Some(r#"{"name":"Ada \"L\""}"#)), (Some(&deleted), None), (None, None)] {
        let read = Seen::of_row(row, &profile).unwrap();
        assert_eq!(read.payload.as_deref(), payload);
        let cached = Seen::from(Cached::from(read.value()));
        assert_eq!(cached, Seen { source: Source::Cache, ..read });
        assert!(!format!("{cached:?}").contains("Ada"));
    }
}
