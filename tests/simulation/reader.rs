//! Those who read through the cache, as the product's read path is to do it: get; on a miss lease, read at quorum, fill;
//! whatever is odd about Redis, read the row. Every answer is held against what was settled by then.

use crate::audit::Audit;
use crate::cassandra::{Cassandra, Read};
use crate::dice::Dice;
use crate::path::Hop;
use crate::plan::Place;
use crate::promise::Promise;
use crate::redis::{Offered, Redis};
use crate::sabotage::Sabotage;
use schemas::{Tenant, UserId, Version};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::cache::protocol::{self, Get};
use store::cache::{Key, Value};
use store::cql::ProfileRow;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How long an entry is kept: short, so that runs see the end of some.
const KEEP: Duration = Duration::from_millis(700);

/// Everyone who reads. Clones share what was filled.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    audit: Audit,
    cassandra: Cassandra,
    redis: Redis,
    sabotage: Sabotage,
    dice: Dice,
    /// What each fill had in it, by the number that stands in its payload.
    filled: Arc<Mutex<Vec<BTreeSet<Place>>>>,
}

/// What a reader was told of a user.
#[derive(Clone, Debug)]
struct Answer {
    /// The changes in it.
    places: BTreeSet<Place>,
    /// Partition and offset of the newest change of raw.
    receipt: Option<(i32, i64)>,
    /// Whether the cache had it.
    is_hit: bool,
}

pub(crate) fn key_of(user: &str) -> Key {
    Key::new(&Tenant::default(), &UserId::new(user).unwrap())
}

impl Readers {
    pub(crate) fn new(audit: Audit, stores: (Cassandra, Redis), sabotage: Sabotage, dice: Dice) -> Self {
        let (cassandra, redis) = stores;
        Self { audit, cassandra, redis, sabotage, dice, filled: Arc::default() }
    }

    /// Reads once. `None` if neither the cache nor the table answers.
    async fn read(&self, user: &str) -> Option<Answer> {
        let key = key_of(user);
        let got = self.redis.ask(&key, |entry, now_ms| self.judge(user, entry.get(now_ms))).await;
        match got {
            Ok(Looked::Hit(answer)) => return Some(answer),
            Ok(Looked::Miss) => {}
            // Garbage, or no Redis: the row, and no fill.
            Ok(Looked::Garbage) | Err(_) => return self.row(user).await.map(|read| Answer::of(&read)),
        }
        if self.sabotage == Sabotage::DelAndSet {
            let read = self.row(user).await?;
            self.fill(&key, [0; 16], &read).await;
            return Some(Answer::of(&read));
        }
        match self.redis.lease(&key, |found| self.judge(user, protocol::get(Some(found)))).await {
            Ok(Offered::Lease(token)) => {
                let read = self.row(user).await?;
                // A reader may be slow, and another change may come.
                sleep(Duration::from_millis(self.dice.roll(12))).await;
                self.fill(&key, token, &read).await;
                Some(Answer::of(&read))
            }
            Ok(Offered::Found(Looked::Hit(answer))) => Some(answer),
            Ok(Offered::Found(Looked::Miss | Looked::Garbage) | Offered::Busy) | Err(_) => {
                self.row(user).await.map(|read| Answer::of(&read))
            }
        }
    }

    /// I9, I13: what a look at an entry tells, at the instant of the look.
    fn judge(&self, user: &str, got: Get<'_>) -> Looked {
        let value = match got {
            Get::Hit(value) => value,
            Get::Miss => return Looked::Miss,
            Get::Garbage if self.sabotage == Sabotage::GarbageAsHit => {
                let what = format!("garbage was the answer to who {user} is");
                self.audit.break_promise(Promise::GarbageIsNoAnswer, what);
                return Looked::Garbage;
            }
            Get::Garbage => return Looked::Garbage,
        };
        let number = value.payload.trim_start_matches(|c: char| !c.is_ascii_digit()).trim_end_matches('}');
        let filled = number.parse().ok().and_then(|at: usize| self.filled.lock().unwrap().get(at).cloned());
        let Some(places) = filled else {
            self.audit.break_promise(Promise::GarbageIsNoAnswer, format!("nobody filled what {user} is said to be"));
            return Looked::Garbage;
        };
        let lacks = self.audit.known().lacks(user, &places);
        if let Some(place) = lacks {
            self.audit.break_promise(Promise::NoStaleHit, format!("a hit of {user} lacks {place:?}, which is settled"));
        }
        self.audit.known().hits += 1;
        Looked::Hit(Answer { places, receipt: value.receipt, is_hit: true })
    }

    /// The row at quorum, which has all that was settled before it was asked for.
    async fn row(&self, user: &str) -> Option<Read> {
        let settled = self.audit.known().settled(user);
        for _ in 0..3 {
            let Ok(read) = self.cassandra.read(user).await else { continue };
            if let Some(place) = settled.difference(&read.places).next() {
                let what = format!("{place:?} of {user} was settled before a read that lacks it");
                self.audit.break_promise(Promise::CommittedMeansKept, what);
            }
            return Some(read);
        }
        None
    }

    async fn fill(&self, key: &Key, token: [u8; 16], read: &Read) {
        let number = {
            let mut filled = self.filled.lock().unwrap();
            filled.push(read.places.clone());
            filled.len() - 1
        };
        let ProfileRow { version, .. } = read.row;
        let payload = format!("{{\"fill\":{number}}}");
        let receipt = receipt_of(&read.row);
        let value = Value { version: version.unwrap_or(Version::FIRST), receipt, payload: &payload };
        let Some(bytes) = value.encode() else { return };
        // Whether it was filled is nobody's concern.
        self.redis.fill(key, token, &bytes, KEEP).await.ok();
    }

    /// I12: what whoever wrote the raw record at `receipt` is told about it. `None` for "not yet".
    async fn follow(&self, user: &str, receipt: Place) -> Option<Told> {
        if self.audit.known().is_dead(receipt) {
            return Some(Told::Rejected);
        }
        let answer = self.read(user).await?;
        let is_settled = match answer.receipt {
            Some((partition, offset)) => partition == receipt.partition && offset >= receipt.offset,
            None => return self.follow_commits(user, receipt).await,
        };
        if !is_settled {
            return None;
        }
        // The two replicas of one read answer at two instants: the later answer may have a receipt, and lack an older
        // change that the earlier answer came too early for. What the receipt speaks of was at quorum before it, so that
        // a read that begins behind it has all of it. So has whatever was filled.
        let answer = if answer.is_hit { answer } else { Answer::of(&self.row(user).await?) };
        Some(self.hold(user, receipt, &answer))
    }

    /// Without a receipt in the row the commits tell, in the order of the path.
    async fn follow_commits(&self, user: &str, receipt: Place) -> Option<Told> {
        let Place { partition, offset, .. } = receipt;
        let audit = &self.audit;
        if audit.committed(Hop::Validate, &Place::raw(partition, 0).share()) <= offset {
            return None;
        }
        for hop in [Hop::Enrich, Hop::Sink] {
            let share = hop.place(partition);
            let end = audit.end(&share);
            if audit.committed(hop, &share) < end {
                return None;
            }
        }
        let read = self.row(user).await?;
        Some(self.hold(user, receipt, &Answer::of(&read)))
    }

    fn hold(&self, user: &str, receipt: Place, answer: &Answer) -> Told {
        let known = self.audit.known();
        let is_right = answer.places.contains(&receipt) || known.must_be_dead(receipt) || known.is_dead(receipt);
        drop(known);
        if !is_right {
            let what = format!("{receipt:?} of {user} counts as settled, and the answer lacks it");
            self.audit.break_promise(Promise::ReadYourWrites, what);
        }
        Told::Settled
    }
}

impl Answer {
    fn of(read: &Read) -> Self {
        Self { places: read.places.clone(), receipt: receipt_of(&read.row), is_hit: false }
    }
}

enum Looked {
    Hit(Answer),
    Miss,
    Garbage,
}

/// What somebody is told of the write of which they have the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Settled,
    Rejected,
}

fn receipt_of(row: &ProfileRow) -> Option<(i32, i64)> {
    row.partition.zip(row.offset)
}

/// Reads that are out, and receipts that are waited for.
#[derive(Debug)]
pub(crate) struct Sessions {
    readers: Readers,
    tasks: JoinSet<()>,
    /// Receipts and whose they are.
    receipts: Arc<Mutex<BTreeMap<Place, String>>>,
}

impl Sessions {
    pub(crate) fn new(readers: Readers) -> Self {
        Self { readers, tasks: JoinSet::new(), receipts: Arc::default() }
    }

    /// Somebody reads a user.
    pub(crate) fn read(&mut self, user: &str) {
        let (readers, user) = (self.readers.clone(), user.to_owned());
        self.tasks.spawn(async move {
            readers.read(&user).await;
        });
    }

    /// Whoever wrote a record asks until it is settled.
    pub(crate) fn follow(&mut self, user: &str, receipt: Place) {
        let (readers, user, receipts) = (self.readers.clone(), user.to_owned(), self.receipts.clone());
        receipts.lock().unwrap().insert(receipt, user.clone());
        self.tasks.spawn(async move {
            for _ in 0..40 {
                if let Some(told) = readers.follow(&user, receipt).await {
                    readers.audit.tell(|| format!("who wrote {receipt:?} is told: {told:?}"));
                    receipts.lock().unwrap().remove(&receipt);
                    return;
                }
                sleep(Duration::from_millis(15)).await;
            }
        });
    }

    /// Once all is done nobody waits any more.
    pub(crate) async fn conclude(&mut self, users: &[String]) {
        while self.tasks.join_next().await.is_some() {}
        for user in users {
            self.readers.read(user).await;
            self.readers.read(user).await;
        }
        let left = std::mem::take(&mut *self.receipts.lock().unwrap());
        for (receipt, user) in left {
            if self.readers.follow(&user, receipt).await.is_none() {
                let what = format!("{receipt:?} of {user} is neither settled nor rejected when all is done");
                self.readers.audit.break_promise(Promise::ReadYourWrites, what);
            }
        }
    }
}
