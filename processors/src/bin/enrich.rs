//! `enrich`: valid changes in, changes with their derived fields out.

use processors::enrich::{SERVICE, run};
use runtime::boot;
use std::process::ExitCode;

fn main() -> ExitCode {
    boot(&SERVICE, run)
}
