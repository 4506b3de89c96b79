//! `tidewater migrate`: the table of profiles, made and kept what the profile's schema says.

use crate::Error;
use crate::config::Store;
use crate::installation::Installation;
use clap::Args;
use std::io::Write;
use store::cql::{Plan, Replication, Session};

/// Creates the keyspace and the table, and adds columns for new fields.
///
/// Only ever adds. What cannot be cured by adding is told, all of it at once, and nothing is changed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater migrate --dry-run           only show the statements
  tidewater migrate                     3 copies in the local data centre
  tidewater migrate --copies east=3 --copies west=3
  tidewater migrate --profile local     1 copy, for a single node")]
pub(crate) struct Migrate {
    /// How much a loss of nodes may cost a new keyspace: 3 copies, or 1 on a machine of your own
    #[arg(long, value_enum, default_value = "production", conflicts_with = "copies")]
    profile: Installation,
    /// Copies of a new keyspace by data centre, instead of 3 in the local one
    #[arg(long, value_name = "CENTRE=N", value_parser = parse_copies)]
    copies: Vec<(String, u8)>,
    /// Only show the statements
    #[arg(long)]
    dry_run: bool,
}

impl Migrate {
    pub(crate) async fn execute(&self, store: &Store, out: &mut dyn Write) -> Result<(), Error> {
        let profile = schemas::Profile::embedded()?;
        let session = Session::connect(&store.cassandra).await?;
        let plan = Plan::draw(&session, &profile, &self.replication(store)).await?;
        for statement in plan.statements() {
            writeln!(out, "{statement};")?;
        }
        for note in plan.notes() {
            writeln!(out, "-- {note}")?;
        }
        if plan.statements().is_empty() {
            writeln!(out, "the table is as it should be")?;
            return Ok(());
        }
        if self.dry_run {
            writeln!(out, "\nnothing was changed: --dry-run")?;
            return Ok(());
        }
        plan.apply(&session).await?;
        writeln!(out, "\ndone")?;
        Ok(())
    }

    fn replication(&self, store: &Store) -> Replication {
        if !self.copies.is_empty() {
            return Replication::new(self.copies.iter().cloned().collect());
        }
        let copies = match self.profile {
            Installation::Local => 1,
            Installation::Production => 3,
        };
        Replication::within(&store.cassandra.local_dc, copies)
    }
}

fn parse_copies(text: &str) -> Result<(String, u8), String> {
    let parsed = text.split_once('=').and_then(|(centre, copies)| {
        let copies = copies.parse().ok().filter(|copies| *copies > 0)?;
        (!centre.is_empty()).then(|| (centre.to_owned(), copies))
    });
    parsed.ok_or_else(|| "give a data centre and a number of copies, as east=3".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_name_a_data_centre_and_a_number() {
        assert_eq!(parse_copies("east=3"), Ok(("east".to_owned(), 3)));
        for wrong in ["east", "=3", "east=0", "east=many", ""] {
            assert!(parse_copies(wrong).is_err(), "{wrong}");
        }
    }
}
