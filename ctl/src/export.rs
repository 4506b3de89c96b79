//! `tidewater export`: every profile and stub as the changes that build it again.
//!
//! The table is walked slice by slice; a node that goes away is waited for, and nobody is left out.

mod file;
mod history;

use crate::Error;
use crate::world::Rows;
use clap::Args;
use file::Atomic;
use schemas::Profile;
use schemas::json::Written;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Writes all profiles and stubs as NDJSON: a line per user and version, each user's oldest first.
///
/// A line is a change with its version: an upsert with the values it wrote that still stand, a patch with the values of
/// a later version, a delete for the stub of a deleted user. Derived fields are left out, for they are derived again;
/// of a cleared field nothing is left to export. Rows that change meanwhile are taken as they are when their turn comes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater export --out users.ndjson         the file is there once it is whole
  tidewater export | gzip > users.ndjson.gz
  tidewater import users.ndjson               in another installation, whose version.floor is later
The lines are user data: keep them as such")]
pub(crate) struct Export {
    /// Write to this file, which appears only when it is whole; standard output if not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    profiles: u64,
    stubs: u64,
    lines: u64,
}

impl Export {
    /// What `--out FILE` asks for.
    #[cfg(feature = "servers")]
    pub(crate) fn to(file: PathBuf) -> Self {
        Self { out: Some(file) }
    }

    pub(crate) async fn execute(&self, rows: &Rows, out: &mut dyn Write) -> Result<(), Error> {
        let profile = Profile::embedded()?;
        let Some(path) = &self.out else {
            let mut buffered = BufWriter::new(out);
            write_all(rows, &profile, &mut buffered).await?;
            buffered.flush()?;
            return Ok(());
        };
        let mut file = Atomic::create(path)?;
        let totals = write_all(rows, &profile, &mut file).await?;
        file.keep()?;
        let Totals { profiles, stubs, lines } = totals;
        writeln!(out, "{lines} lines: {profiles} profiles, {stubs} stubs of deleted users")?;
        Ok(())
    }
}

async fn write_all(rows: &Rows, profile: &Profile, out: &mut dyn Write) -> Result<Totals, Error> {
    let mut totals = Totals::default();
    let mut scan = rows.scan();
    while let Some((tenant, user_id, row)) = scan.next().await? {
        if row.row.alive() {
            totals.profiles += 1;
        } else {
            totals.stubs += 1;
        }
        for draft in history::drafts_of(profile, &tenant, &user_id, &row) {
            serde_json::to_writer(&mut *out, &Written { profile, draft: &draft }).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
            totals.lines += 1;
        }
    }
    Ok(totals)
}
