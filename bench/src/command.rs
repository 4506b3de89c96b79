//! What `tidewater-bench` is asked for, and how it says things.

use crate::{bare, count, load, plot, run, standalone, watch};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// What went wrong, in words for whoever started it.
pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Load, drains and measurements, each by itself or all together.
#[derive(Debug, Parser)]
#[command(name = "tidewater-bench", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Everything, on the servers that the environment names: what `make bench` does
    Run(run::Run),
    /// Writes made-up changes to a raw topic, as fast as it can or at a rate
    Load(load::Load),
    /// One bare client loop over a part of a topic
    Bare(bare::Bare),
    /// Any consumer of the log, ours or another: its CPU, its lag, and whether the rows are right in the end
    Watch(watch::Watch),
    /// The whole pipeline in one process on one disk
    Standalone(standalone::Standalone),
    /// A worker without its clients, for whoever counts what it does
    Work(count::Work),
    /// Draws the plots of a file of results, and holds it to the budgets
    Plot(plot::Plot),
}

/// Does what was asked for; 70 if it cannot be done.
pub(crate) async fn execute(arguments: Arguments) -> ExitCode {
    let outcome = match arguments.verb {
        Verb::Run(run) => Box::pin(run.execute()).await,
        Verb::Load(load) => load.execute().await,
        Verb::Bare(bare) => Box::pin(bare.execute()).await,
        Verb::Watch(watch) => Box::pin(watch.execute()).await,
        Verb::Standalone(standalone) => Box::pin(standalone.execute()).await,
        Verb::Work(work) => {
            work.execute();
            Ok(())
        }
        Verb::Plot(plot) => plot.execute(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::from(70)
        }
    }
}

/// Progress and errors; results go to standard output.
#[allow(clippy::print_stderr, reason = "this is a program for people at a terminal")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}

#[allow(clippy::print_stdout, reason = "the result of the program")]
pub(crate) fn show(text: &str) {
    println!("{text}");
}
