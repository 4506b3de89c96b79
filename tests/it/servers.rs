//! Where the servers of this run are, and small servers that a test has for itself.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
pub(crate) use tests::relay::Relay;
use tests::stack::Stack;

/// `host:port` of a broker, or of several, separated by commas.
pub(crate) fn brokers() -> String {
    Stack::of_run().brokers
}

/// `host:port` of the nodes of Cassandra.
pub(crate) fn cassandra() -> Vec<String> {
    Stack::of_run().cassandra
}

/// `redis://host:port` of Redis.
pub(crate) fn redis() -> String {
    Stack::of_run().redis
}

/// What `redis-cli` answers.
pub(crate) fn redis_cli(url: &str, arguments: &[&str]) -> String {
    let output = Command::new("redis-cli").args(["-u", url]).args(arguments).output().expect("redis-cli is installed");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// A Redis of the test's own; gone with it.
#[derive(Debug)]
pub(crate) struct Redis {
    process: Child,
    port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Redis {
    /// Starts it without persistence, unless `arguments` say otherwise, and waits until it answers.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        Self::start_at(free_port(), arguments)
    }

    pub(crate) fn start_at(port: u16, arguments: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("tidewater-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let process = spawn(port, &folder, &arguments);
        let server = Self { process, port, folder, arguments };
        server.answers();
        server
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("it can be killed");
    }

    /// With what it has on disk.
    pub(crate) fn start_again(&mut self) {
        self.process = spawn(self.port, &self.folder, &self.arguments);
        self.answers();
    }

    pub(crate) fn kill_and_start_again(&mut self) {
        self.kill();
        self.start_again();
    }

    fn answers(&self) {
        for _ in 0..200 {
            if !redis_cli(&self.url(), &["ping"]).is_empty() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("redis-server does not answer after 10 s");
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

fn spawn(port: u16, folder: &Path, arguments: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server is installed")
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ended = self.process.kill().and_then(|()| self.process.wait());
        let _removed = std::fs::remove_dir_all(&self.folder);
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}
