//! Kafka, Cassandra and Redis as `deploy/local/stack` runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// One set of servers.
#[derive(Clone, Debug)]
pub struct Stack {
    /// `host:port`, comma separated.
    pub brokers: String,
    /// `host:port` of each node.
    pub cassandra: Vec<String>,
    /// `redis://host:port` of the cache.
    pub redis: String,
    dir: PathBuf,
}

impl Stack {
    /// The servers that `make test` has started, for tests that do not hurt them. A test that cannot run fails.
    #[must_use]
    pub fn of_run() -> Self {
        Self::from(place)
    }

    /// Servers that nobody else uses, to be stopped and started at will. They end with this process, however it ends.
    ///
    /// Takes about 25 s.
    #[must_use]
    pub fn own(name: &str) -> Self {
        let dir = scratch().join(format!("stack-{name}"));
        std::fs::create_dir_all(dir.parent().unwrap()).unwrap();
        let owner = std::process::id().to_string();
        // These get killed, and what one node has confirmed must survive that.
        let env = stack(&["up", "--dir", dir.to_str().unwrap(), "--owner", &owner, "--commitlog", "batch"]);
        Self::from(|name| {
            let line = env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.unwrap_or_else(|| panic!("`stack up` does not name {name}:\n{env}")).to_owned()
        })
    }

    fn from(place: impl Fn(&str) -> String) -> Self {
        Self {
            brokers: place("KAFKA_BROKERS"),
            cassandra: place("CASSANDRA_NODES").split(',').map(str::to_owned).collect(),
            redis: place("REDIS_URL"),
            dir: place("STACK_DIR").into(),
        }
    }

    /// How many brokers there are.
    #[must_use]
    pub fn broker_count(&self) -> usize {
        self.brokers.split(',').count()
    }

    /// `stop`, `start`, `kill`, `pause` or `resume` for `kafka`, `cassandra` (all of them), `kafka-1`, `cassandra-1`, …
    /// `redis` or `keys`. Returns when it is done; after `start` the server answers.
    pub async fn server(&self, verb: &str, name: &str) {
        let mut command = tokio::process::Command::new(root().join("deploy/local/stack"));
        let output = command.args(["server", verb, name, "--dir", self.dir()]).stdin(Stdio::null()).output().await;
        let output = output.expect("the script runs");
        assert!(output.status.success(), "{verb} {name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// The process group of a server.
    #[must_use]
    pub fn pid(&self, name: &str) -> u32 {
        stack(&["server", "pid", name, "--dir", self.dir()]).trim().parse().expect("a number")
    }

    /// What Cassandra's own tool answers. Takes some seconds: it is a JVM.
    #[must_use]
    pub fn nodetool(&self, arguments: &[&str]) -> String {
        stack(&[&["nodetool", "--dir", self.dir()], arguments].concat())
    }

    /// What `redis-cli` answers.
    #[must_use]
    pub fn redis(&self, arguments: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-u", &self.redis]).args(arguments).output();
        String::from_utf8(output.expect("redis-cli is installed").stdout).expect("text").trim().to_owned()
    }

    /// Host and port of the cache.
    #[must_use]
    pub fn redis_address(&self) -> (&str, &str) {
        self.redis.trim_start_matches("redis://").split_once(':').expect("redis://host:port")
    }

    fn dir(&self) -> &str {
        self.dir.to_str().expect("a path in UTF-8")
    }
}

/// Where this process keeps what its tests write.
#[must_use]
pub fn scratch() -> PathBuf {
    std::env::temp_dir().join(format!("tidewater-it-{}", std::process::id()))
}

/// Host and port of the Redis of the idempotency keys that `make test` has started.
#[must_use]
pub fn keys() -> (String, u16) {
    let url = place("KEYS_URL");
    let (host, port) = url.trim_start_matches("redis://").split_once(':').expect("redis://host:port");
    (host.to_owned(), port.parse().expect("a port"))
}

/// The root of the repository.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package stands in the root")
}

/// What `make test` says of the servers it has started.
///
/// # Panics
/// If nobody says where they are.
#[must_use]
pub fn place(name: &str) -> String {
    variable(name).unwrap_or_else(|| panic!("{name} is not set: run `make test`, which starts the servers"))
}

/// How much of something a test is to do: `name` asks for a long form of it.
#[must_use]
pub fn asked(name: &str, usual: usize) -> usize {
    variable(name).map_or(usual, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A text that only a long form is given.
#[must_use]
pub fn text_asked(name: &str) -> Option<String> {
    variable(name)
}

fn variable(name: &str) -> Option<String> {
    #[allow(clippy::disallowed_methods, reason = "the one place where tests read the environment")]
    std::env::var(name).ok()
}

fn stack(arguments: &[&str]) -> String {
    let script = root().join("deploy/local/stack");
    let output = Command::new(script).args(arguments).stdin(Stdio::null()).output().expect("the script runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "stack {}: {}\n{error}", arguments.join(" "), output.status);
    String::from_utf8(output.stdout).expect("text")
}
