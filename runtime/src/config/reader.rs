//! Asks what was written for each option in turn, and notes what is declared and what is wrong.

use super::Settings;
use super::declaration::{Declaration, Declarations, Presence, Resolved};
use super::given::Given;
use super::path::KeyPath;
use super::problem::{Error, Problem};
use super::setting::{FreeTable, SecretSetting, Setting};
use super::value::{ByteSize, Choice, Count, Kind, Value};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How alike two keys must be, of 1, for one to be proposed in place of the other.
const ALIKE_MIN: f64 = 0.7;
/// Stands for the name that an operator gives a section of [`Section::each`].
pub(super) const EXAMPLE_NAME: &str = "NAME";

#[derive(Debug)]
pub(super) struct Reader {
    pub(super) given: Given,
    declarations: Declarations,
    problems: Vec<Problem>,
    /// Nothing is given: what can be written is declared, for people to read.
    is_reference: bool,
}

impl Reader {
    pub(super) fn new(given: Given) -> Self {
        let problems = given.problems();
        Self { given, declarations: Declarations::default(), problems, is_reference: false }
    }

    pub(super) fn reference() -> Self {
        Self { is_reference: true, ..Self::new(Given::default()) }
    }

    pub(super) fn declare(&mut self, declaration: Declaration) {
        self.declarations.add(declaration);
    }

    pub(super) fn problem(&mut self, path: &KeyPath, text: String) {
        let problem = Problem { path: path.clone(), place: self.given.place(path), text };
        // An option that two modules read is wrong once.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    fn has_problem(&self, path: &KeyPath) -> bool {
        self.problems.iter().any(|problem| path.beneath(&problem.path).is_some())
    }

    pub(super) fn into_declarations(self) -> Declarations {
        self.declarations
    }

    /// # Errors
    /// If anything was wrong, or is written that nobody asked for.
    pub(super) fn finish(mut self) -> Result<Declarations, Error> {
        let table = self.given.table().clone();
        self.refuse_unknown(&table, &KeyPath::default());
        let unknown: Vec<KeyPath> = self.given.env_paths().filter(|path| !self.is_declared(path)).cloned().collect();
        for path in unknown {
            self.refuse(&path);
        }
        if self.problems.is_empty() {
            return Ok(self.declarations);
        }
        Err(Error::new(self.given.file(), self.problems))
    }

    fn is_declared(&self, path: &KeyPath) -> bool {
        self.declarations.iter().any(|declaration| match declaration.presence {
            Presence::Free | Presence::Foreign => declaration.path.beneath(path).is_some_and(|keys| !keys.is_empty()),
            Presence::Required(_) | Presence::Default(_) | Presence::Optional => declaration.path == *path,
        })
    }

    fn is_section(&self, path: &KeyPath) -> bool {
        self.declarations.iter().any(|known| path.beneath(&known.path).is_some_and(|keys| !keys.is_empty()))
    }

    fn refuse_unknown(&mut self, table: &toml::Table, above: &KeyPath) {
        for (key, value) in table {
            let path = above.child(key);
            if self.declarations.iter().any(|known| known.path == path) {
                continue;
            }
            match value.as_table() {
                Some(inner) if self.is_section(&path) => self.refuse_unknown(inner, &path),
                None if self.is_section(&path) => {
                    self.problem(&path, format!("must be a section; write its keys under [{path}]"));
                }
                _ => self.refuse(&path),
            }
        }
    }

    fn refuse(&mut self, path: &KeyPath) {
        let text = match self.closest(path) {
            Some(known) => format!("no such key; did you mean {known}?"),
            None => "no such key; take it out (--help tells where all keys are listed)".to_owned(),
        };
        self.problem(path, text);
    }

    /// The declared option or section most like `path`: first among its neighbours, then by its last key anywhere.
    fn closest(&self, path: &KeyPath) -> Option<KeyPath> {
        let mut best: Option<(f64, KeyPath)> = None;
        for declaration in self.declarations.iter() {
            let mut known = KeyPath::default();
            for key in declaration.path.keys() {
                known = known.child(key);
                let neighbour = known.parent() == path.parent();
                let alike = strsim::jaro_winkler(known.last(), path.last()) - if neighbour { 0.0 } else { 0.1 };
                if alike >= ALIKE_MIN && best.as_ref().is_none_or(|(most, _)| alike > *most) {
                    best = Some((alike, known.clone()));
                }
            }
        }
        best.map(|(_, known)| known)
    }
}

/// One section of the configuration while it is read; the root is one too.
#[derive(Debug)]
pub struct Section<'r> {
    pub(super) reader: &'r mut Reader,
    path: KeyPath,
}

impl<'r> Section<'r> {
    pub(super) fn root(reader: &'r mut Reader) -> Self {
        Self { reader, path: KeyPath::default() }
    }

    pub(super) fn path_of(&self, key: &str) -> KeyPath {
        self.path.child(key)
    }

    /// An option of any kind; the others are short for this.
    pub fn value<V: Value>(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, V> {
        Setting::new(self, key, about, Kind::of_value())
    }

    /// Text that is not empty.
    pub fn text(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, String> {
        self.value(key, about)
    }

    /// A list of texts; in the environment separated by commas.
    pub fn texts(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, Vec<String>> {
        self.value(key, about)
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, bool> {
        self.value(key, about)
    }

    /// A whole number that is not negative.
    pub fn count<N: Count>(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, N> {
        self.value(key, about)
    }

    /// A time span with its unit, as `"250ms"`.
    pub fn duration(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, Duration> {
        self.value(key, about)
    }

    /// A number of bytes with its unit, as `"16MiB"`.
    pub fn size(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, ByteSize> {
        self.value(key, about)
    }

    /// A point in time as RFC 3339 writes it.
    pub fn instant(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, jiff::Timestamp> {
        self.value(key, about)
    }

    /// The path of a file or folder; whether it exists is for its user to find out.
    pub fn path(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, PathBuf> {
        self.value(key, about)
    }

    /// An IP address and a port.
    pub fn address(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, SocketAddr> {
        self.value(key, about)
    }

    /// One of a few words.
    pub fn choice<T: Choice>(&mut self, key: &'static str, about: &'static str) -> Setting<'_, 'r, T> {
        Setting::new(self, key, about, Kind::of_choice())
    }

    /// Text that is never printed: from the environment, or from the file that `<key>_file` names.
    pub fn secret(&mut self, key: &'static str, about: &'static str) -> SecretSetting<'_, 'r> {
        SecretSetting::new(self, key, about)
    }

    /// A section of keys that are somebody else's.
    pub fn table(&mut self, key: &'static str, about: &'static str) -> FreeTable<'_, 'r> {
        FreeTable::new(self, key, about)
    }

    /// A section that other processes of the installation read: whatever it holds is let stand, unread.
    pub fn foreign(&mut self, key: &'static str) {
        let path = self.path_of(key);
        self.reader.declare(Declaration {
            path,
            about: "Read by other processes of the installation.",
            expected: "anything".to_owned(),
            presence: Presence::Foreign,
            resolved: Resolved::Unset,
        });
    }

    /// A section beneath this one. Two modules may read the same one.
    pub fn section<C: Settings>(&mut self, key: &'static str) -> C {
        self.within(key, C::read)
    }

    /// [`Section::section`] by a function.
    pub fn within<T>(&mut self, key: &'static str, read: impl FnOnce(&mut Section<'_>) -> T) -> T {
        read(&mut Section { reader: self.reader, path: self.path.child(key) })
    }

    /// The sections beneath `key`, which the operator names: what `read` makes of each and its name, in the order of
    /// names. A name from the environment is in lower case.
    pub fn each<T>(&mut self, key: &'static str, mut read: impl FnMut(&str, &mut Section<'_>) -> T) -> Vec<T> {
        let above = self.path_of(key);
        let names = if self.reader.is_reference {
            BTreeSet::from([EXAMPLE_NAME.to_owned()])
        } else {
            self.reader.given.names_beneath(&above)
        };
        let mut found = Vec::new();
        for name in names {
            found.push(read(&name, &mut Section { reader: self.reader, path: above.child(&name) }));
        }
        found
    }

    /// Notes that the values at `keys` (dotted paths seen from here) do not go together; `text` says what to do.
    ///
    /// Passed over if one of them has a problem of its own: what was compared is then a stand-in.
    pub fn problem(&mut self, keys: &[&str], text: impl Into<String>) {
        let paths: Vec<KeyPath> = keys.iter().map(|key| self.path.join(key)).collect();
        debug_assert!(paths.iter().all(|path| self.reader.is_declared(path)), "a rule names an option nobody reads");
        if let Some(first) = paths.first()
            && !paths.iter().any(|path| self.reader.has_problem(path))
        {
            self.reader.problem(first, text.into());
        }
    }
}
