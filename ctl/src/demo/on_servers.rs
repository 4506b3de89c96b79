//! The demo on real servers: Kafka, Cassandra and Redis of its own, and workers that are killed with it.
//!
//! Nothing is left behind, however it ends: the servers watch this process, the workers die with it, and on the ways out
//! that can be seen coming all of them are asked to leave first.

mod crew;
mod home;
mod servers;

use super::report::Report;
use super::screen::Screen;
use super::{Demo, Signals, conclude};
use crate::Error;
use crate::config::{Log, Store};
use crate::world;
use crew::Crew;
use home::{Ground, Home};
use runtime::clock::Clock;
use runtime::config::{self, Given, Settings};
use schemas::topics;
use servers::Servers;
use std::io::Write;
use tokio::process::Command;

pub(super) async fn execute(demo: &Demo, out: &mut dyn Write) -> Result<(), Error> {
    let mut signals = Signals::trap().map_err(Error::Threads)?;
    let home = Home::find(&demo.home).await?;
    let ground = Ground::make()?;
    let mut crew = Crew::default();
    let mut screen = Screen::new();
    let played = tokio::select! {
        played = play(demo, (&home, &ground), &mut crew, &mut screen) => played,
        name = signals.next() => Err(Error::Failed(format!("{name}: the demo was stopped"))),
    };
    let is_kept = demo.keep && played.is_ok();
    if !is_kept {
        clear(&home, &ground, &mut crew, &mut screen, &mut signals).await;
    }
    let (report, brokers) = played?;
    report.explain(&mut screen);
    look_around(&mut screen, (&home, &ground), &brokers, is_kept.then_some(&crew));
    conclude(&report, out)
}

/// From nothing to the verdict, and where the brokers are. May be dropped at any point.
async fn play(
    demo: &Demo,
    (home, ground): (&Home, &Ground),
    crew: &mut Crew,
    screen: &mut Screen,
) -> Result<(Report, String), Error> {
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
    let brokers = log.cluster.client.brokers.clone();
    let log = world::Log::of_servers(log)?;
    let rows = world::Rows::of_servers(&load::<Store>(ground, &text)?).await?;
    let report = tokio::select! {
        report = demo.prove(&log, &rows, screen) => report?,
        death = crew.death() => return Err(death),
    };
    if demo.keep {
        // Workers of this process die with it; these may not.
        crew.leave(screen).await;
        crew.start_detached(home, ground)?;
        servers::hand_over(home, ground, &crew.pids()).await?;
    }
    Ok((report, brokers))
}

/// Says how to look around; `kept` are the workers that go on.
fn look_around(screen: &mut Screen, (home, ground): (&Home, &Ground), brokers: &str, kept: Option<&Crew>) {
    screen.say(match kept {
        Some(_) => "everything is still up; look around with",
        None => "with --keep everything stays up, to look around with commands like",
    });
    let tidewater = format!("{} --config {}", home.binary("tidewater").display(), ground.config().display());
    let enriched = format!("{}{}", topics::PREFIX_DEFAULT, topics::ENRICHED);
    screen.show(&format!("{tidewater} lag"));
    screen.show(&format!("{tidewater} dead list --limit 10"));
    screen.show(&format!("kcat -C -q -e -o -1 -b {brokers} -t {enriched} -f 'key %k, headers %h\\n'"));
    let Some(crew) = kept else { return };
    screen.say("and end it all with");
    let pids = crew.pids().iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let (stack, servers, dir) = (home.stack(), ground.servers(), ground.dir());
    screen.show(&format!("kill {pids}; {} down --dir {}; rm -r {}", stack.display(), servers.display(), dir.display()));
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
