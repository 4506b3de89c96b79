//! What no noise of the machine can move: instructions, and allocations.

use crate::ground::Stage;
use crate::{Outcome, say};
use ::tests::work;
use clap::Args;
use serde_json::Value;
use std::process::Stdio;
use tokio::process::Command;

/// Counts every instruction of a process, at a thirtieth of its speed.
const LAUNCHER: [&str; 4] = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"];

/// Rounds of the two runs whose difference is counted, so that a start is not.
const FEW: u64 = 2;
const MANY: u64 = 12;

/// What a worker does with changes besides reading and writing them, over and over: something to count.
#[derive(Clone, Debug, Args)]
pub(crate) struct Work {
    /// Whose
    #[arg(value_enum)]
    stage: Stage,
    /// Rounds of a thousand changes
    #[arg(long, default_value_t = 1)]
    rounds: u64,
}

impl Work {
    pub(crate) fn execute(&self) {
        let work = work::Work::default();
        for _ in 0..self.rounds {
            match self.stage {
                Stage::Validate => work.validate(),
                Stage::Enrich => work.enrich(),
                Stage::Sink => {
                    work.decode();
                    work.merge();
                }
            }
        }
    }
}

/// Instructions that a change costs a worker besides reading and writing, on libc's allocator; `None` without valgrind.
pub(crate) async fn instructions(stage: Stage) -> Outcome<Option<f64>> {
    let mut found = [0; 2];
    for (rounds, count) in [FEW, MANY].into_iter().zip(&mut found) {
        let mut command = Command::new(LAUNCHER[0]);
        command.args(&LAUNCHER[1..]).arg(std::env::current_exe()?);
        command.args(["work", stage.worker(), "--rounds", &rounds.to_string()]);
        let told = command.stdin(Stdio::null()).output().await.ok();
        let Some(found) = told.and_then(|output| counted(&String::from_utf8_lossy(&output.stderr))) else {
            say("bench: no instructions are counted, because valgrind is not installed or cannot run this");
            return Ok(None);
        };
        *count = found;
    }
    let more = found[1].checked_sub(found[0]).ok_or("more rounds took fewer instructions")?;
    let each = more as f64 / ((MANY - FEW) as f64 * work::COUNT as f64);
    say(&format!("bench: {}: {each:.0} instructions a change, its clients' apart", stage.worker()));
    Ok(Some(each))
}

/// `==7== I   refs:      1,234,567`
fn counted(words: &str) -> Option<u64> {
    words.lines().find_map(|line| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, "I", "refs:", count] => count.replace(',', "").parse().ok(),
        _ => None,
    })
}

/// Makes a worker's allocator say at its end what it was asked for: a value of `MALLOC_CONF`.
pub(crate) const TELLING: &str = "stats_print:true,stats_print_opts:Jdablxeh";

/// What was asked of the allocator from the start of a process to its end, if it was told to say so: jemalloc's statistics
/// as JSON, among the lines of its log.
pub(crate) fn allocations(words: &str) -> Option<u64> {
    let start = words.find("{\"jemalloc\":")?;
    let mut values = serde_json::Deserializer::from_str(words.get(start..)?).into_iter::<Value>();
    let told = values.next()?.ok()?;
    let merged = &told["jemalloc"]["stats.arenas"]["merged"];
    Some(merged["small"]["nrequests"].as_u64()? + merged["large"]["nrequests"].as_u64()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_found_among_the_lines_of_a_log() {
        let words = "{\"message\":\"started\"}\n==12== \n==12== I   refs:      1,234,567\n";
        assert_eq!((counted(words), allocations(words)), (Some(1_234_567), None));
        let told =
            "{\"jemalloc\":{\"stats.arenas\":{\"merged\":{\"small\":{\"nrequests\":40},\"large\":{\"nrequests\":2}}}}}";
        let words = format!("{{\"message\":\"started\"}}\n{told}\n{{\"message\":\"ended\"}}\n");
        assert_eq!((counted(&words), allocations(&words)), (None, Some(42)));
    }
}
