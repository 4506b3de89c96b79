//! Which letters are meant, beside those of a time.

use super::Replay;
use crate::dead::letter::Letter;
use crate::world::Log;
use runtime::record::Record;
use schemas::{Codec, RejectCode, Tenant, accept};

/// What a letter must be, all of it at once.
pub(super) struct Filter {
    which: Vec<crate::dead::which::Which>,
    stage: Option<&'static str>,
    codes: Vec<RejectCode>,
    field: Option<String>,
    user: Option<String>,
    tenant: Option<String>,
    codec: Codec,
}

impl Filter {
    pub(super) fn new(asked: &Replay, codec: Codec) -> Self {
        Self {
            which: asked.which.clone(),
            stage: asked.stage.map(|stage| stage.as_str()),
            codes: asked.codes.clone(),
            field: asked.field.clone(),
            user: asked.user.clone(),
            tenant: asked.tenant.clone(),
            codec,
        }
    }

    pub(super) fn wants(&self, log: &Log, letter: &Letter, record: &Record) -> bool {
        (self.which.is_empty() || self.which.iter().any(|which| which.is(log, letter)))
            && self.stage.is_none_or(|stage| stage == letter.stage)
            && (self.codes.is_empty() || self.codes.iter().any(|code| code.as_str() == letter.code))
            && self.field.as_ref().is_none_or(|field| *field == letter.field)
            && self.user.as_ref().is_none_or(|user| record.key.as_deref() == Some(user.as_bytes()))
            && self.tenant.as_ref().is_none_or(|tenant| self.tenant_of(record).as_ref() == Some(tenant))
    }

    /// As the value says; `None` of one that cannot be read.
    fn tenant_of(&self, record: &Record) -> Option<String> {
        let named = match &record.value {
            Some(value) => accept::read(&self.codec, value).ok()?.tenant,
            None => None,
        };
        Some(named.unwrap_or_else(|| Tenant::default().as_str().to_owned()))
    }
}
