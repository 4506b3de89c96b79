//! Kafka, Cassandra and Redis of the demo's own.

use super::home::{Ground, Home};
use crate::Error;
use std::ffi::OsStr;
use std::process::Stdio;
use tokio::process::Command;

/// Where they answer.
#[derive(Debug)]
pub(super) struct Servers {
    /// `host:port`.
    brokers: String,
    cassandra: String,
    redis_port: String,
}

impl Servers {
    /// Starts them and waits until each answers. They go down when this process is gone, however that came about.
    pub(super) async fn up(home: &Home, ground: &Ground) -> Result<Self, Error> {
        let env = up(home, ground, std::process::id()).await?;
        let named = |name: &str| {
            let line = env.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(str::to_owned).ok_or_else(|| Error::Failed(format!("`stack up` does not say {name}")))
        };
        let redis = named("REDIS_URL")?;
        let redis_port = redis.rsplit(':').next().unwrap_or_default().to_owned();
        Ok(Self { brokers: named("KAFKA_BROKERS")?, cassandra: named("CASSANDRA_NODES")?, redis_port })
    }

    /// The configuration of everything that works on them.
    pub(super) fn config(&self, home: &Home, floor_ms: i64) -> String {
        let Self { brokers, cassandra, redis_port } = self;
        // A JSON text is a TOML text, too.
        let tables = serde_json::Value::from(home.tables().to_string_lossy());
        let floor = crate::instant::rfc3339(floor_ms);
        format!(
            "kafka.brokers = \"{brokers}\"\n\
             version.floor = {floor}\n\
             enrich.tables = {tables}\n\
             cassandra.nodes = [\"{cassandra}\"]\n\
             redis.port = {redis_port}\n\
             http.listen = \"127.0.0.1:0\"\n"
        )
    }
}

/// From now on they live as long as the first of `workers`, instead of as long as this process.
pub(super) async fn hand_over(home: &Home, ground: &Ground, workers: &[u32]) -> Result<(), Error> {
    let owner = workers.first().ok_or_else(|| Error::Failed("the workers have ended".to_owned()))?;
    up(home, ground, *owner).await.map(drop)
}

/// Takes them down, also while they are still starting. What fails here is seen to by their guard.
pub(super) async fn down(home: &Home, ground: &Ground) {
    let mut command = stack(home, ["down".as_ref(), "--dir".as_ref(), ground.servers().as_os_str()]);
    let _guarded = command.stdout(Stdio::null()).status().await;
}

async fn up(home: &Home, ground: &Ground, owner: u32) -> Result<String, Error> {
    let (dir, owner) = (ground.servers(), owner.to_string());
    let arguments: [&OsStr; 5] = ["up".as_ref(), "--dir".as_ref(), dir.as_os_str(), "--owner".as_ref(), owner.as_ref()];
    let mut command = stack(home, arguments);
    let output = command.stdout(Stdio::piped()).output().await;
    let output = output.map_err(|error| Error::Failed(format!("{} did not start: {error}", home.stack().display())))?;
    match output.status.code() {
        Some(0) => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        Some(64) => Err(Error::Usage("the servers cannot run here; what is missing stands above".to_owned())),
        _ => Err(Error::Failed("the servers did not start; what they said stands above".to_owned())),
    }
}

/// In a process group of its own, so that Ctrl-C is ours to deal with; its words go where ours go.
fn stack<'a>(home: &Home, arguments: impl IntoIterator<Item = &'a OsStr>) -> Command {
    let mut command = Command::new(home.stack());
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).process_group(0);
    command
}
