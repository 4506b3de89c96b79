//! `tidewater send`: changes from a file or a pipe onto the raw topic, as an application would bring them.

use crate::Error;
use crate::demo::Pace;
use crate::world::{Log, Writer};
use bytes::Bytes;
use clap::Args;
use runtime::record::{Headers, Outgoing};
use schemas::UserId;
use schemas::topics::{self, partition_for};
use serde_json::Value;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Changes that are sent before their acknowledgements are waited for.
const BATCH_LEN: usize = 500;
const BATCH_BYTES: usize = 1 << 20;

/// No change is longer; more of a line is read only to find its end.
const LINE_LEN_MAX: u64 = 4 << 20;

/// Refused lines that are told of one by one.
const TOLD_MAX: u64 = 20;

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// How long the pipeline may stand still while it is waited for.
const STANDSTILL: Duration = Duration::from_secs(60);

/// Sends changes: one JSON object a line, to the partition of its user.
///
/// A change is `{"user_id": …, "op": "upsert" | "patch" | "delete", "set": {…}, "unset": […]}`. A line that has no user to
/// send it to is refused here, by number; everything else is judged by the pipeline, and what is wrong becomes a dead
/// letter with a code. Sent twice, it is two changes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater send changes.ndjson --data ./tidewater-data
  tail -f app.ndjson | tidewater send - --data ./tidewater-data
  echo '{\"user_id\":\"ada\",\"op\":\"delete\"}' | tidewater send --data ./tidewater-data --wait -
Exit codes: 0 all of it, 1 all but the lines that are told, 64 asked or configured wrongly, 70 interrupted")]
pub(crate) struct Send {
    /// The changes, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Return when all that was sent is settled: in the table, or a dead letter
    #[arg(long)]
    wait: bool,
    /// Say nothing if all goes well
    #[arg(long, short)]
    quiet: bool,
}

/// What became of the lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    /// Of the last line that was read, blank ones counted.
    place: u64,
    lines: u64,
    sent: u64,
    refused: u64,
}

impl Send {
    pub(crate) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        let writer = log.writer(topics::RAW)?;
        let totals = self.send(log, &writer).await?;
        if self.wait {
            settle(log).await?;
        }
        let Totals { lines, sent, refused, .. } = totals;
        if !self.quiet {
            let how = if self.wait { "sent, and settled" } else { "sent" };
            writeln!(out, "{sent} of {lines} lines {how}")?;
            if !self.wait && matches!(log, Log::Data(data) if !data.access().is_at_work()) {
                writeln!(
                    out,
                    "nobody works on the directory: they are settled when `tidewater standalone` runs on it"
                )?;
            }
        }
        if refused > 0 {
            return Err(Error::Incomplete(format!("{refused} lines were refused; the first of them stand above")));
        }
        Ok(())
    }

    async fn send(&self, log: &Log, writer: &Writer) -> Result<Totals, Error> {
        let mut input = self.open()?;
        let (mut totals, mut batch, mut bytes) = (Totals::default(), Vec::new(), 0);
        loop {
            // What has come is sent before more is waited for.
            let is_idle = input.buffer().is_empty();
            if batch.len() >= BATCH_LEN || bytes >= BATCH_BYTES || is_idle && !batch.is_empty() {
                write(writer, &mut batch, &mut totals).await?;
                bytes = 0;
            }
            let Some(line) = next_line(&mut input)? else { break };
            totals.place += 1;
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            totals.lines += 1;
            match record_of(line, log.partitions()) {
                Ok(record) => {
                    bytes += record.bytes();
                    batch.push(record);
                }
                Err(why) => refuse(&mut totals, why),
            }
        }
        write(writer, &mut batch, &mut totals).await?;
        Ok(totals)
    }

    fn open(&self) -> Result<BufReader<Box<dyn io::Read>>, Error> {
        if self.file.as_os_str() == "-" {
            return Ok(BufReader::new(Box::new(io::stdin())));
        }
        let file = File::open(&self.file);
        let file = file.map_err(|error| Error::Usage(format!("{} cannot be read: {error}", self.file.display())))?;
        Ok(BufReader::with_capacity(256 << 10, Box::new(file)))
    }
}

/// By its number alone: a line is user data.
fn refuse(totals: &mut Totals, why: &str) {
    totals.refused += 1;
    if totals.refused <= TOLD_MAX {
        drop(writeln!(io::stderr(), "line {} was not sent: {why}", totals.place));
    }
}

fn next_line(input: &mut BufReader<Box<dyn io::Read>>) -> Result<Option<Vec<u8>>, Error> {
    let mut line = Vec::new();
    let broken = |error: io::Error| Error::Failed(format!("the changes cannot be read on: {error}"));
    input.by_ref().take(LINE_LEN_MAX).read_until(b'\n', &mut line).map_err(broken)?;
    if line.is_empty() {
        return Ok(None);
    }
    if line.pop_if(|last| *last == b'\n').is_none() && line.len() as u64 >= LINE_LEN_MAX {
        input.skip_until(b'\n').map_err(broken)?;
    }
    line.pop_if(|last| *last == b'\r');
    Ok(Some(line))
}

/// The record of a line, or why it has no partition to go to.
fn record_of(line: Vec<u8>, partitions: i32) -> Result<Outgoing, &'static str> {
    if line.len() as u64 >= LINE_LEN_MAX {
        return Err("it is longer than any change");
    }
    let json: Value = serde_json::from_slice(&line).map_err(|_| "it is no JSON")?;
    let user_id = json.get("user_id").and_then(Value::as_str).ok_or("it has no text \"user_id\"")?;
    UserId::new(user_id).ok_or("its user_id is empty, over 128 bytes or has control characters")?;
    let key = Bytes::copy_from_slice(user_id.as_bytes());
    let partition = partition_for(&key, partitions);
    Ok(Outgoing { partition, key: Some(key), value: Some(line.into()), headers: Headers::default() })
}

async fn write(writer: &Writer, batch: &mut Vec<Outgoing>, totals: &mut Totals) -> Result<(), Error> {
    if batch.is_empty() {
        return Ok(());
    }
    let refused = writer.write(batch).await.map_err(|fault| {
        let Totals { sent, .. } = totals;
        Error::Failed(format!("{}; {sent} lines were sent before", runtime::logs::chain(&fault)))
    })?;
    totals.sent += u64::try_from(batch.len() - refused.len()).unwrap_or_default();
    for _ in refused {
        refuse(totals, "a change before it is larger than the topic takes");
    }
    batch.clear();
    Ok(())
}

/// Returns when nothing is before any stage.
async fn settle(log: &Log) -> Result<(), Error> {
    if matches!(log, Log::Data(data) if !data.access().is_at_work()) {
        let text = "nobody works on the directory, so nothing would ever be settled: run `tidewater standalone` on it";
        return Err(Error::Usage(text.to_owned()));
    }
    log.flush().await?;
    let pace = Pace::new(log.clone());
    let mut moved = (Instant::now(), -1);
    loop {
        let standings = pace.look().await?;
        if standings.iter().all(|standing| standing.behind == 0) {
            return Ok(());
        }
        let settled = standings.iter().map(|standing| standing.settled).sum();
        if settled != moved.1 {
            moved = (Instant::now(), settled);
        } else if moved.0.elapsed() > STANDSTILL {
            let text = format!("nothing has moved for {} s: look at `tidewater lag`", STANDSTILL.as_secs());
            return Err(Error::Failed(text));
        }
        sleep(LOOK_AGAIN).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_to_the_partition_of_its_user_as_it_is() {
        let line = br#"{"user_id":"21","op":"delete"}"#.to_vec();
        let record = record_of(line.clone(), 12).unwrap();
        assert_eq!((record.partition, record.key.as_deref()), (0, Some(&b"21"[..])));
        assert_eq!(record.value.as_deref(), Some(&line[..]));
    }

    #[test]
    fn a_line_without_a_user_is_refused_and_a_wrong_change_is_not() {
        for line in ["", "[]", "{", r#"{"op":"delete"}"#, r#"{"user_id":7}"#, r#"{"user_id":""}"#] {
            assert!(record_of(line.into(), 12).is_err(), "{line}");
        }
        assert!(record_of(br#"{"user_id":"ada","op":"paint"}"#.to_vec(), 12).is_ok(), "validate has a code for it");
    }

    #[test]
    fn lines_end_where_they_end_however_long_they_are() {
        let long = vec![b'x'; usize::try_from(LINE_LEN_MAX).unwrap() + 10];
        let text = [b"a\r\n".as_slice(), &long, b"\nb"].concat();
        let mut input = BufReader::new(Box::new(io::Cursor::new(text)) as Box<dyn io::Read>);
        let mut lens = Vec::new();
        while let Some(line) = next_line(&mut input).unwrap() {
            lens.push(line.len() as u64);
        }
        assert_eq!(lens, [1, LINE_LEN_MAX, 1]);
    }
}
