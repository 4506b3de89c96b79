//! `sink`: enriched changes in, Cassandra and Redis brought up to date.

use runtime::{Service, boot};
use sinks::run;
use std::process::ExitCode;

const SERVICE: Service = Service {
    name: "sink",
    about: "Writes changes to Cassandra, then takes the users out of Redis.",
    admin_port: 7103,
};

fn main() -> ExitCode {
    boot(&SERVICE, run)
}
