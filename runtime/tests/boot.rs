//! A real process from its command line to its exit code. Everything below is tested under paused time in `src`.
//!
//! Lives through `examples/idle.rs`, which `cargo test -p runtime` builds anew; `--test boot` alone takes it as it is.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot run fails"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// Nothing here takes longer unless it hangs.
const WITHIN: Duration = Duration::from_secs(20);

fn idle() -> Command {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join("examples/idle");
    assert!(path.exists(), "build it with `cargo build -p runtime --example idle`");
    let mut command = Command::new(path);
    command.env("TIDEWATER__HTTP__LISTEN", "127.0.0.1:0").stdin(Stdio::null());
    command
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// A process that runs, and its log, line by line.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        std::thread::spawn(move || log.lines().try_for_each(|line| sender.send(line.unwrap())));
        Self { child, lines }
    }

    /// The next log line with this message.
    fn wait_for(&self, message: &str) -> serde_json::Value {
        loop {
            let line = self.lines.recv_timeout(WITHIN).unwrap_or_else(|_| panic!("never said {message:?}"));
            let line: serde_json::Value = serde_json::from_str(&line).expect("every line is JSON");
            assert_eq!(line["service"], "idle");
            if line["message"] == message {
                return line;
            }
        }
    }

    fn admin(&self) -> SocketAddr {
        self.wait_for("admin server listening")["address"].as_str().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn code(&mut self) -> Option<i32> {
        self.wait_for("process ended");
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone, unless the test failed.
        let _gone: std::io::Result<()> = self.child.kill();
        let _gone: std::io::Result<_> = self.child.wait();
    }
}

fn ask(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WITHIN)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn help_and_version_are_no_errors_and_a_wrong_argument_is() {
    let (code, help, _) = output(idle().arg("--help"));
    assert_eq!(code, Some(0));
    assert!(help.contains("--print-config") && help.contains("TIDEWATER__SECTION__KEY"), "{help}");
    let (code, version, _) = output(idle().arg("--version"));
    assert_eq!((code, version.trim()), (Some(0), concat!("idle ", env!("CARGO_PKG_VERSION"))));
    let (code, _, error) = output(idle().arg("--sevre"));
    assert_eq!(code, Some(64));
    assert!(error.contains("--sevre"), "{error}");
}

#[test]
fn check_tells_every_problem_and_ends_with_64() {
    let wrong = file("wrong.toml", "[idle]\ndrain = \"soon\"\n[log]\nformat = \"yaml\"\nfilter = \"a=b=c\"\n");
    let (code, _, error) = output(idle().arg("--check").arg("--config").arg(&wrong));
    assert_eq!(code, Some(64));
    for problem in ["wrong.toml: 3 problems", "line 2: idle.drain", "line 4: log.format", "line 5: log.filter"] {
        assert!(error.contains(problem), "no {problem} in {error}");
    }
}

#[test]
fn check_ends_with_0_if_there_is_none() {
    let (code, said, error) = output(idle().arg("--check"));
    assert_eq!((code, said.trim(), error.as_str()), (Some(0), "idle: the configuration has no problem", ""));
}

#[test]
fn a_service_can_hold_its_options_against_those_of_the_process() {
    let (code, _, error) = output(idle().arg("--check").env("TIDEWATER__IDLE__DRAIN", "1h"));
    assert_eq!(code, Some(64));
    assert!(error.contains("TIDEWATER__IDLE__DRAIN: must not be over shutdown.grace"), "{error}");
}

#[test]
fn the_printed_configuration_is_one_that_can_be_used() {
    let (code, printed, _) = output(idle().arg("--print-config").env("TIDEWATER__IDLE__DRAIN", "7s"));
    assert_eq!(code, Some(0));
    assert!(printed.contains("drain = \"7s\"  # TIDEWATER__IDLE__DRAIN"), "{printed}");
    let printed_file = file("printed.toml", &printed);
    let (code, again, error) = output(idle().arg("--print-config").arg("--config").arg(printed_file));
    assert_eq!(code, Some(0), "{error}");
    assert!(again.contains("drain = \"7s\"\n"), "{again}");
}

#[test]
fn a_process_that_is_told_to_leave_ends_clean() {
    for name in ["TERM", "INT"] {
        let mut running = Running::start(&mut idle());
        let admin = running.admin();
        running.wait_for("condition met");
        assert!(ask(admin, "/live").starts_with("HTTP/1.1 200 "));
        assert!(ask(admin, "/ready").starts_with("HTTP/1.1 200 "));
        assert!(ask(admin, "/metrics").starts_with("HTTP/1.1 200 "));
        running.signal(name);
        assert_eq!(running.code(), Some(0));
    }
}

#[test]
fn a_part_that_ends_unasked_ends_the_process_with_70() {
    let mut running = Running::start(idle().env("TIDEWATER__IDLE__ENDING", "unasked"));
    assert_eq!(running.wait_for("component failed")["component"], "idler");
    assert_eq!(running.code(), Some(70));
}

#[test]
fn a_part_that_panics_ends_the_process_with_70_and_its_message_stays_out() {
    let mut running = Running::start(idle().env("TIDEWATER__IDLE__ENDING", "panic"));
    let panicked = running.wait_for("panicked");
    assert_eq!(panicked["reason"], "(withheld: it may quote data)");
    assert!(panicked["place"].as_str().unwrap().contains(".rs:"), "{panicked}");
    assert_eq!(running.wait_for("component failed")["component"], "idler");
    assert_eq!(running.code(), Some(70));
}

#[test]
fn a_drain_that_runs_out_ends_the_process_with_75() {
    let stuck = &mut idle();
    stuck.env("TIDEWATER__IDLE__ENDING", "never").env("TIDEWATER__IDLE__DRAIN", "100ms");
    let mut running = Running::start(stuck);
    running.wait_for("condition met");
    running.signal("TERM");
    assert_eq!(running.code(), Some(75));
}

#[test]
fn a_process_that_leaves_is_live_but_not_ready_and_a_second_signal_ends_it_at_once() {
    let stuck = &mut idle();
    stuck.env("TIDEWATER__IDLE__ENDING", "never").env("TIDEWATER__IDLE__DRAIN", "20m");
    let mut running = Running::start(stuck.env("TIDEWATER__SHUTDOWN__GRACE", "30m"));
    let admin = running.admin();
    running.wait_for("condition met");
    running.signal("TERM");
    running.wait_for("asked to leave");
    assert!(ask(admin, "/live").starts_with("HTTP/1.1 200 "));
    assert!(ask(admin, "/ready").starts_with("HTTP/1.1 503 "));
    running.signal("INT");
    assert_eq!(running.code(), Some(75));
}

#[test]
fn an_address_that_is_taken_is_a_problem_of_the_configuration() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let mut running = Running::start(idle().env("TIDEWATER__HTTP__LISTEN", &listen));
    assert_eq!(running.wait_for("admin server could not listen, set http.listen to a free address")["listen"], listen);
    assert_eq!(running.code(), Some(64));
}
