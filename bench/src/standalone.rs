//! The whole pipeline in one process on one disk: how many changes a second end to end, and what it takes.

use crate::change::{Maker, Spec};
use crate::report::Line;
use crate::{Outcome, cost, say};
use ::tests::process::{ANYWHERE, Worker, binary};
use bytes::Bytes;
use clap::Args;
use embedded::control::Access;
use embedded::{Durability, Options};
use runtime::offsets::Span;
use runtime::record::{Headers, Outgoing};
use schemas::topics::{self, PARTITION_COUNT_DEFAULT as PARTITIONS};
use schemas::{FieldValue, Profile};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Changes of one append.
const BATCH_LEN: usize = 500;

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What no run takes.
const STANDSTILL: Duration = Duration::from_secs(1_200);

/// One run by itself.
#[derive(Clone, Debug, Args)]
pub(crate) struct Standalone {
    /// How many changes
    #[arg(long, default_value_t = 1_000_000)]
    changes: u64,
    /// always, 10ms or os
    #[arg(long, default_value_t = Durability::Soon)]
    sync: Durability,
    /// 0: all users alike
    #[arg(long, default_value_t = 0.99)]
    skew: f64,
    /// Where the directory is made, and removed again; the system's own place if not given
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Standalone {
    pub(crate) fn of(changes: u64) -> Self {
        Self { changes, sync: Durability::Soon, skew: 0.99, dir: None }
    }

    pub(crate) async fn execute(self) -> Outcome<()> {
        let line = self.measure().await?;
        crate::show(&serde_json::to_string(&line)?);
        Ok(())
    }

    /// Feeds as fast as it takes, until the last change is settled; then kills the process and starts it again.
    pub(crate) async fn measure(&self) -> Outcome<Line> {
        let parent = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        let place = Place(parent.join(format!("tidewater-bench-standalone-{}", std::process::id())));
        fs::create_dir_all(&place.0)?;
        let (worker, access) = self.start(&place).await?;
        let (since, own) = (Instant::now(), cost::cpu(std::process::id())?);
        self.feed(&access).await?;
        let fed_s = since.elapsed().as_secs_f64();
        settled(&access).await?;
        let seconds = since.elapsed().as_secs_f64();
        let cpu = cost::cpu(worker.pid())?;
        let rss_mib = cost::peak_mib(worker.pid())?;
        let feeder_cpu = cost::cpu(std::process::id())? - own;
        say(&format!(
            "bench: standalone, sync {}: all fed after {fed_s:.1} s, settled after {seconds:.1} s",
            self.sync
        ));
        let kept = kept(&access).await?;
        drop(access);
        worker.kill();
        let disk = embedded::home::disk_bytes(&place.0);
        let since = Instant::now();
        let (worker, access) = self.start(&place).await?;
        let reopen_s = since.elapsed().as_secs_f64();
        let log_bytes = access.about().log_bytes;
        drop(access);
        worker.leave().await;
        let changes = self.changes as f64;
        Ok(Line::Standalone {
            sync: self.sync.to_string(),
            skew: self.skew,
            changes: self.changes,
            changes_per_s: changes / seconds,
            cpu_s_per_million: cpu / changes * 1e6,
            feeder_cpu_s_per_million: feeder_cpu / changes * 1e6,
            rss_mib,
            disk_mib: disk as f64 / f64::from(1 << 20),
            disk_ratio: disk as f64 / kept as f64,
            reopen_s,
            log_mib: log_bytes as f64 / f64::from(1 << 20),
        })
    }

    async fn start(&self, place: &Place) -> Outcome<(Worker, Access)> {
        let data = place.0.join("data");
        let arguments = ["standalone", "--data", data.to_str().ok_or("a path that is no text")?, "--sync"];
        let sync = self.sync.to_string();
        let log = place.0.join("standalone.log");
        // Whoever opens it before the process has it takes it away, and who was killed leaves this behind.
        let socket = embedded::Home::control_of(&data);
        fs::remove_file(&socket).ok();
        debug_assert!(binary("tidewater").is_file(), "built with this");
        let worker = Worker::start_as("standalone", "tidewater", &[&arguments[..], &[&sync]].concat(), log, &ANYWHERE);
        let options = Options::new(Arc::new(Profile::embedded()?), Durability::Always);
        let since = Instant::now();
        loop {
            if socket.exists()
                && let Ok(access) = Access::open(&data, &options).await
                && matches!(worker.get("/ready"), Some((200, _)))
            {
                return Ok((worker, access));
            }
            if since.elapsed() > Duration::from_secs(120) {
                return Err("standalone does not answer".into());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn feed(&self, access: &Access) -> Outcome<()> {
        let spec = Spec { skew: self.skew, ..Spec::default() };
        let mut maker = Maker::new(spec, PARTITIONS)?;
        let mut left = self.changes;
        while left > 0 {
            let count = left.min(BATCH_LEN as u64);
            let mut items = Vec::with_capacity(BATCH_LEN);
            for _ in 0..count {
                let made = maker.next()?;
                items.push(Outgoing {
                    partition: made.partition,
                    key: Some(Bytes::copy_from_slice(made.user.as_bytes())),
                    value: Some(Bytes::copy_from_slice(&made.value)),
                    headers: Headers::default(),
                });
            }
            access.append(topics::RAW, &items).await?;
            left -= count;
        }
        Ok(())
    }
}

/// Waits until every record of the path is settled.
async fn settled(access: &Access) -> Outcome<()> {
    access.sync().await?;
    let since = Instant::now();
    for (group, topic) in [("validate", topics::RAW), ("sink", topics::ENRICHED)] {
        loop {
            let held = access.watermarks(topic).await?;
            let committed = access.committed(group, topic).await?;
            let next = committed.iter().map(|committed| committed.as_ref().map_or(0, |committed| committed.offset));
            if held.iter().zip(next).all(|(held, next)| held.high <= next) {
                break;
            }
            if since.elapsed() > STANDSTILL {
                return Err("standalone is not done".into());
            }
            sleep(LOOK_AGAIN).await;
        }
    }
    Ok(())
}

/// Bytes that have to be kept: keys, values and headers of all records, and of each user the newest values.
async fn kept(access: &Access) -> Outcome<u64> {
    let mut sum = 0;
    for topic in [topics::RAW, topics::PINNED, topics::ENRICHED, topics::DEAD] {
        let held = access.watermarks(topic).await?;
        let spans: Vec<Span> =
            held.iter().map(|held| Span { partition: held.partition, from: held.low, to: held.high }).collect();
        let mut records = access.records(topic, &spans);
        while let Some(record) = records.next().await? {
            sum += record.bytes() as u64;
        }
    }
    let mut last = None;
    loop {
        let page = access.rows(last.as_ref()).await?;
        let Some((tenant, user_id, _)) = page.last() else { return Ok(sum) };
        last = Some((tenant.clone(), user_id.clone()));
        for (tenant, user_id, row) in &page {
            let values = row.row.row.iter().map(|(_, value)| match value {
                FieldValue::Text(text) => text.len(),
                FieldValue::Bytes(bytes) => bytes.len(),
                FieldValue::Bool(_)
                | FieldValue::Int(_)
                | FieldValue::Long(_)
                | FieldValue::Float(_)
                | FieldValue::Double(_) => 8,
            });
            sum += (tenant.as_str().len() + user_id.as_str().len() + values.sum::<usize>()) as u64;
        }
    }
}

/// Removed when it is over.
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}
