//! `tidewater tail`: enriched changes as they come, as JSON lines.

use crate::Error;
use crate::instant::Since;
use crate::world::Log;
use clap::Args;
use runtime::clock::Clock;
use runtime::offsets::Span;
use runtime::record::Record;
use schemas::json::Written;
use schemas::{Change, Codec, Draft, Profile, headers, topics};
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::str::FromStr;
use std::sync::Arc;

/// Follows the enriched changes: one JSON object a line, as they come.
///
/// What data teams read: at least once, of one user in order, patches and replays into the past included. Keep per user and
/// field the value of the largest `version`; an upsert or delete clears what is at or below it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater tail --data ./tidewater-data                     from now on
  tidewater tail --from START --limit 10                     the first ten there are
  tidewater tail --from 15m --user ada | jq -c '[.version, .op]'
It ends when it is interrupted, when its reader leaves, or with --limit or --end")]
pub(crate) struct Tail {
    /// START, a time as 2026-05-04T03:02:01Z, or how long ago: 90s, 15m, 36h; from now on if not given
    #[arg(long, value_name = "START|TIME")]
    from: Option<From>,
    /// Only this user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// End after so many
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// End where the log ends now
    #[arg(long)]
    end: bool,
}

#[derive(Clone, Copy, Debug)]
enum From {
    Start,
    Since(Since),
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "START" { Ok(Self::Start) } else { text.parse().map(Self::Since) }
    }
}

impl Tail {
    pub(crate) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        let profile = Arc::new(Profile::embedded()?);
        let codec = Codec::new(profile.clone());
        let mut left = self.limit.unwrap_or(u64::MAX);
        let mut next = self.first(log).await?;
        while left > 0 {
            let held = log.watermarks(topics::ENRICHED).await?;
            let mut spans = Vec::new();
            for held in &held {
                let from = next.entry(held.partition).or_insert(held.low);
                *from = (*from).max(held.low);
                spans.push(Span { partition: held.partition, from: *from, to: held.high });
            }
            let mut records = log.records(topics::ENRICHED, &spans)?;
            while left > 0 {
                let Some(record) = records.next().await? else { break };
                next.insert(record.place.partition, record.offset.0 + 1);
                if self.wants(&record) {
                    write(&codec, &profile, &record, out)?;
                    left -= 1;
                }
            }
            out.flush()?;
            if self.end {
                break;
            }
            if left > 0 {
                let seen: Vec<i64> = held.iter().map(|held| held.high).collect();
                log.grown(topics::ENRICHED, &seen).await?;
            }
        }
        Ok(())
    }

    /// The offset that is next in each partition.
    async fn first(&self, log: &Log) -> Result<BTreeMap<i32, i64>, Error> {
        let held = log.watermarks(topics::ENRICHED).await?;
        let of = |each: fn(&runtime::offsets::Watermarks) -> i64| {
            held.iter().map(|held| (held.partition, each(held))).collect::<BTreeMap<_, _>>()
        };
        Ok(match self.from {
            Some(From::Start) => of(|held| held.low),
            None => of(|held| held.high),
            Some(From::Since(since)) => {
                let since_ms = since.millis(Clock::system().now_ms());
                let offsets = log.offsets_since(topics::ENRICHED, since_ms).await?;
                held.iter().map(|held| held.partition).zip(offsets).collect()
            }
        })
    }

    fn wants(&self, record: &Record) -> bool {
        self.user.as_ref().is_none_or(|user| record.key.as_deref() == Some(user.as_bytes()))
    }
}

fn write(codec: &Codec, profile: &Profile, record: &Record, out: &mut dyn Write) -> Result<(), Error> {
    let origin = record.headers.last(headers::ORIGIN).map(|text| &text[..]);
    let change = codec.decode_own(record.value.as_deref(), origin).map_err(|_| {
        let (place, offset) = (&record.place, record.offset);
        Error::Failed(format!("{place}/{offset} does not read as a change of this release: use the newer `tidewater`"))
    })?;
    let draft = draft_of(change);
    serde_json::to_writer(&mut *out, &Written { profile, draft: &draft }).map_err(io::Error::from)?;
    out.write_all(b"\n")?;
    Ok(())
}

fn draft_of(change: Change) -> Draft {
    let Change { id, tenant, user_id, op, set, unset, occurred_at, source, version, .. } = change;
    Draft {
        id: Some(id),
        tenant: Some(tenant.as_str().to_owned()),
        user_id: user_id.as_str().to_owned(),
        op,
        set: Some(set),
        unset,
        occurred_at,
        source,
        version: Some(version.get()),
    }
}
