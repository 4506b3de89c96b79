//! What stands between the sink and its stores: a breaker before each, and permits for writes to Cassandra.

use runtime::breaker::{Breaker, BreakerMetrics, Rule};
use runtime::health::Condition;
use runtime::limits::Limits;
use runtime::permits::{Bounds, Permits, gauge};
use runtime::telemetry::Telemetry;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;
use store::cql;

/// Below this nobody is better off with fewer writes out: readers see the same, and more of them at once cost
/// Cassandra less each.
const UNHURRIED: Duration = Duration::from_millis(25);

/// The gates of one sink.
#[derive(Debug)]
pub struct Gates {
    pub cassandra: Breaker,
    pub redis: Breaker,
    /// Of writes to Cassandra.
    pub permits: Permits,
}

impl Gates {
    /// `cassandra` and `redis` say on `/ready` that writes wait for the one or the other.
    #[must_use]
    pub fn new(limits: &Limits, config: &cql::Config, [cassandra, redis]: [Condition; 2], shown: &Telemetry) -> Self {
        let rule = Rule::new(limits.pauses());
        let (min, max) = (config.writes_in_flight_min, config.writes_in_flight_max);
        let bounds = Bounds { min, max, unhurried: UNHURRIED };
        Self {
            cassandra: Breaker::new(rule, cassandra, BreakerMetrics::new(shown, "cassandra")),
            redis: Breaker::new(rule, redis, BreakerMetrics::new(shown, "redis")),
            permits: Permits::new(bounds, gauge(shown, "cassandra")),
        }
    }
}

/// By which a breaker tells work apart that fails again and again.
pub(super) fn key_of(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}
