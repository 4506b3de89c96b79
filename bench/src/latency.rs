//! How long a change takes from the log to its row, and to a cache without its user, while others come at a rate.
//!
//! Open loop: probes go out by the clock, whatever became of those before, so that a standstill is counted by every
//! probe that it held up. Seen from outside: the row is read, and Redis asked, until they show the change.

use crate::Outcome;
use crate::bare::What;
use crate::ground::{Ground, Part, Stage};
use crate::report::{Line, Quantiles};
use crate::run::bare;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use runtime::Clock;
use runtime::kafka::{KafkaSink, SinkConfig};
use runtime::record::{Headers, Outgoing, Record};
use runtime::stage::Sink as _;
use schemas::topics::{self, partition_for};
use schemas::{Change, Codec, FieldValue, Lane, Op, Origin, Row, Tenant, UserId, Version, headers};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::cache::Key;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// How long each load is kept up, and how much of its start does not count.
const LAST: Duration = Duration::from_secs(24);
const WARM: Duration = Duration::from_secs(4);
/// Between two probes.
const EVERY: Duration = Duration::from_millis(20);
/// Between two looks for one.
const LOOK: Duration = Duration::from_millis(1);
/// A probe that is not there by now has this age.
const LATEST: Duration = Duration::from_secs(20);

/// An offset that no partition reaches, and a dozen of which can be added.
const FAR: i64 = 1 << 56;

/// Measures one loop at one load. `records` are written again and again at `rate` a second beside the probes.
pub(crate) async fn measure(
    ground: &Ground,
    loop_name: &str,
    load: f64,
    rate: f64,
    records: &Arc<Vec<Record>>,
) -> Outcome<Line> {
    let start = Part { from: ground.ends(topics::ENRICHED).await, to: Vec::new() };
    let enough = Arc::new(AtomicBool::new(false));
    let feeding = feed(ground, records.clone(), rate, enough.clone());
    let probing = async {
        let found = probe(ground, loop_name).await;
        enough.store(true, Ordering::Relaxed);
        found
    };
    let (fed, found) = match loop_name {
        "sink" => {
            let (worker, _group) = ground.start(Stage::Sink, &format!("l{}", (load * 100.0) as u64), &start).await?;
            sleep(Duration::from_secs(3)).await;
            let both = tokio::join!(feeding, probing);
            worker.leave().await;
            both
        }
        _ => {
            // It ends when it is killed, for nobody knows what it will have been fed.
            let endless = Part { to: vec![FAR; start.from.len()], from: start.from };
            let mut child = bare(ground, What::Store, topics::ENRICHED, &endless)?.spawn()?;
            sleep(Duration::from_secs(3)).await;
            let both = tokio::join!(feeding, probing);
            if let Some(status) = child.try_wait()? {
                return Err(format!("the bare loop has ended: {status}").into());
            }
            child.kill().await?;
            both
        }
    };
    let (row, clean) = found?;
    Ok(Line::Latency { loop_name: loop_name.to_owned(), load, changes_per_s: fed?, row, clean })
}

/// Writes the records to `enriched` at a rate until told to stop; what rate it came to.
async fn feed(ground: &Ground, records: Arc<Vec<Record>>, rate: f64, enough: Arc<AtomicBool>) -> Outcome<f64> {
    let (brokers, topic) = (ground.kafka.brokers.clone(), ground.home.topic(topics::ENRICHED));
    let work = move || -> Outcome<f64> {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &brokers).set("linger.ms", "5").set("compression.type", "lz4");
        let producer: ThreadedProducer<DefaultProducerContext> = client.create()?;
        let (since, mut sent) = (Instant::now(), 0_u64);
        for record in records.iter().cycle() {
            if enough.load(Ordering::Relaxed) {
                break;
            }
            let due = Duration::from_secs_f64(sent as f64 / rate);
            if let Some(early) = due.checked_sub(since.elapsed()).filter(|early| early.as_millis() > 0) {
                std::thread::sleep(early);
            }
            let mut kept = rdkafka::message::OwnedHeaders::new();
            for (name, value) in record.headers.iter() {
                kept = kept.insert(rdkafka::message::Header { key: name, value: value.map(|value| &value[..]) });
            }
            let mut out: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(&topic).partition(record.place.partition).headers(kept);
            out.key = record.key.as_deref();
            out.payload = record.value.as_deref();
            producer.send(out).map_err(|(error, _)| error)?;
            sent += 1;
        }
        let rate = sent as f64 / since.elapsed().as_secs_f64();
        producer.flush(Duration::from_secs(60))?;
        Ok(rate)
    };
    tokio::task::spawn_blocking(work).await?
}

/// Sends probes by the clock; how long each took to its row, and to a cache without it.
async fn probe(ground: &Ground, run: &str) -> Outcome<(Quantiles, Quantiles)> {
    let own = SinkConfig {
        topic: ground.home.topic(topics::ENRICHED),
        compression: "none",
        message_bytes_max: 1 << 20,
        queue_kbytes: 1 << 15,
        linger: Duration::ZERO,
    };
    let sink = Arc::new(KafkaSink::new(&ground.kafka, own).map_err(|fault| format!("{fault:?}"))?);
    let home = &ground.home;
    let profile = home.profile.clone();
    let reader = Arc::new(store::cql::Reader::prepare(&home.session, &profile).await?);
    let redis = redis::Client::open(home.stack.redis.as_str())?.get_multiplexed_async_connection().await?;
    let mut probes = JoinSet::new();
    let since = Instant::now();
    let stamp = Clock::system().now_ms();
    let count = u32::try_from(LAST.as_millis() / EVERY.as_millis())?;
    for number in 0..count {
        sleep_until(since + EVERY * number).await;
        let user = UserId::new(&format!("probe-{run}-{stamp}-{number}")).ok_or("a user")?;
        let (sink, reader, mut redis, codec) =
            (sink.clone(), reader.clone(), redis.clone(), Codec::new(profile.clone()));
        probes.spawn(async move {
            let key = Key::new(&Tenant::default(), &user);
            redis::cmd("SET").arg(key.as_str()).arg("something").exec_async(&mut redis).await?;
            let record = record(&codec, &user)?;
            sink.write(&[record]).await.map_err(|fault| format!("{fault:?}"))?;
            let sent = Instant::now();
            let row = async {
                while sent.elapsed() < LATEST && reader.read(&Tenant::default(), &user).await?.is_none() {
                    sleep(LOOK).await;
                }
                Outcome::Ok(sent.elapsed().as_secs_f64() * 1e3)
            };
            let clean = async {
                while sent.elapsed() < LATEST
                    && redis::cmd("EXISTS").arg(key.as_str()).query_async::<u64>(&mut redis).await? > 0
                {
                    sleep(LOOK).await;
                }
                Outcome::Ok(sent.elapsed().as_secs_f64() * 1e3)
            };
            let (row, clean) = tokio::join!(row, clean);
            Outcome::Ok((EVERY * number >= WARM, row?, clean?))
        });
    }
    let (mut rows, mut cleans) = (Vec::new(), Vec::new());
    while let Some(probe) = probes.join_next().await {
        let (counts, row, clean) = probe??;
        if counts {
            rows.push(row);
            cleans.push(clean);
        }
    }
    Ok((Quantiles::of(rows), Quantiles::of(cleans)))
}

/// An enriched change of a user that nobody else changes.
fn record(codec: &Codec, user: &UserId) -> Outcome<Outgoing> {
    let version = Version::at(Clock::system().now_ms() * 1_000, Lane::Live).ok_or("a version")?;
    let partition = partition_for(user.as_str().as_bytes(), crate::ground::PARTITIONS);
    let origin = Origin::new("bench.probe", partition, version.millis()).ok_or("an origin")?;
    let mut set = Row::default();
    set.set(0, FieldValue::Text("probe".to_owned()));
    let change = Change {
        id: schemas::accept::id_of(&origin),
        tenant: Tenant::default(),
        user_id: user.clone(),
        op: Op::Upsert,
        set,
        unset: schemas::FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version,
        origin,
    };
    let mut value = Vec::new();
    codec.encode(&change, &mut value).map_err(|error| format!("{error:?}"))?;
    let mut kept = Headers::with_capacity(1);
    kept.push_text(Arc::from(headers::ORIGIN), change.origin.to_string());
    let key = Some(user.as_str().as_bytes().to_vec().into());
    Ok(Outgoing { partition, key, value: Some(value.into()), headers: kept })
}
