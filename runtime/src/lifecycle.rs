//! How the parts of a process live and end: started by name, missed when they end unasked, given a budget to leave.
//!
//! Two waves. The *first* are the parts that take work (workers, servers); they are told to stop together, and drain
//! and commit within their budgets. What they stand on (producers, the admin server) is told only when all of them
//! have ended. Whatever happens, [`Lifecycle::wind_down`] ends: a part over its budget is cut off.

use crate::config::{Section, Settings};
use crate::fault::{Cause, Exit, Fault};
use crate::health::Health;
use crate::logs::chain;
use std::error::Error;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{error, info, warn};

/// `[shutdown]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What the process has to leave, all drains together.
    pub grace: Duration,
}

impl Settings for Config {
    fn read(section: &mut Section<'_>) -> Self {
        let about = "Time to leave after SIGTERM, all drains together; the orchestrator's own grace must be longer.";
        let grace = section.duration("grace", about).between(Duration::from_millis(100), Duration::from_secs(3600));
        // Under Kubernetes' default of 30 s, with room for the kill that follows it.
        Self { grace: grace.default(Duration::from_secs(25)) }
    }
}

/// Why a process does not end clean; decides its exit code.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What the operator set, or what the world is set to, does not allow a start. The source says what to do.
    #[error("the configuration does not fit")]
    Config(#[source] Box<dyn Error + Send + Sync>),
    /// A part could not go on.
    #[error("a component failed")]
    Component(#[source] Box<dyn Error + Send + Sync>),
    /// Work was left undone; it is done again elsewhere.
    #[error("the drain ran out of time")]
    DrainRanOut,
}

impl Failure {
    /// From a text or an error.
    pub fn config(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Config(source.into())
    }

    /// From a text or an error.
    pub fn component(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Component(source.into())
    }

    /// 64 for usage or configuration, 70 for a component, 75 for a drain.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) => 64,
            Self::Component(_) => 70,
            Self::DrainRanOut => 75,
        }
    }
}

impl From<Fault> for Failure {
    /// The fault as the reason why the process ends.
    fn from(fault: Fault) -> Self {
        let boxed = |cause: Cause| Box::<dyn Error + Send + Sync>::from(cause);
        match fault {
            Fault::Transient(cause) | Fault::Fatal { exit: Exit::Component, cause } => Self::Component(boxed(cause)),
            Fault::Fatal { exit: Exit::Config, cause } => Self::Config(boxed(cause)),
            Fault::Fatal { exit: Exit::DrainRanOut, .. } => Self::DrainRanOut,
        }
    }
}

/// Ended, and nobody had asked it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("ended without being asked to")]
struct EndedUnasked;

/// Panicked. Where, the panic hook has logged; the message stays out, for it may quote data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("panicked")]
struct Panicked;

/// The life of one process. Clones are the same life.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    health: Health,
    /// Where the parts run.
    parts: Handle,
    /// Where they are watched from: not among the parts, which may block every thread they have.
    watch: Handle,
    first: Wave,
    beneath: Wave,
    leaving: CancellationToken,
    /// The failure that decides the exit code: the first one, the others follow from it.
    failure: Mutex<Option<Failure>>,
}

/// A part that runs.
type Part = JoinHandle<Result<(), Failure>>;

/// Parts that are told to stop together.
#[derive(Debug, Default)]
struct Wave {
    stop: CancellationToken,
    watches: TaskTracker,
}

impl Lifecycle {
    /// A life without parts, which are to run on `parts` and are watched from the runtime this is called in;
    /// `health` is told when it ends. Only if those two runtimes differ is the end certain when parts block.
    ///
    /// Within a tokio runtime only.
    #[must_use]
    pub fn new(health: Health, parts: Handle) -> Self {
        Self(Arc::new(Shared {
            health,
            parts,
            watch: Handle::current(),
            first: Wave::default(),
            beneath: Wave::default(),
            leaving: CancellationToken::new(),
            failure: Mutex::new(None),
        }))
    }

    /// Starts a part that takes work. `run` is given the token that tells it to stop; it then has `budget` to drain
    /// and end with `Ok`. Ending before that is a failure of the whole process, and so are an error and a panic.
    pub fn spawn<F, Fut>(&self, name: &'static str, budget: Duration, run: F)
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let wave = &self.0.first;
        self.watch(wave, name, budget, self.0.parts.spawn(run(wave.stop.clone())));
    }

    /// The same for a part that others stand on: it is told to stop when those have ended.
    pub fn spawn_beneath<F, Fut>(&self, name: &'static str, budget: Duration, run: F)
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let wave = &self.0.beneath;
        self.watch(wave, name, budget, self.0.parts.spawn(run(wave.stop.clone())));
    }

    /// The same for the admin server, which answers also while the parts block every thread they have.
    pub(crate) fn spawn_admin<F, Fut>(&self, name: &'static str, budget: Duration, run: F)
    where
        F: FnOnce(CancellationToken) -> Fut,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        let wave = &self.0.beneath;
        self.watch(wave, name, budget, self.0.watch.spawn(run(wave.stop.clone())));
    }

    /// Runs what sets the process up, and says whether it did; what fails in it has failed as the part "startup".
    /// Dropping this drops it.
    pub(crate) async fn set_up(&self, run: impl Future<Output = Result<(), Failure>> + Send + 'static) -> bool {
        let ended = AbortOnDropHandle::new(self.0.parts.spawn(run)).await;
        outcome(ended).map_err(|failure| self.fail("startup", failure)).is_ok()
    }

    /// Asks the process to leave; returns at once.
    pub fn leave(&self) {
        self.0.leaving.cancel();
    }

    /// Resolves when the process was asked to leave or a part of it has failed.
    pub async fn leaving(&self) {
        self.0.leaving.cancelled().await;
    }

    /// Whether no part that takes work is running.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.0.first.watches.is_empty()
    }

    /// Notes that the part `name` failed, and asks the process to leave. The first failure decides the exit code.
    pub fn fail(&self, name: &'static str, failure: Failure) {
        match &failure {
            Failure::Config(_) | Failure::Component(_) => {
                error!(component = name, error = %chain(&failure), "component failed")
            }
            Failure::DrainRanOut => {
                warn!(component = name, "component's drain ran out, its work will be done again elsewhere")
            }
        }
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(failure);
        self.leave();
    }

    /// Stops everything, in order: not ready, the first wave, what is beneath it. Ends after `grace` at the latest.
    ///
    /// # Errors
    /// With the first failure of this life.
    pub async fn wind_down(&self, grace: Duration) -> Result<(), Failure> {
        self.leave();
        self.0.health.leave();
        let deadline = Instant::now() + grace;
        for wave in [&self.0.first, &self.0.beneath] {
            wave.stop.cancel();
            wave.watches.close();
            if tokio::time::timeout_at(deadline, wave.watches.wait()).await.is_err() {
                self.fail("shutdown", Failure::DrainRanOut);
            }
        }
        self.0.failure.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    fn watch(&self, wave: &Wave, name: &'static str, budget: Duration, part: Part) {
        let stop = wave.stop.clone();
        let lifecycle = self.clone();
        let watch = async move {
            match watch(part, &stop, budget).await {
                Ok(()) => info!(component = name, "component ended"),
                Err(failure) => lifecycle.fail(name, failure),
            }
        };
        wave.watches.spawn_on(watch, &self.0.watch);
    }
}

/// Waits for a part to end, at most `budget` after it was told to.
async fn watch(mut part: Part, stop: &CancellationToken, budget: Duration) -> Result<(), Failure> {
    let ended = tokio::select! {
        ended = &mut part => Ok(ended),
        () = stop.cancelled() => tokio::time::timeout(budget, &mut part).await,
    };
    let was_asked = stop.is_cancelled();
    match ended {
        Ok(ended) if was_asked => outcome(ended),
        Ok(ended) => outcome(ended).and(Err(Failure::component(EndedUnasked))),
        Err(_) => {
            part.abort();
            Err(Failure::DrainRanOut)
        }
    }
}

fn outcome(ended: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    match ended {
        Ok(result) => result,
        Err(error) if error.is_panic() => Err(Failure::component(Panicked)),
        // Nobody else holds the handle; a runtime that shuts down under us takes the part with it.
        Err(_) => Err(Failure::DrainRanOut),
    }
}

#[cfg(test)]
mod tests;
