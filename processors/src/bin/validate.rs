//! `validate`: raw changes in, valid changes with their place in history out.

use processors::validate::run;
use runtime::{Service, boot};
use std::process::ExitCode;

const SERVICE: Service = Service {
    name: "validate",
    about: "Gives raw changes their place in history and lets pass those that are well formed.",
    admin_port: 7101,
};

fn main() -> ExitCode {
    boot(&SERVICE, run)
}
