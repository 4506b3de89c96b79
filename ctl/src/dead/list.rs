//! `tidewater dead list`: the newest dead letters, one a line.

use super::letter::{Letter, shown};
use crate::Error;
use crate::instant::{Since, rfc3339};
use crate::stage::Stage;
use crate::table::{Column, Table};
use crate::world::Log;
use clap::Args;
use runtime::clock::Clock;
use runtime::offsets::Span;
use schemas::{RejectCode, topics};
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::Write;

/// Lists the newest dead letters, oldest first.
///
/// Keys are user ids and are left out unless asked for; values are never listed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater dead list                               the newest 50
  tidewater dead list --since 1h --stage sink       what the sink refused in the last hour
  tidewater dead list --code too-large --limit 5
  tidewater dead list --json | jq -r .code | sort | uniq -c
Each code has a page with cause and cure: docs/rejects/<code>.md")]
pub(crate) struct List {
    /// Only what this stage refused
    #[arg(long, value_enum)]
    stage: Option<Stage>,
    /// Only this code
    #[arg(long, value_parser = parse_code)]
    code: Option<RejectCode>,
    /// Only letters since a time, as 2026-05-04T03:02:01Z, or as how long ago: 90s, 15m, 36h
    #[arg(long)]
    since: Option<Since>,
    /// At most so many, the newest
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    limit: u32,
    /// Show each record's key, which is a user id
    #[arg(long)]
    show_key: bool,
    /// One JSON object a line instead of a table
    #[arg(long)]
    json: bool,
}

/// A letter and its key, if that was asked for; ordered by age.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    letter: Letter,
    key: Option<Value>,
}

impl List {
    pub(super) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        let mut spans = Vec::new();
        for held in log.watermarks(topics::DEAD).await? {
            spans.push(Span { partition: held.partition, from: held.low, to: held.high });
        }
        if let Some(since) = self.since {
            let firsts = log.offsets_since(topics::DEAD, since.millis(Clock::system().now_ms())).await?;
            for (span, first) in spans.iter_mut().zip(firsts) {
                span.from = first;
            }
        }
        let mut records = log.records(topics::DEAD, &spans)?;
        let mut newest = Newest::new(self.limit);
        while let Some(record) = records.next().await? {
            let letter = Letter::of(&record);
            if self.wants(&letter) {
                let key = self.show_key.then(|| shown(record.key.as_deref()));
                newest.push(Entry { letter, key });
            }
        }
        self.write(newest, out)
    }

    fn wants(&self, letter: &Letter) -> bool {
        self.stage.is_none_or(|stage| stage.as_str() == letter.stage)
            && self.code.is_none_or(|code| code.as_str() == letter.code)
    }

    fn write(&self, newest: Newest, out: &mut dyn Write) -> Result<(), Error> {
        let left_out = newest.left_out;
        let entries = newest.into_oldest_first();
        if self.json {
            for entry in entries {
                let mut object = entry.letter.to_json();
                object.extend(entry.key.map(|key| ("key".to_owned(), key)));
                writeln!(out, "{}", Value::Object(object))?;
            }
            return Ok(());
        }
        table_of(&entries, self.show_key).write(out)?;
        if left_out > 0 {
            writeln!(out, "\n{left_out} older ones are left out; see more with --limit, fewer with --code or --since")?;
        }
        Ok(())
    }
}

/// The newest entries, as many as may be kept.
#[derive(Debug)]
struct Newest {
    /// The oldest on top, to be the first to go.
    kept: BinaryHeap<Reverse<Aged>>,
    limit: usize,
    left_out: u64,
}

/// Ordered by time, then by place.
#[derive(Debug, PartialEq, Eq)]
struct Aged(Entry);

impl Newest {
    fn new(limit: u32) -> Self {
        Self { kept: BinaryHeap::new(), limit: usize::try_from(limit).unwrap_or(usize::MAX), left_out: 0 }
    }

    fn push(&mut self, entry: Entry) {
        self.kept.push(Reverse(Aged(entry)));
        if self.kept.len() > self.limit {
            self.kept.pop();
            self.left_out += 1;
        }
    }

    fn into_oldest_first(self) -> Vec<Entry> {
        let mut entries = self.kept.into_iter().map(|Reverse(Aged(entry))| entry).collect::<Vec<_>>();
        entries.sort_by_key(Entry::age);
        entries
    }
}

impl Entry {
    fn age(&self) -> (i64, i32, i64) {
        (self.letter.at_ms, self.letter.partition, self.letter.offset)
    }
}

impl Ord for Aged {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.age().cmp(&other.0.age())
    }
}

impl PartialOrd for Aged {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn table_of(entries: &[Entry], show_key: bool) -> Table {
    let mut columns = vec![
        Column::Text("letter"),
        Column::Text("at"),
        Column::Text("stage"),
        Column::Text("code"),
        Column::Text("field"),
        Column::Text("record"),
        Column::Number("version"),
    ];
    if show_key {
        columns.push(Column::Text("key"));
    }
    let mut table = Table::new(&columns);
    for Entry { letter, key } in entries {
        let cells = [
            format!("{}/{}", letter.partition, letter.offset),
            rfc3339(letter.at_ms),
            letter.stage.clone(),
            letter.code.clone(),
            letter.field.clone(),
            letter.place.clone(),
            letter.version.clone(),
        ];
        let key = key.as_ref().map(|key| key.as_str().map_or_else(|| "null".to_owned(), str::to_owned));
        table.push(cells.into_iter().chain(key));
    }
    table
}

pub(super) fn parse_code(text: &str) -> Result<RejectCode, String> {
    RejectCode::ALL.iter().copied().find(|code| code.as_str() == text).ok_or_else(|| {
        let codes = RejectCode::ALL.iter().map(|code| code.as_str()).collect::<Vec<_>>();
        format!("the codes are {}", codes.join(", "))
    })
}
