//! What a directory answers.

use super::Error;
use super::request::{About, Commits, Done, Files, Held, Offsets, Request, Row, Seen};
use super::wire::Message;
use crate::home::Home;
use crate::log::frame::{self, Batch};
use crate::log::{Cursor, Topic};
use crate::table::{Bookmark, Place, Stored, key_of};
use runtime::record::{Outgoing, Record};
use schemas::{Tenant, UserId, Version};
use std::sync::Arc;
use std::time::Duration;
use store::through::Source;

/// Of one answer, but that one record or row is always allowed.
const PAGE_BYTES: usize = 1 << 20;

/// How long a question for more waits.
const WAIT: Duration = Duration::from_secs(5);

/// Whether the directory can be changed from here: not while somebody works on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    AtWork,
    AtRest,
}

pub(super) async fn answer(home: &Home, standing: Standing, message: Message) -> Result<Message, Error> {
    let (request, body) = message.read::<Request>()?;
    match request {
        Request::About => Message::of(&about(home)),
        Request::Watermarks { topic } => {
            let held = of_name(home, &topic)?.watermarks();
            Message::of(&Held { held: held.iter().map(|held| (held.low, held.high)).collect() })
        }
        Request::Since { topic, ms } => {
            let topic = of_name(home, &topic)?.clone();
            let offsets = aside(move || topic.offsets_since(ms)).await?;
            Message::of(&Offsets { offsets })
        }
        Request::Read { topic, spans } => read(of_name(home, &topic)?, &spans).await,
        Request::Wait { topic, seen } => {
            wait(of_name(home, &topic)?, &seen).await;
            Message::of(&Done {})
        }
        Request::Committed { group, topic } => {
            let topic = of_name(home, &topic)?;
            let places = (0..topic.partitions()).map(|partition| topic.place(partition));
            let commits = places.map(|place| home.table.committed(&group, &place)).collect::<Result<_, _>>()?;
            Message::of(&Commits { commits })
        }
        Request::Commit { group, topic, places } => {
            commit(home, standing, &group, of_name(home, &topic)?, places)?;
            Message::of(&Done {})
        }
        Request::Append { topic } => append(of_name(home, &topic)?, &body).await,
        Request::Row { tenant, user_id } => {
            let (tenant, user_id) = names(&tenant, &user_id)?;
            let found = home.table.read_raw(&key_of(&tenant, &user_id))?;
            Message::new(&Row { is_there: found.is_some() }, found.unwrap_or_default())
        }
        Request::Rows => rows(home, body),
        Request::Get { tenant, user_id } => {
            let (tenant, user_id) = names(&tenant, &user_id)?;
            get(home, &tenant, &user_id).await
        }
        Request::Sync => {
            home.log.sync().await?;
            Message::of(&Done {})
        }
        Request::Verify => {
            let log = home.log.clone();
            Message::of(&Files { files: aside(move || log.verify()).await? })
        }
    }
}

/// Runs what goes through files.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, crate::Error> + Send + 'static) -> Result<T, Error> {
    let ended = tokio::task::spawn_blocking(work).await;
    Ok(ended.map_err(|_| crate::Error::Closed)??)
}

fn about(home: &Home) -> About {
    About {
        partitions: home.layout.partitions,
        floor_micros: home.layout.floor_micros,
        durability: home.durability.to_string(),
        pid: std::process::id(),
        log_bytes: home.log.bytes(),
        table_bytes: home.table.bytes(),
        columns: home.table.shape().text().to_owned(),
    }
}

/// Records of spans, from the start of each, as many as fit.
async fn read(topic: &Topic, spans: &[(i32, i64, i64)]) -> Result<Message, Error> {
    let of = |partition: i32| spans.iter().find(|(of, from, to)| *of == partition && from < to);
    // What nobody asked for is never reached.
    let from: Vec<i64> =
        (0..topic.partitions()).map(|partition| of(partition).map_or(i64::MAX, |span| span.1)).collect();
    let mut left = spans.iter().filter(|(_, from, to)| from < to).count();
    let mut cursor = Cursor::new(topic.clone(), &from);
    let mut page = Batch::default();
    while left > 0 && page.bytes_len() < PAGE_BYTES {
        let Some(record) = cursor.take().await? else { break };
        let Some((_, _, to)) = of(record.place.partition) else { continue };
        if record.offset.0 < *to {
            page.keep(&record);
        }
        left -= usize::from(record.offset.0 + 1 == *to);
    }
    Message::new(&Done {}, page.into_bytes())
}

/// Returns when a topic has more than it had, or after some seconds.
async fn wait(topic: &Topic, seen: &[i64]) {
    let mut growth = topic.growth();
    let grown = async {
        loop {
            growth.mark_unchanged();
            let has_more = topic.watermarks().iter().zip(seen).any(|(held, seen)| held.high > *seen);
            if has_more || growth.changed().await.is_err() {
                return;
            }
        }
    };
    // Who asked looks again either way.
    tokio::time::timeout(WAIT, grown).await.ok();
}

fn commit(
    home: &Home,
    standing: Standing,
    group: &str,
    topic: &Topic,
    places: Vec<(i32, i64, String)>,
) -> Result<(), Error> {
    if standing == Standing::AtWork {
        return Err(refused("offsets cannot be moved under a process that works from them; end it first"));
    }
    let name: Arc<str> = topic.name().into();
    let places = places.into_iter().map(|(partition, offset, metadata)| Place {
        topic: name.clone(),
        partition,
        offset,
        metadata,
    });
    home.table.commit(group, &places.collect::<Vec<_>>())?;
    Ok(home.table.sync()?)
}

async fn append(topic: &Topic, body: &[u8]) -> Result<Message, Error> {
    let records = frame::records(&Arc::from(topic.name()), body).ok_or(Error::Foreign)?;
    let max = topic.record_bytes_max();
    if let Some(large) = records.iter().position(|record| record.bytes() > max) {
        return Err(refused(format!("record {} of the batch has more than {max} bytes; none was taken", large + 1)));
    }
    let partitions = 0..topic.partitions();
    if records.iter().any(|record| !partitions.contains(&record.place.partition)) {
        return Err(refused(format!("there are {} partitions; none of the batch was taken", partitions.end)));
    }
    let items: Vec<Outgoing> = records.into_iter().map(outgoing).collect();
    let offsets = topic.append(&items).await?;
    Message::of(&Offsets { offsets: offsets.iter().map(|offset| offset.0).collect() })
}

fn outgoing(record: Record) -> Outgoing {
    let Record { place, key, value, headers, .. } = record;
    Outgoing { partition: place.partition, key, value, headers }
}

/// A page of rows behind the key in `body`: `len u32 | key | len u32 | row`, as they are stored.
fn rows(home: &Home, body: Vec<u8>) -> Result<Message, Error> {
    let after = (!body.is_empty()).then_some(Bookmark(body));
    let page = home.table.page(after.as_ref(), PAGE_BYTES)?;
    let mut bytes = Vec::new();
    for Stored { key, row } in page {
        for part in [key, row] {
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            bytes.extend_from_slice(&part);
        }
    }
    Message::new(&Done {}, bytes)
}

/// A profile as readers are served: from the cache, else from the row, which then fills the cache.
async fn get(home: &Home, tenant: &Tenant, user_id: &UserId) -> Result<Message, Error> {
    let seen = home.profiles.get(tenant, user_id).await;
    let seen = seen.map_err(|error| Error::Refused { text: error.to_string(), is_usage: false })?;
    let is_cached = seen.source == Source::Cache;
    let payload = seen.payload.as_deref().unwrap_or_default().as_bytes().to_vec();
    Message::new(&Seen { version: seen.version.map(Version::get), receipt: seen.receipt, is_cached }, payload)
}

fn of_name<'h>(home: &'h Home, name: &str) -> Result<&'h Topic, Error> {
    home.log.topic(name).ok_or_else(|| refused(format!("there is no topic {name} in a data directory")))
}

fn names(tenant: &str, user_id: &str) -> Result<(Tenant, UserId), Error> {
    Tenant::new(tenant).zip(UserId::new(user_id)).ok_or_else(|| {
        refused(
            "no user has such a name: a tenant is a-z, 0-9 and -, a user id 1 to 128 bytes without control characters",
        )
    })
}

fn refused(text: impl Into<String>) -> Error {
    Error::Refused { text: text.into(), is_usage: true }
}
