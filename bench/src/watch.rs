//! Any consumer of the log beside ours: what it costs, how far behind it is, and whether its rows are right in the end.

use crate::cost;
use crate::ground::{Ground, PARTITIONS};
use crate::report::Line;
use crate::run::load;
use crate::{Outcome, say, show};
use clap::Args;
use ctl::verify::{self, Subject};
use futures_util::TryStreamExt as _;
use runtime::kafka::{Admin, Group};
use runtime::record::Record;
use schemas::topics;
use scylla::client::session_builder::SessionBuilder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::{Instant, sleep};

/// Which consumer, and what it consumes.
#[derive(Clone, Debug, Args)]
pub(crate) struct Watch {
    /// The installation whose log it reads and whose table it writes
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Its consumer group
    #[arg(long)]
    group: String,
    /// The topic that the group reads, without the prefix
    #[arg(long, default_value = topics::ENRICHED)]
    topic: String,
    /// Its process, or that of each of its replicas
    #[arg(long, value_delimiter = ',')]
    pid: Vec<u32>,
}

impl Watch {
    /// Looks twice a second until the group has no lag, then at every row.
    pub(crate) async fn execute(self) -> Outcome<()> {
        let subject = Subject::configured(&self.config)?;
        let topic = subject.cluster.topic(&self.topic);
        let partitions = subject.cluster.partitions;
        let group = Group::new(&subject.cluster.client, &self.group)?;
        let admin = Admin::new(&subject.cluster.client)?;
        let cpu = |pids: &[u32]| pids.iter().map(|pid| cost::cpu(*pid)).sum::<Outcome<f64>>();
        let (since, before, mut start) = (Instant::now(), cpu(&self.pid)?, None);
        loop {
            let done = done(&group, &topic, partitions).await?;
            let end: i64 = admin.watermarks(&topic).await?.iter().map(|held| held.high).sum();
            let start = *start.get_or_insert(done);
            let (used, changes) = (cpu(&self.pid)? - before, done - start);
            let peaks = self.pid.iter().map(|pid| cost::peak_mib(*pid)).sum::<Outcome<f64>>()?;
            say(&format!(
                "watch: {} before it, {used:.1} CPU-s for {changes} records, {peaks:.0} MiB at most",
                end - done
            ));
            if done >= end {
                let verdict = verify::verify(&subject).await?;
                let line = serde_json::json!({
                    "group": self.group, "changes": changes, "seconds": since.elapsed().as_secs_f64(),
                    "cpu_s_per_million": used / changes.max(1) as f64 * 1e6, "rss_mib": peaks,
                    "profiles": verdict.profiles, "lost": verdict.lost, "wrong": verdict.wrong,
                });
                show(&line.to_string());
                return Ok(());
            }
            sleep(Duration::from_millis(500)).await;
        }
    }
}

/// What a day's work costs over the same changes, and how many users have another row in the end than they would have if
/// it had done one change after the other: `plain` reads the raw topic.
pub(crate) async fn plain(changes: u64, skew: f64) -> Outcome<Line> {
    let ground = Ground::new(&format!("plain{}", (skew * 100.0) as u64)).await?;
    load(&ground, changes, skew, 3).await?;
    let home = &ground.home;
    let topic = home.topic(topics::RAW);
    let raw = ground.whole(topics::RAW).await;
    let before = ground.cassandra_cpu()?;
    let group = format!("{}.plain", home.name());
    let mut command = Command::new(std::env::current_exe()?.with_file_name("plain"));
    command.env("BROKERS", &ground.kafka.brokers).env("TOPIC", &topic).env("GROUP", &group);
    command.env("CASSANDRA", home.stack.cassandra.join(",")).env("KEYSPACE", home.name());
    command.env("REDIS", &home.stack.redis).stdin(Stdio::null()).kill_on_drop(true);
    let mut child = command.spawn()?;
    let pid = child.id().ok_or("plain has ended")?;
    let group = Group::new(&ground.kafka, &group)?;
    while done(&group, &topic, PARTITIONS).await? < raw.to.iter().sum() {
        if let Some(status) = child.try_wait()? {
            return Err(format!("plain has ended: {status}").into());
        }
        sleep(Duration::from_millis(200)).await;
    }
    let (cpu, rss_mib) = (cost::cpu(pid)?, cost::peak_mib(pid)?);
    child.kill().await?;
    let cassandra = ground.cassandra_cpu()? - before;
    let right = in_order(&home.records(topics::RAW).await)?;
    let rows = rows(&home.stack.cassandra, home.name()).await?;
    let wrong = right.iter().filter(|(user, row)| rows.get(*user).cloned() != **row).count();
    Ok(Line::Plain {
        skew,
        changes,
        cpu_s_per_million: cpu / changes as f64 * 1e6,
        cassandra_cpu_s_per_million: cassandra / changes as f64 * 1e6,
        rss_mib,
        users: u64::try_from(right.len())?,
        wrong_rows: u64::try_from(wrong)?,
    })
}

/// How many records of a topic a group has behind it.
async fn done(group: &Group, topic: &str, partitions: i32) -> Outcome<i64> {
    Ok(group.committed(topic, partitions).await?.iter().flatten().map(|committed| committed.offset).sum())
}

/// E-mail and text of a user who is there.
type Fields = (Option<String>, Option<String>);

/// What the plain loop's own statements come to one after the other; `None` for a user who is deleted.
fn in_order(records: &[Record]) -> Outcome<BTreeMap<String, Option<Fields>>> {
    let mut users = BTreeMap::new();
    for record in records {
        let change: Value = serde_json::from_slice(record.value.as_deref().unwrap_or_default())?;
        let text = |name: &str| change["set"][name].as_str().map(str::to_owned);
        let user = change["user_id"].as_str().ok_or("a change without a user")?.to_owned();
        users.insert(user, (change["op"] != "delete").then(|| (text("email"), text("bio"))));
    }
    Ok(users)
}

/// The rows as they are: the product's own reader refuses what no change of its can have written.
async fn rows(nodes: &[String], keyspace: &str) -> Outcome<BTreeMap<String, Fields>> {
    let session = SessionBuilder::new().known_nodes(nodes).build().await?;
    let text = format!("SELECT user_id, email, bio FROM \"{keyspace}\".profiles");
    let mut found = session.query_iter(text, ()).await?.rows_stream::<(String, Option<String>, Option<String>)>()?;
    let mut rows = BTreeMap::new();
    while let Some((user, email, bio)) = found.try_next().await? {
        rows.insert(user, (email, bio));
    }
    Ok(rows)
}
