//! Measures the pipeline beside bare client loops that do the same I/O, on the same servers, in one run.
//! The unit is CPU-seconds of a process per million changes; what is compared is the ratio to the bare loop, because
//! machines differ and ratios hold. Every loop is a process of its own, so that what the system counts for it is its own.
#![allow(
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures to be read"
)]

mod bare;
mod budgets;
mod change;
mod command;
mod cost;
mod count;
mod ground;
mod latency;
mod load;
mod plot;
mod recovery;
mod report;
mod run;
mod standalone;
mod table;
mod watch;

use clap::Parser as _;
use command::{Outcome, say, show};
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// The workers' own, so that a ratio to a bare loop tells of the loop and not of its allocator.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    command::execute(command::Arguments::parse()).await
}
