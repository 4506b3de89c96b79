//! What a good engineer writes in a day: the baseline that the pipeline is measured against, in cost and in right rows.
//!
//! One consumer, one statement per record with the driver's own timestamps, 256 out at a time, one deletion in Redis
//! each, and a commit twice a second of what is behind. Nothing here is a straw man: it is at-least-once, keeps the
//! requests going, and is idiomatic. What it lacks is an order of history: two changes of one user that are out at the
//! same time land as it happens, a record read twice comes with a newer timestamp, and so a deleted user may come back.
#![allow(clippy::disallowed_methods, reason = "it stands alone, and knows nothing of the product's runtime")]

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::prepared::PreparedStatement;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tikv_jemallocator::Jemalloc;

/// The workers' own: what is compared is what the programs do.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

const IN_FLIGHT: usize = 256;

#[derive(Deserialize)]
struct Change {
    user_id: String,
    op: String,
    #[serde(default)]
    set: Fields,
}

#[derive(Default, Deserialize)]
struct Fields {
    name: Option<String>,
    email: Option<String>,
    phone: Option<String>,
    country: Option<String>,
    locale: Option<String>,
    time_zone: Option<String>,
    bio: Option<String>,
    marketing_opt_in: Option<bool>,
}

/// Offsets that are out, by partition: what lies below all of them may be committed.
#[derive(Default)]
struct Progress(BTreeMap<i32, (BTreeMap<i64, bool>, i64)>);

impl Progress {
    fn start(&mut self, partition: i32, offset: i64) {
        self.0.entry(partition).or_default().0.insert(offset, false);
    }

    fn end(&mut self, partition: i32, offset: i64) {
        let (out, next) = self.0.entry(partition).or_default();
        out.insert(offset, true);
        while let Some(first) = out.first_entry().filter(|first| *first.get()) {
            *next = first.key() + 1;
            first.remove();
        }
    }

    fn offsets(&self, topic: &str) -> Outcome<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (partition, (_, next)) in self.0.iter().filter(|(_, (_, next))| *next > 0) {
            list.add_partition_offset(topic, *partition, Offset::Offset(*next))?;
        }
        Ok(list)
    }
}

struct Store {
    session: scylla::client::session::Session,
    insert: PreparedStatement,
    update: PreparedStatement,
    delete: PreparedStatement,
    redis: redis::aio::MultiplexedConnection,
}

impl Store {
    async fn open(nodes: &str, keyspace: &str, redis: &str) -> Outcome<Self> {
        let session = SessionBuilder::new().known_nodes(nodes.split(',')).build().await?;
        let table = format!("\"{keyspace}\".profiles");
        let fields = "name, email, phone, country, locale, time_zone, bio, marketing_opt_in";
        // The two columns of the version say to whoever reads the table that the user is there.
        let insert = format!(
            "INSERT INTO {table} (tenant, user_id, {fields}, tw_version, tw_live) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 1)"
        );
        let update = format!(
            "UPDATE {table} SET email = ?, bio = ?, marketing_opt_in = ?, tw_version = 1 WHERE tenant = ? AND user_id = ?"
        );
        let delete = format!("DELETE FROM {table} WHERE tenant = ? AND user_id = ?");
        let [insert, update, delete] = [insert, update, delete].map(|text| session.prepare(text));
        let (insert, update, delete) = tokio::try_join!(insert, update, delete)?;
        let redis = redis::Client::open(redis)?.get_multiplexed_async_connection().await?;
        Ok(Self { session, insert, update, delete, redis })
    }

    async fn apply(&self, change: Change) -> Outcome<()> {
        let Change { user_id, op, set } = change;
        match &*op {
            "delete" => drop(self.session.execute_unpaged(&self.delete, ("main", &user_id)).await?),
            "patch" => {
                let values = (&set.email, &set.bio, set.marketing_opt_in, "main", &user_id);
                drop(self.session.execute_unpaged(&self.update, values).await?);
            }
            _ => {
                let Fields { name, email, phone, country, locale, time_zone, bio, marketing_opt_in } = &set;
                let values = ("main", &user_id, name, email, phone, country, locale, time_zone, bio, marketing_opt_in);
                drop(self.session.execute_unpaged(&self.insert, values).await?);
            }
        }
        let key = format!("tw:p1:{{main/{user_id}}}");
        redis::cmd("DEL").arg(key).exec_async(&mut self.redis.clone()).await?;
        Ok(())
    }
}

fn setting(name: &str) -> Outcome<String> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let (topic, keyspace) = (setting("TOPIC")?, setting("KEYSPACE")?);
    let store = Store::open(&setting("CASSANDRA")?, &keyspace, &setting("REDIS")?).await?;
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", setting("BROKERS")?).set("group.id", setting("GROUP")?);
    client.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    let consumer: StreamConsumer = client.create()?;
    consumer.subscribe(&[&topic])?;

    let (mut out, mut progress, mut committed) = (FuturesUnordered::new(), Progress::default(), Instant::now());
    loop {
        tokio::select! {
            message = consumer.recv(), if out.len() < IN_FLIGHT => {
                let message = message?;
                let (partition, offset) = (message.partition(), message.offset());
                progress.start(partition, offset);
                // What is wrong is skipped: there is nowhere to put it.
                let change = serde_json::from_slice::<Change>(message.payload().unwrap_or_default());
                let store = &store;
                out.push(async move {
                    if let Ok(change) = change {
                        store.apply(change).await?;
                    }
                    Outcome::Ok((partition, offset))
                });
            }
            Some(done) = out.next() => {
                let (partition, offset) = done?;
                progress.end(partition, offset);
            }
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
        if committed.elapsed() > Duration::from_millis(500) {
            let offsets = progress.offsets(&topic)?;
            if offsets.count() > 0 {
                consumer.commit(&offsets, CommitMode::Async)?;
            }
            committed = Instant::now();
        }
    }
}
