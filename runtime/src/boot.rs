//! From the command line to the exit code: the only place that parses arguments, starts logs and threads, traps
//! signals and ends the process.
//!
//! A service's `main.rs` is one call:
//! ```no_run
//! use runtime::{Context, Failure, Service, boot, config};
//! use std::process::ExitCode;
//!
//! struct Config;
//! impl config::Settings for Config {
//!     fn read(_: &mut config::Section<'_>) -> Self { Self }
//! }
//!
//! async fn run(_config: Config, context: Context) -> Result<(), Failure> {
//!     context.lifecycle.spawn("worker", std::time::Duration::from_secs(3), |stop| async move {
//!         stop.cancelled().await;
//!         Ok(())
//!     });
//!     Ok(())
//! }
//!
//! fn main() -> ExitCode {
//!     const SERVICE: Service = Service { name: "sink", about: "Writes changes to the stores.", admin_port: 7103 };
//!     boot(&SERVICE, run)
//! }
//! ```

use crate::clock::Clock;
use crate::config::{self, Declarations, Given, Loaded, Section, Settings};
use crate::health::Health;
use crate::lifecycle::{Failure, Lifecycle};
use crate::telemetry::{self, Telemetry};
use crate::{http, lifecycle, logs};
use clap::{CommandFactory as _, FromArgMatches as _, Parser};
use std::fmt::Display;
use std::future::Future;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

/// Usage or configuration.
const EXIT_USAGE: u8 = 64;
/// The admin server has nothing to drain.
const ADMIN_BUDGET: Duration = Duration::from_secs(1);

/// A binary, as its operators know it.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// The verb of the path: also the consumer group, the log's `service` and the start of metric names.
    pub name: &'static str,
    /// One sentence for `--help`.
    pub about: &'static str,
    /// Where the admin server listens on the loopback unless `http.listen` says otherwise.
    pub admin_port: u16,
}

/// What a service is given to live with.
#[derive(Clone, Debug)]
pub struct Context {
    pub service: &'static str,
    pub lifecycle: Lifecycle,
    pub health: Health,
    pub telemetry: Telemetry,
    pub clock: Clock,
    /// Where the admin server answers.
    pub admin: SocketAddr,
}

/// What every service can be set to, whatever it does.
#[derive(Clone, Debug)]
struct Process {
    log: logs::Config,
    http: http::Config,
    shutdown: lifecycle::Config,
    telemetry: telemetry::Config,
    worker_threads: Option<usize>,
}

impl Process {
    fn read(section: &mut Section<'_>, service: &Service) -> Self {
        let threads = "Threads that run the service's tasks; as many as there are cores if unset.";
        Self {
            log: section.section("log"),
            http: section.within("http", |section| http::Config::read(section, service.admin_port)),
            shutdown: section.section("shutdown"),
            telemetry: section.section("telemetry"),
            worker_threads: section
                .within("process", |section| section.count("worker_threads", threads).between(1, 1024).optional()),
        }
    }
}

#[derive(Debug, Parser)]
#[command(after_help = "Every option of FILE can also be set as TIDEWATER__SECTION__KEY; docs/config.md lists them.
Ends with 0 clean, 64 usage or configuration, 70 a component failed, 75 the drain ran out.")]
struct Arguments {
    /// The configuration, as TOML; without it, only the environment is read
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Tell every problem of the configuration and end
    #[arg(long)]
    check: bool,
    /// Print the configuration in force, without its secrets, and end
    #[arg(long)]
    print_config: bool,
}

impl Arguments {
    fn wanted(&self) -> Wanted {
        match self {
            Self { print_config: true, .. } => Wanted::Print,
            Self { check: true, .. } => Wanted::Check,
            Self { .. } => Wanted::Life,
        }
    }
}

/// Lives as `service` until a signal or a failure, and returns the exit code.
///
/// `run` sets the service up and returns: what works is spawned on [`Context::lifecycle`]. Until it has returned the
/// process is not ready; a signal meanwhile drops it. If nothing was spawned, the process ends clean.
pub fn boot<C, F, Fut>(service: &Service, run: F) -> ExitCode
where
    C: Settings + Send + 'static,
    F: FnOnce(C, Context) -> Fut,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let arguments = match parse(service) {
        Ok(arguments) => arguments,
        Err(code) => return code,
    };
    boot_given(service, Given::from_process(arguments.config.as_deref()), arguments.wanted(), run)
}

/// What a configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// To live by it.
    Life,
    /// To tell its problems and end.
    Check,
    /// To print what is in force and end.
    Print,
}

/// The same as [`boot`] for a program that has a command line of its own and has read it.
pub fn boot_given<C, F, Fut>(service: &Service, given: Result<Given, config::Error>, wanted: Wanted, run: F) -> ExitCode
where
    C: Settings + Send + 'static,
    F: FnOnce(C, Context) -> Fut,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let loaded = match given.and_then(|given| load::<C>(given, service)) {
        Ok(loaded) => loaded,
        Err(error) => {
            say(&mut io::stderr(), error);
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match wanted {
        Wanted::Print => {
            say(&mut io::stdout(), loaded.to_toml().trim_end());
            ExitCode::SUCCESS
        }
        Wanted::Check => {
            say(&mut io::stdout(), format_args!("{}: the configuration has no problem", service.name));
            ExitCode::SUCCESS
        }
        Wanted::Life => {
            let (process, config) = loaded.config;
            live(service, process, |context| run(config, context))
        }
    }
}

/// What can be set for `service`, for [`config::reference`].
#[must_use]
pub fn declarations<C: Settings>(service: &Service) -> Declarations {
    config::declarations_of(|section| {
        Process::read(section, service);
        C::read(section);
    })
}

/// Tells every problem that `service` has with what is given.
///
/// # Errors
/// With all of them.
pub fn check<C: Settings>(given: Given, service: &Service) -> Result<(), config::Error> {
    load::<C>(given, service).map(drop)
}

/// What the machinery is set to, and what the service is.
type Both<C> = Loaded<(Process, C)>;

fn load<C: Settings>(given: Given, service: &Service) -> Result<Both<C>, config::Error> {
    config::load_with(given, |section| (Process::read(section, service), C::read(section)))
}

fn parse(service: &Service) -> Result<Arguments, ExitCode> {
    let command = Arguments::command().name(service.name).about(service.about).version(env!("CARGO_PKG_VERSION"));
    command.try_get_matches().and_then(|matches| Arguments::from_arg_matches(&matches)).map_err(|error| {
        // Help and version are errors to clap, and what was asked for to us. A closed pipe is nobody's problem.
        let _printed: io::Result<()> = error.print();
        if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
    })
}

fn say(to: &mut dyn io::Write, text: impl Display) {
    // A reader that left is nobody's problem: the exit code says the same.
    let _written: io::Result<()> = writeln!(to, "{text}");
}

fn live<F, Fut>(service: &Service, process: Process, run: F) -> ExitCode
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    logs::start(service.name, &process.log);
    let (own, parts) = match start_threads(&process) {
        Ok(runtimes) => runtimes,
        Err(error) => {
            tracing::error!(%error, "threads could not be started");
            return ExitCode::from(Failure::component(error).exit_code());
        }
    };
    // Here and not on a runtime, on which the client of a collector must neither begin nor end.
    let telemetry = match Telemetry::exporting(service.name, &process.telemetry) {
        // Never dropped: that would flush it once more, also for someone who wants to leave at once.
        Ok(telemetry) => ManuallyDrop::new(telemetry),
        Err(error) => {
            tracing::error!(error = %logs::chain(&error), "telemetry could not be started");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let ended =
        own.block_on(live_through(service, &process, (parts.handle().clone(), Telemetry::clone(&telemetry)), run));
    // Not dropped: that would wait for tasks that do not yield, and every budget has been given already.
    parts.shutdown_background();
    let code = ended.as_ref().map_or_else(Failure::exit_code, |()| 0);
    info!(code, "process ended");
    ExitCode::from(code)
}

/// One runtime, on this thread, for signals, watching and the admin server: it goes on when the parts' threads, the
/// second, are all busy or blocked.
fn start_threads(process: &Process) -> io::Result<(Runtime, Runtime)> {
    let own = Builder::new_current_thread().enable_all().build()?;
    let mut parts = Builder::new_multi_thread();
    parts.enable_all();
    if let Some(count) = process.worker_threads {
        parts.worker_threads(count);
    }
    Ok((own, parts.build()?))
}

async fn live_through<F, Fut>(
    service: &Service,
    process: &Process,
    (parts, telemetry): (Handle, Telemetry),
    run: F,
) -> Result<(), Failure>
where
    F: FnOnce(Context) -> Fut,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let mut signals = Signals::trap().map_err(Failure::component)?;
    let health = Health::new();
    let started = health.condition("started", "starting");
    let lifecycle = Lifecycle::new(health.clone(), parts);
    let admin = match http::Server::bind(&process.http, health.clone(), telemetry.clone()).await {
        Ok(server) => server,
        Err(error) => {
            let listen = process.http.listen;
            tracing::error!(%listen, %error, "admin server could not listen, set http.listen to a free address");
            return Err(Failure::config(error));
        }
    };
    let context = Context {
        service: service.name,
        lifecycle: lifecycle.clone(),
        health,
        telemetry: telemetry.clone(),
        clock: Clock::system(),
        admin: admin.address(),
    };
    lifecycle.spawn_admin("admin", ADMIN_BUDGET, |stop| async move {
        admin.serve(stop).await;
        Ok(())
    });
    tokio::select! {
        is_set_up = lifecycle.set_up(run(context)) => if is_set_up {
            started.ok();
            if lifecycle.is_idle() {
                lifecycle.leave();
            }
        },
        () = signals.next() => lifecycle.leave(),
        () = lifecycle.leaving() => {}
    }
    tokio::select! {
        () = signals.next() => lifecycle.leave(),
        () = lifecycle.leaving() => {}
    }
    let wind_down = async {
        let ended = lifecycle.wind_down(process.shutdown.grace).await;
        telemetry.flush().await;
        ended
    };
    tokio::select! {
        ended = wind_down => ended,
        () = signals.next() => {
            warn!("second signal, leaving at once");
            Err(Failure::DrainRanOut)
        }
    }
}

/// The signals that ask a process to leave.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn trap() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        };
        info!(signal = name, "asked to leave");
    }
}
