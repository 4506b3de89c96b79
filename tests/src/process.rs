//! The product's processes: started, watched, asked to leave, killed.

use crate::{stack, until};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// What makes a standalone process listen on whatever ports are free.
pub const ANYWHERE: [(&str, &str); 2] =
    [("TIDEWATER__HTTP__LISTEN", "127.0.0.1:0"), ("TIDEWATER__STANDALONE__LISTEN", "127.0.0.1:0")];

/// A start under load, and whatever else a process has to do before it answers.
const WITHIN: Duration = Duration::from_secs(60);

/// One request of HTTP/1.1, on a connection of its own.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    method: &'r str,
    path: &'r str,
    headers: &'r [(&'r str, &'r str)],
    body: &'r str,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl<'r> Request<'r> {
    #[must_use]
    pub fn new(method: &'r str, path: &'r str) -> Self {
        Self { method, path, headers: &[], body: "" }
    }

    #[must_use]
    pub fn headers(self, headers: &'r [(&'r str, &'r str)]) -> Self {
        Self { headers, ..self }
    }

    #[must_use]
    pub fn body(self, body: &'r str) -> Self {
        Self { body, ..self }
    }

    fn send(&self, address: &str) -> Option<Answer> {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let mut text = format!("{} {} HTTP/1.1\r\nhost: it\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("content-length: {}\r\n\r\n{}", self.body.len(), self.body);
        stream.write_all(text.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some(Answer { status: head.split(' ').nth(1)?.parse().ok()?, head: head.to_owned(), body: body.to_owned() })
    }
}

impl Answer {
    /// The value of a header; its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The body as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

/// One worker. Killed when dropped.
#[derive(Debug)]
pub struct Worker {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// The binary called `name`.
///
/// It belongs to another package, which cargo does not build for the sake of this one: `make test` does that first.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a program is a file");
    // Tests stand in `deps`, below the binaries; a binary stands beside them.
    let found = own.ancestors().skip(1).take(2).map(|folder| folder.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not built: run `make test`, or `cargo build --workspace --bins --tests`"))
}

/// Runs `tidewater` to its end.
#[must_use]
pub fn tidewater(config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary("tidewater"));
    command.arg("--config").arg(config).args(arguments).stdin(Stdio::null()).output().expect("tidewater runs")
}

impl Worker {
    /// Starts the binary `name`, whose log goes to the new file `log`; `settings` are names and values of its
    /// environment.
    #[must_use]
    pub fn start(name: &'static str, config: &Path, log: PathBuf, settings: &[(&str, &str)]) -> Self {
        let lines = File::create(&log).unwrap();
        let mut command = Command::new(binary(name));
        command.arg("--config").arg(config).envs(settings.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(lines).spawn().unwrap();
        Self { name, child, log }
    }

    /// The same of a process that is known by another name than its binary's, with arguments of its own.
    #[must_use]
    pub fn start_as(
        name: &'static str,
        program: &str,
        arguments: &[&str],
        log: PathBuf,
        settings: &[(&str, &str)],
    ) -> Self {
        let lines = File::create(&log).unwrap();
        let mut command = Command::new(binary(program));
        command.args(arguments).envs(settings.iter().copied());
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(lines).spawn().unwrap();
        Self { name, child, log }
    }

    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8(fs::read(&self.log).unwrap()).expect("a log is text")
    }

    /// Whether it has not ended by itself.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it moves records.
    pub async fn ready(&mut self) {
        let name = self.name;
        until(&format!("{name} to be ready"), WITHIN, async || {
            assert!(self.is_running(), "{name} has ended:\n{}", self.log());
            matches!(self.get("/ready"), Some((200, _))).then_some(())
        })
        .await;
    }

    /// Status and body of its admin server; `None` while it does not answer.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        let Answer { status, body, .. } = Request::new("GET", path).send(&self.listening("admin server listening")?)?;
        Some((status, body))
    }

    /// What its door answers; `None` while it does not.
    #[must_use]
    pub fn ask(&self, request: &Request<'_>) -> Option<Answer> {
        request.send(&self.listening("door listening")?)
    }

    /// What `/ready` says of one condition: why it waits; `None` if it does not, or if nobody answers.
    #[must_use]
    pub fn waits_for(&self, condition: &str) -> Option<String> {
        let body: Value = serde_json::from_str(&self.get("/ready")?.1).ok()?;
        body["conditions"][condition]["waiting"].as_str().map(str::to_owned)
    }

    /// What a metric about stores says of one of them; its name without the service's and without `_total`.
    #[must_use]
    pub fn shown(&self, name: &str, store: &str) -> Option<f64> {
        let text = self.get("/metrics").filter(|(status, _)| *status == 200)?.1;
        let series = ["", "_total"].map(|end| format!("{}_{name}{end}{{store=\"{store}\"}} ", self.name));
        let of_it = |line: &str| series.iter().find_map(|series| line.strip_prefix(series.as_str())?.parse().ok());
        text.lines().find_map(of_it)
    }

    /// The sum of a metric over its labels, without the start that all metrics of a service have.
    #[must_use]
    pub fn metric(&self, name: &str) -> Option<f64> {
        let full = format!("{}_{name}", self.name);
        let text = self.get("/metrics").filter(|(status, _)| *status == 200)?.1;
        let of_it = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            (series.split('{').next() == Some(&full)).then(|| value.parse::<f64>().ok())?
        };
        let found: Vec<f64> = text.lines().filter_map(of_it).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// The most memory it has ever held at once, in bytes (`VmHWM`).
    #[must_use]
    pub fn memory_peak(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("this is Linux");
        peak.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    /// SIGTERM; its exit code.
    pub async fn leave(mut self) -> i32 {
        self.signal("TERM");
        self.exit().await
    }

    /// SIGTERM; everything it has logged until its end.
    pub async fn last_words(mut self) -> String {
        self.signal("TERM");
        self.exit().await;
        self.log()
    }

    /// SIGSTOP: it stands still in the middle of whatever it does, and nobody is told.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: it goes on as if no time had passed.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id();
        let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {pid}")]).status().unwrap();
        assert!(sent.success(), "{} has ended before it was asked to:\n{}", self.name, self.log());
    }

    /// Waits for its end; its exit code.
    pub async fn exit(&mut self) -> i32 {
        let status = until(&format!("the end of {}", self.name), WITHIN, async || self.child.try_wait().unwrap()).await;
        status.code().unwrap_or_else(|| panic!("{} ended by a signal", self.name))
    }

    /// The address that it logged with `message`.
    fn listening(&self, message: &str) -> Option<String> {
        let log = self.log();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut listening = lines.filter(|line| line["message"] == message);
        listening.next()?["address"].as_str().map(str::to_owned)
    }

    fn end(&mut self) {
        let _ended = self.child.kill().and_then(|()| self.child.wait());
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.end();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(15).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            // Kept by the test's harness, and shown with the failure.
            write_note(&format!("--- {} ({})\n{}", self.name, self.log.display(), tail.join("\n")));
        }
    }
}

#[allow(clippy::print_stdout, reason = "the test harness shows what a failed test has printed")]
fn write_note(text: &str) {
    println!("{text}");
}

/// The log lines of a whole directory, one string a file.
#[must_use]
pub fn logs_in(dir: &Path) -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let logs = files.filter(|path| path.extension().is_some_and(|end| end == "log"));
    logs.map(|path| (path.clone(), String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())).collect()
}

/// Where this process's tests keep things.
#[must_use]
pub fn dir_of(name: &str) -> PathBuf {
    let dir = stack::scratch().join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}
