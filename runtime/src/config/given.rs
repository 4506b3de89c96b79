//! What the operator wrote: one TOML file and the environment, of which the environment wins.
//!
//! The only place that reads either.

use super::path::{ENV_PREFIX, KeyPath};
use super::problem::{Error, Place, Problem};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// A configuration file is read up to here, so that a wrong path (a log, a device) ends with a problem, not in memory.
const FILE_LEN_MAX: u64 = 1024 * 1024;

/// What was written, before anyone asked what it means.
#[derive(Clone, Debug, Default)]
pub struct Given {
    file: Option<PathBuf>,
    table: toml::Table,
    lines: BTreeMap<KeyPath, usize>,
    env: BTreeMap<KeyPath, String>,
    problems: Vec<Problem>,
}

/// One value as written.
#[derive(Clone, Copy, Debug)]
pub(super) enum Written<'g> {
    File(&'g toml::Value),
    Environment(&'g str),
}

impl Given {
    /// Reads `file`, if one is named, and this process's environment.
    ///
    /// # Errors
    /// If the file cannot be read or is no TOML.
    pub fn from_process(file: Option<&Path>) -> Result<Self, Error> {
        let text = file.map(read_file).transpose()?.unwrap_or_default();
        Self::new(file, &text, std::env::vars_os())
    }

    /// The same from `text`, as if it stood in `file`, and from the variables `env`; those not ours are passed over.
    ///
    /// # Errors
    /// If `text` is no TOML.
    pub fn new(
        file: Option<&Path>,
        text: &str,
        env: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, Error> {
        let file = file.map(Path::to_owned);
        let syntax = |error: &toml::de::Error| {
            // Not the error's own print: it quotes the line, which may hold a secret.
            let line = error.span().map(|span| line_of(text, span.start));
            let message = error.message().lines().collect::<Vec<_>>().join(", ");
            Error::whole_file(file.clone(), line, format!("not TOML: {message}"))
        };
        let table = toml::from_str::<toml::Table>(text).map_err(|error| syntax(&error))?;
        let spans = DeTable::parse(text).map_err(|error| syntax(&error))?;
        let mut lines = BTreeMap::new();
        collect_lines(text, spans.get_ref(), &KeyPath::default(), &mut lines);
        let mut given = Self { file: file.clone(), table, lines, ..Self::default() };
        for (name, value) in env {
            given.add_variable(&name, value);
        }
        Ok(given)
    }

    fn add_variable(&mut self, name: &OsString, value: OsString) {
        let Some(name) = name.to_str().filter(|name| name.starts_with(ENV_PREFIX)) else { return };
        let Some(path) = KeyPath::from_env(name) else { return };
        match value.into_string() {
            Ok(value) => {
                self.env.insert(path, value);
            }
            Err(_) => {
                let text = "is not UTF-8; write it as UTF-8".to_owned();
                self.problems.push(Problem { path, place: Place::Environment(name.to_owned()), text });
            }
        }
    }

    /// Whether anything is said of `section`.
    #[must_use]
    pub fn has(&self, section: &str) -> bool {
        let path = KeyPath::default().child(section);
        self.table.contains_key(section) || self.env.keys().any(|key| path.beneath(key).is_some())
    }

    pub(super) fn file(&self) -> Option<PathBuf> {
        self.file.clone()
    }

    pub(super) fn problems(&self) -> Vec<Problem> {
        self.problems.clone()
    }

    pub(super) fn table(&self) -> &toml::Table {
        &self.table
    }

    /// Every path that the environment sets.
    pub(super) fn env_paths(&self) -> impl Iterator<Item = &KeyPath> {
        self.env.keys()
    }

    /// The value at `path`: the environment's, else the file's.
    pub(super) fn find(&self, path: &KeyPath) -> Option<Written<'_>> {
        if let Some(text) = self.env.get(path) {
            return Some(Written::Environment(text));
        }
        self.find_in_file(path).map(Written::File)
    }

    pub(super) fn find_in_file(&self, path: &KeyPath) -> Option<&toml::Value> {
        let (last, sections) = path.keys().split_last()?;
        let mut table = &self.table;
        for key in sections {
            table = table.get(key)?.as_table()?;
        }
        table.get(last)
    }

    /// What the environment sets beneath `section`: the keys that follow it, and the text.
    pub(super) fn env_beneath(&self, section: &KeyPath) -> impl Iterator<Item = (&KeyPath, &[String], &str)> {
        self.env.iter().filter_map(|(path, text)| Some((path, section.beneath(path)?, text.as_str())))
    }

    /// What is written under `path` as sections of their own.
    pub(super) fn names_beneath(&self, path: &KeyPath) -> BTreeSet<String> {
        let in_file = self.find_in_file(path).and_then(toml::Value::as_table);
        let mut names: BTreeSet<String> = in_file.into_iter().flat_map(toml::Table::keys).cloned().collect();
        names.extend(self.env_beneath(path).filter_map(|(_, keys, _)| match keys {
            [name, _, ..] => Some(name.clone()),
            [] | [_] => None,
        }));
        names
    }

    /// Where the value at `path` was written.
    pub(super) fn place(&self, path: &KeyPath) -> Place {
        if self.env.contains_key(path) {
            return Place::Environment(path.env_name());
        }
        match self.find_in_file(path) {
            Some(_) => Place::File(self.lines.get(path).copied()),
            None => Place::Nowhere,
        }
    }
}

fn read_file(path: &Path) -> Result<String, Error> {
    let broken = |text: String| Error::whole_file(Some(path.to_owned()), None, text);
    let file = std::fs::File::open(path)
        .map_err(|error| broken(format!("cannot be opened: {error}; name the file with --config")))?;
    let mut bytes = Vec::new();
    file.take(FILE_LEN_MAX + 1).read_to_end(&mut bytes).map_err(|error| broken(format!("cannot be read: {error}")))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > FILE_LEN_MAX {
        return Err(broken("is over 1 MiB, which no configuration is; name another file with --config".to_owned()));
    }
    String::from_utf8(bytes).map_err(|_| broken("is not UTF-8; save it as UTF-8".to_owned()))
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn collect_lines(text: &str, table: &DeTable<'_>, above: &KeyPath, lines: &mut BTreeMap<KeyPath, usize>) {
    for (key, value) in table.iter() {
        let path = above.child(key.get_ref());
        lines.insert(path.clone(), line_of(text, key.span().start));
        if let DeValue::Table(inner) = value.get_ref() {
            collect_lines(text, inner, &path, lines);
        }
    }
}
