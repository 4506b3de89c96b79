//! What a replay would do, found out without sending anything: the stage that will judge judges here, and the row it
//! would meet is read.

use super::forecast::Forecast;
use crate::Error;
use crate::world::{Log, Rows};
use processors::validate::Validate;
use runtime::clock::Clock;
use runtime::fault::Verdict;
use runtime::record::{Offset, Outgoing, Record, Timestamp, TopicPartition};
use runtime::stage::{Admitted, Stage as _};
use schemas::{Codec, Profile, RejectCode, Version, headers, topics};
use std::sync::Arc;

pub(super) struct Outlook {
    validate: Validate,
    codec: Codec,
    rows: Rows,
    /// Where the letters would go, with the prefix.
    topic: Arc<str>,
    clock: Clock,
}

impl Outlook {
    /// # Errors
    /// If the floor is not configured.
    pub(super) fn open(log: &Log, rows: Rows, profile: &Arc<Profile>, as_new: bool) -> Result<Self, Error> {
        let floor_micros = log.floor_micros()?;
        let clock = Clock::system();
        Ok(Self {
            validate: Validate::new(Arc::clone(profile), clock.clone(), log.partitions(), floor_micros),
            codec: Codec::new(Arc::clone(profile)),
            rows,
            topic: log.topic(if as_new { topics::RAW } else { topics::PINNED }).into(),
            clock,
        })
    }

    /// What would become of a letter; as a change of now where it has no version.
    ///
    /// # Errors
    /// If the table does not answer.
    pub(super) async fn of(&self, outgoing: Outgoing, version: Option<Version>) -> Result<Forecast, Error> {
        let now_ms = self.clock.now_ms();
        let record = Record {
            place: TopicPartition::new(Arc::clone(&self.topic), outgoing.partition),
            offset: Offset(0),
            timestamp: Timestamp::LogAppend(now_ms),
            key: outgoing.key,
            value: outgoing.value,
            headers: outgoing.headers,
            is_damaged: false,
        };
        let mark = version.map_or_else(|| now_ms.saturating_mul(1000), Version::place);
        let failed = |text: String| Error::Failed(format!("a letter cannot be judged: {text}"));
        let verdict = self.validate.apply(&Admitted { record, mark }).await;
        let valid = match verdict.map_err(|fault| failed(fault.to_string()))? {
            Verdict::Forward(valid) => valid,
            Verdict::Reject(rejection) => {
                let code = RejectCode::ALL.iter().find(|code| code.as_str() == rejection.code);
                return Ok(Forecast::Rejected(*code.unwrap_or(&RejectCode::Undecodable)));
            }
        };
        let origin = valid.headers.last(headers::ORIGIN).map(|origin| &origin[..]);
        let change = self.codec.decode_own(valid.value.as_deref(), origin);
        let change = change.map_err(|_| failed("what it becomes cannot be read".to_owned()))?;
        let row = self.rows.read(&change.tenant, &change.user_id).await;
        let row = row.map_err(|error| Error::Failed(format!("a row cannot be read: {}", error.chain())))?;
        Ok(Forecast::over(self.codec.profile(), &change, row.as_ref()))
    }
}
