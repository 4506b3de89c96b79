//! `tidewater import`: rows of an old table, or the lines of an export, onto `pinned` as backfill.
//!
//! Whatever their clock says, they land below the floor, where every live change beats them (I3). The version and id of
//! a row depend on the row alone, so that importing twice is once, and an import that was interrupted may go on from
//! any place it is known to have passed.

mod columns;
mod lines;
mod progress;
mod rejects;
mod row;
mod transfer;

use crate::Error;
use crate::world::Log;
use clap::{Args, ValueEnum};
use columns::Columns;
use lines::Lines;
use progress::{Progress, Totals};
use rejects::Rejects;
use row::{Rows, Unit};
use runtime::clock::Clock;
use schemas::{Backfill, Profile, topics};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::cql::GC_GRACE_MIN;
use transfer::Transfer;

/// Brings rows of an old table in, below everything live.
///
/// A line of NDJSON is a row, an object of columns; one with the key `op` is a change, as `tidewater export` writes it.
/// Every line is checked by the rules of `validate` before it is sent; those that fail are told by number and code in
/// the rejects file, never by what they hold. Derived fields are refused: leave them out with --ignore.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater import users.csv --key id --time modified --ignore password_hash
  tidewater import users.ndjson --dry-run           only check, send nothing
  tidewater import users.ndjson --run 1             rows without a time; a later run beats an earlier one
  tidewater import users.csv --resume               go on where it was interrupted
  gunzip < users.ndjson.gz | tidewater import - --rejects bad.ndjson
Exit codes: 0 all of it, 1 all but the lines in the rejects file, 64 asked or configured wrongly, 70 interrupted")]
pub(crate) struct Import {
    /// The rows, or - for standard input
    file: PathBuf,
    /// How they are written; by the name of the file if not given
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The column that holds the user id
    #[arg(long, value_name = "COLUMN", default_value = "user_id")]
    key: String,
    /// The column that holds the tenant; rows without one belong to `main`
    #[arg(long, value_name = "COLUMN", default_value = "tenant")]
    tenant: String,
    /// The column that says when the row was last changed, in RFC 3339 with its offset
    #[arg(long, value_name = "COLUMN", default_value = "updated_at")]
    time: String,
    /// Times are numbers since 1970-01-01, in this unit
    #[arg(long, value_enum)]
    unit: Option<Unit>,
    /// Give rows without a time the place of this run
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..i64::from(Backfill::RUNS)))]
    run: Option<u32>,
    /// Leave this column out; may be given again
    #[arg(long, value_name = "COLUMN")]
    ignore: Vec<String>,
    /// What rows say of who sent them
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Most lines a second, 0 for as fast as it goes: live changes go the same way and want room
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    rate: u32,
    /// Where refused lines are told; FILE.rejects.ndjson if not given
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Where the place is kept up to which all is acknowledged; FILE.progress if not given
    #[arg(long, value_name = "FILE")]
    progress: Option<PathBuf>,
    /// Go on where the progress file says; from standard input the same bytes again
    #[arg(long, conflicts_with = "dry_run")]
    resume: bool,
    /// Import though operation began over 36 days ago: right where the table's gc_grace_seconds is over 45 days
    #[arg(long)]
    late: bool,
    /// Only check the lines
    #[arg(long)]
    dry_run: bool,
    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Ndjson,
    Csv,
}

impl Import {
    /// What the lines of an export ask for, at most so many a second.
    #[cfg(feature = "servers")]
    pub(crate) fn of_export(file: PathBuf, rate: u32) -> Self {
        Self {
            file,
            format: Some(Format::Ndjson),
            key: "user_id".to_owned(),
            tenant: "tenant".to_owned(),
            time: "updated_at".to_owned(),
            unit: None,
            run: None,
            ignore: Vec::new(),
            source: None,
            rate,
            rejects: None,
            progress: None,
            resume: false,
            late: false,
            dry_run: false,
            json: false,
        }
    }

    pub(crate) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        let floor = log.floor_micros()?;
        self.check_time(floor / 1000)?;
        let topic = log.topic(topics::PINNED);
        if !self.dry_run {
            check_topic(log, topics::PINNED).await?;
            check_floor(log, floor & !7).await?;
        }
        let rows = self.rows(log, floor)?;
        let progress_file = self.beside(self.progress.as_deref(), "progress");
        let options = self.options(log, floor);
        let mut progress = match &progress_file {
            Some(path) if self.resume => Progress::load(path, &options)?,
            None if self.resume => return Err(missing("--progress", "--resume")),
            _ => Progress::new(options),
        };
        let lines = Lines::open(&self.file, self.format(), &rows, &mut progress)?;
        let rejects_file = self.beside(self.rejects.as_deref(), "rejects.ndjson");
        let rejects_file = rejects_file.ok_or_else(|| missing("--rejects", "standard input"))?;
        let transfer = Transfer {
            lines,
            rows: &rows,
            sink: if self.dry_run { None } else { Some(log.writer(topics::PINNED)?) },
            rejects: Rejects::open(&rejects_file, progress.rejects_bytes)?,
            keep_in: progress_file.filter(|_| !self.dry_run),
            progress,
            rate: self.rate,
        };
        let totals = transfer.run().await?;
        self.tell(&totals, &topic, &rejects_file, out)?;
        match totals.rejected() {
            0 => Ok(()),
            rejected => Err(Error::Incomplete(format!(
                "{rejected} lines were refused; {} tells which and why, docs/rejects/<code>.md what to do; mend them \
                 and import them by themselves",
                rejects_file.display()
            ))),
        }
    }

    /// The sink looks at the table, which may remember deletions for longer; what it does at least is known here.
    fn check_time(&self, floor_ms: i64) -> Result<(), Error> {
        let now_ms = Clock::system().now_ms();
        if floor_ms > now_ms {
            return Err(Error::Usage("version.floor lies in the future; set the instant operation began".to_owned()));
        }
        let takes = GC_GRACE_MIN * 4 / 5;
        if self.late || now_ms.saturating_sub(floor_ms) < i64::try_from(takes.as_millis()).unwrap_or(i64::MAX) {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "operation began more than {} days ago, and the sink takes backfill until four fifths of gc_grace_seconds \
             are over: all of it would end as dead letters (change-too-old); say --late if the table's is longer",
            takes.as_secs() / 86_400
        )))
    }

    fn rows(&self, log: &Log, floor: i64) -> Result<Rows, Error> {
        Ok(Rows {
            profile: Arc::new(Profile::embedded()?),
            backfill: Backfill::new(floor),
            run: self.run,
            columns: Columns {
                key: self.key.clone(),
                tenant: self.tenant.clone(),
                time: self.time.clone(),
                ignored: self.ignore.clone(),
            },
            unit: self.unit,
            source: self.source.clone(),
            partitions: log.partitions(),
        })
    }

    fn format(&self) -> Format {
        let is_csv = self.file.extension().is_some_and(|end| end.eq_ignore_ascii_case("csv"));
        self.format.unwrap_or(if is_csv { Format::Csv } else { Format::Ndjson })
    }

    /// `given`, or the file's own name with another end; `None` for standard input.
    fn beside(&self, given: Option<&Path>, end: &str) -> Option<PathBuf> {
        let own = || {
            let mut name = self.file.file_name().filter(|name| *name != "-")?.to_owned();
            name.push(format!(".{end}"));
            Some(self.file.with_file_name(name))
        };
        given.map(Path::to_owned).or_else(own)
    }

    /// What decides which bytes a line becomes and where they go: an import goes on only with the same.
    fn options(&self, log: &Log, floor: i64) -> Value {
        json!({
            "format": format!("{:?}", self.format()),
            "columns": [self.key, self.tenant, self.time],
            "unit": self.unit.map(|unit| format!("{unit:?}")),
            "run": self.run,
            "ignore": self.ignore,
            "source": self.source,
            "topic": log.topic(topics::PINNED),
            "floor": floor,
        })
    }

    fn tell(&self, totals: &Totals, topic: &str, rejects: &Path, out: &mut dyn Write) -> Result<(), Error> {
        if self.json {
            writeln!(out, "{}", totals.to_json())?;
            return Ok(());
        }
        let sent = if self.dry_run { "would be sent to" } else { "sent to" };
        writeln!(out, "{:>9} lines read", totals.lines)?;
        writeln!(out, "{:>9} {sent} {topic}", totals.sent)?;
        if totals.clamped > 0 {
            writeln!(out, "{:>9} of them changed after the floor, and put right below it", totals.clamped)?;
        }
        for (code, count) in &totals.by_code {
            writeln!(out, "{count:>9} refused: {code}")?;
        }
        if totals.rejected() > 0 {
            writeln!(out, "{:>9} in {}", "", rejects.display())?;
        }
        Ok(())
    }
}

fn missing(option: &str, with: &str) -> Error {
    Error::Usage(format!("{with} has no file to stand beside; name one with {option}"))
}

async fn check_topic(log: &Log, name: &str) -> Result<(), Error> {
    let (found, wanted) = (log.watermarks(name).await?.len(), log.partitions());
    if usize::try_from(wanted).is_ok_and(|wanted| wanted == found) {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{} has {found} partitions, kafka.partitions says {wanted}; set it to what the topic has",
        log.topic(name)
    )))
}

/// Every raw commit of `validate` carries the floor that live versions lie above; ours must be the same.
async fn check_floor(log: &Log, floor: i64) -> Result<(), Error> {
    let commits = log.committed("validate", topics::RAW).await?;
    for commit in commits.into_iter().flatten() {
        let theirs = crate::rewind::floor_of(&commit.metadata);
        if let Some(theirs) = theirs.filter(|theirs| *theirs != floor) {
            return Err(Error::Usage(format!(
                "version.floor is {floor} here (microseconds since 1970-01-01), and {theirs} is what validate works \
                 with; set the same in both"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
