//! The workers of the demo: started, watched, asked to leave.

use super::home::{Ground, Home};
use crate::Error;
use crate::demo::screen::Screen;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

/// Names of the workers and what each of them is.
const WORKERS: [(&str, &str); 4] =
    [("validate", "validate"), ("enrich", "enrich"), ("sink-1", "sink"), ("sink-2", "sink")];

/// Between two looks at whether all of them live.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Longer than a worker may take to leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(35);
/// Lines of a dead worker's log that are told.
const LAST_LINES: usize = 10;

/// Everybody at work. Killed when dropped, unless detached.
#[derive(Debug, Default)]
pub(super) struct Crew {
    workers: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Crew {
    /// Starts everybody. They do not outlive this process, even if it is killed.
    ///
    /// # Errors
    /// If one of them cannot be started.
    pub(super) fn start(&mut self, home: &Home, ground: &Ground) -> Result<(), Error> {
        for (name, binary) in WORKERS {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL"]).arg(home.binary(binary)).kill_on_drop(true);
            self.spawn(name, command, ground)?;
        }
        Ok(())
    }

    /// Starts everybody, to outlive this process.
    ///
    /// # Errors
    /// If one of them cannot be started.
    pub(super) fn start_detached(&mut self, home: &Home, ground: &Ground) -> Result<(), Error> {
        for (name, binary) in WORKERS {
            self.spawn(name, Command::new(home.binary(binary)), ground)?;
        }
        Ok(())
    }

    fn spawn(&mut self, name: &'static str, mut command: Command, ground: &Ground) -> Result<(), Error> {
        let log = ground.log(name);
        let failed = |error| Error::Failed(format!("{name} did not start: {error}"));
        let lines = File::options().create(true).append(true).open(&log).map_err(failed)?;
        // The file alone says what they are to do: a variable may be meant for another installation.
        command.env_clear().arg("--config").arg(ground.config());
        // Ctrl-C is for us, who then ask them.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(lines);
        let child = command.spawn().map_err(failed)?;
        self.workers.push(Worker { name, child, log });
        Ok(())
    }

    /// Returns when somebody has ended, with who, how, and the last words.
    pub(super) async fn death(&mut self) -> Error {
        loop {
            for worker in &mut self.workers {
                if let Ok(Some(status)) = worker.child.try_wait() {
                    return worker.obituary(status);
                }
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    /// Asks everybody to leave and waits until they have; whoever takes too long is killed.
    pub(super) async fn leave(&mut self, screen: &mut Screen) {
        let pids = self.pids();
        if pids.is_empty() {
            return;
        }
        let mut command = Command::new("sh");
        command.args(["-c", "kill -TERM \"$@\"", "sh"]).args(pids.iter().map(u32::to_string)).stderr(Stdio::null());
        // Somebody may be gone already; whoever did not hear it is killed below.
        let _heard = command.status().await;
        for mut worker in self.workers.drain(..) {
            match timeout(LEAVES_WITHIN, worker.child.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                Ok(Ok(status)) => screen.say(&format!("{} left with {status}", worker.name)),
                Ok(Err(_)) | Err(_) => {
                    screen.say(&format!("{} did not leave and is killed", worker.name));
                    let _gone = worker.child.kill().await;
                }
            }
        }
    }

    /// Those who have not ended.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.workers.iter().filter_map(|worker| worker.child.id()).collect()
    }
}

impl Worker {
    fn obituary(&self, status: ExitStatus) -> Error {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines = log.lines().collect::<Vec<_>>();
        let last = lines.iter().skip(lines.len().saturating_sub(LAST_LINES));
        let last = last.map(|line| format!("\n  {line}")).collect::<String>();
        Error::Failed(format!("{} ended with {status}; the last of its log:{last}", self.name))
    }
}
