//! One installation of the product: topics, groups and a keyspace of its own on servers that others may share.

use crate::feed::Feed;
use crate::history::{History, User};
use crate::process::{Worker, dir_of, tidewater};
use crate::stack::{Stack, root, scratch};
use crate::until;
use ctl::verify::{Subject, Verdict, verify};
use runtime::kafka::{Admin, Cluster, Config, Group, Membership, Reader as Topic, Span, Watermarks};
use runtime::record::Record;
use schemas::{Codec, FieldValue, Profile, Row, Tenant, UserId, headers, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use store::cql::{self, Keyspace, ProfileRow, Reader, Session};
use tokio::time::Instant;

/// Few, so that an installation is quickly made, and more than one.
pub const PARTITIONS: i32 = 4;

/// Start of operation.
const FLOOR: &str = "2024-01-01T00:00:00Z";
/// The same in microseconds since 1970-01-01.
const FLOOR_MICROS: i64 = 1_704_067_200_000_000;

/// The workers in the order of the path, and what each reads; `validate` reads pinned, too.
pub const PATH: [(&str, &str); 3] = [("validate", topics::RAW), ("enrich", topics::VALID), ("sink", topics::ENRICHED)];

/// What one test may take from its first installation on; most take a tenth of it.
const BUDGET: Duration = Duration::from_secs(150);

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
            budget: BUDGET,
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
        let log = self.dir.join(format!("{worker}-{}.log", self.starts.fetch_add(1, Ordering::Relaxed)));
        let names: Vec<String> = options.iter().map(|(name, _)| format!("TIDEWATER__{name}")).collect();
        let settings: Vec<(&str, &str)> =
            names.iter().map(|name| &**name).zip(options.iter().map(|(_, it)| *it)).collect();
        Worker::start(worker, &self.dir.join("tidewater.toml"), log, &settings)
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
        while let Some((tenant, user, row)) = scan.next().await.unwrap() {
            rows.insert((tenant.as_str().to_owned(), user.as_str().to_owned()), row);
        }
        rows
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

    /// Panics unless the log alone proves that nothing is lost and no row wrong.
    pub async fn assert_proven(&self) {
        let verdict = self.verdict().await;
        assert!(verdict.changes > 0 && verdict.holds(), "{verdict:#?}");
    }

    /// What the log alone says of the rows.
    pub async fn verdict(&self) -> Verdict {
        let cluster = Cluster {
            client: self.kafka.clone(),
            topic_prefix: format!("{}.", self.name),
            group_prefix: format!("{}.", self.name),
            partitions: self.partitions,
            membership: Membership::default(),
            linger: Duration::ZERO,
        };
        let subject = Subject { cluster, cassandra: self.cassandra.clone(), floor_micros: FLOOR_MICROS };
        verify(&subject).await.unwrap()
    }

    /// Panics unless every record of `raw` is settled and every row is what `history` came to.
    pub async fn assert_is(&self, history: &History) {
        let wrong = self.wrong(history).await;
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        self.assert_nothing_is_lost().await;
        self.assert_proven().await;
    }

    /// Rows that are not what `history` came to.
    pub async fn wrong(&self, history: &History) -> Vec<String> {
        let rows = self.rows().await;
        let strangers = rows.keys().filter(|user| !history.known().contains_key(*user));
        let mut wrong: Vec<String> = strangers.map(|user| format!("{user:?} is a stranger")).collect();
        for (user, known) in history.known() {
            let row = rows.get(user).cloned().unwrap_or_default();
            if row.alive() != known.is_alive || self.plain(&row.row) != known.row {
                wrong.push(format!("{user:?}: {row:?}, not {known:?}"));
            }
        }
        wrong
    }

    /// Panics unless each record of `raw` is, as an origin, in exactly one of `enriched` and the dead letters of the
    /// processors, always with the same version and id.
    pub async fn assert_nothing_is_lost(&self) {
        let forwarded = self.versions(topics::VALID).await;
        let arrived = self.versions(topics::ENRICHED).await;
        let dead: BTreeSet<String> = self.records(topics::DEAD).await.iter().filter_map(dead_origin).collect();
        for record in self.records(topics::RAW).await {
            let origin = format!("{}/{}/{}", topics::RAW, record.place.partition, record.offset);
            let settled = [arrived.contains_key(&origin), dead.contains(&origin)];
            assert!(settled == [true, false] || settled == [false, true], "{origin}: arrived, dead = {settled:?}");
            assert_eq!(arrived.get(&origin), forwarded.get(&origin).filter(|_| settled[0]), "{origin}");
        }
    }

    /// Version and id by origin; panics if copies of one origin differ in them.
    pub async fn versions(&self, topic: &str) -> BTreeMap<String, (i64, uuid::Uuid)> {
        let codec = self.codec();
        let mut versions = BTreeMap::new();
        for record in self.records(topic).await {
            let origin = record.headers.last(headers::ORIGIN).map(|origin| &origin[..]);
            let Ok(change) = codec.decode_own(record.value.as_deref(), origin) else { continue };
            let this = (change.version.get(), change.id);
            let first = *versions.entry(change.origin.to_string()).or_insert(this);
            assert_eq!(first, this, "{topic}: copies of {} differ", change.origin);
        }
        versions
    }

    /// A row without its derived fields.
    fn plain(&self, row: &Row) -> Row {
        let mut plain = row.clone();
        let derived = self.profile.fields().iter().enumerate().filter(|(_, field)| field.derived.is_some());
        derived.for_each(|(position, _)| drop(plain.take(position)));
        plain
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

/// The origin of a dead letter that a processor wrote. What the sink refuses is in `enriched` as well.
fn dead_origin(letter: &Record) -> Option<String> {
    let text = |name| Some(String::from_utf8(letter.headers.last(name)?.to_vec()).unwrap());
    (text(headers::STAGE)? != "sink").then(|| text(headers::ORIGIN))?
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
