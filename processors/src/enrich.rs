//! `enrich`: valid changes in, changes with their derived fields out.

#[cfg(feature = "servers")]
mod config;
#[cfg(feature = "servers")]
mod service;
mod tables;

#[cfg(feature = "servers")]
pub use config::Config;
#[cfg(feature = "servers")]
pub use service::{SERVICE, run};
pub use tables::{Folder, Shelf};

use crate::outgoing::{outgoing, rejection};
use runtime::fault::{Fault, Verdict};
use runtime::record::Outgoing;
use runtime::stage::{Admitted, Stage};
use schemas::avro::{Codec, Unreadable};
use schemas::{Change, Profile, enrich, facts, headers};
use std::sync::Arc;

/// The stage.
#[derive(Debug)]
pub struct Enrich {
    profile: Arc<Profile>,
    codec: Codec,
    shelf: Shelf,
}

impl Enrich {
    #[must_use]
    pub fn new(profile: Arc<Profile>, shelf: Shelf) -> Self {
        Self { codec: Codec::new(profile.clone()), profile, shelf }
    }

    /// The change with its derived fields.
    pub(crate) fn fill(&self, change: Change) -> Change {
        enrich::enrich(&self.profile, &self.shelf.tables(), change)
    }
}

impl Stage for Enrich {
    type In = Admitted;
    type Out = Outgoing;

    async fn apply(&self, admitted: &Admitted) -> Result<Verdict<Outgoing>, Fault> {
        let record = &admitted.record;
        let origin = record.headers.last(headers::ORIGIN).map(|text| &text[..]);
        let change = match self.codec.decode_own(record.value.as_deref(), origin) {
            Ok(change) => change,
            Err(Unreadable::Newer(error)) => {
                return Err(Fault::transient(format!("{}/{}: {error}", record.place, record.offset)));
            }
            Err(Unreadable::Wrong(wrong)) => {
                let carried = facts::carried(|name| record.headers.last(name).map(|text| &text[..]));
                return Ok(Verdict::Reject(rejection(wrong, carried)));
            }
        };
        let change = self.fill(change);
        Ok(match outgoing(&self.codec, &change, record) {
            Ok(outgoing) => Verdict::Forward(outgoing),
            Err(wrong) => Verdict::Reject(rejection(wrong, facts::of(&change))),
        })
    }
}

#[cfg(test)]
mod tests;
