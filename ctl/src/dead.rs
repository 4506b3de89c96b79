//! `tidewater dead`: what was refused, why, and once more.

mod letter;
mod list;
mod replay;
mod show;
mod which;

use crate::Error;
use crate::world::Target;
use clap::Subcommand;
use std::io::Write;

/// Looks at the dead letters, and sends them again.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tidewater dead list --since 1h          the newest of the last hour
  tidewater dead show 3/17                one of them
  tidewater dead replay 3/17 --dry-run    what it would change, sent once more")]
pub(crate) enum Verb {
    List(list::List),
    Show(show::Show),
    Replay(replay::Replay),
}

impl Verb {
    pub(crate) async fn execute(&self, target: &Target, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::List(list) => list.execute(&target.log().await?, out).await,
            Self::Show(show) => show.execute(&target.log().await?, out).await,
            Self::Replay(replay) => Box::pin(replay.execute(target, out)).await,
        }
    }
}
