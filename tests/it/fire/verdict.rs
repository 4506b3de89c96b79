//! What a run has come to, for people and for `make soak`.

use super::witness::Seen;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Duration;
use tests::history::History;
use tests::installation::Installation;
use tests::stack::text_asked;

/// Of one run. Clean if nothing is lost, wrong or stale, and no commit was ever ahead.
#[derive(Debug)]
pub(super) struct Verdict {
    changes: u64,
    lost: u64,
    wrong: u64,
    stale: u64,
    ahead: u64,
    /// Rows looked for below a commit, reads of profiles, and those that the cache answered.
    looks: [u64; 3],
    told: Vec<String>,
}

impl Verdict {
    /// The installation is at rest.
    pub(super) async fn of(home: &Installation, history: &History, commits: Seen, reads: Seen, last: Seen) -> Self {
        let log = home.verdict().await;
        let rows = home.wrong(history).await;
        let told = [&log.examples, &rows, &commits.told, &reads.told, &last.told];
        Self {
            changes: log.changes,
            lost: log.lost,
            wrong: log.wrong.max(u64::try_from(rows.len()).unwrap()),
            stale: reads.violations + last.violations,
            ahead: commits.violations,
            looks: [commits.looks, reads.looks + last.looks, reads.hits + last.hits],
            told: told.into_iter().flatten().cloned().collect(),
        }
    }

    /// Says it, and writes it to the file that `FIRE_RECORD` names.
    pub(super) fn record(&self, seed: u64, faults: &BTreeMap<&str, usize>, took: Duration) {
        let [committed, reads, hits] = self.looks;
        let record = json!({
            "seed": seed, "faults": faults, "changes": self.changes,
            "lost": self.lost, "wrong": self.wrong, "stale": self.stale, "ahead": self.ahead,
            "committed_rows_read": committed, "profiles_read": reads, "cache_hits": hits,
            "seconds": took.as_secs(),
        });
        super::tell(&record.to_string());
        if let Some(path) = text_asked("FIRE_RECORD") {
            std::fs::write(path, record.to_string()).unwrap();
        }
    }

    pub(super) fn assert_clean(&self) {
        let found = [self.lost, self.wrong, self.stale, self.ahead];
        assert_eq!(found, [0; 4], "lost, wrong, stale, ahead:\n{}", self.told.join("\n"));
        assert!(self.changes > 0, "nothing was fed");
        let [committed, _, hits] = self.looks;
        assert!(
            committed > 100 && hits > 100,
            "{committed} committed rows and {hits} hits are too few to say anything"
        );
    }
}
