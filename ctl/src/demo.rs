//! `tidewater demo`: the whole path on real input, and the proof that it held.
//!
//! In one process on one directory, or on servers of its own. Nothing runs on, however it ends.

mod feed;
mod in_directory;
#[cfg(feature = "servers")]
mod on_servers;
mod pace;
mod report;
mod screen;

use crate::Error;
use crate::verify;
use crate::world::{Log, Rows};
use clap::Args;
use embedded::Durability;
use feed::Feed;
pub(crate) use pace::Pace;
#[cfg(feature = "servers")]
pub(crate) use pace::Standing;
use report::Report;
use screen::{Screen, grouped};
use std::io::Write;
#[cfg(feature = "servers")]
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

/// Between two looks at how far the stages are.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Workers must have their partitions, and go on settling, within this; a loaded machine takes its time.
const STANDSTILL: Duration = Duration::from_secs(120);

/// Runs the whole pipeline on thousands of real changes, and proves the result.
///
/// Needs nothing that runs already. The changes are who wrote which entry of the changelogs on this machine, with their
/// mistakes. What comes of them stays in a directory that the other verbs work on. With --servers the same on Kafka,
/// Cassandra and Redis of the demo's own, which it takes down again. The last line on standard output is the result as
/// JSON; all else goes to standard error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater demo                      the changelogs of this machine, else invented changes
  tidewater demo --repeat 20          the same histories of 20 times as many users
  tidewater demo --source ~/project   the authors of a git repository
  tidewater demo --keep               leaves the process up to send changes to

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
    /// How safe a change is when it is acknowledged: always, 10ms or os
    #[arg(long, value_name = "WHEN", default_value_t = Durability::Soon)]
    sync: Durability,
    /// Leave it up afterwards, and say how to end it
    #[arg(long)]
    keep: bool,
    /// Leave nothing of it on the disk
    #[arg(long, conflicts_with = "keep")]
    clean: bool,
    /// On Kafka, Cassandra and Redis of its own; needs the project's sources
    #[cfg(feature = "servers")]
    #[arg(long)]
    servers: bool,
    /// The project's sources, for --servers
    #[cfg(feature = "servers")]
    #[arg(long, value_name = "DIR", default_value = ".")]
    home: PathBuf,
}

impl Demo {
    pub(crate) async fn execute(&self, out: &mut dyn Write) -> Result<(), Error> {
        #[cfg(feature = "servers")]
        if self.servers {
            return Box::pin(on_servers::execute(self, out)).await;
        }
        Box::pin(in_directory::execute(self, out)).await
    }

    /// From workers at their places to the verdict.
    async fn prove(&self, log: &Log, rows: &Rows, screen: &mut Screen) -> Result<Report, Error> {
        let pace = Pace::new(log.clone());
        pace.held(STANDSTILL).await?;
        let feed = Feed::open(self).await?;
        screen.say(&format!("feeding {} changes of {}", grouped(feed.announced()), feed.source()));
        let mut report = run(feed, log, &pace, screen).await?;
        screen.say("all of them are settled; recomputing the end state from the log");
        report.verdict = verify::prove(log, rows).await?;
        // What was fed and is not in the log at all is lost, too.
        report.verdict.lost += report.fed.saturating_sub(report.verdict.changes);
        Ok(report)
    }
}

/// The end of a demo whose report is told: the result for machines, and the exit code.
fn conclude(report: &Report, out: &mut dyn Write) -> Result<(), Error> {
    writeln!(out, "{report}")?;
    if report.verdict.holds() { Ok(()) } else { Err(Error::Unproven(report.failure())) }
}

/// Feeds everything and waits until every stage has settled it.
async fn run(mut feed: Feed, log: &Log, pace: &Pace, screen: &mut Screen) -> Result<Report, Error> {
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
            let fed = fed.unwrap_or_default();
            return Ok(Report { source, fed, seconds: since.elapsed(), verdict: verify::Verdict::default() });
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
