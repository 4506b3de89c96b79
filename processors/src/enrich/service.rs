//! `enrich` as a process.

use super::{Config, Enrich, Folder};
use crate::path::{profile, spec};
use runtime::kafka::{Machine, Route, await_topics, brokers, launch, sink_to};
use runtime::{Context, Failure, Service};
use schemas::{RejectCode, topics};
use std::time::Duration;

/// Nothing to drain: the folder is only read.
const FOLDER_BUDGET: Duration = Duration::from_secs(1);

/// The process, as its operators know it.
pub const SERVICE: Service = Service {
    name: "enrich",
    about: "Fills in what the pipeline derives, for the sink and for data teams.",
    admin_port: 7102,
};

/// Sets the process up; what works is spawned on the context's lifecycle.
///
/// # Errors
/// Exit 64 if configuration, reference tables or topics do not fit.
pub async fn run(config: Config, context: Context) -> Result<(), Failure> {
    let Config { cluster, limits, tables } = config;
    let profile = profile()?;
    let folder = Folder::open(&tables, profile.clone(), context.clock.clone())?;
    let specs = [topics::VALID, topics::ENRICHED, topics::DEAD].map(|name| spec(&cluster, name));
    await_topics(&context, &cluster, &specs).await?;
    let stage = Enrich::new(profile, folder.shelf());
    let condition = context.health.condition("tables", "reference tables were not read yet");
    context.lifecycle.spawn_beneath("tables", FOLDER_BUDGET, |stop| async move {
        folder.watch(condition, stop).await;
        Ok(())
    });
    let brokers = brokers(&context, &limits);
    let sink = sink_to(&cluster, cluster.topic(topics::ENRICHED))?.behind(brokers.clone());
    let route = Route {
        input: cluster.topic(topics::VALID),
        beside: None,
        first_metadata: String::new(),
        dead: cluster.topic(topics::DEAD),
        codes: RejectCode::names(),
        brokers,
    };
    launch(&context, &cluster, limits, route, Machine { mark: (), stage, sink })
}
