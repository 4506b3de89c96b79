//! Reads the log and the table of an installation.

use super::expected::Rows;
use super::history::History;
use super::{Error, Subject, Verdict};
use runtime::kafka::{Admin, Cluster, Reader, Span};
use runtime::record::Record;
use schemas::{Codec, Profile, topics};
use std::sync::Arc;
use std::time::Duration;
use store::cql::{self, ReadError, Session};

/// How often a page of the table is asked for before its silence is an error.
const TRIES: u32 = 20;
const TRY_AGAIN: Duration = Duration::from_millis(500);

pub(super) async fn verify(subject: &Subject) -> Result<Verdict, Error> {
    let profile = Arc::new(Profile::embedded()?);
    let mut history = History::new(Codec::new(Arc::clone(&profile)), subject.floor_micros);
    let admin = Admin::new(&subject.cluster.client)?;
    read(&subject.cluster, &admin, topics::RAW, |record| history.raw(record)).await?;
    read(&subject.cluster, &admin, topics::PINNED, |record| history.pinned(record)).await?;
    read(&subject.cluster, &admin, topics::ENRICHED, |record| history.enriched(record)).await?;
    read(&subject.cluster, &admin, topics::DEAD, |record| history.dead(record)).await?;
    let mut rows = Rows::new(&profile);
    let mut outcomes = history.close(&mut rows);

    let session = Session::connect(&subject.cassandra).await?;
    let reader = cql::Reader::prepare(&session, &profile).await?;
    let mut scan = reader.scan();
    let (mut profiles, mut tries) = (0, 0);
    loop {
        match scan.next().await {
            Ok(Some((tenant, user_id, row))) => {
                profiles += 1;
                tries = 0;
                rows.compare(tenant, user_id, &row, &mut outcomes.findings);
            }
            Ok(None) => break,
            Err(ReadError::Unreachable(_)) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(TRY_AGAIN).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
    rows.close(&mut outcomes.findings);
    Ok(Verdict::of(outcomes, profiles))
}

/// Hands every record that the topic holds now to `see`.
async fn read(cluster: &Cluster, admin: &Admin, name: &str, mut see: impl FnMut(&Record)) -> Result<(), Error> {
    let topic = cluster.topic(name);
    let mut spans = Vec::new();
    for held in admin.watermarks(&topic).await? {
        if held.low > 0 {
            return Err(Error::Cut { topic, partition: held.partition, low: held.low });
        }
        spans.push(Span { partition: held.partition, from: 0, to: held.high });
    }
    let mut reader = Reader::open(&cluster.client, &topic, &spans)?;
    while let Some(record) = reader.next().await? {
        see(&record);
    }
    Ok(())
}
