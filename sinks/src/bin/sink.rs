//! `sink`: enriched changes in, Cassandra and Redis brought up to date.

use runtime::boot;
use sinks::{SERVICE, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    boot(&SERVICE, run)
}
