//! A worker as a part of a process.

use super::{Ended, Worker};
use crate::lifecycle::{Failure, Lifecycle};
use crate::source::Source;
use crate::stage::{Admitted, Mark, Rejected, Sink, Stage};
use std::time::Duration;

/// A drain's last commit and the group's goodbye, over the drain itself.
pub(crate) const GOODBYE: Duration = Duration::from_secs(12);

impl<S, M, P, W, D> Worker<S, M, P, W, D>
where
    S: Source,
    M: Mark,
    P: Stage<In = Admitted>,
    W: Sink<Item = P::Out>,
    D: Sink<Item = Rejected>,
{
    /// Runs as a part of the process, which is told how it ended.
    pub fn spawn(self, name: &'static str, lifecycle: &Lifecycle) {
        lifecycle.spawn(name, self.shop.limits.drain + GOODBYE, |stop| async move {
            match self.run(stop).await? {
                Ended::Drained => Ok(()),
                Ended::RanOut => Err(Failure::DrainRanOut),
            }
        });
    }
}
