//! `tidewater`: the command that people run the pipeline with.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctl::run(std::env::args_os())
}
