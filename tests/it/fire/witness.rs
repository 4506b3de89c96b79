//! Looks all the time whether what is promised of every moment holds in this one.

use runtime::offsets::Span;
use schemas::{Tenant, UserId, Version, headers, topics};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use store::cache::{Answer, Config, Key, Reader, Value};
use store::cql::ProfileRow;
use tests::history::{History, Random};
use tests::installation::Installation;
use tests::until;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Between two looks at the commits, and at the cache.
const COMMITS_EVERY: Duration = Duration::from_millis(200);
const READ_EVERY: Duration = Duration::from_millis(5);

/// The last records below a commit that are looked for in their rows, by partition: not all, so that looking keeps up.
const LOOKED_FOR: i64 = 10;

/// What a read may take when nothing goes wrong any more.
const QUORUM_WITHIN: Duration = Duration::from_secs(60);

/// So many violations are told; the rest is counted.
const TOLD_MAX: usize = 20;

type User = (Tenant, UserId);

/// The one who looks.
pub(super) struct Witness<'h> {
    home: &'h Installation,
    cache: Reader,
    /// By user, the largest version known to be settled.
    settled: Mutex<BTreeMap<User, Version>>,
}

/// What was looked at, and what should not have been there.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) looks: u64,
    /// Looks that found what the cache was asked for.
    pub(super) hits: u64,
    pub(super) violations: u64,
    pub(super) told: Vec<String>,
}

impl Seen {
    fn violation(&mut self, text: String) {
        self.violations += 1;
        if self.told.len() < TOLD_MAX {
            self.told.push(text);
        }
    }
}

impl<'h> Witness<'h> {
    pub(super) async fn new(home: &'h Installation) -> Self {
        let (host, port) = home.stack.redis_address();
        let config = Config { host: host.to_owned(), port: port.parse().unwrap(), ..Config::default() };
        Self { home, cache: Reader::new(&config).unwrap(), settled: Mutex::default() }
    }

    /// Every committed change that is looked for is in its row at quorum, or the commit is ahead.
    pub(super) async fn watch_commits(&self, enough: &CancellationToken) -> Seen {
        let mut seen = Seen::default();
        let mut before = self.home.committed("sink").await;
        while !enough.is_cancelled() {
            sleep(COMMITS_EVERY).await;
            let Some(now) = self.home.try_committed("sink").await else { continue };
            let spans: Vec<Span> = (0..).zip(before.iter().zip(&now)).map(span).collect();
            if self.look_for(&spans, &mut seen).await.is_some() {
                before = now.iter().zip(&before).map(|(now, before)| *now.max(before)).collect();
            }
        }
        seen
    }

    /// `None` if the brokers do not give what was committed.
    async fn look_for(&self, spans: &[Span], seen: &mut Seen) -> Option<()> {
        let codec = self.home.codec();
        for record in self.home.try_read(topics::ENRICHED, spans).await? {
            let origin = record.headers.last(headers::ORIGIN).map(|origin| &origin[..]);
            let change = codec.decode_own(record.value.as_deref(), origin).unwrap();
            let user = (change.tenant, change.user_id);
            // A quorum that does not answer says nothing either way.
            let Some(row) = self.home.try_row_of(&user.0, &user.1).await else { continue };
            seen.looks += 1;
            if row.version < Some(change.version) {
                seen.violation(format!("{} is committed and not in its row", change.origin));
            }
            let mut settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
            let known = settled.entry(user).or_insert(change.version);
            *known = change.version.max(*known);
        }
        Some(())
    }

    /// Reads as whoever serves profiles does; no hit lacks what was settled before the look.
    pub(super) async fn read_profiles(&self, enough: &CancellationToken) -> Seen {
        let mut seen = Seen::default();
        let mut random = Random::new(0);
        while !enough.is_cancelled() {
            sleep(READ_EVERY).await;
            let Some((user, settled)) = self.any_settled(&mut random) else { continue };
            self.read_profile(&user, settled, &mut seen).await;
        }
        seen
    }

    fn any_settled(&self, random: &mut Random) -> Option<(User, Version)> {
        let settled = self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        let which = random.below(settled.len().max(1));
        settled.iter().nth(which).map(|(user, version)| (user.clone(), *version))
    }

    async fn read_profile(&self, user: &User, settled: Version, seen: &mut Seen) {
        seen.looks += 1;
        match self.cache.look_up(&Key::new(&user.0, &user.1)).await {
            Answer::Hit(cached) => {
                seen.hits += 1;
                if cached.version < settled {
                    seen.violation(format!("version {} answers, {settled} was settled before", cached.version));
                }
            }
            Answer::Miss(lease) => {
                let Some(row) = self.home.try_row_of(&user.0, &user.1).await else { return };
                if let Some(value) = value_of(&row) {
                    // Whether it was taken, nobody has to know.
                    let _filled = self.cache.fill(lease, &value).await;
                }
            }
            Answer::Bypass(_) => {}
        }
    }

    /// Entries that lack the last change of their user, when all is settled.
    pub(super) async fn stale_entries(&self, history: &History) -> Seen {
        let mut seen = Seen::default();
        for (tenant, user) in history.known().keys() {
            let (tenant, user) = (Tenant::new(tenant).unwrap(), UserId::new(user).unwrap());
            let row = until("a quorum", QUORUM_WITHIN, async || self.home.try_row_of(&tenant, &user).await).await;
            if let Some(version) = row.version {
                self.read_profile(&(tenant, user), version, &mut seen).await;
            }
        }
        seen
    }
}

/// Nobody looks at the fields here, so an entry has none.
fn value_of(row: &ProfileRow) -> Option<Value<'static>> {
    let payload = if row.alive() { "{}" } else { "" };
    Some(Value { version: row.version?, receipt: row.partition.zip(row.offset), payload })
}

/// The last of what was committed since.
fn span((partition, (before, now)): (i32, (&i64, &i64))) -> Span {
    Span { partition, from: *before.max(&(now - LOOKED_FOR)), to: *now }
}
