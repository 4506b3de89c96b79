//! `tidewater promote`: a data directory moves into an installation on servers.
//!
//! Every row goes as the changes that leave it, each at its version in the backfill lane, below the floor of the new
//! installation: so whatever comes there live beats them, and moving twice is moving once. Then both tables are compared.

use crate::Error;
use crate::demo::{Pace, Standing};
use crate::export::Export;
use crate::import::Import;
use crate::instant::rfc3339;
use crate::world::{Log, Rows, Target};
use clap::Args;
use runtime::clock::Clock;
use schemas::{FieldSet, Profile, Version};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use store::cql::VersionedRow;
use tokio::time::{Instant, sleep};

const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How long the new installation may stand still.
const STANDSTILL: Duration = Duration::from_secs(120);

/// Moves a data directory into an installation on Kafka and Cassandra, and compares.
///
/// The directory must be at rest and all of it settled; the workers of the new installation must run, and its version.floor
/// must lie after everything in the directory. All rows go, the stubs of deleted users with them; then every user's fields
/// and whether there is such a user are compared. Run again, it changes nothing. Dead letters, and the log itself, stay.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater promote --data ./tidewater-data --to tidewater.toml
  tidewater promote --data ./tidewater-data --to tidewater.toml --rate 500
Exit codes: 0 moved and equal, 1 not all of it, 64 asked or configured wrongly, 70 interrupted: run it again")]
pub(crate) struct Promote {
    /// The configuration of the new installation
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Most lines a second, 0 for as fast as it goes
    #[arg(long, value_name = "N", default_value_t = 2_000)]
    rate: u32,
}

/// What the comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Compared {
    profiles: u64,
    stubs: u64,
    different: u64,
}

/// The lines on their way; user data, and gone when it is over.
struct Lines(PathBuf);

impl Promote {
    pub(crate) async fn execute(&self, target: &Target, out: &mut dyn Write) -> Result<(), Error> {
        let Some(dir) = target.data() else {
            return Err(Error::Usage("say which directory: --data DIR".to_owned()));
        };
        let from = Target { config: None, data: Some(dir.to_owned()) };
        let to = Target { config: Some(self.to.clone()), data: None };
        let old_log = from.log().await?;
        old_log.refuse_if_busy("the pipeline").await?;
        refuse_unsettled(&old_log, dir).await?;
        let old = old_log.rows_beside(&from).await?;
        let new_log = to.log().await?;
        refuse_floor(&old, &new_log).await?;
        // Where nobody else may look.
        let lines = Lines(dir.join("promote.ndjson"));
        tell("writing the rows out");
        Export::to(lines.0.clone()).execute(&old, &mut io::sink()).await?;
        tell("sending them below the floor");
        Import::of_export(lines.0.clone(), self.rate).execute(&new_log, &mut io::sink()).await?;
        tell("waiting until they are settled");
        settle(&new_log).await?;
        tell("comparing");
        let compared = compare(&old, &to.rows().await?).await?;
        let Compared { profiles, stubs, different } = compared;
        writeln!(out, "{profiles} profiles and {stubs} stubs of deleted users moved; {different} differ")?;
        match different {
            0 => Ok(()),
            count => Err(Error::Unproven(format!(
                "{count} users are not there as they were: live changes beat what is moved; if there were none, look at \
                 `tidewater dead list --since 1h` of the new installation, and run this again"
            ))),
        }
    }
}

impl Lines {
    fn beside(&self, end: &str) -> PathBuf {
        let mut name = self.0.clone().into_os_string();
        name.push(end);
        name.into()
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        // What was refused stays, so that whoever is told of it can look.
        for end in ["", ".progress"] {
            // What is not there needs no removing.
            std::fs::remove_file(self.beside(end)).ok();
        }
        let rejects = self.beside(".rejects.ndjson");
        if std::fs::metadata(&rejects).is_ok_and(|found| found.len() == 0) {
            std::fs::remove_file(rejects).ok();
        }
    }
}

fn tell(what: &str) {
    // The result goes to standard output, this does not.
    drop(writeln!(io::stderr(), "promote: {what}"));
}

async fn refuse_unsettled(log: &Log, dir: &Path) -> Result<(), Error> {
    let behind: i64 = Pace::new(log.clone()).look().await?.iter().map(|standing| standing.behind).sum();
    if behind == 0 {
        return Ok(());
    }
    Err(Error::Usage(format!(
        "{behind} records in {} are not settled: run `tidewater standalone` on it until `tidewater lag` says 0, then again",
        dir.display()
    )))
}

/// Everything that moves must lie below the floor of where it goes, or it would lose its place.
async fn refuse_floor(old: &Rows, new: &Log) -> Result<(), Error> {
    let mut newest: Option<Version> = None;
    let mut scan = old.scan();
    while let Some((_, _, row)) = scan.next().await? {
        newest = newest.max(row.row.version);
    }
    let (floor, newest) = (new.floor_micros()?, newest.map_or(0, Version::get));
    if newest < floor {
        return Ok(());
    }
    let now = rfc3339(Clock::system().now_ms());
    Err(Error::Usage(format!(
        "version.floor of the new installation lies before the newest change in the directory: set it to {now}, which it \
         must have from its first start on"
    )))
}

async fn settle(log: &Log) -> Result<(), Error> {
    let pace = Pace::new(log.clone());
    pace.held(STANDSTILL).await?;
    let mut moved = (Instant::now(), -1);
    loop {
        let standings: Vec<Standing> = pace.look().await?;
        if standings.iter().all(|standing| standing.behind == 0) {
            return Ok(());
        }
        let settled = standings.iter().map(|standing| standing.settled).sum();
        if settled != moved.1 {
            moved = (Instant::now(), settled);
        } else if moved.0.elapsed() > STANDSTILL {
            let text =
                format!("nothing has moved for {} s: look at the workers, then run it again", STANDSTILL.as_secs());
            return Err(Error::Failed(text));
        }
        sleep(LOOK_AGAIN).await;
    }
}

async fn compare(old: &Rows, new: &Rows) -> Result<Compared, Error> {
    let profile = Profile::embedded()?;
    let mut compared = Compared::default();
    let mut scan = old.scan();
    while let Some((tenant, user_id, row)) = scan.next().await? {
        let there = new.read(&tenant, &user_id).await?.unwrap_or_default();
        match row.row.alive() {
            true => compared.profiles += 1,
            false => compared.stubs += 1,
        }
        compared.different += u64::from(!is_same(&profile, &row, &there));
    }
    Ok(compared)
}

/// Whether readers see the same: the fields, and whether there is such a user.
fn is_same(profile: &Profile, old: &VersionedRow, new: &VersionedRow) -> bool {
    let (old, new) = (&old.row, &new.row);
    let fields = 0..profile.fields().len().min(FieldSet::CAPACITY);
    old.alive() == new.alive() && fields.into_iter().all(|field| old.row.get(field) == new.row.get(field))
}
