//! The `tidewater` command: what a person does to the pipeline, each thing a verb with a file of its own.
//!
//! Verbs print their result on standard output, as a table or (`--json`) as JSON; errors go to standard error, say
//! what to do next, and end the command with 64 (asked or configured wrongly) or 70 (something else failed).

mod command;
#[cfg(feature = "servers")]
mod config;
mod configure;
mod dead;
mod demo;
mod doctor;
mod error;
mod export;
mod get;
mod import;
#[cfg(feature = "servers")]
mod installation;
mod instant;
mod lag;
#[cfg(feature = "servers")]
mod migrate;
#[cfg(feature = "servers")]
mod promote;
mod rewind;
mod send;
mod shell;
mod stage;
pub mod standalone;
mod table;
mod tail;
#[cfg(feature = "servers")]
mod topics;
pub mod verify;
mod world;

use clap::Parser;
use command::Command;
pub use error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Does what `args` (the program's name first) ask for, and returns how the process should end.
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = match Command::try_parse_from(args) {
        Ok(command) => command,
        Err(answer) => return explain(&answer),
    };
    // A process that lives is booted, with threads of its own.
    let command = match command.into_life() {
        Ok(code) => return code,
        Err(command) => command,
    };
    match execute(*command) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever read us has read enough: `tidewater dead list | head`.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if standard error is gone too.
            drop(writeln!(io::stderr(), "error: {}", error.chain()));
            ExitCode::from(error.exit_code())
        }
    }
}

fn execute(command: Command) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Error::Threads)?;
    let mut out = io::stdout().lock();
    runtime.block_on(command.execute(&mut out))?;
    out.flush()?;
    Ok(())
}

/// Prints help or what is wrong with the arguments.
fn explain(answer: &clap::Error) -> ExitCode {
    let printed = answer.print();
    if answer.use_stderr() || printed.is_err() { ExitCode::from(error::USAGE) } else { ExitCode::SUCCESS }
}
