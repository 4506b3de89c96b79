//! `validate` and `enrich` as one stage, for a process that is the whole path: a change is encoded once and not twice.

use crate::enrich::Enrich;
use crate::outgoing::{outgoing, rejection};
use crate::validate::Validate;
use runtime::fault::{Fault, Verdict};
use runtime::record::Outgoing;
use runtime::stage::{Admitted, Stage};
use schemas::{Codec, Profile};
use std::sync::Arc;

/// Gives what [`Enrich`] gives for what [`Validate`] gives, and rejects what either does.
///
/// Of what is rejected the dead letter is the raw record, also where it was the derived fields that made it too large.
#[derive(Debug)]
pub struct Fused {
    validate: Validate,
    enrich: Enrich,
    codec: Codec,
}

impl Fused {
    #[must_use]
    pub fn new(profile: Arc<Profile>, validate: Validate, enrich: Enrich) -> Self {
        Self { validate, enrich, codec: Codec::new(profile) }
    }
}

impl Stage for Fused {
    type In = Admitted;
    type Out = Outgoing;

    async fn apply(&self, admitted: &Admitted) -> Result<Verdict<Outgoing>, Fault> {
        let (judged, known) = self.validate.judge(admitted)?;
        let filled = judged.map(|change| self.enrich.fill(change));
        Ok(match filled.and_then(|change| outgoing(&self.codec, &change, &admitted.record)) {
            Ok(outgoing) => Verdict::Forward(outgoing),
            Err(wrong) => Verdict::Reject(rejection(wrong, known.facts())),
        })
    }
}
