//! The raw topic on brokers.

use crate::raw::{Placed, Raw};
use runtime::fault::Fault;
use runtime::kafka::{Appended, KafkaSink};
use runtime::record::Outgoing;

/// Writes with acks of all replicas.
#[derive(Debug)]
pub(crate) struct Brokers {
    pub(crate) sink: KafkaSink,
    pub(crate) partitions: i32,
}

impl Raw for Brokers {
    fn partitions(&self) -> i32 {
        self.partitions
    }

    async fn append(&self, batch: &[Outgoing]) -> Result<Vec<Placed>, Fault> {
        let appended = self.sink.append(batch).await?;
        Ok(appended.into_iter().map(Placed::from).collect())
    }
}

impl From<Appended> for Placed {
    fn from(appended: Appended) -> Self {
        match appended {
            Appended::At(offset) => Self::At(offset),
            Appended::Somewhere => Self::Somewhere,
            Appended::TooLarge => Self::TooLarge,
        }
    }
}
