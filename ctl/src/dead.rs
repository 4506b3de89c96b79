//! `tidewater dead`: what was refused, and why.

mod letter;
mod list;
mod show;

use crate::Error;
use crate::config::Log;
use clap::Subcommand;
use std::io::Write;

/// Looks at the dead letters.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tidewater dead list --since 1h          the newest of the last hour
  tidewater dead show 3/17                one of them")]
pub(crate) enum Verb {
    List(list::List),
    Show(show::Show),
}

impl Verb {
    pub(crate) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::List(list) => list.execute(log, out).await,
            Self::Show(show) => show.execute(log, out).await,
        }
    }
}
