//! `tidewater rewind`: the only way a group's offsets are moved.
//!
//! Everything is worked out and shown before the commits that move the group, and nothing moves while the group has
//! members. For the raw topic each commit carries a mark, so that the records read again get the versions they had (see
//! [`mark`]). Pinned records bring theirs: their commits say again which floor the group works with.

mod mark;
mod target;

use crate::Error;
use crate::stage::Stage;
use crate::table::{Column, Table};
use crate::world::Log;
use clap::Args;
use mark::Mark;
pub(crate) use mark::floor_of;
use processors::validate::Fold;
use runtime::offsets::{Committed, Watermarks};
use schemas::topics;
use std::collections::BTreeMap;
use std::io::Write;
use target::Target;

/// Moves the committed offsets of a group that has no members.
///
/// Read again, records settle as they did before: versions stay, so the final state stays. Moving forward leaves
/// records out for good and wants --skip. `validate` reads two topics: START and a time mean both.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tidewater rewind enrich --to START                    everything the topic still holds
  tidewater rewind sink --to 2026-05-04T03:00:00Z       what was appended since then
  tidewater rewind validate --to 1024 --partition 3     from one record of the raw topic on
  tidewater rewind validate --to START --topic changes.pinned.v1
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
    /// Only this topic, without its prefix; one that no stage reads is moved, too
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
    /// Without the prefix.
    topic: String,
    partition: i32,
    from: Option<Committed>,
    to: i64,
    /// On the raw topic.
    mark: Option<Mark>,
    /// What is committed beside the offset where there is no mark.
    text: String,
}

impl Rewind {
    pub(crate) async fn execute(&self, log: &Log, out: &mut dyn Write) -> Result<(), Error> {
        let names = self.topic_names()?;
        log.refuse_if_busy(&self.group).await?;
        let mut all = Vec::new();
        for name in &names {
            let mut moves = self.moves(log, name).await?;
            complete(log, &mut moves).await?;
            all.push((*name, moves));
        }
        table_of(all.iter().flat_map(|(_, moves)| moves)).write(out)?;
        if self.dry_run {
            writeln!(out, "\nnothing was moved: --dry-run")?;
            return Ok(());
        }
        let mut count = 0;
        for (name, moves) in &all {
            let commits = moves.iter().map(Move::commit).collect::<Vec<_>>();
            log.commit(&self.group, name, &commits).await?;
            count += commits.len();
        }
        writeln!(out, "\n{} moved in {count} partitions; start it again", self.group)?;
        Ok(())
    }

    /// Without the prefix.
    fn topic_names(&self) -> Result<Vec<&str>, Error> {
        if let Some(topic) = &self.topic {
            return Ok(vec![topic]);
        }
        let stage = Stage::of_group(&self.group).ok_or_else(|| {
            let group = &self.group;
            Error::Usage(format!("{group} is none of validate, enrich, sink; name the topic it reads with --topic"))
        })?;
        // An offset means one record, and so one topic.
        let count = if matches!(self.to, Target::Offset(_)) { 1 } else { usize::MAX };
        Ok(stage.topics().iter().take(count).copied().collect())
    }

    async fn moves(&self, log: &Log, name: &str) -> Result<Vec<Move>, Error> {
        let topic = &log.topic(name);
        let watermarks = log.watermarks(name).await?;
        let count = i32::try_from(watermarks.len()).unwrap_or(i32::MAX);
        if self.partition.is_some_and(|partition| partition >= count) {
            return Err(Error::Usage(format!("{topic} has partitions 0 to {}; name one of them", count - 1)));
        }
        if self.partition.is_none() && count > 1 && matches!(self.to, Target::Offset(_)) {
            return Err(Error::Usage("an offset means one record of one partition; name it with --partition".into()));
        }
        let mut since = Vec::new();
        if let Target::Time(millis) = self.to {
            since = log.offsets_since(name, millis).await?;
        }
        let committed = log.committed(&self.group, name).await?;
        let mut moves = Vec::new();
        for (index, (held, from)) in watermarks.iter().zip(committed).enumerate() {
            if self.partition.is_some_and(|only| only != held.partition) {
                continue;
            }
            let to = self.to.in_partition(held, since.get(index).copied()).map_err(Error::Usage)?;
            let (topic, text) = (name.to_owned(), String::new());
            let step = Move { topic, partition: held.partition, from, to, mark: None, text };
            step.check(held, self.skip)?;
            moves.push(step);
        }
        Ok(moves)
    }
}

/// Adds what the commits of `validate` carry beside the offset; those of the others carry nothing.
async fn complete(log: &Log, moves: &mut [Move]) -> Result<(), Error> {
    let Some(name) = moves.first().map(|step| step.topic.clone()) else { return Ok(()) };
    if name != topics::RAW && name != topics::PINNED {
        return Ok(());
    }
    let floor = log.floor_micros()? & !7;
    check_floor(moves, floor)?;
    if name == topics::PINNED {
        moves.iter_mut().for_each(|step| step.text = Fold::new(floor).first());
        return Ok(());
    }
    let targets = moves.iter().map(|to| (to.partition, to.to)).collect::<BTreeMap<_, _>>();
    let mut marks = mark::marks_at(log, &targets, floor).await?;
    for to in moves {
        to.mark = marks.remove(&to.partition);
    }
    Ok(())
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
            "{}/{} would go forward from {} to {} and leave {left_out} records out for good; choose an earlier place, \
             or say --skip if they are to be left out",
            self.topic, self.partition, from.offset, self.to
        )))
    }

    fn commit(&self) -> Committed {
        let metadata = self.mark.as_ref().map_or(&self.text, |mark| &mark.metadata).clone();
        Committed { partition: self.partition, offset: self.to, metadata }
    }
}

/// The floor rides in every commit of `validate`; another one here would stop `validate` when it starts.
fn check_floor(moves: &[Move], floor: i64) -> Result<(), Error> {
    for from in moves.iter().filter_map(|step| step.from.as_ref()) {
        if let Some(theirs) = floor_of(&from.metadata)
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

fn table_of<'m>(moves: impl Iterator<Item = &'m Move>) -> Table {
    let mut table = Table::new(&[
        Column::Text("topic"),
        Column::Number("partition"),
        Column::Number("from"),
        Column::Number("to"),
        Column::Number("records again"),
        Column::Text("mark from"),
    ]);
    for step in moves {
        let again = step.from.as_ref().map(|from| from.offset.saturating_sub(step.to).max(0));
        table.push([
            step.topic.clone(),
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
        Move { topic: topics::RAW.to_owned(), partition: 0, from, to, mark: None, text: String::new() }
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
    fn validate_moves_in_both_its_topics_unless_an_offset_or_a_topic_is_named() {
        let names = |to: &str, topic: Option<&str>| {
            let (group, to, topic) = ("validate".to_owned(), to.parse().unwrap(), topic.map(str::to_owned));
            let rewind = Rewind { group, to, partition: None, topic, skip: false, dry_run: true };
            rewind.topic_names().unwrap().join(" ")
        };
        assert_eq!(names("START", None), "changes.raw.v1 changes.pinned.v1");
        assert_eq!(names("2026-05-04T00:00:00Z", None), "changes.raw.v1 changes.pinned.v1");
        assert_eq!(names("7", None), "changes.raw.v1");
        assert_eq!(names("7", Some("changes.pinned.v1")), "changes.pinned.v1");
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
    fn only_commits_of_validate_carry_a_text_and_only_those_of_the_raw_topic_a_mark() {
        assert_eq!(step(Some(20), 10).commit().metadata, "");
        let text = Fold::new(800).first();
        assert_eq!(Move { text: text.clone(), ..step(Some(20), 10) }.commit().metadata, text);
        let mark = Some(Mark { metadata: "v1:8000:800".into(), basis: Basis::Floor });
        assert_eq!(Move { mark, ..step(Some(20), 10) }.commit().metadata, "v1:8000:800");
    }
}
