//! How far each stage is, read off the log alone: ends of topics and committed offsets.

use crate::Error;
use crate::stage::Stage;
use crate::world::Log;
use std::time::Duration;
use tokio::time::{Instant, sleep};

const LOOK_AGAIN: Duration = Duration::from_millis(200);

pub(crate) struct Pace {
    log: Log,
}

/// Where one stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) stage: Stage,
    /// Records behind it.
    pub(crate) settled: i64,
    /// Records still before it.
    pub(crate) behind: i64,
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
    pub(crate) fn new(log: Log) -> Self {
        Self { log }
    }

    /// In path order, and each stage is looked at after the one before it: if nobody writes to `raw`, and none is
    /// behind, then all is settled.
    ///
    /// # Errors
    /// If the log does not answer.
    pub(crate) async fn look(&self) -> Result<Vec<Standing>, Error> {
        let mut standings = Vec::with_capacity(Stage::ALL.len());
        for stage in self.log.stages() {
            let (mut settled, mut behind, mut is_held) = (0, 0, true);
            for name in stage.topics() {
                let held = self.log.watermarks(name).await?;
                let committed = self.log.committed(stage.as_str(), name).await?;
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
    /// If that takes longer than `patience`, or the log does not answer.
    pub(crate) async fn held(&self, patience: Duration) -> Result<(), Error> {
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
