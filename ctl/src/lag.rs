//! `tidewater lag`: how far behind each stage is, in records and in time.

use crate::Error;
use crate::error::FAILED;
use crate::instant::age;
use crate::stage::Stage;
use crate::table::{Column, Table};
use crate::world::Log;
use clap::Args;
use runtime::clock::Clock;
use runtime::offsets::{Committed, Span, Watermarks};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

/// Between two looks of `--watch`.
const EVERY: Duration = Duration::from_secs(2);

/// Home, and clear what is below: the next look overwrites the last one.
const OVERWRITE: &str = "\u{1b}[H\u{1b}[J";

/// Shows how far behind each stage is: records not yet settled, and the age of the oldest of them.
///
/// A partition that was never committed counts from its first record.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater lag                     every partition of every topic and stage, once
  tidewater lag --stage sink        one stage
  tidewater lag --watch             again every 2 seconds, until interrupted
  tidewater lag --json | jq 'map(.records) | add'")]
pub(crate) struct Lag {
    /// Only this stage
    #[arg(long, value_enum)]
    stage: Option<Stage>,
    /// Look again every 2 seconds, until interrupted
    #[arg(long)]
    watch: bool,
    /// One JSON array instead of a table; with --watch, one a line
    #[arg(long)]
    json: bool,
}

/// One partition of one topic that a stage reads.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Behind {
    stage: Stage,
    /// Without the prefix.
    topic: &'static str,
    partition: i32,
    committed: Option<i64>,
    high: i64,
    /// Offsets between the place of the group and the end.
    records: i64,
    /// Since the broker appended the first record that is not settled.
    oldest_ms: Option<i64>,
}

impl Lag {
    pub(crate) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        loop {
            let behind = match self.look(log).await {
                // What is watched for may well be an outage: look on until it is over.
                Err(error) if self.watch && error.exit_code() == FAILED => {
                    drop(writeln!(io::stderr(), "{}; looking again", error.chain()));
                    tokio::time::sleep(EVERY).await;
                    continue;
                }
                looked => looked?,
            };
            if self.watch && !self.json {
                write!(out, "{OVERWRITE}")?;
            }
            if self.json {
                writeln!(out, "{}", Value::Array(behind.iter().map(Behind::to_json).collect()))?;
            } else {
                table_of(&behind).write(out)?;
                writeln!(out, "\n{}", summary_of(&behind))?;
            }
            out.flush()?;
            if !self.watch {
                return Ok(());
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&self, log: &Log) -> Result<Vec<Behind>, Error> {
        let mut behind = Vec::new();
        for stage in log.stages().iter().filter(|stage| self.stage.is_none_or(|only| only == **stage)) {
            for name in stage.topics() {
                let watermarks = log.watermarks(name).await?;
                let committed = log.committed(stage.as_str(), name).await?;
                let mut rows = rows_of(*stage, name, &watermarks, &committed);
                let oldest = oldest_of(log, name, &rows).await?;
                let now = Clock::system().now_ms();
                for row in &mut rows {
                    row.oldest_ms = oldest.get(&row.partition).map(|at| now.saturating_sub(*at).max(0));
                }
                behind.extend(rows);
            }
        }
        Ok(behind)
    }
}

impl Behind {
    fn to_json(&self) -> Value {
        json!({
            "stage": self.stage.as_str(),
            "topic": self.topic,
            "partition": self.partition,
            "committed": self.committed,
            "end": self.high,
            "records": self.records,
            "oldest_ms": self.oldest_ms,
        })
    }
}

/// Ages are left open: they take a look at the records.
fn rows_of(
    stage: Stage,
    topic: &'static str,
    watermarks: &[Watermarks],
    committed: &[Option<Committed>],
) -> Vec<Behind> {
    let mut rows = Vec::with_capacity(watermarks.len());
    for (held, committed) in watermarks.iter().zip(committed) {
        let committed = committed.as_ref().map(|committed| committed.offset);
        // Retention may have taken what the group had still to read: those records cannot be behind any more.
        let next = committed.unwrap_or(held.low).max(held.low);
        rows.push(Behind {
            stage,
            topic,
            partition: held.partition,
            committed,
            high: held.high,
            records: held.high.saturating_sub(next).max(0),
            oldest_ms: None,
        });
    }
    rows
}

/// When the first unsettled record of each partition that is behind was appended.
async fn oldest_of(log: &Log, name: &str, rows: &[Behind]) -> Result<BTreeMap<i32, i64>, Error> {
    let mut spans = Vec::new();
    for row in rows.iter().filter(|row| row.records > 0) {
        spans.push(Span { partition: row.partition, from: row.high - row.records, to: row.high });
    }
    let mut records = log.records(name, &spans)?;
    let mut oldest = BTreeMap::new();
    while oldest.len() < spans.len() {
        let Some(record) = records.next().await? else { break };
        if let Some(at) = record.timestamp.millis() {
            oldest.entry(record.place.partition).or_insert(at);
        }
    }
    Ok(oldest)
}

fn table_of(behind: &[Behind]) -> Table {
    let mut table = Table::new(&[
        Column::Text("stage"),
        Column::Text("topic"),
        Column::Number("partition"),
        Column::Number("committed"),
        Column::Number("end"),
        Column::Number("records"),
        Column::Number("oldest"),
    ]);
    for row in behind {
        table.push([
            row.stage.to_string(),
            row.topic.to_owned(),
            row.partition.to_string(),
            row.committed.map_or_else(|| "never".to_owned(), |offset| offset.to_string()),
            row.high.to_string(),
            row.records.to_string(),
            row.oldest_ms.map_or_else(|| "-".to_owned(), age),
        ]);
    }
    table
}

/// `validate 3 records, oldest 2.0 s; enrich 0 records; …`
fn summary_of(behind: &[Behind]) -> String {
    let mut parts = Vec::new();
    for stage in Stage::ALL {
        let rows = behind.iter().filter(|row| row.stage == stage).collect::<Vec<_>>();
        if rows.is_empty() {
            continue;
        }
        let records = rows.iter().map(|row| row.records).sum::<i64>();
        let oldest = rows.iter().filter_map(|row| row.oldest_ms).max();
        let oldest = oldest.map_or_else(String::new, |oldest| format!(", oldest {}", age(oldest)));
        parts.push(format!("{stage} {records} records{oldest}"));
    }
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(partition: i32, low: i64, high: i64) -> Watermarks {
        Watermarks { partition, low, high }
    }

    fn committed(partition: i32, offset: i64) -> Option<Committed> {
        Some(Committed { partition, offset, metadata: String::new() })
    }

    #[test]
    fn a_partition_counts_from_its_commit_or_from_what_is_left_to_read() {
        let watermarks = [held(0, 0, 10), held(1, 5, 10), held(2, 5, 10), held(3, 0, 0)];
        let rows = rows_of(Stage::Enrich, "t", &watermarks, &[committed(0, 4), None, committed(2, 1), committed(3, 0)]);
        assert_eq!(rows.iter().map(|row| row.records).collect::<Vec<_>>(), [6, 5, 5, 0]);
    }

    #[test]
    fn the_table_says_never_where_nothing_was_committed() {
        let watermarks = [held(0, 0, 1_200), held(1, 0, 7)];
        let mut rows = rows_of(Stage::Validate, "changes.raw.v1", &watermarks, &[committed(0, 1_200), None]);
        rows[1].oldest_ms = Some(2_000);
        let mut out = Vec::new();
        table_of(&rows).write(&mut out).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap(), @r"
        stage     topic           partition  committed   end  records  oldest
        validate  changes.raw.v1          0       1200  1200        0       -
        validate  changes.raw.v1          1      never     7        7   2.0 s
        ");
        assert_eq!(summary_of(&rows), "validate 7 records, oldest 2.0 s");
    }
}
