//! What runs went through, so that a suite can show that it went through something.

use std::ops::AddAssign;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Records written.
    pub(crate) changes: u64,
    /// Of these to pinned, by an import or a source.
    pub(crate) pinned: u64,
    /// Of these to pinned, by a replay.
    pub(crate) replayed: u64,
    /// Records whose writer waited for them.
    pub(crate) followed: u64,
    /// Records put out again.
    pub(crate) repeated: u64,
    pub(crate) taken_over: u64,
    pub(crate) crashes: u64,
    pub(crate) losses: u64,
    pub(crate) rewinds: u64,
    pub(crate) leaps: u64,
    pub(crate) purges: u64,
    /// Answers from the cache.
    pub(crate) hits: u64,
}

impl Tally {
    /// Each count, with its name.
    pub(crate) fn counts(&self) -> [(&'static str, u64); 12] {
        let Self { changes, pinned, replayed, followed, repeated, taken_over, .. } = *self;
        let Self { crashes, losses, rewinds, leaps, purges, hits, .. } = *self;
        [
            ("changes", changes),
            ("pinned", pinned),
            ("replayed", replayed),
            ("followed", followed),
            ("repeated", repeated),
            ("taken over", taken_over),
            ("crashes", crashes),
            ("losses", losses),
            ("rewinds", rewinds),
            ("leaps", leaps),
            ("purges", purges),
            ("hits", hits),
        ]
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.changes += other.changes;
        self.pinned += other.pinned;
        self.replayed += other.replayed;
        self.followed += other.followed;
        self.repeated += other.repeated;
        self.taken_over += other.taken_over;
        self.crashes += other.crashes;
        self.losses += other.losses;
        self.rewinds += other.rewinds;
        self.leaps += other.leaps;
        self.purges += other.purges;
        self.hits += other.hits;
    }
}
