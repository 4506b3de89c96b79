//! How soon a sink works: after its start, and after the one before it was killed in the middle of a backlog.

use crate::Outcome;
use crate::ground::{Ground, Part, Stage};
use crate::report::Line;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Runs over a part that must be large enough that it is not done within two seconds.
pub(crate) async fn measure(ground: &Ground, part: &Part) -> Outcome<Line> {
    let since = Instant::now();
    let (worker, group) = ground.start(Stage::Sink, "killed", part).await?;
    // A write that ended is a record in its row; asking costs the worker a little, so not too often.
    while worker.shown("breaker_tries", "cassandra").is_none_or(|tries| tries < 1.0) {
        if since.elapsed() > Duration::from_secs(60) {
            return Err("no record was written within 60 s".into());
        }
        sleep(Duration::from_millis(20)).await;
    }
    let first_record_s = since.elapsed().as_secs_f64();
    while ground.done(Stage::Sink, &group, part).await? < part.len() / 5 {
        sleep(Duration::from_millis(20)).await;
    }
    let backlog = part.len() - ground.done(Stage::Sink, &group, part).await?;
    if backlog == 0 {
        return Err("the part is too small to be killed in".into());
    }
    worker.kill();
    let since = Instant::now();
    // The same group; the member that was killed is forgotten with its session.
    let rest = Part { from: vec![0; part.to.len()], to: part.to.clone() };
    let (worker, group) = ground.start(Stage::Sink, "killed", &rest).await?;
    ground.finish(Stage::Sink, &group, &rest).await?;
    let zero_lag_after_kill_s = since.elapsed().as_secs_f64();
    worker.leave().await;
    Ok(Line::Recovery { first_record_s, zero_lag_after_kill_s, backlog })
}
