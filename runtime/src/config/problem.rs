//! What is wrong with a configuration: every problem, where it stands, and what to do.

use super::path::KeyPath;
use std::fmt;
use std::path::PathBuf;

/// One thing that is wrong. Its text says what to do, and never quotes a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The value it is about; the root for the file as a whole.
    pub path: KeyPath,
    /// Where that value was written.
    pub place: Place,
    /// What is wrong and what to do.
    pub text: String,
}

/// Where a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file, at this line counted from 1, where it is known.
    File(Option<usize>),
    /// In the environment variable of this name.
    Environment(String),
    /// Nowhere.
    Nowhere,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File(Some(line)) => write!(f, "line {line}: ")?,
            Place::Environment(name) => return write!(f, "{name}: {}", self.text),
            Place::File(None) | Place::Nowhere => {}
        }
        if !self.path.keys().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.text)
    }
}

/// A configuration that cannot be used, with all that is wrong with it: prints one problem a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    file: Option<PathBuf>,
    problems: Vec<Problem>,
}

impl Error {
    pub(super) fn new(file: Option<PathBuf>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        problems.dedup();
        Self { file, problems }
    }

    pub(super) fn whole_file(file: Option<PathBuf>, line: Option<usize>, text: String) -> Self {
        Self::new(file, vec![Problem { path: KeyPath::default(), place: Place::File(line), text }])
    }

    /// All of them, by path; at least one.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let noun = if count == 1 { "problem" } else { "problems" };
        match &self.file {
            Some(file) => write!(f, "{}: {count} {noun}", file.display())?,
            None => write!(f, "configuration from the environment: {count} {noun}")?,
        }
        for problem in &self.problems {
            write!(f, "\n  {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}
