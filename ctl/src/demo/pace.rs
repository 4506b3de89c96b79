//! How far each stage is, read off the log alone: ends of topics and committed offsets.

use crate::Error;
use crate::config::Log;
use crate::stage::Stage;
use runtime::kafka::{Admin, Group};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(super) struct Pace {
    admin: Admin,
    routes: Vec<(Stage, Vec<String>, Group)>,
}

/// Where one stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) stage: Stage,
    /// Records behind it.
    pub(super) settled: i64,
    /// Records still before it.
    pub(super) behind: i64,
    /// Whether somebody has taken up every partition.
    is_held: bool,
}

impl Standing {
    #[cfg(test)]
    pub(super) fn new(stage: Stage, settled: i64, behind: i64) -> Self {
        Self { stage, settled, behind, is_held: true }
    }
}

impl Pace {
    /// # Errors
    /// If the clients cannot be made.
    pub(super) fn new(log: &Log) -> Result<Self, Error> {
        let mut routes = Vec::new();
        for stage in Stage::ALL {
            let group = Group::new(log.kafka(), &log.cluster.group(stage.as_str()))?;
            routes.push((stage, stage.topics().iter().map(|name| log.topic(name)).collect(), group));
        }
        Ok(Self { admin: Admin::new(log.kafka())?, routes })
    }

    /// In path order, and each stage is looked at after the one before it: if nobody writes to `raw`, and none is
    /// behind, then all is settled.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub(super) async fn look(&self) -> Result<Vec<Standing>, Error> {
        let mut standings = Vec::with_capacity(self.routes.len());
        for (stage, topics, group) in &self.routes {
            let (mut settled, mut behind, mut is_held) = (0, 0, true);
            for topic in topics {
                let held = self.admin.watermarks(topic).await?;
                let committed = group.committed(topic, i32::try_from(held.len()).unwrap_or(i32::MAX)).await?;
                for (held, committed) in held.iter().zip(&committed) {
                    let next = committed.as_ref().map_or(held.low, |committed| committed.offset);
                    settled += next.saturating_sub(held.low);
                    behind += held.high.saturating_sub(next).max(0);
                }
                is_held &= committed.iter().all(Option::is_some);
            }
            standings.push(Standing { stage: *stage, settled, behind, is_held });
        }
        Ok(standings)
    }

    /// Returns when every stage has taken up its partitions: a first commit marks each of them.
    ///
    /// # Errors
    /// If that takes longer than `patience`, or the brokers do not answer.
    pub(super) async fn held(&self, patience: Duration) -> Result<(), Error> {
        let since = Instant::now();
        loop {
            let standings = self.look().await?;
            let Some(idle) = standings.iter().find(|standing| !standing.is_held) else { return Ok(()) };
            if since.elapsed() > patience {
                return Err(Error::Failed(format!("{} has no partitions after {} s", idle.stage, patience.as_secs())));
            }
            sleep(LOOK_AGAIN).await;
        }
    }
}
