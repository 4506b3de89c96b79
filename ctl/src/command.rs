//! The command line: global options, and one variant a verb.

use crate::{Error, config, dead, demo, export, import, lag, migrate, rewind, topics};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;

/// Looks after a Tidewater pipeline: its topics, tables, offsets and dead letters.
#[derive(Debug, Parser)]
#[command(name = "tidewater", version, arg_required_else_help = true, after_help = EXAMPLES)]
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
  tidewater import users.csv              rows of an old table, below everything live
  tidewater rewind sink --to 2026-05-04T00:00:00Z
  tidewater demo                          everything on this machine, with proof

Exit codes: 0 done, 1 done in part, 64 asked or configured wrongly, 70 something else failed";

#[derive(Debug, Subcommand)]
enum Verb {
    #[command(subcommand)]
    Topics(topics::Verb),
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Dead(dead::Verb),
    Rewind(rewind::Rewind),
    Lag(lag::Lag),
    Import(import::Import),
    Export(export::Export),
    Demo(demo::Demo),
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
            Verb::Dead(verb) => verb.execute(file, out).await,
            Verb::Rewind(rewind) => rewind.execute(&config::load(file)?, out).await,
            Verb::Lag(lag) => lag.execute(&config::load(file)?, out).await,
            Verb::Import(import) => Box::pin(import.execute(&config::load(file)?, out)).await,
            Verb::Export(export) => Box::pin(export.execute(&config::load(file)?, out)).await,
            Verb::Demo(_) if file.is_some() => {
                Err(Error::Usage("the demo has an installation of its own; leave --config out".to_owned()))
            }
            Verb::Demo(demo) => Box::pin(demo.execute(out)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_contradicts_itself_nowhere() {
        Command::command().debug_assert();
    }

    #[test]
    fn every_verb_explains_itself_with_examples() {
        let mut pages = Vec::new();
        collect(&mut Command::command(), &mut pages);
        assert!(pages.iter().all(|page| page.contains("Examples:")));
        insta::assert_snapshot!(pages.join("\n────────\n"));
    }

    /// The help of a command and of all beneath it.
    fn collect(command: &mut clap::Command, pages: &mut Vec<String>) {
        command.build();
        pages.push(command.render_long_help().to_string());
        for verb in command.get_subcommands_mut().filter(|verb| verb.get_name() != "help") {
            collect(verb, pages);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_before_anything_is_asked() {
        let refused = [
            vec!["tidewater", "rewind", "sink"],
            vec!["tidewater", "rewind", "sink", "--to", "yesterday"],
            vec!["tidewater", "rewind", "sink", "--to", "START", "--partition", "-1"],
            vec!["tidewater", "topics", "apply", "--partitions", "0"],
            vec!["tidewater", "migrate", "--profile", "local", "--copies", "east=3"],
            vec!["tidewater", "dead", "list", "--code", "no-such-code"],
            vec!["tidewater", "dead", "list", "--limit", "0"],
            vec!["tidewater", "dead", "show", "changes.raw.v1"],
            vec!["tidewater", "dead", "replay", "--code", "no-such-code"],
            vec!["tidewater", "dead", "replay", "changes.raw.v1"],
            vec!["tidewater", "lag", "--stage", "ingest"],
            vec!["tidewater", "import"],
            vec!["tidewater", "import", "users.csv", "--run", "1048576"],
            vec!["tidewater", "import", "users.csv", "--resume", "--dry-run"],
        ];
        for args in refused {
            assert!(Command::try_parse_from(&args).is_err(), "{args:?}");
        }
    }
}
