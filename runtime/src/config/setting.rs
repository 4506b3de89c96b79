//! One option while it is declared: its bounds, and its default or the reason why it has none.

use super::declaration::{Declaration, Presence, Resolved};
use super::given::Written;
use super::path::{KeyPath, toml_key};
use super::reader::Section;
use super::secret::Secret;
use super::table::{Entry, Table, read_entries, table_of};
use super::value::Kind;
use std::fmt;
use std::path::Path;

/// A value that an error quotes is cut here.
const QUOTED_LEN_MAX: usize = 60;

/// An option of kind `V`. Read by [`Setting::required`], [`Setting::default`] or [`Setting::optional`].
#[must_use = "an option is declared and read by required, default or optional"]
pub struct Setting<'s, 'r, V> {
    section: &'s mut Section<'r>,
    path: KeyPath,
    about: &'static str,
    kind: Kind<V>,
    bounds: Option<Bounds<V>>,
}

type Rule<V> = dyn Fn(&V) -> bool;

struct Bounds<V> {
    holds: Box<Rule<V>>,
    text: String,
}

impl<V> fmt::Debug for Setting<'_, '_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Setting").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'s, 'r, V: Clone> Setting<'s, 'r, V> {
    pub(super) fn new(section: &'s mut Section<'r>, key: &str, about: &'static str, kind: Kind<V>) -> Self {
        let path = section.path_of(key);
        Self { section, path, about, kind, bounds: None }
    }

    /// The value; a problem if there is none, told with `reason`: why no default can be.
    pub fn required(self, reason: &'static str) -> V {
        let stand_in = self.kind.stand_in;
        let path = self.path.clone();
        let (section, found) = self.read(Presence::Required(reason), None);
        match found {
            Found::Value(value) => value,
            Found::Wrong => stand_in(),
            Found::Nothing => {
                section.reader.problem(&path, format!("missing, and {reason}; {}", path.how_to_set()));
                stand_in()
            }
        }
    }

    /// The value, or `value` where none is written.
    pub fn default(self, value: V) -> V {
        let printed = (self.kind.to_toml)(&value);
        debug_assert!(self.bounds.as_ref().is_none_or(|bounds| (bounds.holds)(&value)), "a default is out of bounds");
        match self.read(Presence::Default(printed.clone()), Some(printed)).1 {
            Found::Value(found) => found,
            Found::Wrong | Found::Nothing => value,
        }
    }

    /// The value, if one is written.
    pub fn optional(self) -> Option<V> {
        match self.read(Presence::Optional, None).1 {
            Found::Value(value) => Some(value),
            Found::Wrong | Found::Nothing => None,
        }
    }

    fn read(self, presence: Presence, default: Option<toml::Value>) -> (&'s mut Section<'r>, Found<V>) {
        let Self { section, path, about, kind, bounds } = self;
        let expected = match bounds.as_ref().map(|bounds| &bounds.text).or(kind.range.as_ref()) {
            Some(range) => format!("{}, {range}", kind.expected),
            None => kind.expected,
        };
        let given = &section.reader.given;
        let written = given.find(&path);
        let value = written.and_then(|written| match written {
            Written::File(value) => (kind.from_toml)(value),
            Written::Environment(text) => (kind.from_text)(text),
        });
        let value = value.filter(|value| bounds.as_ref().is_none_or(|bounds| (bounds.holds)(value)));
        let place = given.place(&path);
        let (found, resolved, wrong) = match (value, written) {
            (Some(value), _) => {
                let printed = (kind.to_toml)(&value);
                (Found::Value(value), Resolved::Value(printed, place), None)
            }
            (None, Some(written)) => (Found::Wrong, Resolved::Unset, Some(quoted(written))),
            (None, None) => (Found::Nothing, default.map_or(Resolved::Unset, |d| Resolved::Value(d, place)), None),
        };
        if let Some(written) = wrong {
            section.reader.problem(&path, format!("is {written}; must be {expected}"));
        }
        section.reader.declare(Declaration { path, about, expected, presence, resolved });
        (section, found)
    }
}

impl<V: PartialOrd + Clone + 'static> Setting<'_, '_, V> {
    /// Bounds the value: both ends are allowed.
    pub fn between(mut self, least: V, most: V) -> Self {
        let text = format!("from {} to {}", (self.kind.to_toml)(&least), (self.kind.to_toml)(&most));
        self.bounds = Some(Bounds { holds: Box::new(move |value| *value >= least && *value <= most), text });
        self
    }

    /// Bounds the value from below: `least` is allowed.
    pub fn at_least(mut self, least: V) -> Self {
        let text = format!("at least {}", (self.kind.to_toml)(&least));
        self.bounds = Some(Bounds { holds: Box::new(move |value| *value >= least), text });
        self
    }
}

enum Found<V> {
    Value(V),
    /// Something is written and is no value; the problem is noted.
    Wrong,
    Nothing,
}

/// What was written, short, on one line.
fn quoted(written: Written<'_>) -> String {
    let text = match written {
        Written::Environment(text) => toml::Value::from(text).to_string(),
        Written::File(toml::Value::Table(_)) => return "a section".to_owned(),
        Written::File(value) => value.to_string(),
    };
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(QUOTED_LEN_MAX) {
        Some((cut, _)) => format!("{}…", line.get(..cut).unwrap_or_default()),
        None => line,
    }
}

/// A secret: `<key>` in the environment, else the file that `<key>_file` names, in the file or the environment.
#[derive(Debug)]
#[must_use = "a secret is declared and read by required or optional"]
pub struct SecretSetting<'s, 'r> {
    section: &'s mut Section<'r>,
    key: &'static str,
    about: &'static str,
}

impl<'s, 'r> SecretSetting<'s, 'r> {
    pub(super) fn new(section: &'s mut Section<'r>, key: &'static str, about: &'static str) -> Self {
        Self { section, key, about }
    }

    /// The secret; a problem if there is none, told with `reason`. Stands in as `None` then.
    pub fn required(self, reason: &'static str) -> Option<Secret> {
        let path = self.section.path_of(self.key);
        let file_path = self.section.path_of(&format!("{}_file", self.key));
        let (section, found) = self.read(Presence::Required(reason));
        if let Found::Nothing = found {
            let text = format!("missing, and {reason}; set {} or name its file in {file_path}", path.env_name());
            section.reader.problem(&path, text);
        }
        found.value()
    }

    /// The secret, if there is one.
    pub fn optional(self) -> Option<Secret> {
        self.read(Presence::Optional).1.value()
    }

    fn read(self, presence: Presence) -> (&'s mut Section<'r>, Found<Secret>) {
        let Self { section, key, about } = self;
        let path = section.path_of(key);
        let file_path = section.path_of(&format!("{key}_file"));
        let (found, resolved, from_file, wrong) = find_secret(section, &path, &file_path);
        if let Some((path, text)) = wrong {
            section.reader.problem(&path, text);
        }
        let in_env = format!("text, in the environment only ({})", path.env_name());
        section.reader.declare(Declaration { path, about, expected: in_env, presence, resolved });
        section.reader.declare(Declaration {
            path: file_path,
            about: "The file that holds the secret of that name.",
            expected: "a path".to_owned(),
            presence: Presence::Optional,
            resolved: from_file,
        });
        (section, found)
    }
}

type SecretFound = (Found<Secret>, Resolved, Resolved, Option<(KeyPath, String)>);

fn find_secret(section: &Section<'_>, path: &KeyPath, file_path: &KeyPath) -> SecretFound {
    let given = &section.reader.given;
    let wrong =
        |path: &KeyPath, text: String| (Found::Wrong, Resolved::Unset, Resolved::Unset, Some((path.clone(), text)));
    match (given.find(path), given.find(file_path)) {
        (Some(Written::Environment(text)), _) => match Secret::new(text) {
            Some(secret) => {
                (Found::Value(secret), Resolved::SecretFromEnvironment(path.env_name()), Resolved::Unset, None)
            }
            None => wrong(path, "is empty; set it or leave it out".to_owned()),
        },
        (Some(Written::File(_)), _) => {
            let text = format!("a secret does not stand in the file; name a file of its own in {file_path}");
            wrong(path, text)
        }
        (None, Some(written)) => {
            let file = match written {
                Written::Environment(text) => Some(text),
                Written::File(value) => value.as_str(),
            };
            let Some(file) = file else { return wrong(file_path, "must be a path".to_owned()) };
            match Secret::from_file(Path::new(file)) {
                Ok(secret) => (Found::Value(secret), Resolved::Unset, Resolved::SecretFromFile(file.into()), None),
                Err(text) => wrong(file_path, text),
            }
        }
        (None, None) => (Found::Nothing, Resolved::Unset, Resolved::Unset, None),
    }
}

impl<V> Found<V> {
    fn value(self) -> Option<V> {
        match self {
            Self::Value(value) => Some(value),
            Self::Wrong | Self::Nothing => None,
        }
    }
}

/// A free table; [`FreeTable::refusing`] takes out keys that are not for the operator to set.
#[derive(Debug)]
#[must_use = "a table is declared and read by read"]
pub struct FreeTable<'s, 'r> {
    section: &'s mut Section<'r>,
    path: KeyPath,
    about: &'static str,
    refused: &'static [(&'static str, &'static str)],
}

impl<'s, 'r> FreeTable<'s, 'r> {
    pub(super) fn new(section: &'s mut Section<'r>, key: &str, about: &'static str) -> Self {
        let path = section.path_of(key);
        Self { section, path, about, refused: &[] }
    }

    /// Keys that would break a promise, each with the reason and what to set instead.
    pub fn refusing(mut self, refused: &'static [(&'static str, &'static str)]) -> Self {
        self.refused = refused;
        self
    }

    /// What is written; empty if nothing is.
    #[must_use]
    pub fn read(self) -> Table {
        let Self { section, path, about, refused } = self;
        let entries = read_entries(&section.reader.given, &path);
        for Entry { path, key, value } in &entries {
            if let Some((_, reason)) = refused.iter().find(|(name, _)| name == key) {
                section.reader.problem(path, format!("{} is not yours to set: {reason}", toml_key(key)));
            } else if let Err(text) = value {
                section.reader.problem(path, text.clone());
            }
        }
        let table = table_of(&entries);
        section.reader.declare(Declaration {
            path,
            about,
            expected: "keys and their texts".to_owned(),
            presence: Presence::Free,
            resolved: Resolved::Entries(entries),
        });
        table
    }
}
