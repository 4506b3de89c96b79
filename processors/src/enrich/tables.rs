//! The folder of reference tables, looked at again and again.
//!
//! A file is in force from the instant in its name, so it must be in every folder before that. One that is first seen
//! after its instant would change what was already put out: it is not used, and the process is not ready.

use runtime::{Clock, Failure, health::Condition};
use schemas::Profile;
use schemas::reference::{Table, TableName, Tables};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// How often the folder is listed.
const EVERY: Duration = Duration::from_secs(30);

/// The tables in force. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Shelf(Arc<RwLock<Arc<Tables>>>);

impl Shelf {
    #[must_use]
    pub fn new(tables: Tables) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(tables))))
    }

    /// The tables as they are now.
    #[must_use]
    pub fn tables(&self) -> Arc<Tables> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, tables: Tables) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tables);
    }
}

/// The folder and what was read from it.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    profile: Arc<Profile>,
    shelf: Shelf,
    clock: Clock,
    /// Files that are not used, told once each.
    refused: BTreeSet<OsString>,
}

/// What is wrong with one file, or with the folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("{path}: the folder of reference tables cannot be read; set enrich.tables", path = path.display())]
    Folder { path: PathBuf, source: std::io::Error },
    #[error("{file}: {reason}")]
    File { file: String, reason: String },
    #[error("{0}")]
    Gap(schemas::reference::Gap),
}

impl Folder {
    /// Reads every file of the folder.
    ///
    /// # Errors
    /// Exit 64 with all problems: a file that is no table, or a lookup of the profile without its table.
    pub fn open(path: &Path, profile: Arc<Profile>, clock: Clock) -> Result<Self, Failure> {
        let mut tables = Tables::default();
        let mut problems = Vec::new();
        for file in list(path).map_err(Failure::config)? {
            match read(path, &file) {
                Ok((name, table)) => {
                    tables.insert(&name, table);
                }
                Err(problem) => problems.push(problem),
            }
        }
        problems.extend(tables.gaps(&profile).into_iter().map(Problem::Gap));
        if !problems.is_empty() {
            let all = problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            return Err(Failure::config(all));
        }
        Ok(Self { path: path.to_owned(), profile, shelf: Shelf::new(tables), clock, refused: BTreeSet::new() })
    }

    #[must_use]
    pub fn shelf(&self) -> Shelf {
        self.shelf.clone()
    }

    /// Looks again and again until `stop`.
    pub async fn watch(mut self, condition: Condition, stop: CancellationToken) {
        condition.ok();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            // Small files on a local disk, twice a minute.
            match self.look() {
                Ok(()) if self.is_whole() => condition.ok(),
                Ok(()) => condition.waiting("reference tables came too late or are unreadable; the log names them"),
                Err(problem) => {
                    error!(error = %runtime::logs::chain(&problem), "reference tables cannot be listed");
                    condition.waiting("the folder of reference tables cannot be read");
                }
            }
        }
    }

    /// Whether every file that is there is used.
    pub(super) fn is_whole(&self) -> bool {
        self.refused.is_empty()
    }

    /// Takes in the files that are new since the last look.
    pub(super) fn look(&mut self) -> Result<(), Problem> {
        let files = list(&self.path)?;
        self.refused.retain(|file| files.contains(file));
        let mut tables = Tables::clone(&self.shelf.tables());
        let mut is_new = false;
        for file in files {
            if self.refused.contains(&file) || name_of(&file).is_some_and(|name| tables.contains(&name)) {
                continue;
            }
            match read(&self.path, &file).and_then(|read| self.fitting(read, &tables)) {
                Ok((name, with)) => {
                    info!(table = name.table(), "a reference table was taken in");
                    tables = with;
                    is_new = true;
                }
                Err(problem) => {
                    error!(error = %runtime::logs::chain(&problem), "a reference table is not used");
                    self.refused.insert(file);
                }
            }
        }
        if is_new {
            self.shelf.put(tables);
        }
        Ok(())
    }

    /// `tables` with the new one, if it came in time and has what the profile looks up in it.
    fn fitting(&self, (name, table): (TableName, Table), tables: &Tables) -> Result<(TableName, Tables), Problem> {
        if name.micros() <= self.clock.now_ms().saturating_mul(1000) {
            let reason = "first seen after its instant; give it a later one, or restart every enrich to accept that \
                          records done again may differ";
            return Err(Problem::File { file: name.to_string(), reason: reason.into() });
        }
        let mut with = tables.clone();
        with.insert(&name, table);
        match with.gaps(&self.profile).into_iter().next() {
            Some(gap) => Err(Problem::Gap(gap)),
            None => Ok((name, with)),
        }
    }
}

fn list(path: &Path) -> Result<BTreeSet<OsString>, Problem> {
    let failed = |source| Problem::Folder { path: path.to_owned(), source };
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name();
        if Path::new(&name).extension().is_some_and(|extension| extension == "csv") {
            files.insert(name);
        }
    }
    Ok(files)
}

fn name_of(file: &OsString) -> Option<TableName> {
    file.to_str()?.parse().ok()
}

fn read(folder: &Path, file: &OsString) -> Result<(TableName, Table), Problem> {
    let bad = |reason: String| Problem::File { file: file.to_string_lossy().into_owned(), reason };
    let name: TableName = name_of(file).ok_or_else(|| bad("not named <table>@<YYYYMMDDTHHMMSSZ>.csv".into()))?;
    let text = std::fs::read_to_string(folder.join(file)).map_err(|error| bad(error.to_string()))?;
    let table = Table::parse(&text).map_err(|error| bad(error.to_string()))?;
    Ok((name, table))
}
