//! `tidewater config`: a configuration to begin with, and whether one has problems.

use crate::Error;
use crate::standalone;
use crate::world::Target;
use clap::{Subcommand, ValueEnum};
use runtime::boot;
use runtime::config::{Declarations, Given, template};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Writes a configuration to begin with, and checks one.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tidewater config init --out standalone.toml             every option of a directory, with its default
  tidewater config init --world servers                   the same for Kafka, Cassandra and Redis
  tidewater config check --config tidewater.toml          every problem at once")]
pub(crate) enum Verb {
    Init(Init),
    Check(Check),
}

/// Writes every option with what it means and its default; what has none is to be filled in.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidewater config init
  tidewater config init --world servers --out tidewater.toml")]
pub(crate) struct Init {
    /// Where the pipeline is to run
    #[arg(long, value_enum, default_value = "directory")]
    world: World,
    /// Write to this new file; standard output if not given
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Tells every problem of a configuration, for every process that would read it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tidewater config check --config tidewater.toml
  tidewater config check --config standalone.toml --world directory
Exit codes: 0 it has no problem, 64 it has")]
pub(crate) struct Check {
    /// Where the pipeline is to run; servers if the file has a section [kafka]
    #[arg(long, value_enum)]
    world: Option<World>,
}

/// Where a pipeline runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum World {
    /// One process on one directory
    Directory,
    /// Kafka, Cassandra and Redis
    #[cfg(feature = "servers")]
    Servers,
}

/// A process that reads a configuration.
struct Reader {
    name: &'static str,
    declarations: fn() -> Declarations,
    check: fn(Given) -> Result<(), runtime::config::Error>,
}

impl World {
    fn readers(self) -> Vec<Reader> {
        match self {
            Self::Directory => vec![Reader {
                name: "standalone",
                declarations: || boot::declarations::<standalone::Config>(&standalone::SERVICE),
                check: |given| boot::check::<standalone::Config>(given, &standalone::SERVICE),
            }],
            #[cfg(feature = "servers")]
            Self::Servers => vec![
                Reader {
                    name: "ingest",
                    declarations: || boot::declarations::<ingest::Config>(&ingest::SERVICE),
                    check: |given| boot::check::<ingest::Config>(given, &ingest::SERVICE),
                },
                Reader {
                    name: "validate",
                    declarations: || boot::declarations::<processors::validate::Config>(&processors::validate::SERVICE),
                    check: |given| boot::check::<processors::validate::Config>(given, &processors::validate::SERVICE),
                },
                Reader {
                    name: "enrich",
                    declarations: || boot::declarations::<processors::enrich::Config>(&processors::enrich::SERVICE),
                    check: |given| boot::check::<processors::enrich::Config>(given, &processors::enrich::SERVICE),
                },
                Reader {
                    name: "sink",
                    declarations: || boot::declarations::<sinks::Config>(&sinks::SERVICE),
                    check: |given| boot::check::<sinks::Config>(given, &sinks::SERVICE),
                },
            ],
        }
    }
}

impl Verb {
    pub(crate) fn execute(&self, target: &Target, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Init(init) => init.execute(out),
            Self::Check(check) => check.execute(target.config.as_deref(), out),
        }
    }
}

impl Init {
    fn execute(&self, out: &mut dyn Write) -> Result<(), Error> {
        let readers: Vec<(&str, Declarations)> =
            self.world.readers().iter().map(|reader| (reader.name, (reader.declarations)())).collect();
        let text = template(&readers);
        let Some(path) = &self.out else {
            write!(out, "{text}")?;
            return Ok(());
        };
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        let mut file = made.map_err(|error| Error::Usage(format!("{} cannot be made: {error}", path.display())))?;
        file.write_all(text.as_bytes())?;
        writeln!(out, "{} is there; then: tidewater config check --config {}", path.display(), path.display())?;
        Ok(())
    }
}

impl Check {
    fn execute(&self, file: Option<&Path>, out: &mut dyn Write) -> Result<(), Error> {
        let given = Given::from_process(file)?;
        let world = self.world.unwrap_or_else(|| guess(&given));
        let mut problems = Vec::<String>::new();
        for reader in world.readers() {
            let Err(error) = (reader.check)(given.clone()) else { continue };
            // What several processes read is wrong once.
            for problem in error.to_string().lines() {
                if !problems.iter().any(|known| known == problem) {
                    problems.push(problem.to_owned());
                }
            }
        }
        if !problems.is_empty() {
            return Err(Error::Usage(problems.join("\n")));
        }
        let names: Vec<&str> = world.readers().iter().map(|reader| reader.name).collect();
        writeln!(out, "the configuration has no problem for {}", names.join(", "))?;
        Ok(())
    }
}

#[cfg(feature = "servers")]
fn guess(given: &Given) -> World {
    if given.has("kafka") { World::Servers } else { World::Directory }
}

#[cfg(not(feature = "servers"))]
fn guess(_given: &Given) -> World {
    World::Directory
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_to_begin_with_has_no_problem() {
        for world in World::value_variants() {
            let readers: Vec<_> = world.readers().iter().map(|reader| (reader.name, (reader.declarations)())).collect();
            // What has no default is filled in as the comment says.
            let text = template(&readers)
                .replace("# brokers = ", "brokers = ")
                .replace("# nodes = ", "nodes = ")
                .replace("# floor = ", "floor = ")
                .replace("# tables = ", "tables = ");
            let filled = text
                .replace("brokers = …", "brokers = \"127.0.0.1:9092\"")
                .replace("nodes = …", "nodes = [\"127.0.0.1:9042\"]")
                .replace("floor = …", "floor = 2026-01-01T00:00:00Z")
                .replace("tables = …", "tables = \"tables\"");
            for reader in world.readers() {
                let given = Given::new(None, &filled, []).unwrap();
                assert!((reader.check)(given).is_ok(), "{}\n{filled}", reader.name);
            }
        }
    }
}
