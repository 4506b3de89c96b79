//! What is wrong with a profile: everything at once, each with the path of its place.

use std::fmt;

/// One thing that is wrong with a profile, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Into `profile.avsc` (`fields[3].tidewater.max_length`), or the file that is at fault (`history/….avsc`).
    pub path: String,
    /// What is wrong and what is wanted instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// A profile that cannot be used. Holds every problem that was found, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    pub problems: Vec<Problem>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the profile cannot be used")?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for LoadError {}

/// Gathers problems while checking goes on.
#[derive(Debug, Default)]
pub(crate) struct Problems(Vec<Problem>);

impl Problems {
    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem { path: path.into(), message: message.into() });
    }

    /// [`Problems::add`], and `false`: for checks that say whether all is sound.
    pub(crate) fn refuse(&mut self, path: &str, message: &str) -> bool {
        self.add(path, message);
        false
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `value`, if nothing was wrong.
    pub(crate) fn none_or<T>(self, value: T) -> Result<T, LoadError> {
        if self.is_empty() { Ok(value) } else { Err(self.into_error()) }
    }

    /// To be called with at least one problem.
    pub(crate) fn into_error(self) -> LoadError {
        debug_assert!(!self.is_empty(), "an error says what is wrong");
        LoadError { problems: self.0 }
    }
}
