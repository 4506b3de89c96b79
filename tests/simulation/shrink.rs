//! Makes a run that breaks a promise as short as it gets while it still breaks the same one.

use crate::script::{Act, Script, Step};

/// Runs that are worth a shorter history.
const TRIES: u32 = 600;

/// The shortest script found that `breaks` as the given one does.
pub(crate) fn shrink(script: &Script, breaks: impl Fn(&Script) -> bool) -> Script {
    let mut search = Search { best: script.clone(), left: TRIES, breaks };
    let before = |search: &Search<_>| (search.best.steps.len(), search.best.users, search.weight());
    loop {
        let was = before(&search);
        search.leave_out_steps();
        search.leave_out_the_rest();
        search.make_steps_smaller();
        if before(&search) == was || search.left == 0 {
            return search.best;
        }
    }
}

struct Search<F> {
    best: Script,
    left: u32,
    breaks: F,
}

impl<F: Fn(&Script) -> bool> Search<F> {
    fn weight(&self) -> u64 {
        self.best.steps.iter().map(|step| weight(&step.act)).sum()
    }

    /// Keeps `script` if it breaks, too.
    fn attempt(&mut self, script: Script) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let breaks = (self.breaks)(&script);
        if breaks {
            self.best = script;
        }
        breaks
    }

    /// Half of them, a quarter, and so on down to single ones.
    fn leave_out_steps(&mut self) {
        let mut len = self.best.steps.len() / 2;
        while len > 0 {
            let mut from = 0;
            while from < self.best.steps.len() {
                let mut steps = self.best.steps.clone();
                steps.drain(from..(from + len).min(steps.len()));
                if !self.attempt(Script { steps, ..self.best.clone() }) {
                    from += len;
                }
            }
            len /= 2;
        }
    }

    fn leave_out_the_rest(&mut self) {
        if self.best.purges {
            self.attempt(Script { purges: false, ..self.best.clone() });
        }
        if self.best.leaps {
            self.attempt(Script { leaps: false, ..self.best.clone() });
        }
        for users in 1..self.best.users {
            if self.attempt(Script { users, ..self.best.clone() }) {
                break;
            }
        }
    }

    fn make_steps_smaller(&mut self) {
        for at in 0..self.best.steps.len() {
            while let Some(smaller) = smaller(&self.best.steps[at].act) {
                let mut steps = self.best.steps.clone();
                steps[at] = Step { act: smaller, ..steps[at].clone() };
                if !self.attempt(Script { steps, ..self.best.clone() }) {
                    break;
                }
            }
        }
    }
}

fn weight(act: &Act) -> u64 {
    match act {
        Act::Write(count) | Act::Import(count) | Act::Source(count) | Act::Replay(count) | Act::Read(count) => *count,
        _ => 0,
    }
}

/// The same with one less of what it does.
fn smaller(act: &Act) -> Option<Act> {
    let count = weight(act).checked_sub(1).filter(|count| *count > 0)?;
    Some(match act {
        Act::Write(_) => Act::Write(count),
        Act::Import(_) => Act::Import(count),
        Act::Source(_) => Act::Source(count),
        Act::Replay(_) => Act::Replay(count),
        Act::Read(_) => Act::Read(count),
        _ => return None,
    })
}
