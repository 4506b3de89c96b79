//! Dead letters: rejected records, kept byte for byte with the facts of their rejection.

use crate::clock::Clock;
use crate::fault::{Fault, Rejection};
use crate::record::{Headers, Outgoing};
use crate::stage::{Destination, Refused, Rejected, Sink};
use tracing::error;

/// Header names of ours begin so, in any case; on input they are dropped, because only we may say them.
pub const OURS: &str = "tw-";

/// Writes rejected records to a topic of dead letters: same partition number, same key, value and foreign headers.
#[derive(Debug)]
pub struct DeadLetters<W> {
    /// The process that rejects.
    stage: &'static str,
    topic: W,
    clock: Clock,
}

impl<W: Sink<Item = Outgoing>> DeadLetters<W> {
    pub fn new(stage: &'static str, topic: W, clock: Clock) -> Self {
        Self { stage, topic, clock }
    }

    fn letter(&self, rejected: &Rejected) -> Outgoing {
        let Rejected { record, rejection } = rejected;
        let Rejection { code, reason, field, facts } = rejection;
        let mut headers = Headers::with_capacity(record.headers.len() + facts.len() + 8);
        for (name, value) in record.headers.iter().filter(|(name, _)| !is_ours(name)) {
            headers.push(name.clone(), value.cloned());
        }
        headers.push_text("tw-code", *code);
        if let Some(field) = field {
            headers.push_text("tw-field", &**field);
        }
        headers.push_text("tw-reason", *reason);
        headers.push_text("tw-stage", self.stage);
        headers.push_text("tw-topic", &*record.place.topic);
        headers.push_text("tw-partition", record.place.partition.to_string());
        headers.push_text("tw-offset", record.offset.to_string());
        for (name, value) in facts {
            headers.push_text(*name, value.as_str());
        }
        headers.push_text("tw-at", rfc3339(self.clock.now_ms()));
        Outgoing { partition: record.place.partition, key: record.key.clone(), value: record.value.clone(), headers }
    }
}

impl<W: Sink<Item = Outgoing>> Sink for DeadLetters<W> {
    type Item = Rejected;

    /// Never refuses: a letter that is too large for the topic goes without its value.
    async fn write(&self, batch: &[Rejected]) -> Result<Refused, Fault> {
        let letters: Vec<Outgoing> = batch.iter().map(|rejected| self.letter(rejected)).collect();
        let refused = self.topic.write(&letters).await?;
        if refused.is_empty() {
            return Ok(refused);
        }
        let stripped: Vec<Outgoing> = refused
            .iter()
            .filter_map(|(at, _)| letters.get(*at).cloned())
            .map(|mut letter| {
                let bytes = letter.value.take().map_or(0, |value| value.len());
                error!(bytes, "a dead letter is too large for its topic and is kept without its value");
                letter.headers.push_text("tw-dropped-bytes", bytes.to_string());
                letter
            })
            .collect();
        self.topic.write(&stripped).await
    }

    fn destination(&self) -> Destination<'_> {
        self.topic.destination()
    }
}

fn is_ours(name: &str) -> bool {
    name.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS))
}

fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| at.to_string())
}
