//! The doors of a directory: changes come in over HTTP as they do on servers.

use embedded::Topic;
use ingest::{Placed, Raw};
use runtime::fault::Fault;
use runtime::record::Outgoing;

/// The raw topic of a directory.
#[derive(Clone, Debug)]
pub(crate) struct RawLog(pub(crate) Topic);

impl Raw for RawLog {
    fn partitions(&self) -> i32 {
        self.0.partitions()
    }

    async fn append(&self, batch: &[Outgoing]) -> Result<Vec<Placed>, Fault> {
        let max = self.0.record_bytes_max();
        let fits = |item: &Outgoing| item.bytes() <= max;
        let appended = if batch.iter().all(fits) {
            self.0.append(batch).await
        } else {
            let fit: Vec<Outgoing> = batch.iter().filter(|item| fits(item)).cloned().collect();
            self.0.append(&fit).await
        };
        let mut offsets = appended.map_err(embedded::Error::into_fault)?.into_iter();
        let place = |item: &Outgoing| match fits(item) {
            true => offsets.next().map_or(Placed::Somewhere, Placed::At),
            false => Placed::TooLarge,
        };
        Ok(batch.iter().map(place).collect())
    }
}
