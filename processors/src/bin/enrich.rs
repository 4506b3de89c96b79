//! `enrich`: valid changes in, changes with their derived fields out.

use processors::enrich::{SERVICE, run};
use runtime::boot;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// Records are allocated by one thread and freed by another, all the time: a fifth of all instructions under libc's own
/// (ADR 15). It serves the Kafka client as well.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    boot(&SERVICE, run)
}
