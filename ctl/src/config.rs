//! What the command needs of the installation's configuration.

use crate::Error;
use runtime::kafka;
use std::path::PathBuf;

/// The installation the command works on.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) kafka: kafka::Config,
    /// Before the name of every topic.
    pub(crate) prefix: String,
    /// The place below which only backfill is: microseconds since 1970-01-01.
    pub(crate) floor: i64,
}

impl Config {
    pub(crate) fn load(_file: Option<&PathBuf>) -> Result<Self, Error> {
        #[expect(clippy::disallowed_methods, reason = "until runtime::config")]
        let brokers = std::env::var("TIDEWATER__KAFKA__BROKERS").unwrap_or_else(|_| "127.0.0.1:9092".into());
        let kafka = kafka::Config { brokers, extra: Default::default() };
        Ok(Self { kafka, prefix: "tidewater.".into(), floor: 1_700_000_000_000_000 })
    }

    /// The full name of the topic that is called `name` without the prefix.
    pub(crate) fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
