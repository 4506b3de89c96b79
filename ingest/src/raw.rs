//! The raw topic, as the door writes it: on brokers or in a directory.

use runtime::fault::Fault;
use runtime::record::{Offset, Outgoing};
use std::future::Future;

/// The raw topic of an installation.
pub trait Raw: Send + Sync + 'static {
    /// Of the topic; fixed for its life.
    fn partitions(&self) -> i32;

    /// Appends records, each to its partition, in order. Returns what became of each once every one of them is either as
    /// safe as the log makes it or refused. Dropping the future takes nothing back.
    ///
    /// # Errors
    /// A fault: of each record nobody knows whether it is there.
    fn append(&self, batch: &[Outgoing]) -> impl Future<Output = Result<Vec<Placed>, Fault>> + Send;
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placed {
    At(Offset),
    /// It is kept, and the log did not tell where: a broker was asked twice for the same record.
    Somewhere,
    /// It is larger than the topic takes.
    TooLarge,
}
