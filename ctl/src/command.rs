//! The command line: global options, and one variant a verb.

use crate::standalone::Standalone;
use crate::world::Target;
use crate::{Error, configure, dead, demo, doctor, export, get, import, lag, rewind, send, shell, tail};
#[cfg(feature = "servers")]
use crate::{config, migrate, promote, topics};
use clap::{Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs and looks after a Tidewater pipeline, on one directory or on servers.
#[derive(Debug, Parser)]
#[command(name = "tidewater", version, arg_required_else_help = true, after_help = EXAMPLES)]
pub(crate) struct Command {
    /// The configuration, as the services read it; TIDEWATER__SECTION__KEY in the environment wins
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// A data directory of `tidewater standalone`, to work on instead of servers
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<PathBuf>,
    #[command(subcommand)]
    verb: Verb,
}

const EXAMPLES: &str = "\
Examples:
  tidewater demo                                          the whole pipeline on real changes, with proof
  tidewater standalone --data ./tidewater-data            run it
  tidewater send changes.ndjson --data ./tidewater-data   give it changes
  tidewater get ada --data ./tidewater-data               read a profile
  tidewater lag --watch                                   how far behind each stage is
  tidewater dead list --since 1h                          what was refused in the last hour
  tidewater import users.csv                              rows of an old table, below everything live
  tidewater rewind sink --to 2026-05-04T00:00:00Z
Every verb works on a directory with --data DIR, on servers with --config FILE.

Exit codes: 0 done, 1 done in part, 64 asked or configured wrongly, 70 something else failed";

#[derive(Debug, Subcommand)]
enum Verb {
    Demo(demo::Demo),
    Standalone(Standalone),
    Send(send::Send),
    Get(get::Get),
    Tail(tail::Tail),
    Lag(lag::Lag),
    #[command(subcommand)]
    Dead(dead::Verb),
    Import(import::Import),
    Export(export::Export),
    Rewind(rewind::Rewind),
    #[cfg(feature = "servers")]
    #[command(subcommand)]
    Topics(topics::Verb),
    #[cfg(feature = "servers")]
    Migrate(migrate::Migrate),
    #[cfg(feature = "servers")]
    Promote(promote::Promote),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Config(configure::Verb),
    Completions(shell::Completions),
    Man(shell::Man),
}

impl Command {
    /// Lives, if that is what is asked for; else the command again.
    pub(crate) fn into_life(self) -> Result<ExitCode, Box<Self>> {
        match self {
            Self { verb: Verb::Standalone(standalone), config, data } => Ok(standalone.live(&Target { config, data })),
            command => Err(Box::new(command)),
        }
    }

    /// Does it, and writes the result to `out`.
    ///
    /// # Errors
    /// Whatever the verb ran into.
    pub(crate) async fn execute(self, out: &mut dyn Write) -> Result<(), Error> {
        let Self { config, data, verb } = self;
        let target = Target { config, data };
        match verb {
            Verb::Demo(_) if target.config.is_some() || target.data.is_some() => {
                Err(Error::Usage("the demo has an installation of its own; leave --config and --data out".to_owned()))
            }
            Verb::Demo(demo) => Box::pin(demo.execute(out)).await,
            Verb::Standalone(_) => Err(Error::Usage("a process that lives is started by itself".to_owned())),
            Verb::Send(send) => send.execute(&target.log().await?, out).await,
            Verb::Get(get) => get.execute(&target, out).await,
            Verb::Tail(tail) => tail.execute(&target.log().await?, out).await,
            Verb::Lag(lag) => lag.execute(&target.log().await?, out).await,
            Verb::Dead(verb) => verb.execute(&target, out).await,
            Verb::Import(import) => Box::pin(import.execute(&target.log().await?, out)).await,
            Verb::Export(export) => Box::pin(export.execute(&target.rows().await?, out)).await,
            Verb::Rewind(rewind) => rewind.execute(&target.log().await?, out).await,
            #[cfg(feature = "servers")]
            Verb::Topics(verb) => verb.execute(&config::load(target.servers("topics")?)?, out).await,
            #[cfg(feature = "servers")]
            Verb::Migrate(migrate) => migrate.execute(&config::load(target.servers("migrate")?)?, out).await,
            #[cfg(feature = "servers")]
            Verb::Promote(promote) => Box::pin(promote.execute(&target, out)).await,
            Verb::Doctor(doctor) => doctor.execute(&target, out).await,
            Verb::Config(verb) => verb.execute(&target, out),
            Verb::Completions(completions) => completions.execute(out),
            Verb::Man(man) => man.execute(out),
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
