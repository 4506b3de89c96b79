//! The demo on one disk: `standalone` as a process of its own, asked as anybody asks it.

use super::screen::{Screen, grouped};
use super::{Demo, Signals, conclude};
use crate::Error;
use crate::world::{Log, Rows, Target};
use embedded::Home;
use embedded::home::disk_bytes;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

/// A start on a new directory is a matter of milliseconds; a loaded machine takes its time.
const STARTS_WITHIN: Duration = Duration::from_secs(60);

/// Longer than the process may take to leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(35);

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Lines of a dead process's log that are told.
const LAST_LINES: usize = 10;

/// The demo's own directory. For nobody else's eyes, because the data is people's.
struct Ground {
    dir: PathBuf,
}

pub(super) async fn execute(demo: &Demo, out: &mut dyn Write) -> Result<(), Error> {
    let mut signals = Signals::trap().map_err(Error::Threads)?;
    let ground = Ground::make()?;
    let mut screen = Screen::new();
    screen.say(&format!("starting the pipeline in {}", ground.data().display()));
    let mut process = ground.start(demo)?;
    let played = tokio::select! {
        played = play(demo, &ground, &mut screen) => played,
        error = death(&mut process, &ground) => Err(error),
        name = signals.next() => Err(Error::Failed(format!("{name}: the demo was stopped"))),
    };
    if !demo.keep || played.is_err() {
        leave(&mut process).await;
    }
    if played.is_err() || demo.clean {
        ground.clear();
    }
    let report = played?;
    report.explain(&mut screen);
    look_around(demo, &mut screen, &ground, &process);
    conclude(&report, out)
}

async fn play(demo: &Demo, ground: &Ground, screen: &mut Screen) -> Result<super::Report, Error> {
    let target = Target { config: None, data: Some(ground.data()) };
    let log = ground.log(&target).await?;
    let rows: Rows = log.rows_beside(&target).await?;
    demo.prove(&log, &rows, screen).await
}

fn look_around(demo: &Demo, screen: &mut Screen, ground: &Ground, process: &Child) {
    if demo.clean {
        return;
    }
    let program = std::env::current_exe().map_or_else(|_| "tidewater".to_owned(), |path| path.display().to_string());
    let (dir, data) = (ground.dir.display(), ground.data());
    let data = data.display();
    let kilobytes = disk_bytes(&ground.dir) >> 10;
    screen.say(&format!("all of it is in {dir} ({} KiB); now try", grouped(kilobytes)));
    screen.show(&format!("{program} export --data {data} | head -3"));
    screen.show(&format!("{program} dead list --data {data} --limit 5"));
    screen.show(&format!("{program} tail --data {data} --from START --limit 2"));
    screen.show(&format!("{program} lag --data {data}"));
    let pid = process.id().filter(|_| demo.keep);
    screen.say(match pid {
        Some(_) => "it is still up: `send` and `get` work on it. End it with",
        None => "or start it again, and send it changes of your own:",
    });
    match pid {
        Some(pid) => screen.show(&format!("kill {pid}; rm -r {dir}")),
        None => {
            screen.show(&format!("{program} standalone --data {data} &"));
            screen.show("curl -i -X PUT 127.0.0.1:7080/v1/users/ada -d '{\"name\":\"Ada\",\"country\":\"gb\"}'");
            screen.show("curl -i 127.0.0.1:7080/v1/users/ada");
            screen.say("and when it is no longer wanted");
            screen.show(&format!("rm -r {dir}"));
        }
    }
}

impl Ground {
    fn make() -> Result<Self, Error> {
        let (name, ..) = Uuid::new_v4().as_fields();
        let dir = std::env::temp_dir().join(format!("tidewater-demo-{name:08x}"));
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|error| Error::Failed(format!("{} cannot be made: {error}", dir.display())))?;
        Ok(Self { dir })
    }

    fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    fn words(&self) -> PathBuf {
        self.dir.join("standalone.log")
    }

    /// Starts the process that a person would start. It dies with this one unless it is kept.
    fn start(&self, demo: &Demo) -> Result<Child, Error> {
        let failed = |error| Error::Failed(format!("the pipeline did not start: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let words = File::create(self.words()).map_err(failed)?;
        let mut command = Command::new(program);
        // The demo's own whatever the environment says, which may be meant for another installation.
        command.env_clear().env("TIDEWATER__HTTP__LISTEN", "127.0.0.1:0");
        command.env("TIDEWATER__STANDALONE__LISTEN", "127.0.0.1:0");
        command.arg("standalone").arg("--data").arg(self.data()).args(["--sync", &demo.sync.to_string()]);
        // Ctrl-C is for us, who then ask it.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(words).kill_on_drop(!demo.keep);
        command.spawn().map_err(failed)
    }

    /// The log, once the process answers.
    async fn log(&self, target: &Target) -> Result<Log, Error> {
        let (socket, since) = (Home::control_of(&self.data()), Instant::now());
        // It is the process that is to have the directory: whoever opens it before takes it away.
        while !socket.exists() {
            if since.elapsed() > STARTS_WITHIN {
                return Err(Error::Failed(format!(
                    "the pipeline does not answer; its log is {}",
                    self.words().display()
                )));
            }
            sleep(LOOK_AGAIN).await;
        }
        target.log().await
    }

    fn clear(&self) {
        // What cannot be removed is in nobody's way: the next demo has a directory of its own.
        fs::remove_dir_all(&self.dir).ok();
    }
}

/// Returns when the process has ended, with its last words.
async fn death(process: &mut Child, ground: &Ground) -> Error {
    let status = match process.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    };
    let log = fs::read(ground.words()).unwrap_or_default();
    let log = String::from_utf8_lossy(&log);
    let lines = log.lines().collect::<Vec<_>>();
    let last = lines.iter().skip(lines.len().saturating_sub(LAST_LINES));
    let last = last.map(|line| format!("\n  {line}")).collect::<String>();
    Error::Failed(format!("the pipeline ended with {status}; the last of its log:{last}"))
}

/// Asks the process to leave; one that takes too long is killed.
async fn leave(process: &mut Child) {
    let Some(pid) = process.id() else { return };
    let mut command = Command::new("sh");
    command.args(["-c", "kill -TERM \"$1\"", "sh", &pid.to_string()]).stderr(Stdio::null());
    // If it did not hear this, it is killed below.
    command.status().await.ok();
    if timeout(LEAVES_WITHIN, process.wait()).await.is_err() {
        process.kill().await.ok();
    }
}
