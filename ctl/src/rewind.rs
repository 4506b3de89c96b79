//! `tidewater rewind`: the only way a group's offsets are moved.
//!
//! Everything is worked out and shown before the one commit that moves the group, and nothing moves while the group
//! has members. For the raw topic each commit carries a mark, so that the records read again get the versions they
//! had (see [`mark`]).

mod mark;
mod target;

use crate::Error;
use crate::config::Log;
use crate::stage::Stage;
use crate::table::{Column, Table};
use clap::Args;
use mark::Mark;
use runtime::kafka::{Admin, Committed, Group, Watermarks};
use schemas::topics;
use std::collections::BTreeMap;
use std::io::Write;
use target::Target;

/// Moves the committed offsets of a group that has no members.
///
/// Read again, records settle as they did before: versions stay, so the final state stays. Moving forward leaves
/// records out for good and wants --skip.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater rewind enrich --to START                    everything the topic still holds
  tidewater rewind sink --to 2026-05-04T03:00:00Z       what was appended since then
  tidewater rewind validate --to 1024 --partition 3     from one record on
  tidewater rewind sink --to START --dry-run            only show the moves")]
pub(crate) struct Rewind {
    /// The group to move: validate, enrich or sink
    group: String,
    /// START, a time as 2026-05-04T03:02:01Z, or an offset
    #[arg(long, value_name = "START|TIME|OFFSET")]
    to: Target,
    /// Only this partition
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    partition: Option<i32>,
    /// The topic without its prefix, where it is not the one that the group's stage reads
    #[arg(long)]
    topic: Option<String>,
    /// Move forward too, past records that were never settled: they will not be
    #[arg(long)]
    skip: bool,
    /// Only show the moves
    #[arg(long)]
    dry_run: bool,
}

/// One partition from where it is to where it will be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Move {
    partition: i32,
    from: Option<Committed>,
    to: i64,
    /// On the raw topic.
    mark: Option<Mark>,
}

impl Rewind {
    pub(crate) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        let name = self.topic_name()?;
        let topic = log.topic(name);
        let admin = Admin::new(log.kafka())?;
        let group = Group::new(log.kafka(), &log.cluster.group(&self.group))?;
        group.refuse_if_busy().await?;
        let mut moves = self.moves(&admin, &group, &topic).await?;
        if name == topics::RAW {
            let floor = log.floor_micros()? & !7;
            check_floor(&moves, floor)?;
            let targets = moves.iter().map(|to| (to.partition, to.to)).collect::<BTreeMap<_, _>>();
            let mut marks = mark::marks_at(log, &admin, &targets, floor).await?;
            for to in &mut moves {
                to.mark = marks.remove(&to.partition);
            }
        }
        table_of(&moves).write(out)?;
        if self.dry_run {
            writeln!(out, "\nnothing was moved: --dry-run")?;
            return Ok(());
        }
        let commits = moves.iter().map(Move::commit).collect::<Vec<_>>();
        group.commit(&topic, &commits).await?;
        writeln!(out, "\n{} moved in {} partitions; start it again", self.group, commits.len())?;
        Ok(())
    }

    fn topic_name(&self) -> Result<&str, Error> {
        if let Some(topic) = &self.topic {
            return Ok(topic);
        }
        Stage::of_group(&self.group).map(Stage::topic).ok_or_else(|| {
            let group = &self.group;
            Error::Usage(format!("{group} is none of validate, enrich, sink; name the topic it reads with --topic"))
        })
    }

    async fn moves(&self, admin: &Admin, group: &Group, topic: &str) -> Result<Vec<Move>, Error> {
        let watermarks = admin.watermarks(topic).await?;
        let count = i32::try_from(watermarks.len()).unwrap_or(i32::MAX);
        if self.partition.is_some_and(|partition| partition >= count) {
            return Err(Error::Usage(format!("{topic} has partitions 0 to {}; name one of them", count - 1)));
        }
        if self.partition.is_none() && count > 1 && matches!(self.to, Target::Offset(_)) {
            return Err(Error::Usage("an offset means one record of one partition; name it with --partition".into()));
        }
        let mut since = Vec::new();
        if let Target::Time(millis) = self.to {
            since = admin.offsets_since(topic, millis).await?;
        }
        let committed = group.committed(topic, count).await?;
        let mut moves = Vec::new();
        for (index, (held, from)) in watermarks.iter().zip(committed).enumerate() {
            if self.partition.is_some_and(|only| only != held.partition) {
                continue;
            }
            let to = self.to.in_partition(held, since.get(index).copied()).map_err(Error::Usage)?;
            let step = Move { partition: held.partition, from, to, mark: None };
            step.check(held, self.skip)?;
            moves.push(step);
        }
        Ok(moves)
    }
}

impl Move {
    /// Refuses to leave records out that are there and were not settled, unless told to.
    fn check(&self, held: &Watermarks, skip: bool) -> Result<(), Error> {
        let Some(from) = &self.from else { return Ok(()) };
        let left_out = self.to.saturating_sub(from.offset.max(held.low));
        if left_out <= 0 || skip {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "partition {} would go forward from {} to {} and leave {left_out} records out for good; \
             choose an earlier place, or say --skip if they are to be left out",
            self.partition, from.offset, self.to
        )))
    }

    fn commit(&self) -> Committed {
        let metadata = self.mark.as_ref().map_or_else(String::new, |mark| mark.metadata.clone());
        Committed { partition: self.partition, offset: self.to, metadata }
    }
}

/// The floor rides in every commit of the raw topic; another one here would stop `validate` when it starts.
fn check_floor(moves: &[Move], floor: i64) -> Result<(), Error> {
    for from in moves.iter().filter_map(|step| step.from.as_ref()) {
        if let Some(theirs) = mark::floor_of(&from.metadata)
            && theirs != floor
        {
            return Err(Error::Usage(format!(
                "the commits of this group carry the floor {theirs}, not {floor}; set version.floor to what it was \
                 when the group first started"
            )));
        }
    }
    Ok(())
}

fn table_of(moves: &[Move]) -> Table {
    let mut table = Table::new(&[
        Column::Number("partition"),
        Column::Number("from"),
        Column::Number("to"),
        Column::Number("records again"),
        Column::Text("mark from"),
    ]);
    for step in moves {
        let again = step.from.as_ref().map(|from| from.offset.saturating_sub(step.to).max(0));
        table.push([
            step.partition.to_string(),
            step.from.as_ref().map_or_else(|| "never".to_owned(), |from| from.offset.to_string()),
            step.to.to_string(),
            again.map_or_else(|| "-".to_owned(), |again| again.to_string()),
            step.mark.as_ref().map_or_else(|| "-".to_owned(), |mark| mark.basis.to_string()),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::mark::Basis;
    use super::*;

    fn step(from: Option<i64>, to: i64) -> Move {
        let from = from.map(|offset| Committed { partition: 0, offset, metadata: String::new() });
        Move { partition: 0, from, to, mark: None }
    }

    const HELD: Watermarks = Watermarks { partition: 0, low: 10, high: 100 };

    #[test]
    fn going_forward_past_records_that_are_there_wants_a_word() {
        let refused = step(Some(20), 50).check(&HELD, false).unwrap_err();
        assert_eq!(refused.exit_code(), 64);
        assert!(refused.to_string().contains("leave 30 records out"), "{refused}");
        assert!(step(Some(20), 50).check(&HELD, true).is_ok());
    }

    #[test]
    fn going_forward_past_records_that_retention_took_is_no_loss_of_ours() {
        assert!(step(Some(3), 10).check(&HELD, false).is_ok());
    }

    #[test]
    fn a_group_that_never_committed_may_start_anywhere() {
        assert!(step(None, 100).check(&HELD, false).is_ok());
    }

    #[test]
    fn a_group_with_another_floor_is_left_alone() {
        let mut raw = step(Some(20), 10);
        if let Some(from) = &mut raw.from {
            from.metadata = "v1:8000:800".into();
        }
        assert!(check_floor(std::slice::from_ref(&raw), 800).is_ok());
        assert!(check_floor(&[raw], 808).unwrap_err().to_string().contains("the floor 800, not 808"));
    }

    #[test]
    fn only_commits_of_the_raw_topic_carry_a_mark() {
        assert_eq!(step(Some(20), 10).commit().metadata, "");
        let mark = Some(Mark { metadata: "v1:8000:800".into(), basis: Basis::Floor });
        assert_eq!(Move { mark, ..step(Some(20), 10) }.commit().metadata, "v1:8000:800");
    }
}
