//! `tidewater standalone`: the whole pipeline in this process, on one directory.
//!
//! The same stages, versions and guarantees as on servers; only log, table and cache lie on one disk. Two workers: one that
//! reads raw and pinned changes, gives them their place, checks and enriches them, and one that writes the table.

mod config;
mod doors;
mod followed;

pub use config::Config;
pub use followed::Followed;

use crate::error::USAGE;
use crate::world::Target;
use clap::Args;
use doors::RawLog;
use embedded::{Durability, Founding, Home, LogSink, LogSource, Member, Options, TableSink, Topic};
use ingest::{Degraded, Ingest, Keeping};
use processors::Fused;
use processors::enrich::{Enrich, Folder};
use processors::validate::{Fold, Validate};
use runtime::auth::{Guard, require};
use runtime::config::Given;
use runtime::dead::DeadLetters;
use runtime::http::{Door, DoorMetrics};
use runtime::pair::Pair;
use runtime::vitals::Vitals;
use runtime::worker::{Parts, Worker};
use runtime::{Context, Failure, Service, Wanted, boot_given};
use schemas::{Codec, Profile, RejectCode, topics};
use sinks::{Decode, Horizon};
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use store::cql::GC_GRACE_MIN;
use tracing::{debug, info};

/// The process, as its operators know it.
pub const SERVICE: Service = Service {
    name: "standalone",
    about: "Runs the whole pipeline in one process, on one directory.",
    admin_port: 7100,
};

/// The tables for look-ups that a new directory begins with.
const SHIPPED: [(&str, &str); 1] =
    [("countries@20260101T000000Z.csv", include_str!("../../schemas/reference/countries@20260101T000000Z.csv"))];

/// Groups and the topics that they read.
const READERS: [(&str, &str); 3] =
    [("validate", topics::RAW), ("validate", topics::PINNED), ("sink", topics::ENRICHED)];

/// The last syncs, and callers that are answered.
const CLOSE_BUDGET: Duration = Duration::from_secs(10);
const ASIDE_BUDGET: Duration = Duration::from_secs(1);
/// Requests that are under way.
const DOOR_BUDGET: Duration = Duration::from_secs(5);

/// Runs the whole pipeline in this process, on one directory: no Kafka, Cassandra or Redis.
///
/// Makes the directory if there is none. Every other verb works on it with the same --data, while this runs and when it
/// does not. Durability: `always` acknowledges what is on disk; `10ms` what the system has, and shows it when it is on
/// disk, 10 ms later; `os` leaves it to the system.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater standalone --data ./tidewater-data
  tidewater standalone --data ./tidewater-data --sync always
  tidewater --config standalone.toml standalone --check
Then, in another terminal:
  echo '{\"user_id\":\"ada\",\"op\":\"upsert\",\"set\":{\"name\":\"Ada\"}}' | tidewater send --data ./tidewater-data -
  tidewater get ada --data ./tidewater-data
Exit codes: 0 clean, 64 usage or configuration, 70 a component failed, 75 the drain ran out")]
pub(crate) struct Standalone {
    /// How safe a change is when it is acknowledged: always, 10ms or os; standalone.sync if not given
    #[arg(long, value_name = "WHEN")]
    sync: Option<Durability>,
    /// Tell every problem of the configuration and end
    #[arg(long)]
    check: bool,
    /// Print the configuration in force and end
    #[arg(long, conflicts_with = "check")]
    print_config: bool,
}

impl Standalone {
    /// Lives until a signal or a failure.
    pub(crate) fn live(&self, target: &Target) -> ExitCode {
        let wanted = match self {
            Self { check: true, .. } => Wanted::Check,
            Self { print_config: true, .. } => Wanted::Print,
            Self { .. } => Wanted::Life,
        };
        let (data, sync) = (target.data.clone(), self.sync);
        if data.is_none() && target.config.is_none() && wanted == Wanted::Life {
            // Nobody is left to tell if standard error is gone.
            drop(writeln!(io::stderr(), "error: say where: tidewater standalone --data DIR"));
            return ExitCode::from(USAGE);
        }
        boot_given(&SERVICE, Given::from_process(target.config.as_deref()), wanted, move |config: Config, context| {
            let config = Config { data: data.or(config.data), durability: sync.unwrap_or(config.durability), ..config };
            run(config, context)
        })
    }
}

/// Sets the process up; what works is spawned on the context's lifecycle.
///
/// # Errors
/// Exit 64 if the directory cannot be used as it is asked for, 70 if it is damaged.
pub async fn run(config: Config, context: Context) -> Result<(), Failure> {
    let profile = Profile::embedded().map(Arc::new).map_err(Failure::config)?;
    let Some(dir) = config.data.clone() else {
        return Err(Failure::config("standalone.data is not set; name a directory there or with --data"));
    };
    ingest::check_masks(&config.auth, &profile).map_err(Failure::config)?;
    let door = Door::bind(&config.door, DoorMetrics::new(&context.telemetry.of("ingest"))).await;
    let door = door.map_err(|error| Failure::config(format!("standalone.listen cannot be had: {error}")))?;
    if let Some(most) = embedded::descriptors::allow_most() {
        debug!(most, "files that may be open");
    }
    let home = open(&dir, &config, &profile, &context).await?;
    if home.layout.floor_micros / 1000 > context.clock.now_ms() {
        return Err(Failure::config("the directory was founded in the future: set this machine's clock"));
    }
    let folder = tables(&home, &config, &profile, &context)?;
    info!(
        dir = %dir.display(),
        sync = %home.durability,
        partitions = home.layout.partitions,
        log_bytes = home.log.bytes(),
        table_bytes = home.table.bytes(),
        "the directory is open"
    );
    attend(&home, &context);
    let shelf = folder.shelf();
    let condition = context.health.condition("tables", "reference tables were not read yet");
    context.lifecycle.spawn_beneath("tables", ASIDE_BUDGET, |stop| async move {
        folder.watch(condition, stop).await;
        Ok(())
    });
    let workers = Workers { home, context, config, profile };
    workers.process(Enrich::new(workers.profile.clone(), shelf))?;
    workers.write()?;
    workers.open(door)
}

/// Everything that the two workers are made of.
struct Workers {
    home: Home,
    context: Context,
    config: Config,
    profile: Arc<Profile>,
}

impl Workers {
    /// Raw and pinned changes in, enriched ones out.
    fn process(&self, enrich: Enrich) -> Result<(), Failure> {
        let Self { home, context, profile, .. } = self;
        let floor = home.layout.floor_micros;
        let mark = Fold::new(floor);
        let partitions = i32::from(home.layout.partitions);
        let validate = Validate::new(profile.clone(), context.clock.clone(), partitions, floor);
        let source = |name| Ok::<_, Failure>(self.source("validate", self.topic(name)?, mark.first()));
        let parts = Parts {
            source: Pair::two(source(topics::RAW)?, topics::PINNED, source(topics::PINNED)?),
            mark,
            stage: Fused::new(profile.clone(), validate, enrich),
            sink: LogSink::new(self.topic(topics::ENRICHED)?),
            dead: self.dead("validate")?,
            limits: self.config.limits,
        };
        let vitals = self.vitals("validate", ["validate", "validate-loop"]);
        Worker::new(parts, vitals).spawn("validate", &context.lifecycle);
        Ok(())
    }

    /// Enriched changes into the table.
    fn write(&self) -> Result<(), Failure> {
        let Self { home, context, profile, .. } = self;
        let horizon = Horizon::new(GC_GRACE_MIN, home.layout.floor_micros);
        let parts = Parts {
            source: self.source("sink", self.topic(topics::ENRICHED)?, String::new()),
            mark: (),
            stage: Decode::new(Codec::new(profile.clone()), horizon, context.clock.clone()),
            sink: TableSink::new(home.table.clone(), home.cache.clone(), context.clock.clone()),
            dead: self.dead("sink")?,
            limits: self.config.limits,
        };
        let vitals = self.vitals("sink", ["sink", "sink-loop"]);
        Worker::new(parts, vitals).spawn("sink", &context.lifecycle);
        Ok(())
    }

    /// Changes in and profiles out over HTTP.
    fn open(&self, door: Door) -> Result<(), Failure> {
        let raw = RawLog(self.topic(topics::RAW)?);
        let Context { lifecycle, health, clock, .. } = &self.context;
        let guard = Guard::new(self.config.auth.clone(), clock.clone(), health)?;
        let keeping = Keeping { keys: self.home.keys.clone(), degraded: Degraded::Refuse };
        let router =
            ingest::router(Arc::new(Ingest::new(self.profile.clone(), raw, Some(keeping), self.config.ingest)));
        let router = router.route_layer(require(guard.clone(), ingest::SCOPE));
        let reading = query::router(self.home.profiles.clone(), Followed::new(self.home.clone()));
        let router = router.merge(reading.route_layer(require(guard.clone(), query::SCOPE)));
        lifecycle.spawn_beneath("keys", ASIDE_BUDGET, |stop| guard.keep_keys(stop));
        lifecycle.spawn("door", DOOR_BUDGET, |stop| async move {
            door.serve(router, stop).await;
            Ok(())
        });
        Ok(())
    }

    fn source(&self, group: &'static str, topic: Topic, first_metadata: String) -> LogSource {
        let rewind = format!("--data {}", self.home.dir().display());
        let member = Member { group, first_metadata, rewind };
        LogSource::new(self.home.log.clone(), topic, self.home.table.clone(), member)
    }

    fn dead(&self, stage: &'static str) -> Result<DeadLetters<LogSink>, Failure> {
        Ok(DeadLetters::new(stage, LogSink::new(self.topic(topics::DEAD)?), self.context.clock.clone()))
    }

    /// Each worker has the metrics that it has on servers, under the same names.
    fn vitals(&self, service: &'static str, names: [&'static str; 2]) -> Vitals {
        let Context { health, telemetry, clock, .. } = &self.context;
        let mut vitals = Vitals::named(names, health, &telemetry.of(service), clock.clone(), &RejectCode::names());
        vitals.traces = telemetry.traces(service);
        vitals
    }

    fn topic(&self, name: &str) -> Result<Topic, Failure> {
        let topic = self.home.log.topic(name).cloned();
        topic.ok_or_else(|| Failure::config(format!("a data directory has no topic {name}")))
    }
}

async fn open(dir: &Path, config: &Config, profile: &Arc<Profile>, context: &Context) -> Result<Home, Failure> {
    let options = Options { clock: context.clock.clone(), ..Options::new(profile.clone(), config.durability) };
    let founding = Founding { partitions: config.partitions, floor_micros: config.floor_micros };
    let dir = dir.to_owned();
    // Goes through files, which may take a while on a cold disk.
    let opened = tokio::task::spawn_blocking(move || Home::open(&dir, Some(founding), &options)).await;
    let opened = opened.map_err(Failure::component)?;
    opened.map_err(|error| error.into_fault().into())
}

/// What stands beside the workers: others are answered, old files go, and at the end everything is on disk.
fn attend(home: &Home, context: &Context) {
    let failed = |error: embedded::Error| Failure::from(error.into_fault());
    let lifecycle = &context.lifecycle;
    let answering = home.clone();
    lifecycle.spawn("control", ASIDE_BUDGET, move |stop| async move {
        embedded::control::serve(answering, stop).await.map_err(failed)
    });
    let tended = home.clone();
    lifecycle.spawn("tend", ASIDE_BUDGET, move |stop| async move {
        match stop.run_until_cancelled(tended.tend(&READERS)).await {
            Some(Err(error)) => Err(failed(error)),
            Some(Ok(())) | None => Ok(()),
        }
    });
    let closed = home.clone();
    lifecycle.spawn_beneath("directory", CLOSE_BUDGET, move |stop| async move {
        stop.cancelled().await;
        closed.close().await.map_err(failed)
    });
}

/// The folder of reference tables: the one that is configured, else the directory's own, which begins with the shipped ones.
fn tables(home: &Home, config: &Config, profile: &Arc<Profile>, context: &Context) -> Result<Folder, Failure> {
    let own = home.dir().join("reference");
    let path: &PathBuf = match &config.tables {
        Some(path) => path,
        None => {
            if !own.is_dir() {
                provide(&own).map_err(|error| {
                    Failure::config(format!("{} cannot be made ({error}); set enrich.tables", own.display()))
                })?;
            }
            &own
        }
    };
    Folder::open(path, profile.clone(), context.clock.clone())
}

/// Whole or not at all: a folder without its tables would stop the next start.
fn provide(folder: &Path) -> io::Result<()> {
    let beside = folder.with_extension("part");
    if beside.exists() {
        fs::remove_dir_all(&beside)?;
    }
    fs::create_dir(&beside)?;
    for (name, text) in SHIPPED {
        fs::write(beside.join(name), text)?;
    }
    fs::rename(&beside, folder)
}
