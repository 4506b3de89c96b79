//! `tidewater topics`: the topics of an installation, made and kept what they should be.

use crate::Error;
use crate::config::Log;
use crate::installation::Installation;
use crate::table::{Column, Table};
use clap::{Args, Subcommand};
use runtime::kafka::{Admin, Plan, Step, TopicSpec};
use schemas::topics::{self, Replication, Topic};
use std::io::Write;

/// Looks after the topics.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  tidewater topics diff                   what is missing or different
  tidewater topics apply                  make it so")]
pub(crate) enum Verb {
    Diff(Diff),
    Apply(Apply),
}

/// Shows what is missing or different, and changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater topics diff
  tidewater topics diff --profile local
Exit codes: 0 every topic is as it should be, 1 not so")]
pub(crate) struct Diff {
    /// How much a loss of brokers may cost: 3 copies, or 1 on a machine of your own
    #[arg(long, value_enum, default_value = "production")]
    profile: Installation,
    /// Partitions of each topic; kafka.partitions if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: Option<i32>,
}

/// Creates the topics that are missing and alters the settings that differ.
///
/// Refuses what would harm records already there: another partition count, another kind of timestamp.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater topics apply --dry-run                  only show what is missing or different
  tidewater topics apply                            3 copies, for production
  tidewater topics apply --profile local            1 copy, for a single broker")]
pub(crate) struct Apply {
    /// How much a loss of brokers may cost: 3 copies, or 1 on a machine of your own
    #[arg(long, value_enum, default_value = "production")]
    profile: Installation,
    /// Partitions of each topic, fixed for its life; kafka.partitions if not given
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: Option<i32>,
    /// Only show the plan
    #[arg(long)]
    dry_run: bool,
}

impl Verb {
    pub(crate) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Apply(apply) => apply.execute(log, out).await,
            Self::Diff(Diff { profile, partitions }) => {
                let apply = Apply { profile: *profile, partitions: *partitions, dry_run: true };
                match apply.plan(log, &Admin::new(log.kafka())?, out).await?.is_done() {
                    true => Ok(()),
                    false => {
                        Err(Error::Unproven("some topics are not as they should be: tidewater topics apply".into()))
                    }
                }
            }
        }
    }
}

impl Apply {
    async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        let admin = Admin::new(log.kafka())?;
        let plan = self.plan(log, &admin, out).await?;
        if plan.is_done() {
            return Ok(());
        }
        if self.dry_run {
            writeln!(out, "\nnothing was changed: --dry-run")?;
            return Ok(());
        }
        admin.apply(&plan).await?;
        writeln!(out, "\ndone")?;
        Ok(())
    }

    /// What there is to do, shown.
    async fn plan(&self, log: &Log, admin: &Admin, out: &mut dyn Write) -> Result<Plan, Error> {
        let specs = self.specs(log);
        let names = specs.iter().map(|spec| spec.name.clone()).collect::<Vec<_>>();
        let found = admin.describe(&names).await?;
        let plan = Plan::between(&specs, &found).map_err(runtime::kafka::Error::from)?;
        table_of(&plan).write(out)?;
        if plan.is_done() {
            writeln!(out, "\nevery topic is as it should be")?;
        }
        Ok(plan)
    }

    fn specs(&self, log: &Log) -> Vec<TopicSpec> {
        let replication = match self.profile {
            Installation::Production => Replication::CLUSTER,
            Installation::Local => Replication::LOCAL,
        };
        let spec = |topic: &Topic| TopicSpec {
            name: log.topic(topic.name),
            partitions: self.partitions.unwrap_or(log.cluster.partitions),
            replication: replication.factor,
            configs: topic.settings(replication).map(|(key, value)| (key.to_owned(), value)).into(),
        };
        topics::ALL.iter().map(spec).collect()
    }
}

fn table_of(plan: &Plan) -> Table {
    let mut table = Table::new(&[
        Column::Text("topic"),
        Column::Text("step"),
        Column::Text("setting"),
        Column::Text("is"),
        Column::Text("will be"),
    ]);
    for step in plan.steps() {
        match step {
            Step::Create(spec) => {
                let row = |setting: &str, value: String| {
                    [spec.name.clone(), "create".to_owned(), setting.to_owned(), String::new(), value]
                };
                table.push(row("partitions", spec.partitions.to_string()));
                table.push(row("copies", spec.replication.to_string()));
                for (key, value) in &spec.configs {
                    table.push(row(key, value.clone()));
                }
            }
            Step::Alter { topic, differences, .. } => {
                for difference in differences {
                    let is = difference.is.clone().unwrap_or_else(|| "-".to_owned());
                    let (key, wanted) = (difference.key.clone(), difference.wanted.clone());
                    table.push([topic.clone(), "alter".to_owned(), key, is, wanted]);
                }
            }
            Step::Keep { topic } => table.push([topic.clone(), "keep".to_owned()]),
        }
    }
    table
}
