//! `sink`: enriched changes in, Cassandra and Redis brought up to date.

use runtime::boot;
use sinks::{SERVICE, run};
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// Records are allocated by one thread and freed by another, all the time: a fifth of all instructions under libc's own
/// (ADR 15). It serves the Kafka client as well.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    boot(&SERVICE, run)
}
