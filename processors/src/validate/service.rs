//! `validate` as a process.

use super::{Config, Fold, Validate};
use crate::path::{profile, spec};
use runtime::kafka::{Machine, Route, await_topics, brokers, launch, sink_to};
use runtime::{Context, Failure, Service};
use schemas::{RejectCode, topics};

/// The process, as its operators know it.
pub const SERVICE: Service = Service {
    name: "validate",
    about: "Gives raw changes their place in history, takes it from pinned ones, and lets pass what is well formed.",
    admin_port: 7101,
};

/// Sets the process up; what works is spawned on the context's lifecycle.
///
/// # Errors
/// Exit 64 if configuration or topics do not fit.
pub async fn run(config: Config, context: Context) -> Result<(), Failure> {
    let Config { cluster, limits, floor_micros } = config;
    if floor_micros / 1000 > context.clock.now_ms() {
        return Err(Failure::config("version.floor lies in the future; set the instant operation began"));
    }
    let profile = profile()?;
    let specs = [topics::RAW, topics::PINNED, topics::VALID, topics::DEAD].map(|name| spec(&cluster, name));
    await_topics(&context, &cluster, &specs).await?;
    let mark = Fold::new(floor_micros);
    let brokers = brokers(&context, &limits);
    let sink = sink_to(&cluster, cluster.topic(topics::VALID))?.behind(brokers.clone());
    let route = Route {
        input: cluster.topic(topics::RAW),
        beside: Some(cluster.topic(topics::PINNED)),
        first_metadata: mark.first(),
        dead: cluster.topic(topics::DEAD),
        codes: RejectCode::names(),
        brokers,
    };
    let stage = Validate::new(profile, context.clock.clone(), cluster.partitions, floor_micros);
    launch(&context, &cluster, limits, route, Machine { mark, stage, sink })
}
