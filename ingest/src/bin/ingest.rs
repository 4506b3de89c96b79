//! `ingest`: changes in over HTTP, onto the raw topic.

use ingest::{SERVICE, run};
use runtime::boot;
use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// The same as the workers'.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    boot(&SERVICE, run)
}
