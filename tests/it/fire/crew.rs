//! The replicas of the workers, and what is done to them and to the servers they depend on.

use super::fault::{Fault, Hit};
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;
use tests::history::Random;
use tests::installation::{Installation, PATH};
use tests::process::Worker;
use tests::relay::Relay;
use tokio::time::{Instant, sleep};

/// Replicas of each worker; scaling leaves one less or makes one more of them.
const REPLICAS: usize = 3;
const SESSION: Duration = Duration::from_secs(6);
/// How long a fault waits for records to be in flight.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// What a worker that is asked to leave under fire may end with: all done, or the rest left to others.
const LEFT: [i32; 2] = [0, 75];

const SINK: usize = 2;

/// Every worker of an installation.
pub(super) struct Crew<'h> {
    home: &'h Installation,
    cassandra: Relay,
    redis: Relay,
    /// By the place in the path.
    workers: [Vec<Worker>; 3],
}

impl<'h> Crew<'h> {
    /// Three of each, ready.
    pub(super) async fn start(home: &'h Installation) -> Self {
        let cassandra = Relay::to_cassandra(&home.stack.cassandra);
        let redis = Relay::to(home.stack.redis.trim_start_matches("redis://"));
        let mut crew = Self { home, cassandra, redis, workers: [Vec::new(), Vec::new(), Vec::new()] };
        for at in 0..PATH.len() {
            crew.workers[at] = (0..REPLICAS).map(|_| crew.recruit(at)).collect();
        }
        crew.ready().await;
        crew
    }

    /// A further replica. Batches wait for company, so that nearly always something is in flight.
    fn recruit(&self, at: usize) -> Worker {
        let (nodes, redis) = (self.cassandra.addresses(), self.redis.address());
        let (host, port) = redis.split_once(':').expect("host:port");
        let own: &[(&str, &str)] = match PATH[at].0 {
            "sink" => &[
                ("CASSANDRA__NODES", &nodes),
                ("REDIS__HOST", host),
                ("REDIS__PORT", port),
                ("CASSANDRA__WRITES_IN_FLIGHT_MAX", "8"),
                ("LIMITS__BATCH_LEN_MAX", "4"),
            ],
            _ => &[("KAFKA__LINGER", "300ms")],
        };
        self.home.start(PATH[at].0, own)
    }

    /// Waits until all move records.
    pub(super) async fn ready(&mut self) {
        for worker in self.workers.iter_mut().flatten() {
            worker.ready().await;
        }
    }

    /// Panics if one has ended by itself.
    pub(super) fn assert_running(&mut self) {
        for worker in self.workers.iter_mut().flatten() {
            assert!(worker.is_running(), "{} has ended:\n{}", worker.name(), worker.log());
        }
    }

    /// One fault, from its start to its end. Those who suffer it may still have to recover.
    pub(super) async fn suffer(&mut self, fault: Fault, random: &mut Random) -> Hit {
        self.assert_running();
        match fault {
            Fault::WorkerKilled | Fault::WorkerAsleep | Fault::Scaled => self.strike_worker(fault, random).await,
            Fault::BrokerRestarted => self.restart_broker(random).await,
            Fault::CassandraAsleep | Fault::CassandraKilled => self.strike_node(fault, random).await,
            Fault::RedisFlushed | Fault::RedisRestarted | Fault::RedisPaused => self.strike_redis(fault, random).await,
            Fault::Cut | Fault::AnswersSlow | Fault::AnswersLost => self.strike_wires(fault, random).await,
        }
    }

    async fn strike_worker(&mut self, fault: Fault, random: &mut Random) -> Hit {
        let at = random.below(PATH.len());
        let which = random.below(self.workers[at].len());
        let in_flight = self.wait_for_flight(at, Some(which)).await;
        let mut whom = format!("{} {which}", PATH[at].0);
        match fault {
            Fault::WorkerAsleep => {
                self.workers[at][which].pause();
                sleep(SESSION + seconds(random, 3, 6)).await;
                self.workers[at][which].resume();
            }
            Fault::Scaled if self.workers[at].len() < REPLICAS => {
                whom.push_str(" gets company");
                let another = self.recruit(at);
                self.workers[at].push(another);
            }
            Fault::Scaled => {
                whom.push_str(" leaves");
                let code = self.workers[at].swap_remove(which).leave().await;
                assert!(LEFT.contains(&code), "{whom} with {code}");
            }
            _ => {
                let another = self.recruit(at);
                std::mem::replace(&mut self.workers[at][which], another).kill();
            }
        }
        Hit { whom, in_flight }
    }

    async fn restart_broker(&mut self, random: &mut Random) -> Hit {
        let whom = format!("kafka-{}", 1 + random.below(self.home.stack.broker_count()));
        let verb = ["stop", "kill"][random.below(2)];
        let in_flight = self.wait_for_flight(random.below(PATH.len()), None).await;
        self.home.stack.server(verb, &whom).await;
        sleep(seconds(random, 0, 4)).await;
        self.home.stack.server("start", &whom).await;
        Hit { whom: format!("{verb} {whom}"), in_flight }
    }

    /// One node; now and then so many that no quorum is left.
    async fn strike_node(&mut self, fault: Fault, random: &mut Random) -> Hit {
        let nodes = self.home.stack.cassandra.len();
        let first = random.below(nodes);
        let many = if random.below(3) == 0 { nodes.div_ceil(2) } else { 1 };
        let names: Vec<String> = (0..many).map(|next| format!("cassandra-{}", 1 + (first + next) % nodes)).collect();
        let (verb, cure) = if fault == Fault::CassandraKilled { ("kill", "start") } else { ("pause", "resume") };
        let in_flight = self.wait_for_flight(SINK, None).await;
        for name in &names {
            self.home.stack.server(verb, name).await;
        }
        sleep(seconds(random, 2, 9)).await;
        // Side by side: each waits until it answers.
        let cured = names.iter().map(|name| self.home.stack.server(cure, name));
        all(cured.collect()).await;
        Hit { whom: format!("{verb} {}", names.join(", ")), in_flight }
    }

    async fn strike_redis(&mut self, fault: Fault, random: &mut Random) -> Hit {
        let stack = &self.home.stack;
        let in_flight = self.wait_for_flight(SINK, None).await;
        let whom = match fault {
            Fault::RedisFlushed => {
                assert_eq!(stack.redis(&["FLUSHALL"]), "OK");
                "redis".to_owned()
            }
            Fault::RedisPaused => {
                let pause = seconds(random, 1, 6);
                assert_eq!(stack.redis(&["CLIENT", "PAUSE", &pause.as_millis().to_string(), "ALL"]), "OK");
                sleep(pause).await;
                format!("redis for {} s", pause.as_secs())
            }
            _ => {
                let verb = ["stop", "kill"][random.below(2)];
                stack.server(verb, "redis").await;
                sleep(seconds(random, 0, 3)).await;
                stack.server("start", "redis").await;
                format!("{verb} redis")
            }
        };
        Hit { whom, in_flight }
    }

    async fn strike_wires(&mut self, fault: Fault, random: &mut Random) -> Hit {
        let in_flight = self.wait_for_flight(SINK, None).await;
        let whom = match fault {
            Fault::Cut => {
                let (name, relay) = [("cassandra", &self.cassandra), ("redis", &self.redis)][random.below(2)];
                relay.cut();
                sleep(seconds(random, 1, 5)).await;
                relay.mend();
                format!("the way to {name}")
            }
            Fault::AnswersSlow => {
                // From what is only slow to what the driver gives up.
                let delay = seconds(random, 1, 9);
                self.cassandra.delay(delay);
                sleep(Duration::from_secs(8)).await;
                self.cassandra.delay(Duration::ZERO);
                format!("cassandra, {} s late", delay.as_secs())
            }
            _ => {
                let before = self.cassandra.lost();
                self.cassandra.lose_one_in(u64::try_from(2 + random.below(6)).unwrap());
                sleep(Duration::from_secs(5)).await;
                self.cassandra.lose_one_in(0);
                let lost = self.cassandra.lost() - before;
                return Hit { whom: format!("{lost} answers of cassandra"), in_flight: in_flight && lost > 0 };
            }
        };
        Hit { whom, in_flight }
    }

    /// Returns at the moment when records are in flight in one replica, or any of a worker; false if that never comes.
    async fn wait_for_flight(&self, at: usize, which: Option<usize>) -> bool {
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            let mut asked =
                self.workers[at].iter().enumerate().filter(|(number, _)| which.is_none_or(|it| it == *number));
            if asked.any(|(_, worker)| worker.metric("in_flight_records").is_some_and(|count| count > 0.0)) {
                return true;
            }
            sleep(LOOK_AGAIN).await;
        }
        false
    }
}

/// Drives all of them to their ends at the same time.
async fn all<F: Future<Output = ()>>(futures: Vec<F>) {
    let mut left: Vec<_> = futures.into_iter().map(Box::pin).collect();
    poll_fn(|context| {
        left.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if left.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

/// From `low` (included) to `high` (excluded).
fn seconds(random: &mut Random, low: usize, high: usize) -> Duration {
    Duration::from_secs(u64::try_from(low + random.below(high - low)).unwrap())
}
