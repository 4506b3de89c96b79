//! What can go wrong, and in which order it does.

use std::fmt;
use tests::history::Random;

/// One kind of misfortune.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL of a worker; another takes its place.
    WorkerKilled,
    /// SIGSTOP of a worker for longer than its session: it wakes as a member that its group has given up.
    WorkerAsleep,
    /// A replica comes, or one is asked to leave.
    Scaled,
    /// A broker leaves, or is killed, and comes back.
    BrokerRestarted,
    CassandraAsleep,
    CassandraKilled,
    RedisFlushed,
    RedisRestarted,
    /// `CLIENT PAUSE`: it takes connections and commands, and answers later.
    RedisPaused,
    /// Connections to Cassandra or to Redis break, and none is made for a while.
    Cut,
    AnswersSlow,
    AnswersLost,
}

impl Fault {
    const ALL: [Self; 12] = [
        Self::WorkerKilled,
        Self::WorkerAsleep,
        Self::Scaled,
        Self::BrokerRestarted,
        Self::CassandraAsleep,
        Self::CassandraKilled,
        Self::RedisFlushed,
        Self::RedisRestarted,
        Self::RedisPaused,
        Self::Cut,
        Self::AnswersSlow,
        Self::AnswersLost,
    ];

    /// As records of a soak have it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::WorkerKilled => "worker-killed",
            Self::WorkerAsleep => "worker-asleep",
            Self::Scaled => "scaled",
            Self::BrokerRestarted => "broker-restarted",
            Self::CassandraAsleep => "cassandra-asleep",
            Self::CassandraKilled => "cassandra-killed",
            Self::RedisFlushed => "redis-flushed",
            Self::RedisRestarted => "redis-restarted",
            Self::RedisPaused => "redis-paused",
            Self::Cut => "cut",
            Self::AnswersSlow => "answers-slow",
            Self::AnswersLost => "answers-lost",
        }
    }
}

/// What a fault has hit.
#[derive(Debug)]
pub(super) struct Hit {
    pub(super) whom: String,
    /// Whether records were on their way through it when it struck.
    pub(super) in_flight: bool,
}

impl fmt::Display for Hit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = if self.in_flight { "" } else { ", which had nothing in flight: does not count" };
        write!(f, "{}{counts}", self.whom)
    }
}

/// Faults in an order of one seed: each once before any comes again.
#[derive(Debug)]
pub(super) struct Schedule {
    random: Random,
    left: Vec<Fault>,
}

impl Schedule {
    pub(super) fn new(seed: u64) -> Self {
        // Not the seed's own sequence: the history has that.
        Self { random: Random::new(seed.rotate_left(17) ^ 0xf12e), left: Vec::new() }
    }

    pub(super) fn next(&mut self) -> Fault {
        if self.left.is_empty() {
            self.left = Fault::ALL.into();
        }
        let at = self.random.below(self.left.len());
        self.left.swap_remove(at)
    }

    /// For what is still open in a fault: whom, how, how long.
    pub(super) fn random(&mut self) -> &mut Random {
        &mut self.random
    }
}
