//! `tidewater`: the command that people run the pipeline with.

use std::process::ExitCode;
use tikv_jemallocator::Jemalloc;

/// As the workers have it: `standalone` is all of them.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    ctl::run(std::env::args_os())
}
