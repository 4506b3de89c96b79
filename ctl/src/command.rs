//! The command line: global options, and one variant a verb.

use crate::{Error, config, dead, lag, migrate, rewind, topics};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;

/// Looks after a Tidewater pipeline: its topics, tables, offsets and dead letters.
#[derive(Debug, Parser)]
#[command(name = "tidewater", version, arg_required_else_help = true, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Command {
    /// The configuration, as the services read it; TIDEWATER__SECTION__KEY in the environment wins
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  tidewater topics apply --dry-run        what is missing or different
  tidewater lag --watch                   how far behind each stage is
  tidewater dead list --since 1h          what was refused in the last hour
  tidewater rewind sink --to 2026-05-04T00:00:00Z

Exit codes: 0 done, 64 asked or configured wrongly, 70 something else failed";

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(subcommand)]
    Topics(topics::Verb),
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Dead(dead::Verb),
    Rewind(rewind::Rewind),
    Lag(lag::Lag),
}

impl Command {
    /// Does it, and writes the result to `out`.
    ///
    /// # Errors
    /// Whatever the verb ran into.
    pub(crate) async fn execute(self, out: &mut dyn Write) -> Result<(), Error> {
        let file = self.config.as_deref();
        match self.verb {
            Verb::Topics(verb) => verb.execute(&config::load(file)?, out).await,
            Verb::Migrate(migrate) => migrate.execute(&config::load(file)?, out).await,
            Verb::Dead(verb) => verb.execute(&config::load(file)?, out).await,
            Verb::Rewind(rewind) => rewind.execute(&config::load(file)?, out).await,
            Verb::Lag(lag) => lag.execute(&config::load(file)?, out).await,
        }
    }
}
