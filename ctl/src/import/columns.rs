//! Which column of a row means what.

use crate::Error;
use schemas::Profile;
use std::collections::BTreeSet;

/// The columns that are not fields of the profile.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) key: String,
    pub(super) tenant: String,
    pub(super) time: String,
    pub(super) ignored: Vec<String>,
}

impl Columns {
    /// Checks the header of a table, so that what would be wrong with every row is said once.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn check(&self, header: &[String], profile: &Profile, has_run: bool) -> Result<(), Error> {
        // A table without a header begins with data, which must not be quoted.
        if !header.iter().any(|name| self.is_known(name, profile)) {
            return Err(Error::Usage(format!(
                "the first line is no header: of its {} cells none is the column of the user id ({:?}; --key), of the time, or \
                 a field of the profile; put the names of the columns first",
                header.len(),
                self.key
            )));
        }
        let mut problems = Vec::new();
        let mut seen = BTreeSet::new();
        for name in header {
            if !seen.insert(name) {
                problems.push(format!("column {name:?} stands twice"));
            }
            problems.extend(self.problem_of(name, profile));
        }
        if !header.contains(&self.key) {
            problems.push(format!("no column {:?} for the user id: name it with --key", self.key));
        }
        let has_time = header.contains(&self.time) && !self.ignored.contains(&self.time);
        if !has_time && !has_run {
            problems.push(format!("no column {:?} for the time: name it with --time, or say --run N", self.time));
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Error::Usage(format!("the first line does not name what is needed: {}", problems.join("; "))))
    }

    fn is_known(&self, name: &String, profile: &Profile) -> bool {
        [&self.key, &self.tenant, &self.time].contains(&name) || profile.position(name).is_some()
    }

    fn problem_of(&self, name: &String, profile: &Profile) -> Option<String> {
        if [&self.key, &self.tenant, &self.time].contains(&name) || self.ignored.contains(name) {
            return None;
        }
        let field = profile.position(name).and_then(|at| profile.fields().get(at));
        match field {
            None => Some(format!("column {name:?} is no field of the profile: leave it out with --ignore")),
            Some(field) if field.derived.is_some() => {
                Some(format!("column {name:?} is derived by the pipeline: leave it out with --ignore"))
            }
            Some(_) => None,
        }
    }
}
