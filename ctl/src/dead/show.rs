//! `tidewater dead show`: everything about one dead letter.

use super::letter::{Letter, shown};
use super::which::Which;
use crate::Error;
use crate::table::printable;
use crate::world::Log;
use clap::Args;
use runtime::offsets::Span;
use runtime::record::Record;
use schemas::{headers, topics};
use serde_json::{Map, Value, json};
use std::io::Write;

/// Shows a dead letter: why it was refused, and its headers.
///
/// Foreign headers, key and value may be user data: they show their size, and their content only with --value.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater dead show 3/17                          the letter, as `dead list` names it
  tidewater dead show changes.raw.v1/3/1024         every letter of that raw record
  tidewater dead show 3/17 --value --json | jq -r .value")]
pub(crate) struct Show {
    /// PARTITION/OFFSET of the letter, or the origin or place of the record that was refused
    #[arg(value_name = "LETTER|ORIGIN")]
    which: Which,
    /// Show key, value and foreign headers, which may be user data
    #[arg(long)]
    value: bool,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        let topic = log.topic(topics::DEAD);
        let partition = match &self.which {
            Which::Letter { partition, .. } => *partition,
            Which::Of(origin) => origin.partition(),
        };
        let watermarks = log.watermarks(topics::DEAD).await?;
        let Some(held) = watermarks.iter().find(|held| held.partition == partition) else {
            let last = watermarks.len().saturating_sub(1);
            return Err(Error::Usage(format!("{topic} has partitions 0 to {last}, and no {partition}")));
        };
        let span = match self.which {
            Which::Letter { offset, .. } if (held.low..held.high).contains(&offset) => {
                Span { partition, from: offset, to: offset + 1 }
            }
            Which::Letter { offset, .. } => {
                let (low, high) = (held.low, held.high);
                return Err(Error::Usage(format!(
                    "{topic}/{partition} holds letters {low} to {high} (excluded), and no {offset}; \
                     `tidewater dead list` names them"
                )));
            }
            Which::Of(_) => Span { partition, from: held.low, to: held.high },
        };
        let mut records = log.records(topics::DEAD, &[span])?;
        let mut count = 0_u32;
        while let Some(record) = records.next().await? {
            let letter = Letter::of(&record);
            if self.which.is(log, &letter) {
                count += 1;
                self.write(&record, &letter, out)?;
            }
        }
        if count == 0 {
            return Err(Error::Usage(
                "there is no such dead letter; `tidewater dead list` names those that are there".to_owned(),
            ));
        }
        Ok(())
    }

    fn write(&self, record: &Record, letter: &Letter, out: &mut dyn Write) -> Result<(), Error> {
        let object = self.object_of(record, letter);
        if self.json {
            writeln!(out, "{}", Value::Object(object))?;
            return Ok(());
        }
        for (name, value) in object.iter().filter(|(name, _)| *name != "headers") {
            writeln!(out, "{name}: {}", plain(value))?;
        }
        for (name, value) in object.get("headers").and_then(Value::as_object).into_iter().flatten() {
            writeln!(out, "header {}: {}", printable(name), plain(value))?;
        }
        if let Some(code) = object.get("code").and_then(Value::as_str) {
            writeln!(out, "cause and cure: docs/rejects/{}.md", printable(code))?;
        }
        writeln!(out)?;
        Ok(())
    }

    fn object_of(&self, record: &Record, letter: &Letter) -> Map<String, Value> {
        let mut object = letter.to_json();
        let foreign = record.headers.iter().filter(|(name, _)| !headers::is_ours(name));
        let foreign = foreign.map(|(name, value)| (name.to_string(), self.content(value.map(|value| &**value))));
        object.insert("headers".to_owned(), Value::Object(foreign.collect()));
        object.insert("key".to_owned(), self.content(record.key.as_deref()));
        object.insert("value".to_owned(), self.content(record.value.as_deref()));
        object
    }

    /// The bytes if they were asked for, else how many there are.
    fn content(&self, bytes: Option<&[u8]>) -> Value {
        match bytes {
            Some(bytes) if !self.value => json!({ "bytes": bytes.len() }),
            _ => shown(bytes),
        }
    }
}

/// A value as a person reads it.
fn plain(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return printable(text);
    }
    match value.get("bytes") {
        Some(bytes) => format!("{bytes} bytes, shown with --value"),
        None => value.to_string(),
    }
}
