//! What a hand-over of partitions costs: time, and records that are done again.

use runtime::offsets::Watermarks;
use runtime::record::Record;
use schemas::{headers, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;
use tests::installation::{Installation, PATH};
use tests::until;
use tokio::time::{Instant, sleep};

/// A session, a rebalance and what came meanwhile, on a machine that does other things as well.
const WITHIN: Duration = Duration::from_secs(60);

/// Records that somebody may have begun and has not committed, at each kill of an `enrich`: by partition, from its
/// frontier to the head.
#[derive(Debug, Default)]
pub(crate) struct Unsettled(Vec<Vec<Range<i64>>>);

impl Unsettled {
    /// To be called right after a kill: what the dead has begun lies below the head as it is now.
    pub(crate) async fn note(&mut self, home: &Installation) {
        let settled = home.committed("enrich").await;
        let ends = home.watermarks(topics::VALID).await;
        self.0.push(settled.iter().zip(&ends).map(|(settled, end)| *settled..end.high).collect());
    }

    /// Panics if `enrich` did a record twice that no kill accounts for. How many it did twice. The `validate` before it
    /// must have done none twice.
    pub(crate) async fn assert_nothing_else_was_redone(&self, home: &Installation) -> usize {
        let mut places = BTreeMap::new();
        for record in home.records(topics::VALID).await {
            let place = (usize::try_from(record.place.partition).unwrap(), record.offset.0);
            assert_eq!(places.insert(origin(&record), place), None, "validate did a record twice");
        }
        let (mut seen, mut redone) = (BTreeSet::new(), 0);
        for record in home.records(topics::ENRICHED).await {
            let (partition, offset) = places[&origin(&record)];
            if seen.insert((partition, offset)) {
                continue;
            }
            redone += 1;
            let is_due = self.0.iter().any(|kill| kill[partition].contains(&offset));
            assert!(is_due, "{partition}/{offset} was done twice, and nobody was killed over it: {:?}", self.0);
        }
        redone
    }

    /// How many there were, over all kills.
    pub(crate) fn records(&self) -> usize {
        let all = self.0.iter().flatten().map(|range| range.end - range.start);
        usize::try_from(all.sum::<i64>()).unwrap()
    }
}

fn origin(record: &Record) -> Vec<u8> {
    record.headers.last(headers::ORIGIN).expect("every record of ours has one").to_vec()
}

/// Returns when nearly every partition of `enrich` has records that went out and are not committed, whoever has them: a
/// batch takes a fifth of a second there, so what has waited for three of them is out.
pub(crate) async fn in_mid_flight(home: &Installation) {
    until("enrich to have done what it did not commit", WITHIN, async || {
        let (before, ends) = (home.committed("enrich").await, home.watermarks(topics::VALID).await);
        sleep(Duration::from_millis(600)).await;
        let now = home.committed("enrich").await;
        let has_done = |((before, now), end): &((&i64, &i64), &Watermarks)| before == now && end.high > **now;
        let open = before.iter().zip(&now).zip(&ends).filter(has_done).count();
        (open + 1 >= ends.len()).then_some(())
    })
    .await;
}

/// How long it takes `worker`'s group, from now on, to settle everything that its topic holds now.
pub(crate) async fn catch_up(home: &Installation, worker: &'static str) -> Duration {
    let since = Instant::now();
    let (_, topic) = PATH.into_iter().find(|(name, _)| *name == worker).unwrap();
    let ends = home.watermarks(topic).await;
    until(&format!("{worker} to go on in every partition"), WITHIN, async || {
        let committed = home.committed(worker).await;
        ends.iter().zip(&committed).all(|(end, committed)| *committed >= end.high).then_some(())
    })
    .await;
    since.elapsed()
}
