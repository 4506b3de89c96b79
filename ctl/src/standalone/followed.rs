//! The log of a directory, as whoever follows the receipt of a change asks it.

use embedded::log::Cursor;
use embedded::{Home, Topic};
use query::{Hop, Log, LogError};
use runtime::offsets::{Span, Watermarks};
use runtime::record::Record;
use schemas::topics;

/// `validate` does the work of `enrich`, too: nothing lies between them.
const HOPS: [Hop; 2] = [Hop { group: "validate", topic: topics::RAW }, Hop { group: "sink", topic: topics::ENRICHED }];

/// Records that one read brings at most.
const RECORDS_MAX: usize = 1_000;

/// An open directory, followed from within its own process.
#[derive(Clone, Debug)]
pub struct Followed(Home);

impl Followed {
    #[must_use]
    pub fn new(home: Home) -> Self {
        Self(home)
    }

    fn topic(&self, name: &str) -> Result<&Topic, LogError> {
        self.0.log.topic(name).ok_or_else(|| LogError("a data directory has no such topic".into()))
    }
}

impl Log for Followed {
    fn partitions(&self) -> i32 {
        self.0.layout.partitions.into()
    }

    fn hops(&self) -> &'static [Hop] {
        &HOPS
    }

    /// Shows what is on disk; a commit is written only when all that it counts is.
    async fn held(&self, topic: &'static str, partition: i32) -> Result<Watermarks, LogError> {
        let held = self.topic(topic)?.watermarks().into_iter().find(|held| held.partition == partition);
        held.ok_or_else(|| LogError("a data directory has no such partition".into()))
    }

    async fn committed(&self, hop: Hop, partition: i32) -> Result<i64, LogError> {
        let place = self.topic(hop.topic)?.place(partition);
        let committed = self.0.table.committed(hop.group, &place).map_err(failed)?;
        Ok(committed.map_or(0, |(offset, _)| offset))
    }

    async fn since(&self, topic: &'static str, partition: i32, since_ms: i64) -> Result<i64, LogError> {
        let topic = self.topic(topic)?.clone();
        let found = tokio::task::spawn_blocking(move || topic.offsets_since(since_ms)).await;
        let offsets = found.map_err(|_| LogError("the process is ending".into()))?.map_err(failed)?;
        let offset = usize::try_from(partition).ok().and_then(|at| offsets.get(at).copied());
        offset.ok_or_else(|| LogError("a data directory has no such partition".into()))
    }

    async fn read(&self, topic: &'static str, span: Span) -> Result<Vec<Record>, LogError> {
        let topic = self.topic(topic)?.clone();
        // What nobody asked for is never reached.
        let from: Vec<i64> = (0..topic.partitions())
            .map(|partition| if partition == span.partition { span.from } else { i64::MAX })
            .collect();
        let mut cursor = Cursor::new(topic, &from);
        let mut records = Vec::new();
        while records.len() < RECORDS_MAX {
            match cursor.take().await.map_err(failed)? {
                Some(record) if record.offset.0 < span.to => records.push(record),
                Some(_) | None => break,
            }
        }
        Ok(records)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is handed to map_err")]
fn failed(error: embedded::Error) -> LogError {
    LogError(error.to_string().into())
}
