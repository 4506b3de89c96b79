//! Any consumer of the log beside ours: what it costs, how far behind it is, and whether its rows are right in the end.

use crate::cost;
use crate::ground::{Ground, PARTITIONS, Stage};
use crate::report::Line;
use crate::run::load;
use crate::{Outcome, say, show};
use clap::Args;
use ctl::verify::{self, Subject};
use runtime::kafka::{Admin, Group};
use schemas::topics;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use tokio::time::Instant;
use tokio::time::sleep;

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
            let committed = group.committed(&topic, partitions).await?;
            let done: i64 = committed.iter().flatten().map(|committed| committed.offset).sum();
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

/// What a day's work costs over the same changes, and what it makes of the rows: `plain` reads the raw topic.
pub(crate) async fn plain(changes: u64, skew: f64) -> Outcome<Line> {
    let ground = Ground::new(&format!("plain{}", (skew * 100.0) as u64)).await?;
    load(&ground, changes, skew, 3).await?;
    let home = &ground.home;
    let raw = ground.since(topics::RAW, vec![0; PARTITIONS as usize]).await;
    // What must come out, by the pipeline itself and proved from the log; then the same table again by the plain loop.
    for stage in Stage::ALL {
        let part = ground.since(stage.input(), vec![0; PARTITIONS as usize]).await;
        ground.drain(stage, "ours", &part).await?;
    }
    home.assert_proven().await;
    let right = home.rows().await;
    home.session.define(&format!("TRUNCATE \"{}\".profiles", home.name())).await?;
    let before = ground.cassandra_cpu()?;
    let exe = std::env::current_exe()?.with_file_name("plain");
    let group = format!("{}.plain", home.name());
    let mut command = Command::new(exe);
    command.env("BROKERS", &ground.kafka.brokers).env("TOPIC", home.topic(topics::RAW)).env("GROUP", &group);
    command
        .env("CASSANDRA", home.stack.cassandra.join(","))
        .env("KEYSPACE", home.name())
        .env("REDIS", &home.stack.redis);
    let mut child = command.stdin(Stdio::null()).kill_on_drop(true).spawn()?;
    let pid = child.id().ok_or("plain has ended")?;
    let group = Group::new(&ground.kafka, &group)?;
    loop {
        let committed = group.committed(&home.topic(topics::RAW), PARTITIONS).await?;
        let done: i64 = committed.iter().flatten().map(|committed| committed.offset).sum();
        if done >= raw.to.iter().sum() {
            break;
        }
        sleep(Duration::from_millis(200)).await;
    }
    let (cpu, rss_mib) = (cost::cpu(pid)?, cost::peak_mib(pid)?);
    child.kill().await?;
    let cassandra = ground.cassandra_cpu()? - before;
    let rows = home.rows().await;
    // Only what users see: a field that the pipeline derives or normalises is not held against it.
    let email = home.profile.position("email").ok_or("no email")?;
    let bio = home.profile.position("bio").ok_or("no bio")?;
    let seen = |row: Option<&store::cql::ProfileRow>| {
        row.filter(|row| row.alive()).map(|row| [email, bio].map(|at| row.row.get(at).cloned()))
    };
    let users = u64::try_from(right.len())?;
    let wrong = right.iter().filter(|(user, row)| seen(Some(row)) != seen(rows.get(*user))).count();
    Ok(Line::Plain {
        skew,
        changes,
        cpu_s_per_million: cpu / changes as f64 * 1e6,
        cassandra_cpu_s_per_million: cassandra / changes as f64 * 1e6,
        rss_mib,
        users,
        wrong_rows: u64::try_from(wrong)?,
    })
}
