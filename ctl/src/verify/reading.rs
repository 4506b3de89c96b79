//! Reads the log and the table of an installation.

use super::Verdict;
use super::expected::Rows;
use super::history::History;
use crate::{Error, world};
use runtime::offsets::Span;
use runtime::record::Record;
use schemas::{Codec, Profile, topics};
use std::sync::Arc;

pub(super) async fn prove(log: &world::Log, table: &world::Rows) -> Result<Verdict, Error> {
    let profile = Arc::new(Profile::embedded()?);
    let mut history = History::new(Codec::new(Arc::clone(&profile)), log.floor_micros()?);
    read(log, topics::RAW, |record| history.raw(record)).await?;
    read(log, topics::PINNED, |record| history.pinned(record)).await?;
    read(log, topics::ENRICHED, |record| history.enriched(record)).await?;
    read(log, topics::DEAD, |record| history.dead(record)).await?;
    let mut rows = Rows::new(&profile);
    let mut outcomes = history.close(&mut rows);
    let (mut scan, mut profiles) = (table.scan(), 0);
    while let Some((tenant, user_id, row)) = scan.next().await? {
        profiles += 1;
        rows.compare(tenant, user_id, &row.row, &mut outcomes.findings);
    }
    rows.close(&mut outcomes.findings);
    Ok(Verdict::of(outcomes, profiles))
}

/// Hands every record that the topic holds now to `see`. Where retention took records, order can no longer be worked out
/// from the first one on.
async fn read(log: &world::Log, name: &str, mut see: impl FnMut(&Record)) -> Result<(), Error> {
    let mut spans = Vec::new();
    for held in log.watermarks(name).await? {
        if held.low > 0 {
            return Err(Error::Failed(format!(
                "{}/{} starts at offset {}; only a log that is kept from its first record on can be verified",
                log.topic(name),
                held.partition,
                held.low
            )));
        }
        spans.push(Span { partition: held.partition, from: 0, to: held.high });
    }
    let mut records = log.records(name, &spans)?;
    while let Some(record) = records.next().await? {
        see(&record);
    }
    Ok(())
}
