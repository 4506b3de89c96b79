//! One installation of the product: topics, groups and a keyspace of its own on servers that others may share.

use crate::feed::Feed;
use crate::history::User;
use crate::process::{Worker, dir_of, tidewater};
use crate::stack::{Stack, asked, root, scratch};
use crate::until;
use runtime::kafka::{Admin, Config, Group, Reader as Topic};
use runtime::offsets::{Span, Watermarks};
use runtime::record::Record;
use schemas::{Codec, FieldValue, Profile, Tenant, UserId, topics};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::cql::{self, Keyspace, ProfileRow, ReadError, Reader, Session};
use tokio::time::{Instant, sleep};

mod oracle;

/// Few, so that an installation is quickly made, and more than one.
pub const PARTITIONS: i32 = 4;

/// Start of operation.
const FLOOR: &str = "2024-01-01T00:00:00Z";
/// The same in microseconds since 1970-01-01.
const FLOOR_MICROS: i64 = 1_704_067_200_000_000;

/// The workers in the order of the path, and what each reads; `validate` reads pinned, too.
pub const PATH: [(&str, &str); 3] = [("validate", topics::RAW), ("enrich", topics::VALID), ("sink", topics::ENRICHED)];

/// What one test may take from its first installation on; most take a tenth of it. Long forms take `TEST_SECONDS`.
const BUDGET_SECONDS: usize = 150;

/// Between two tries of what a server did not answer.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Everything that was fed must have arrived within this time.
const WITHIN: Duration = Duration::from_secs(90);

/// One installation. What it made stays on the servers, under names that no other test has.
#[derive(Debug)]
pub struct Installation {
    pub stack: Stack,
    pub profile: Arc<Profile>,
    pub session: Session,
    name: String,
    dir: PathBuf,
    kafka: Config,
    admin: Admin,
    groups: Vec<Group>,
    reader: Reader,
    cassandra: cql::Config,
    partitions: i32,
    starts: AtomicUsize,
    since: Instant,
    budget: Duration,
}

impl Installation {
    /// Writes a configuration, makes topics and tables with `tidewater`, and starts nothing. `name`: `[a-z0-9]+`.
    pub async fn build(stack: &Stack, name: &str) -> Self {
        Self::build_wide(stack, name, PARTITIONS).await
    }

    /// The same with a number of partitions.
    pub async fn build_wide(stack: &Stack, name: &str, partitions: i32) -> Self {
        let since = Instant::now();
        let dir = dir_of(name);
        let name = format!("t{}{name}", std::process::id());
        std::fs::write(dir.join("tidewater.toml"), toml(stack, &name, partitions)).unwrap();
        for (verb, servers) in [("topics apply", stack.broker_count()), ("migrate", stack.cassandra.len())] {
            let kind = if servers < 3 { "local" } else { "production" };
            let arguments: Vec<&str> = verb.split(' ').chain(["--profile", kind]).collect();
            told(&tidewater(&dir.join("tidewater.toml"), &arguments));
        }
        let keyspace = Keyspace::new(&name).expect("a short name");
        let cassandra = cql::Config { nodes: stack.cassandra.clone(), keyspace, ..cql::Config::default() };
        let session = Session::connect(&cassandra).await.unwrap();
        let profile = Arc::new(Profile::embedded().unwrap());
        let reader = Reader::prepare(&session, &profile).await.unwrap();
        let kafka = Config { brokers: stack.brokers.clone(), ..Config::default() };
        let groups = PATH.map(|(stage, _)| Group::new(&kafka, &format!("{name}.{stage}")).unwrap()).into();
        let admin = Admin::new(&kafka).unwrap();
        let starts = AtomicUsize::default();
        let stack = stack.clone();
        Self {
            stack,
            profile,
            session,
            name,
            dir,
            kafka,
            admin,
            groups,
            reader,
            cassandra,
            partitions,
            starts,
            since,
            budget: Duration::from_secs(u64::try_from(asked("TEST_SECONDS", BUDGET_SECONDS)).unwrap()),
        }
    }

    /// The same, which may take so long.
    #[must_use]
    pub fn within(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// The name that its topics, groups, keyspace and users start with.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it keeps its configuration and its logs.
    #[must_use]
    pub fn dir(&self) -> &PathBuf {
        &self.dir
    }

    #[must_use]
    pub fn topic(&self, name: &str) -> String {
        format!("{}.{name}", self.name)
    }

    #[must_use]
    pub fn codec(&self) -> Codec {
        Codec::new(self.profile.clone())
    }

    /// Starts a worker, with options as `SECTION__KEY` and their values.
    #[must_use]
    pub fn start(&self, worker: &'static str, options: &[(&str, &str)]) -> Worker {
        let names: Vec<String> = options.iter().map(|(name, _)| format!("TIDEWATER__{name}")).collect();
        let settings: Vec<(&str, &str)> =
            names.iter().map(|name| &**name).zip(options.iter().map(|(_, it)| *it)).collect();
        self.start_in(worker, &settings)
    }

    /// Starts a worker, with names and values of its environment.
    #[must_use]
    pub fn start_in(&self, worker: &'static str, environment: &[(&str, &str)]) -> Worker {
        let log = self.dir.join(format!("{worker}-{}.log", self.starts.fetch_add(1, Ordering::Relaxed)));
        Worker::start(worker, &self.dir.join("tidewater.toml"), log, environment)
    }

    /// Starts one of each.
    #[must_use]
    pub fn start_path(&self) -> Vec<Worker> {
        PATH.map(|(worker, _)| self.start(worker, &[])).into()
    }

    /// Runs `tidewater` to its end.
    #[must_use]
    pub fn tidewater(&self, arguments: &[&str]) -> Output {
        tidewater(&self.dir.join("tidewater.toml"), arguments)
    }

    /// A producer of a topic.
    #[must_use]
    pub fn feed(&self, topic: &str) -> Feed {
        Feed::new(&self.kafka, &self.topic(topic), self.partitions)
    }

    pub async fn watermarks(&self, topic: &str) -> Vec<Watermarks> {
        self.admin.watermarks(&self.topic(topic)).await.unwrap()
    }

    /// What a worker's group has committed, by partition; 0 where nothing.
    pub async fn committed(&self, worker: &str) -> Vec<i64> {
        let at = PATH.iter().position(|(name, _)| *name == worker).unwrap();
        let found = self.groups[at].committed(&self.topic(PATH[at].1), self.partitions).await.unwrap();
        found.into_iter().map(|committed| committed.map_or(0, |committed| committed.offset)).collect()
    }

    /// Records that a worker has before it; `None` if the broker does not say.
    pub async fn lag(&self, worker: &str) -> Option<i64> {
        let at = PATH.iter().position(|(name, _)| *name == worker).unwrap();
        let pinned = (worker == "validate").then_some(topics::PINNED);
        let mut behind = 0;
        for topic in [PATH[at].1].into_iter().chain(pinned).map(|name| self.topic(name)) {
            // In this order: what arrives between the two looks counts as being behind.
            let committed = self.groups[at].committed(&topic, self.partitions).await.ok()?;
            let held = self.admin.watermarks(&topic).await.ok()?;
            let next = committed.iter().map(|committed| committed.as_ref().map_or(0, |committed| committed.offset));
            behind += held.iter().zip(next).map(|(held, next)| held.high - next).sum::<i64>();
        }
        Some(behind)
    }

    /// Waits until everything that was fed has gone the whole path.
    pub async fn settled(&self) {
        for (worker, _) in PATH {
            self.settled_by(worker).await;
        }
    }

    /// Waits until a worker has nothing before it.
    pub async fn settled_by(&self, worker: &str) {
        self.settled_by_within(worker, WITHIN).await;
    }

    /// The same, which may take so long.
    pub async fn settled_by_within(&self, worker: &str, within: Duration) {
        until(&format!("{worker} to settle all it has"), within, async || {
            (self.lag(worker).await == Some(0)).then_some(())
        })
        .await;
    }

    /// Every record of a topic, those of one partition in order.
    pub async fn records(&self, topic: &str) -> Vec<Record> {
        let whole = |held: &Watermarks| Span { partition: held.partition, from: held.low, to: held.high };
        let spans: Vec<Span> = self.watermarks(topic).await.iter().map(whole).collect();
        self.read(topic, &spans).await
    }

    /// The records of some spans of a topic.
    pub async fn read(&self, topic: &str, spans: &[Span]) -> Vec<Record> {
        let mut reader = Topic::open(&self.kafka, &self.topic(topic), spans).unwrap();
        let mut records = Vec::new();
        while let Some(record) = reader.next().await.unwrap() {
            records.push(record);
        }
        records
    }

    /// Every row there is.
    pub async fn rows(&self) -> BTreeMap<User, ProfileRow> {
        let mut rows = BTreeMap::new();
        let mut scan = self.reader.scan();
        loop {
            match scan.next().await {
                Ok(Some((tenant, user, row))) => {
                    rows.insert((tenant.as_str().to_owned(), user.as_str().to_owned()), row);
                }
                Ok(None) => return rows,
                Err(ReadError::Unreachable(_)) if self.since.elapsed() < self.budget => sleep(TRY_AGAIN).await,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// The row of a user of the tenant `main`; an empty one if there is none.
    pub async fn row(&self, user: &str) -> ProfileRow {
        self.row_of(&Tenant::default(), &UserId::new(user).unwrap()).await
    }

    /// What a worker's group has committed, by partition; `None` if the brokers do not say.
    pub async fn try_committed(&self, worker: &str) -> Option<Vec<i64>> {
        let at = PATH.iter().position(|(name, _)| *name == worker).unwrap();
        let found = self.groups[at].committed(&self.topic(PATH[at].1), self.partitions).await.ok()?;
        Some(found.into_iter().map(|committed| committed.map_or(0, |committed| committed.offset)).collect())
    }

    /// The records of some spans of a topic; `None` if the brokers do not give them.
    pub async fn try_read(&self, topic: &str, spans: &[Span]) -> Option<Vec<Record>> {
        let mut reader = Topic::open(&self.kafka, &self.topic(topic), spans).ok()?;
        let mut records = Vec::new();
        while let Some(record) = reader.next().await.ok()? {
            records.push(record);
        }
        Some(records)
    }

    /// The row of a user as a quorum has it, an empty one if there is none; `None` if no quorum answers.
    pub async fn try_row_of(&self, tenant: &Tenant, user: &UserId) -> Option<ProfileRow> {
        self.reader.read(tenant, user).await.ok().map(Option::unwrap_or_default)
    }

    /// The row of a user; an empty one if there is none.
    pub async fn row_of(&self, tenant: &Tenant, user: &UserId) -> ProfileRow {
        self.reader.read(tenant, user).await.unwrap().unwrap_or_default()
    }

    /// A text field of a row.
    #[must_use]
    pub fn text<'a>(&self, row: &'a ProfileRow, field: &str) -> Option<&'a str> {
        let value = row.row.get(self.profile.position(field).unwrap())?;
        let FieldValue::Text(text) = value else { panic!("{field} is no text: {value:?}") };
        Some(text)
    }
}

impl Drop for Installation {
    /// What a failed test has written is what its failure is understood from.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let took = self.since.elapsed();
            let may = self.budget;
            assert!(took < may, "{} took {} s and may take {}", self.name, took.as_secs(), may.as_secs());
            let _removed = std::fs::remove_dir_all(&self.dir);
            // The last one out; while others are there, it fails.
            let _removed = std::fs::remove_dir(scratch());
        }
    }
}

/// What a command has said, which must have gone well.
pub fn told(output: &Output) -> String {
    let said = [&output.stdout[..], &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    assert!(output.status.success(), "{said}");
    said
}

fn toml(stack: &Stack, name: &str, partitions: i32) -> String {
    let (host, port) = stack.redis_address();
    let tables = root().join("schemas/reference");
    format!(
        r#"
[kafka]
brokers = "{brokers}"
topic_prefix = "{name}."
group_prefix = "{name}."
partitions = {partitions}
[version]
floor = {FLOOR}
[enrich]
tables = "{tables}"
[cassandra]
nodes = {nodes:?}
keyspace = "{name}"
[redis]
host = "{host}"
port = {port}
[http]
listen = "127.0.0.1:0"
[limits]
commit_every = "100ms"
"#,
        brokers = stack.brokers,
        tables = tables.display(),
        nodes = stack.cassandra,
    )
}
