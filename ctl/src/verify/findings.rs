//! What is lost and what is wrong, counted, and the first of it told.

use std::fmt::Display;

/// So many are told; the rest is counted.
const EXAMPLES_MAX: usize = 20;

#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) lost: u64,
    pub(super) wrong: u64,
    pub(super) examples: Vec<String>,
}

impl Findings {
    /// `subject` is a place or a version, never user data.
    pub(super) fn lost(&mut self, subject: impl Display, what: &str) {
        self.lost += 1;
        self.tell("lost", subject, what);
    }

    /// The same for what is there and should not be so.
    pub(super) fn wrong(&mut self, subject: impl Display, what: &str) {
        self.wrong += 1;
        self.tell("wrong", subject, what);
    }

    fn tell(&mut self, kind: &str, subject: impl Display, what: &str) {
        if self.examples.len() < EXAMPLES_MAX {
            self.examples.push(format!("{kind}: {subject}: {what}"));
        }
    }
}
