//! `validate`: raw and pinned changes in, valid changes with their place in history out.

use processors::validate::{SERVICE, run};
use runtime::boot;
use std::process::ExitCode;

fn main() -> ExitCode {
    boot(&SERVICE, run)
}
