//! `tidewater dead replay`: refused changes, sent once more.
//!
//! Into their old place in history, unless asked otherwise: the pinned topic takes version, origin and id as they were,
//! so a newer change is not overwritten and twice is once. Like its siblings it acts, and only tells with --dry-run; so
//! that nobody sends everything by mistake, it wants to be told which letters.

mod editor;
mod filter;
mod forecast;
mod outlook;
mod parcel;
mod tally;

use super::letter::Letter;
use super::which::Which;
use crate::Error;
use crate::instant::Since;
use crate::stage::Stage;
use crate::world::{Log, Records, Target, Writer};
use clap::Args;
use editor::Editor;
use filter::Filter;
use outlook::Outlook;
use parcel::{Packer, Parcel};
use runtime::clock::Clock;
use runtime::offsets::Span;
use runtime::record::{Outgoing, Record};
use schemas::{Codec, Profile, RejectCode, topics};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use tally::{Left, Tally};
use tokio::time::timeout;

/// Records of one write, which is confirmed before the next begins.
const BATCH_LEN: usize = 200;
/// Bytes of one write.
const BATCH_BYTES: usize = 4 << 20;
/// How long one write may go unconfirmed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends dead letters once more, into their old place in history.
///
/// Each goes to changes.pinned.v1 with the version, origin and id that it had: what is newer stays, and twice is once,
/// so a replay that failed half-way is simply run again. With --as-new it goes to changes.raw.v1 as a change of now
/// instead, the only way for `misplaced` and `change-too-old`; there twice is two changes. What is wrong with the data
/// is put right with --edit, once: two different changes at one place are merged value by value, so a second, other
/// edit goes in --as-new. Of several letters of one change only the newest is looked at. A value that no topic would take
/// (tw-dropped-bytes) is not kept and cannot be sent.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater dead replay --code format-invalid --since 1d --dry-run
  tidewater dead replay --code format-invalid --since 1d --edit 'jq -c \".set.email |= ascii_downcase\"'
  tidewater dead replay 3/17                          one letter, as `dead list` names it
  tidewater dead replay --code misplaced --as-new     as changes of now; run it once
What becomes of them: tidewater lag, then tidewater dead list --since 5m
Exit code 1: some letters were left; the table says which and why")]
pub(crate) struct Replay {
    /// PARTITION/OFFSET of letters, or origins or places of records that were refused
    #[arg(value_name = "LETTER|ORIGIN")]
    which: Vec<Which>,
    /// Only what this stage refused
    #[arg(long, value_enum)]
    stage: Option<Stage>,
    /// Only this code; may be given again
    #[arg(long = "code", value_parser = super::list::parse_code)]
    codes: Vec<RejectCode>,
    /// Only where this field is to blame, as set.email
    #[arg(long)]
    field: Option<String>,
    /// Only letters since a time, as 2026-05-04T03:02:01Z, or as how long ago: 90s, 15m, 36h
    #[arg(long)]
    since: Option<Since>,
    /// Only letters before a time
    #[arg(long)]
    until: Option<Since>,
    /// Only records with this user id as key
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// Only changes of this tenant
    #[arg(long)]
    tenant: Option<String>,
    /// Every letter there is
    #[arg(long)]
    all: bool,
    /// As changes of now, to changes.raw.v1; done twice, it is two changes
    #[arg(long)]
    as_new: bool,
    /// A shell command that is run once a letter: the change as JSON on its input, the corrected one on its output
    #[arg(long, value_name = "COMMAND")]
    edit: Option<String>,
    /// Only tell what would change, and what is newer already; reads the rows, and runs the --edit command
    #[arg(long)]
    dry_run: bool,
    /// JSON instead of a table: with --dry-run one object a letter, at the end one with the counts
    #[arg(long)]
    json: bool,
}

/// Codes whose place in history is what is wrong.
const ONLY_AS_NEW: [RejectCode; 2] = [RejectCode::Misplaced, RejectCode::ChangeTooOld];

/// What one run works with.
struct Run<'r> {
    asked: &'r Replay,
    log: Log,
    packer: Packer,
    filter: Filter,
    /// Where they go, without the prefix.
    target: &'static str,
}

impl Replay {
    pub(super) async fn execute(&self, installation: &Target, out: &mut dyn Write) -> Result<(), Error> {
        self.check()?;
        let log = installation.log().await?;
        let target = if self.as_new { topics::RAW } else { topics::PINNED };
        let codec = Codec::new(Arc::new(Profile::embedded()?));
        let editor = self.edit.as_ref().map(|command| Editor::new(command));
        let packer = Packer { codec: codec.clone(), editor, as_new: self.as_new, partitions: log.partitions() };
        let run = Run { asked: self, packer, filter: Filter::new(self, codec), target, log };
        let tally = if self.dry_run {
            let rows = run.log.rows_beside(installation).await?;
            let outlook = Outlook::open(&run.log, rows, run.packer.codec.profile(), self.as_new)?;
            run.tell(outlook, out).await?
        } else {
            run.send().await?
        };
        let topic = run.log.topic(target);
        if self.json {
            writeln!(out, "{}", tally.to_json(&topic))?;
        } else {
            tally.table_of(&topic, self.as_new, self.dry_run).write(out)?;
        }
        if self.dry_run {
            let note = "\nnothing was sent: --dry-run";
            return if self.json { Ok(()) } else { Ok(writeln!(out, "{note}")?) };
        }
        match tally.left() {
            0 => Ok(()),
            left => Err(Error::Unproven(format!("{left} of the letters were not sent; the reasons are above"))),
        }
    }

    /// Refuses what makes no sense before anything is asked.
    fn check(&self) -> Result<(), Error> {
        let is_chosen = !self.which.is_empty() || !self.codes.is_empty();
        let is_narrowed = self.stage.is_some() || self.since.is_some() || self.until.is_some();
        let is_named = self.field.is_some() || self.user.is_some() || self.tenant.is_some();
        if !(is_chosen || is_narrowed || is_named || self.all) {
            return Err(Error::Usage("say which letters: --code, --since, …, or --all for every one".to_owned()));
        }
        if let Some(code) = self.codes.iter().find(|code| ONLY_AS_NEW.contains(code))
            && !self.as_new
        {
            return Err(Error::Usage(format!(
                "{code} cannot go back to its place in history, which is what is wrong with it; say --as-new to send it \
                 as a change of now, and do so once: sent twice it is two changes"
            )));
        }
        Ok(())
    }
}

impl Run<'_> {
    async fn send(&self) -> Result<Tally, Error> {
        let sink = self.log.writer(self.target)?;
        let mut tally = Tally::default();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let mut letters = self.letters(&mut tally).await?;
        loop {
            let packed = match letters.next().await {
                Ok(None) => break,
                Ok(Some((_, record))) => self.packer.pack(&record).await,
                Err(error) => Err(error),
            };
            match packed.map_err(|error| self.broken(&error.to_string(), &tally))? {
                Ok(parcel) => {
                    bytes += parcel.outgoing.bytes();
                    batch.push(parcel.outgoing);
                }
                Err(left) => tally.leave(left),
            }
            if batch.len() >= self.batch_len() || bytes >= BATCH_BYTES {
                self.write(&sink, &mut batch, &mut tally).await?;
                bytes = 0;
            }
        }
        self.write(&sink, &mut batch, &mut tally).await?;
        Ok(tally)
    }

    /// A batch of which one record is refused is sent again record by record, which is harmless where twice is once.
    fn batch_len(&self) -> usize {
        if self.asked.as_new { 1 } else { BATCH_LEN }
    }

    async fn write(&self, sink: &Writer, batch: &mut Vec<Outgoing>, tally: &mut Tally) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        let refused = match timeout(PATIENCE, sink.write(batch)).await {
            Ok(Ok(refused)) => refused.len(),
            Ok(Err(fault)) => return Err(self.broken(&fault.to_string(), tally)),
            Err(_) => return Err(self.broken("the letters were not confirmed in time", tally)),
        };
        tally.sent += u64::try_from(batch.len() - refused).unwrap_or(u64::MAX);
        (0..refused).for_each(|_| tally.leave(Left::TooLarge));
        batch.clear();
        Ok(())
    }

    fn broken(&self, why: &str, tally: &Tally) -> Error {
        let next = if self.asked.as_new {
            "those and one more would be sent twice if it is run again: look at the raw topic first"
        } else {
            "run it again: what was sent is sent into the same place"
        };
        Error::Failed(format!("{why}; {} letters were sent before; {next}", tally.sent))
    }

    async fn tell(&self, outlook: Outlook, out: &mut dyn Write) -> Result<Tally, Error> {
        let mut tally = Tally::default();
        let mut rows = tally::Rows::new();
        let mut letters = self.letters(&mut tally).await?;
        while let Some((letter, record)) = letters.next().await? {
            let foreseen = match self.packer.pack(&record).await? {
                Ok(Parcel { outgoing, version }) => {
                    tally.sent += 1;
                    Ok(outlook.of(outgoing, version).await?)
                }
                Err(left) => {
                    tally.leave(left);
                    Err(left)
                }
            };
            if let Ok(foreseen) = &foreseen {
                tally.foresee(foreseen);
            }
            if self.asked.json {
                writeln!(out, "{}", tally::line_of(&letter, &foreseen))?;
            } else {
                rows.push(&letter, &foreseen);
            }
        }
        rows.write(out)?;
        Ok(tally)
    }

    /// Two looks: the first finds the newest letter of each record, the second reads those again. What is refused while
    /// this runs is not looked at: a letter is not answered with another one.
    async fn letters(&self, tally: &mut Tally) -> Result<Letters, Error> {
        let mut spans = Vec::new();
        for held in self.log.watermarks(topics::DEAD).await? {
            spans.push(Span { partition: held.partition, from: held.low, to: held.high });
        }
        let now_ms = Clock::system().now_ms();
        if let Some(since) = self.asked.since {
            let firsts = self.log.offsets_since(topics::DEAD, since.millis(now_ms)).await?;
            spans.iter_mut().zip(firsts).for_each(|(span, first)| span.from = first);
        }
        if !self.asked.which.is_empty() {
            let lies_in = |which: &Which, span: &Span| which.partition().is_none_or(|only| only == span.partition);
            spans.retain(|span| self.asked.which.iter().any(|which| lies_in(which, span)));
        }
        let until_ms = self.asked.until.map(|until| until.millis(now_ms));
        // Over all letters, also those that were not asked for: one that was answered with another one is over.
        let mut newest = BTreeMap::new();
        let mut records = self.log.records(topics::DEAD, &spans)?;
        while let Some(record) = records.next().await? {
            let letter = Letter::of(&record);
            let is_early = until_ms.is_none_or(|until_ms| letter.at_ms < until_ms);
            let is_wanted = is_early && self.filter.wants(&self.log, &letter, &record);
            tally.found += u64::from(is_wanted);
            let change = (letter.change().to_owned(), letter.version.clone(), record.key.clone());
            let older = newest.insert(change, (is_wanted, (letter.partition, letter.offset)));
            tally.copies += u64::from(older.is_some_and(|(was_wanted, _)| was_wanted));
        }
        let chosen: BTreeSet<(i32, i64)> =
            newest.into_values().filter(|(is_wanted, _)| *is_wanted).map(|(_, at)| at).collect();
        for span in &mut spans {
            let of_it =
                || chosen.iter().filter(|(partition, _)| *partition == span.partition).map(|(_, offset)| *offset);
            (span.from, span.to) = of_it().min().zip(of_it().max()).map_or((0, 0), |(first, last)| (first, last + 1));
        }
        Ok(Letters { records: self.log.records(topics::DEAD, &spans)?, chosen })
    }
}

/// The letters that were chosen, those of one partition in order.
struct Letters {
    records: Records,
    chosen: BTreeSet<(i32, i64)>,
}

impl Letters {
    async fn next(&mut self) -> Result<Option<(Letter, Record)>, Error> {
        while let Some(record) = self.records.next().await? {
            if self.chosen.contains(&(record.place.partition, record.offset.0)) {
                return Ok(Some((Letter::of(&record), record)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests;
