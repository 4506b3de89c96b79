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
        let places = self.0.append_fitting(batch).await.map_err(embedded::Error::into_fault)?;
        Ok(places.into_iter().map(|place| place.map_or(Placed::TooLarge, Placed::At)).collect())
    }
}
