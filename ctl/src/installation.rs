//! How much the loss of servers may cost: an installation of several, or one machine.

use clap::ValueEnum;

/// Decides how many copies new topics and keyspaces have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Installation {
    Production,
    Local,
}
