//! `tidewater demo`: the whole path on real servers and real input, and the proof that it held.
//!
//! Nothing is left behind, however it ends: the servers watch this process, the workers die with it, and on the ways
//! out that can be seen coming all of them are asked to leave first.

mod crew;
mod feed;
mod home;
mod pace;
mod report;
mod screen;
mod servers;

use crate::Error;
use crate::config::{Log, Store};
use crate::verify::{self, Subject, Verdict};
use clap::Args;
use crew::Crew;
use feed::Feed;
use home::{Ground, Home};
use pace::Pace;
use report::Report;
use runtime::clock::Clock;
use runtime::config::{self, Given, Settings};
use screen::{Screen, grouped};
use servers::Servers;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tokio::process::Command;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

/// Between two looks at how far the stages are.
const LOOK_AGAIN: Duration = Duration::from_millis(400);

/// Workers must have their partitions, and go on settling, within this; a loaded machine takes its time.
const STANDSTILL: Duration = Duration::from_secs(120);

/// Runs everything on this machine: servers, topics, tables, workers, thousands of real changes, and the proof.
///
/// Needs the project's sources, and nothing that runs already: it brings up Kafka, Cassandra and Redis of its own and
/// takes them down again. The last line on standard output is the result as JSON; all else goes to standard error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater demo                      the changelogs of this machine, else invented changes
  tidewater demo --repeat 20          the same histories of 20 times as many users
  tidewater demo --source ~/project   the authors of a git repository
  tidewater demo --keep               leaves everything up to look around in

Exit codes: 0 nothing lost and no row wrong, 1 not so, 64 something is missing here, 70 something else failed")]
pub(crate) struct Demo {
    /// debian-changelogs, generator, or the path of a git repository; the first of these that there is if not given
    #[arg(long)]
    source: Option<String>,
    /// The whole input so many times, each time with other users
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    repeat: u32,
    /// Only the oldest changes
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Leave servers and workers up afterwards, and say how to end them
    #[arg(long)]
    keep: bool,
    /// The project's sources
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
}

impl Demo {
    pub(crate) async fn execute(&self, out: &mut dyn Write) -> Result<(), Error> {
        let mut signals = Signals::trap().map_err(Error::Threads)?;
        let home = Home::find(&self.home).await?;
        let ground = Ground::make()?;
        let mut crew = Crew::default();
        let mut screen = Screen::new();
        let played = tokio::select! {
            played = self.play(&home, &ground, &mut crew, &mut screen) => played,
            name = signals.next() => Err(Error::Failed(format!("{name}: the demo was stopped"))),
        };
        let is_kept = self.keep && played.is_ok();
        if !is_kept {
            clear(&home, &ground, &mut crew, &mut screen, &mut signals).await;
        }
        let report = played?;
        report.explain(&mut screen, &home, &ground, is_kept.then_some(&crew));
        writeln!(out, "{report}")?;
        if report.verdict.holds() { Ok(()) } else { Err(Error::Unproven(report.failure())) }
    }

    /// From nothing to the verdict. May be dropped at any point.
    async fn play(&self, home: &Home, ground: &Ground, crew: &mut Crew, screen: &mut Screen) -> Result<Report, Error> {
        screen.say("starting Kafka, Cassandra and Redis");
        let servers = Servers::up(home, ground).await?;
        let floor_ms = Clock::system().now_ms() - 1_000;
        let text = servers.config(home, floor_ms);
        ground.write_config(&text)?;
        tidewater(home, ground, &["topics", "apply", "--profile", "local"]).await?;
        tidewater(home, ground, &["migrate", "--profile", "local"]).await?;
        screen.say("topics and tables are there; starting validate, enrich and two sinks");
        crew.start(home, ground)?;

        let log: Log = load(ground, &text)?;
        let store: Store = load(ground, &text)?;
        let floor_micros = log.floor_micros()?;
        let subject = Subject { cluster: log.cluster.clone(), cassandra: store.cassandra, floor_micros };
        let report = tokio::select! {
            report = self.prove(home, &log, &subject, screen) => report?,
            death = crew.death() => return Err(death),
        };
        if self.keep {
            // Workers of this process die with it; these may not.
            crew.leave(screen).await;
            crew.start_detached(home, ground)?;
            servers::hand_over(home, ground, &crew.pids()).await?;
        }
        Ok(report)
    }

    /// From workers at their places to the verdict.
    async fn prove(&self, home: &Home, log: &Log, subject: &Subject, screen: &mut Screen) -> Result<Report, Error> {
        let pace = Pace::new(log)?;
        pace.held(STANDSTILL).await?;
        let feed = Feed::open(home, self).await?;
        screen.say(&format!("feeding {} changes of {}", grouped(feed.announced()), feed.source()));
        let moved = run(feed, log, &pace, screen).await?;
        screen.say("all of them are settled; recomputing the end state from the log");
        let verdict = verify::verify(subject).await.map_err(|error| Error::Failed(told(&error)))?;
        Ok(moved.report(verdict, subject.cluster.client.brokers.clone()))
    }
}

/// Feeds everything and waits until every stage has settled it.
async fn run(mut feed: Feed, log: &Log, pace: &Pace, screen: &mut Screen) -> Result<Moved, Error> {
    let since = Instant::now();
    let total = feed.announced();
    let counter = feed.counter();
    let source = feed.source().to_owned();
    let feeding = async { feed.run(log).await };
    tokio::pin!(feeding);
    let mut fed = None;
    let mut last_move = (since, 0);
    let mut rates = screen::Rates::default();
    loop {
        let is_fed = fed.is_some();
        let standings = tokio::select! {
            biased;
            result = &mut feeding, if !is_fed => {
                fed = Some(result?);
                continue;
            }
            standings = pace.look() => standings?,
        };
        let is_done = is_fed && standings.iter().all(|standing| standing.behind == 0);
        screen.draw(&rates.next(since.elapsed(), counter.get(), &standings), total, is_done);
        if is_done {
            return Ok(Moved { source, fed: fed.unwrap_or_default(), seconds: since.elapsed() });
        }
        let settled = standings.iter().map(|standing| standing.settled).sum();
        if settled != last_move.1 {
            last_move = (Instant::now(), settled);
        } else if last_move.0.elapsed() > STANDSTILL {
            return Err(Error::Failed(format!("nothing has moved for {} s", STANDSTILL.as_secs())));
        }
        tokio::select! {
            result = &mut feeding, if !is_fed => fed = Some(result?),
            () = sleep(LOOK_AGAIN) => {}
        }
    }
}

/// What went through, and how long it took.
struct Moved {
    source: String,
    fed: u64,
    seconds: Duration,
}

impl Moved {
    /// What was fed and is not in the log at all is lost, too.
    fn report(self, mut verdict: Verdict, brokers: String) -> Report {
        let Self { source, fed, seconds } = self;
        verdict.lost += fed.saturating_sub(verdict.changes);
        Report { source, verdict, brokers, seconds }
    }
}

/// Takes everything down: at once, if a second signal comes. What is cut short then dies with this process.
async fn clear(home: &Home, ground: &Ground, crew: &mut Crew, screen: &mut Screen, signals: &mut Signals) {
    screen.say("taking everything down");
    let work = async {
        crew.leave(screen).await;
        servers::down(home, ground).await;
        ground.clear();
    };
    tokio::select! {
        () = work => {}
        _ = signals.next() => {}
    }
}

/// The command that a person would type, against the demo's own installation whatever the environment says.
async fn tidewater(home: &Home, ground: &Ground, arguments: &[&str]) -> Result<(), Error> {
    let mut command = Command::new(home.binary("tidewater"));
    command.env_clear().arg("--config").arg(ground.config()).args(arguments).kill_on_drop(true);
    let asked = || format!("`tidewater {}`", arguments.join(" "));
    let output =
        command.output().await.map_err(|error| Error::Failed(format!("{} did not start: {error}", asked())))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Failed(format!("{} failed: {}", asked(), String::from_utf8_lossy(&output.stderr).trim())))
}

/// The configuration as the workers read it. The environment has no say: it may be that of another installation.
fn load<C: Settings>(ground: &Ground, text: &str) -> Result<C, Error> {
    Ok(config::load(Given::new(Some(&ground.config()), text, [])?)?.config)
}

/// An error with all that is behind it.
fn told(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// What asks this process to stop.
struct Signals([(&'static str, Signal); 3]);

impl Signals {
    fn trap() -> std::io::Result<Self> {
        Ok(Self([
            ("interrupted", signal(SignalKind::interrupt())?),
            ("terminated", signal(SignalKind::terminate())?),
            ("hung up", signal(SignalKind::hangup())?),
        ]))
    }

    async fn next(&mut self) -> &'static str {
        let Self([interrupt, terminate, hangup]) = self;
        tokio::select! {
            _ = interrupt.1.recv() => interrupt.0,
            _ = terminate.1.recv() => terminate.0,
            _ = hangup.1.recv() => hangup.0,
        }
    }
}
