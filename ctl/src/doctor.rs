//! `tidewater doctor`: whether everything an installation stands on is as it must be, and what to do where it is not.

mod data;
#[cfg(feature = "servers")]
mod servers;

use crate::Error;
use crate::instant::age;
use crate::table::{Column, Table};
use crate::world::{Log, Target};
use clap::Args;
use runtime::clock::Clock;
use runtime::offsets::Span;
use schemas::{RejectCode, headers, topics};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;

/// Looks at everything an installation stands on, and says what to do.
///
/// On servers: brokers, topics and their settings, how long groups take to notice a death, producers that choose the wrong
/// partition, Cassandra, drift of the table, persistence of Redis, clocks. In a directory: its files, every sum of the log,
/// the store, clocks. In both: what waits for how long, and what was refused in the last day. Changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater doctor --config tidewater.toml
  tidewater doctor --data ./tidewater-data
  tidewater doctor --json | jq 'select(.state != \"ok\")'
Exit codes: 0 nothing is wrong, 1 something is, 64 asked or configured wrongly")]
pub(crate) struct Doctor {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

/// How it is with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    Ok,
    /// Works, and could be better or is not known.
    Mind,
    Wrong,
}

/// One thing that was looked at. Nothing in it is user data.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    what: &'static str,
    state: State,
    /// What is, and where it is not as it must be what to do.
    text: String,
}

/// A record that waits for longer is worth a word.
const WAITS_MS: i64 = 60_000;

/// How far a record may lie in the future of this machine's clock.
const AHEAD_MS: i64 = 1_000;

const DAY_MS: i64 = 86_400_000;

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Mind => "mind",
            Self::Wrong => "wrong",
        }
    }
}

impl Finding {
    fn ok(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: State::Ok, text: text.into() }
    }

    fn mind(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: State::Mind, text: text.into() }
    }

    fn wrong(what: &'static str, text: impl Into<String>) -> Self {
        Self { what, state: State::Wrong, text: text.into() }
    }
}

impl Doctor {
    pub(crate) async fn execute(&self, target: &Target, out: &mut dyn Write) -> Result<(), Error> {
        let findings = match target.data() {
            Some(dir) => Box::pin(data::look(target, dir)).await?,
            None => in_servers(target).await?,
        };
        if self.json {
            for Finding { what, state, text } in &findings {
                writeln!(out, "{}", json!({"what": what, "state": state.as_str(), "text": text}))?;
            }
        } else {
            let mut table = Table::new(&[Column::Text("state"), Column::Text("what"), Column::Text("")]);
            for Finding { what, state, text } in &findings {
                table.push([state.as_str().to_owned(), (*what).to_owned(), text.clone()]);
            }
            table.write(out)?;
        }
        match findings.iter().filter(|finding| finding.state == State::Wrong).count() {
            0 => Ok(()),
            count => Err(Error::Unproven(format!("{count} of these must be seen to"))),
        }
    }
}

#[cfg(feature = "servers")]
async fn in_servers(target: &Target) -> Result<Vec<Finding>, Error> {
    Box::pin(servers::look(target)).await
}

#[cfg(not(feature = "servers"))]
async fn in_servers(target: &Target) -> Result<Vec<Finding>, Error> {
    target.log().await.map(|_| Vec::new())
}

/// What both worlds are asked.
async fn of_the_log(log: &Log) -> Vec<Finding> {
    let now_ms = Clock::system().now_ms();
    let mut findings = Vec::new();
    match backlog(log, now_ms).await {
        Ok(finding) => findings.push(finding),
        Err(error) => findings.push(Finding::wrong("backlog", error.chain())),
    }
    match refused(log, now_ms).await {
        Ok(found) => findings.extend(found),
        Err(error) => findings.push(Finding::wrong("refused", error.chain())),
    }
    match newest_ms(log, topics::RAW).await {
        Ok(Some(newest)) if newest > now_ms + AHEAD_MS => findings.push(Finding::wrong(
            "clock",
            format!(
                "the newest raw record was appended {} in this machine's future: set the clocks by the same source",
                age(newest - now_ms)
            ),
        )),
        Ok(_) => findings.push(Finding::ok("clock", "no record lies in this machine's future")),
        Err(error) => findings.push(Finding::wrong("clock", error.chain())),
    }
    findings
}

/// How many records wait, and since when.
async fn backlog(log: &Log, now_ms: i64) -> Result<Finding, Error> {
    let (mut waiting, mut oldest_ms, mut stuck) = (0_i64, i64::MAX, "");
    for stage in log.stages() {
        for name in stage.topics() {
            let held = log.watermarks(name).await?;
            let committed = log.committed(stage.as_str(), name).await?;
            let mut spans = Vec::new();
            for (held, committed) in held.iter().zip(&committed) {
                let next = committed.as_ref().map_or(held.low, |committed| committed.offset.max(held.low));
                waiting += (held.high - next).max(0);
                spans.push(Span { partition: held.partition, from: next, to: held.high.min(next + 1) });
            }
            let mut records = log.records(name, &spans)?;
            while let Some(record) = records.next().await? {
                if let Some(at_ms) = record.timestamp.millis().filter(|at_ms| *at_ms < oldest_ms) {
                    (oldest_ms, stuck) = (at_ms, stage.as_str());
                }
            }
        }
    }
    let since_ms = now_ms.saturating_sub(oldest_ms).max(0);
    Ok(match waiting {
        0 => Finding::ok("backlog", "nothing waits"),
        count if since_ms < WAITS_MS => Finding::ok("backlog", format!("{count} records wait, none of them for long")),
        count => Finding::mind(
            "backlog",
            format!(
                "{count} records wait, the oldest for {} before {stuck}: is it running? its /ready says why it waits",
                age(since_ms)
            ),
        ),
    })
}

/// What was refused in the last day, by code; records in the wrong partition are their producer's fault.
async fn refused(log: &Log, now_ms: i64) -> Result<Vec<Finding>, Error> {
    let held = log.watermarks(topics::DEAD).await?;
    let firsts = log.offsets_since(topics::DEAD, now_ms - DAY_MS).await?;
    let spans: Vec<Span> =
        held.iter().zip(firsts).map(|(held, from)| Span { partition: held.partition, from, to: held.high }).collect();
    let mut by_code = BTreeMap::<String, u64>::new();
    let mut records = log.records(topics::DEAD, &spans)?;
    while let Some(record) = records.next().await? {
        let code = record.headers.last(headers::CODE).map(|code| String::from_utf8_lossy(code).into_owned());
        *by_code.entry(code.unwrap_or_default()).or_default() += 1;
    }
    let misplaced = by_code.remove(RejectCode::Misplaced.as_str()).unwrap_or(0);
    let told: Vec<String> = by_code.iter().map(|(code, count)| format!("{code} {count}")).collect();
    let refused = if told.is_empty() {
        Finding::ok("refused", "nothing in the last day")
    } else {
        let text = format!("in the last day {}: `tidewater dead list --since 1d`", told.join(", "));
        Finding::mind("refused", text)
    };
    let producers = match misplaced {
        0 => Finding::ok("producers", "every key of the last day was in its partition"),
        count => Finding::wrong(
            "producers",
            format!(
                "{count} records of the last day were not in the partition of their key: a producer uses another \
                 partitioner than murmur2_random (docs/producers)"
            ),
        ),
    };
    Ok(vec![refused, producers])
}

/// When the newest record of a topic was appended.
async fn newest_ms(log: &Log, name: &str) -> Result<Option<i64>, Error> {
    let last = |held: &runtime::offsets::Watermarks| Span {
        partition: held.partition,
        from: held.low.max(held.high - 1),
        to: held.high,
    };
    let spans: Vec<Span> = log.watermarks(name).await?.iter().map(last).collect();
    let mut records = log.records(name, &spans)?;
    let mut newest = None;
    while let Some(record) = records.next().await? {
        newest = newest.max(record.timestamp.millis());
    }
    Ok(newest)
}
