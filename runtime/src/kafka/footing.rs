//! What a worker stands on: topics that are what they must be. Checked before the first record is read.

use super::{Admin, Cluster, Error, Plan, Step, TopicSpec};
use crate::backoff::Schedule;
use crate::boot::Context;
use crate::health::Condition;
use crate::lifecycle::Failure;
use crate::logs::chain;
use std::future::Future;
use std::time::Duration;
use tokio::time::sleep;
use tracing::warn;

/// First and longest pause between two tries to reach something that a start needs.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Waits until the brokers answer, then checks that the topics exist and are set as they must be.
///
/// # Errors
/// Exit 64, with every difference at once.
pub async fn await_topics(context: &Context, cluster: &Cluster, specs: &[TopicSpec]) -> Result<(), Failure> {
    let condition = context.health.condition("topics", "kafka was not reached yet");
    let admin = Admin::new(&cluster.client).map_err(Failure::config)?;
    let names: Vec<String> = specs.iter().map(|spec| spec.name.clone()).collect();
    let found =
        persist(&condition, "kafka", Error::is_usage, || admin.describe(&names)).await.map_err(Failure::config)?;
    let plan = Plan::between(specs, &found).map_err(Failure::config)?;
    let problems: Vec<String> = plan.steps().iter().filter_map(problem).collect();
    if !problems.is_empty() {
        return Err(Failure::config(format!("{}; run: tidewater topics apply", problems.join("; "))));
    }
    condition.ok();
    Ok(())
}

fn problem(step: &Step) -> Option<String> {
    match step {
        Step::Keep { .. } => None,
        Step::Create(spec) => Some(format!("topic {} does not exist", spec.name)),
        Step::Alter { topic, differences, .. } => {
            let each = differences.iter().map(|difference| {
                let is = difference.is.as_deref().unwrap_or("unset");
                format!("topic {topic} has {}={is}, not {}", difference.key, difference.wanted)
            });
            Some(each.collect::<Vec<_>>().join("; "))
        }
    }
}

/// Tries what a start needs until it answers, or fails in a way that no repetition cures. `condition` says why it waits.
///
/// # Errors
/// The first error that `is_final`.
pub async fn persist<T, E, F>(
    condition: &Condition,
    what: &'static str,
    is_final: impl Fn(&E) -> bool,
    mut ask: impl FnMut() -> F,
) -> Result<T, E>
where
    E: std::error::Error + 'static,
    F: Future<Output = Result<T, E>>,
{
    let mut schedule = Schedule::new(PAUSES.0, PAUSES.1);
    let mut is_told = false;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if is_final(&error) => return Err(error),
            Err(error) => {
                if !is_told {
                    is_told = true;
                    warn!(what, error = %chain(&error), "the start waits for a server");
                }
                condition.waiting(format!("{what}: {error}"));
                sleep(schedule.next_wait()).await;
            }
        }
    }
}
