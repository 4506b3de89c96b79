//! `enrich`: valid changes in, changes with their derived fields out.

use processors::enrich::run;
use runtime::{Service, boot};
use std::process::ExitCode;

const SERVICE: Service = Service {
    name: "enrich",
    about: "Fills in what the pipeline derives, for the sink and for data teams.",
    admin_port: 7102,
};

fn main() -> ExitCode {
    boot(&SERVICE, run)
}
