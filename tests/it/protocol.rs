//! Both group protocols, and replicas that the group knows by name: the same promises under each.

use crate::handover::{Unsettled, catch_up};
use crate::load::under_load;
use std::time::Duration;
use tests::history::History;
use tests::installation::Installation;
use tests::process::Worker;
use tests::stack::{Stack, asked};
use tests::until;
use tokio::time::Instant;

/// Kills, each with a replica that comes and one that goes; `PROTOCOL_ROUNDS` asks for more.
const ROUNDS: usize = 1;

/// A component failed: start it again.
const FAILED: i32 = 70;
/// Asked or configured wrongly.
const USAGE: i32 = 64;

/// How replicas are members of their group.
#[derive(Clone, Copy, Debug)]
struct Way {
    protocol: &'static str,
    is_static: bool,
}

#[tokio::test]
async fn with_partitions_shared_out_by_the_brokers_kills_and_rebalances_lose_nothing() {
    Box::pin(survive("brokered", Way { protocol: "consumer", is_static: false })).await;
}

#[tokio::test]
async fn with_replicas_that_have_names_kills_and_restarts_lose_nothing() {
    Box::pin(survive("named", Way { protocol: "classic", is_static: true })).await;
}

#[tokio::test]
async fn with_both_kills_and_restarts_lose_nothing() {
    Box::pin(survive("both", Way { protocol: "consumer", is_static: true })).await;
}

async fn survive(name: &str, way: Way) {
    let home = Installation::build(&Stack::of_run(), name).await;
    let mut path = ["validate", "enrich", "sink"].map(|worker| way.start(&home, worker, "a"));
    for worker in &mut path {
        worker.ready().await;
    }
    let [_validate, mut first, _sink] = path;
    let mut history = History::new(29, home.name(), 300);
    let mut unsettled = Unsettled::default();
    let first = under_load(&home, &mut history, 20, async {
        for _ in 0..asked("PROTOCOL_ROUNDS", ROUNDS) {
            first = way.round(&home, first, &mut unsettled).await;
        }
        first
    })
    .await;
    home.settled().await;
    home.assert_is(&history).await;
    unsettled.assert_nothing_else_was_redone(&home).await;
    assert!(first.metric("rebalance_gap_seconds_count") > Some(0.0), "a hand-over shows in the metrics");
}

impl Way {
    fn start(self, home: &Installation, worker: &'static str, replica: &str) -> Worker {
        let id = format!("{worker}-{replica}");
        let mut options = vec![("KAFKA__GROUP_PROTOCOL", self.protocol)];
        if self.is_static {
            options.push(("KAFKA__INSTANCE_ID", &id));
        }
        home.start(worker, &options)
    }

    /// A second `enrich` comes, the first is killed, comes back and is restarted, and the second goes. The first as it
    /// is then.
    async fn round(self, home: &Installation, first: Worker, unsettled: &mut Unsettled) -> Worker {
        let since = Instant::now();
        let mut second = self.start(home, "enrich", "b");
        share_of(&mut second).await;
        self.tell("join", since.elapsed());

        first.kill();
        unsettled.note(home).await;
        let first = if self.is_static {
            let since = Instant::now();
            let first = self.come_back(home).await;
            catch_up(home, "enrich").await;
            self.tell("kill, with a restart at once", since.elapsed());
            first
        } else {
            self.tell("kill", catch_up(home, "enrich").await);
            self.come_back(home).await
        };
        let first = self.restart(home, first, &second).await;

        let since = Instant::now();
        assert_eq!(second.leave().await, 0);
        catch_up(home, "enrich").await;
        self.tell("leave", since.elapsed());
        first
    }

    /// Leaves and starts again. Nobody else is disturbed by it if the group knows the replica by name.
    async fn restart(self, home: &Installation, first: Worker, second: &Worker) -> Worker {
        let moves = || {
            second.log().matches("partitions are to be handed on").count()
                + second.log().matches("partitions assigned").count()
        };
        let before = moves();
        let since = Instant::now();
        assert_eq!(first.leave().await, 0);
        let first = self.come_back(home).await;
        catch_up(home, "enrich").await;
        self.tell("restart", since.elapsed());
        if self.is_static {
            assert_eq!(moves(), before, "a restart within the session moves no partition:\n{}", second.log());
        }
        first
    }

    /// Starts the first `enrich` again, and again if the group still waits for one that was killed.
    async fn come_back(self, home: &Installation) -> Worker {
        loop {
            let mut first = self.start(home, "enrich", "a");
            if has_share(&mut first).await {
                return first;
            }
            let log = first.log();
            assert_eq!(first.exit().await, FAILED, "{log}");
            assert!(self.is_static && log.contains("still has a member with kafka.instance_id"), "{log}");
        }
    }

    /// For the figures of ADR 9: `--nocapture` shows them.
    #[allow(clippy::print_stderr, reason = "figures that a person asks for")]
    fn tell(self, what: &str, took: Duration) {
        let named = if self.is_static { "with a name" } else { "as a stranger" };
        eprintln!("{}, {named}: {what}: {} ms", self.protocol, took.as_millis());
    }
}

async fn share_of(worker: &mut Worker) {
    assert!(has_share(worker).await, "{} has ended:\n{}", worker.name(), worker.log());
}

/// Waits until a worker has admitted a record; false if it ends before.
async fn has_share(worker: &mut Worker) -> bool {
    until("a replica to have its share", Duration::from_secs(60), async || {
        if !worker.is_running() {
            return Some(false);
        }
        (worker.metric("records_in_total") > Some(0.0)).then_some(true)
    })
    .await
}

#[tokio::test]
async fn a_name_that_two_replicas_have_ends_one_of_them_with_what_to_do() {
    let home = Installation::build(&Stack::of_run(), "twice").await;
    let (classic, consumer) =
        (Way { protocol: "classic", is_static: true }, Way { protocol: "consumer", is_static: true });
    let mut first = classic.start(&home, "validate", "a");
    let mut keeper = consumer.start(&home, "enrich", "a");
    first.ready().await;
    keeper.ready().await;

    // Under `classic` the brokers go on with the newer one.
    let mut newer = classic.start(&home, "validate", "a");
    newer.ready().await;
    assert_eq!(first.exit().await, USAGE);
    let log = first.log();
    assert!(log.contains("another replica has joined group") && log.contains("an instance_id of its own"), "{log}");

    // Under `consumer` they keep the older one.
    let mut stranger = consumer.start(&home, "enrich", "a");
    assert_eq!(stranger.exit().await, FAILED);
    let log = stranger.log();
    assert!(log.contains("still has a member with kafka.instance_id"), "{log}");
    assert!(newer.is_running() && keeper.is_running());
}
