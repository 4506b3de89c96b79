//! Moves rows from a file to Kafka, a batch at a time: while one is out, the next is read and checked.

use super::lines::{Lines, Place};
use super::progress::{Progress, Totals};
use super::rejects::{Refused, Rejects};
use super::row::Rows;
use crate::Error;
use crate::world::Writer;
use runtime::backoff::Schedule;
use runtime::fault::Fault;
use runtime::record::Outgoing;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// Most rows and bytes of a batch.
const BATCH_LEN_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A batch is at most the work of this part of a second, so that the pace is even.
const BATCHES_PER_SECOND: usize = 5;

/// How long Kafka may acknowledge nothing: the election of a leader, or the restart of a lone broker, ends within it.
const PATIENCE: Duration = Duration::from_secs(300);
/// First and longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// Between two times that the place is kept, and that it is told how far it has come.
const KEEP_EVERY: Duration = Duration::from_secs(1);
const TELL_EVERY: Duration = Duration::from_secs(10);

/// One import on its way.
pub(super) struct Transfer<'a> {
    pub(super) lines: Lines,
    pub(super) rows: &'a Rows,
    /// `None` where lines are only checked.
    pub(super) sink: Option<Writer>,
    pub(super) rejects: Rejects,
    /// Where the place is kept.
    pub(super) keep_in: Option<PathBuf>,
    pub(super) progress: Progress,
    /// Most lines a second; 0 for any.
    pub(super) rate: u32,
}

/// Rows that are sent and settled together.
#[derive(Default)]
struct Batch {
    records: Vec<Outgoing>,
    /// Of each record.
    lines: Vec<u64>,
    bytes: usize,
    clamped: u64,
    refused: Vec<Refused>,
    /// Behind its last row.
    end: Place,
}

impl Batch {
    fn len(&self) -> usize {
        self.records.len() + self.refused.len()
    }
}

impl Transfer<'_> {
    /// Moves all of it, and returns what became of the lines.
    ///
    /// # Errors
    /// If the file cannot be read on, or Kafka acknowledges nothing for too long. What was settled before is kept.
    pub(super) async fn run(mut self) -> Result<Totals, Error> {
        let started = Instant::now();
        let (mut paced, mut kept, mut told) = (0, started, started);
        let (len_max, rows) = (self.len_max(), self.rows);
        let mut batch = collect(&mut self.lines, rows, len_max)?;
        self.keep()?;
        while batch.len() > 0 {
            paced += batch.len() as u64;
            let following = async { collect(&mut self.lines, rows, len_max) };
            let (written, following) = tokio::join!(write(self.sink.as_ref(), &batch.records), following);
            match written {
                Ok(refused) => self.settle(batch, refused)?,
                Err(error) => {
                    self.keep()?;
                    return Err(error);
                }
            }
            if kept.elapsed() >= KEEP_EVERY {
                kept = Instant::now();
                self.keep()?;
            }
            if told.elapsed() >= TELL_EVERY {
                told = Instant::now();
                self.tell(started);
            }
            // Whatever made the next batch fail, this one is settled.
            batch = match following {
                Ok(following) => following,
                Err(error) => {
                    self.keep()?;
                    return Err(error);
                }
            };
            if let Some(nanos) = (1_000_000_000 * paced).checked_div(u64::from(self.rate)) {
                sleep_until(started + Duration::from_nanos(nanos)).await;
            }
        }
        self.progress.is_done = true;
        self.keep()?;
        Ok(self.progress.totals)
    }

    fn len_max(&self) -> usize {
        match usize::try_from(self.rate) {
            Ok(rate @ 1..) => (rate / BATCHES_PER_SECOND).clamp(1, BATCH_LEN_MAX),
            _ => BATCH_LEN_MAX,
        }
    }

    fn settle(&mut self, batch: Batch, refused_by_broker: runtime::stage::Refused) -> Result<(), Error> {
        let Batch { records, lines, clamped, mut refused, end, .. } = batch;
        let totals = &mut self.progress.totals;
        totals.lines += (records.len() + refused.len()) as u64;
        totals.sent += (records.len() - refused_by_broker.len()) as u64;
        totals.clamped += clamped;
        for (at, rejection) in refused_by_broker {
            let line = lines.get(at).copied().unwrap_or_default();
            refused.push(Refused { line, code: rejection.code, field: rejection.field });
        }
        refused.sort_by_key(|refused| refused.line);
        for Refused { code, .. } in &refused {
            *totals.by_code.entry((*code).to_owned()).or_default() += 1;
        }
        self.progress.rejects_bytes = self.rejects.write(&refused)?;
        self.progress.place = end;
        Ok(())
    }

    fn keep(&self) -> Result<(), Error> {
        let Some(path) = &self.keep_in else { return Ok(()) };
        self.progress.save(path).map_err(|error| {
            Error::Failed(format!("{} cannot be written ({error}); name another with --progress", path.display()))
        })
    }

    /// The result goes to standard output, this does not.
    fn tell(&self, started: Instant) {
        let Totals { lines, sent, .. } = &self.progress.totals;
        let (refused, seconds) = (self.progress.totals.rejected(), started.elapsed().as_secs());
        drop(writeln!(io::stderr(), "{lines} lines read, {sent} sent, {refused} refused in {seconds} s"));
    }
}

/// Reads and checks the next rows; none at the end of the file.
fn collect(lines: &mut Lines, rows: &Rows, len_max: usize) -> Result<Batch, Error> {
    let mut batch = Batch::default();
    while batch.len() < len_max && batch.bytes < BATCH_BYTES_MAX {
        let Some(item) = lines.next(rows)? else { break };
        match item.row {
            Ok(ready) => {
                batch.bytes += ready.record.bytes();
                batch.clamped += u64::from(ready.is_clamped);
                batch.records.push(ready.record);
                batch.lines.push(item.line);
            }
            Err(rejection) => {
                let (code, field) = (rejection.code.as_str(), rejection.field);
                batch.refused.push(Refused { line: item.line, code, field });
            }
        }
    }
    batch.end = lines.place();
    Ok(batch)
}

/// Returns when all replicas have the records. Those of one key keep their order, and a copy changes nothing.
async fn write(sink: Option<&Writer>, records: &[Outgoing]) -> Result<runtime::stage::Refused, Error> {
    let Some(sink) = sink else { return Ok(Vec::new()) };
    let ends = Instant::now() + PATIENCE;
    let mut pauses = Schedule::new(PAUSES.0, PAUSES.1);
    loop {
        match timeout_at(ends, sink.write(records)).await {
            Ok(Ok(refused)) => return Ok(refused),
            Ok(Err(fault @ Fault::Fatal { .. })) => return Err(Error::Failed(fault.to_string())),
            Ok(Err(Fault::Transient(_))) => sleep(pauses.next_wait()).await,
            Err(_) => {
                let seconds = PATIENCE.as_secs();
                return Err(Error::Failed(format!(
                    "kafka has acknowledged nothing for {seconds} s; look at the brokers, then go on with --resume"
                )));
            }
        }
    }
}
