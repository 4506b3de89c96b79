//! Real changes into `raw`, as an application would bring them: right key, right partition.

use super::Demo;
use crate::Error;
use crate::world::{Log, Writer};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use runtime::record::{Headers, Outgoing};
use schemas::topics::{self, partition_for};
use serde_json::Value;
use std::cell::Cell;
use std::path::Path;
use std::process::Stdio;
use std::rc::Rc;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// Reads the source; handed to the interpreter, so that nothing has to lie beside this program.
const SCRIPT: &str = include_str!("../../../examples/debian-changelogs/feed.py");

/// Changes that are sent before their acknowledgements are waited for.
const BATCH_LEN: usize = 500;

/// The script that reads the source, and what it said of it.
pub(super) struct Feed {
    script: Child,
    lines: Lines<BufReader<ChildStdout>>,
    source: String,
    announced: u64,
    sent: Rc<Cell<u64>>,
}

impl Feed {
    /// Starts the script and reads its first line.
    ///
    /// # Errors
    /// If there is no such source, or the script cannot read it.
    pub(super) async fn open(demo: &Demo) -> Result<Self, Error> {
        let mut command = Command::new("python3");
        command.arg("-").args(arguments(demo)?).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = command.process_group(0).kill_on_drop(true).spawn().map_err(|error| {
            Error::Usage(format!(
                "python3, which reads the source, does not start ({error}): install it, or send changes \
                                  of your own with `tidewater send`"
            ))
        })?;
        let mut stdin = script.stdin.take().ok_or_else(|| broken("it takes no script"))?;
        stdin.write_all(SCRIPT.as_bytes()).await.map_err(broken)?;
        drop(stdin);
        let stdout = script.stdout.take().ok_or_else(|| broken("it has no output"))?;
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next_line().await.map_err(broken)?.unwrap_or_default();
        let first: Value = serde_json::from_str(&first).map_err(|_| broken("it named no source"))?;
        let source = first.get("source").and_then(Value::as_str).ok_or_else(|| broken("it named no source"))?;
        let announced = first.get("changes").and_then(Value::as_u64).unwrap_or_default();
        Ok(Self { script, lines, source: source.to_owned(), announced, sent: Rc::default() })
    }

    /// What the changes are made from.
    pub(super) fn source(&self) -> &str {
        &self.source
    }

    /// How many changes there will be.
    pub(super) fn announced(&self) -> u64 {
        self.announced
    }

    /// Counts what is acknowledged.
    pub(super) fn counter(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.sent)
    }

    /// Sends everything; returns how much when all of it is acknowledged.
    ///
    /// # Errors
    /// If the script fails or the log refuses.
    pub(super) async fn run(&mut self, log: &Log) -> Result<u64, Error> {
        let writer = log.writer(topics::RAW)?;
        let mut batch = Vec::with_capacity(BATCH_LEN);
        while let Some(line) = self.lines.next_line().await.map_err(broken)? {
            batch.push(record_of(&line, log.partitions()).ok_or_else(|| broken("a line of it is no record"))?);
            if batch.len() == BATCH_LEN {
                self.send(&writer, &mut batch).await?;
            }
        }
        self.send(&writer, &mut batch).await?;
        log.flush().await?;
        let status = self.script.wait().await.map_err(broken)?;
        if !status.success() {
            return Err(broken(format!("it ended with {status}")));
        }
        Ok(self.sent.get())
    }

    async fn send(&self, writer: &Writer, batch: &mut Vec<Outgoing>) -> Result<(), Error> {
        let too_large = writer.write(batch).await.map_err(|fault| refused(&fault))?;
        if !too_large.is_empty() {
            return Err(broken(format!("{} of its changes are too large for the topic", too_large.len())));
        }
        self.sent.set(self.sent.get() + u64::try_from(batch.len()).unwrap_or_default());
        batch.clear();
        Ok(())
    }
}

fn arguments(demo: &Demo) -> Result<Vec<String>, Error> {
    let mut arguments = vec!["--repeat".to_owned(), demo.repeat.to_string()];
    if let Some(limit) = demo.limit {
        arguments.extend(["--limit".to_owned(), limit.to_string()]);
    }
    match demo.source.as_deref() {
        None => {}
        Some(name @ ("debian-changelogs" | "generator")) => arguments.extend(["--source".to_owned(), name.to_owned()]),
        Some(path) if Path::new(path).is_dir() => {
            arguments.extend(["--source", "git-log", "--git", path].map(str::to_owned));
        }
        Some(other) => {
            let text =
                format!("--source {other}: give debian-changelogs, generator, or the directory of a git repository");
            return Err(Error::Usage(text));
        }
    }
    Ok(arguments)
}

/// `{"key": text or null, "value": text}`, or `value_base64` where the bytes are no text.
fn record_of(line: &str, partitions: i32) -> Option<Outgoing> {
    let json: Value = serde_json::from_str(line).ok()?;
    let key = json.get("key")?;
    let key = if key.is_null() { None } else { Some(Bytes::from(key.as_str()?.to_owned())) };
    let value = match json.get("value_base64") {
        Some(encoded) => STANDARD.decode(encoded.as_str()?).ok()?,
        None => json.get("value")?.as_str()?.as_bytes().to_vec(),
    };
    let partition = key.as_ref().map_or(0, |key| partition_for(key, partitions));
    Some(Outgoing { partition, key, value: Some(Bytes::from(value)), headers: Headers::default() })
}

fn broken(why: impl std::fmt::Display) -> Error {
    Error::Failed(format!("the script that reads the source failed: {why}; what it said stands above"))
}

fn refused(error: &dyn std::error::Error) -> Error {
    Error::Failed(format!("the changes could not be sent: {}", runtime::logs::chain(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_becomes_a_record_in_the_partition_of_its_key() {
        let record = record_of(r#"{"key": "21", "value": "{\"op\":1}"}"#, 12).unwrap();
        assert_eq!((record.partition, record.key.as_deref()), (0, Some(&b"21"[..])));
        assert_eq!(record.value.as_deref(), Some(&b"{\"op\":1}"[..]));
        let record = record_of(r#"{"key": "abcd", "value_base64": "/wA="}"#, 12).unwrap();
        assert_eq!((record.partition, record.value.as_deref()), (8, Some(&[0xff, 0][..])));
        assert_eq!(record_of(r#"{"key": null, "value": ""}"#, 12).unwrap().key, None);
    }

    #[test]
    fn a_line_that_is_no_record_is_not_guessed_at() {
        for line in ["", "{}", r#"{"key": 1, "value": ""}"#, r#"{"key": "a"}"#, r#"{"key": "a", "value_base64": "?"}"#]
        {
            assert!(record_of(line, 12).is_none(), "{line}");
        }
    }
}
