//! A section whose keys are somebody else's, such as librdkafka's in `[kafka.extra]`: text by dotted key.

use super::given::Given;
use super::path::{KeyPath, toml_key};
use super::secret::{Secret, is_secret};
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

/// Dotted keys and their texts. `Debug` hides the values of keys that hold secrets by their name.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Table(BTreeMap<String, String>);

impl Table {
    /// Keys and values, in the order of keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().map(|(key, value)| (key, if is_secret(key) { ".." } else { value }))).finish()
    }
}

/// One key of a table as it was read.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Where it was written.
    pub(super) path: KeyPath,
    /// What it sets: dotted, and without the `_file` of a secret.
    pub(super) key: String,
    pub(super) value: Result<Content, String>,
}

/// What an entry holds, and so how it is printed.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Plain(String),
    SecretFromFile { file: String, secret: Secret },
    SecretFromEnvironment(Secret),
}

impl Content {
    fn text(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::SecretFromFile { secret, .. } | Self::SecretFromEnvironment(secret) => secret.reveal(),
        }
    }

    /// As the file would have it, or the remark that stands in its place.
    pub(super) fn print(&self, key: &str) -> String {
        match self {
            Self::Plain(text) => format!("{} = {}", toml_key(key), toml::Value::from(text.as_str())),
            Self::SecretFromFile { file, .. } => {
                format!("{} = {}", toml_key(&format!("{key}_file")), toml::Value::from(file.as_str()))
            }
            Self::SecretFromEnvironment(_) => format!("# {key}: a secret from the environment"),
        }
    }
}

pub(super) fn table_of(entries: &[Entry]) -> Table {
    let ok = entries.iter().filter_map(|entry| Some((entry.key.clone(), entry.value.as_ref().ok()?.text().to_owned())));
    Table(ok.collect())
}

/// Everything written beneath `path`: in the file (nested tables count as dotted keys), then in the environment,
/// where `_` stands for the dot that a variable's name cannot have.
pub(super) fn read_entries(given: &Given, path: &KeyPath) -> Vec<Entry> {
    let mut from_file = Vec::new();
    match given.find_in_file(path) {
        Some(toml::Value::Table(table)) => flatten(table, path, "", &mut from_file),
        Some(_) => {
            let value = Err("must be a section of keys and values".to_owned());
            from_file.push(Entry { path: path.clone(), key: String::new(), value });
        }
        None => {}
    }
    mark_doubles(&mut from_file);
    let from_env: Vec<Entry> = given.env_beneath(path).map(|(path, keys, text)| env_entry(path, keys, text)).collect();
    from_file.retain(|entry| !from_env.iter().any(|other| other.key == entry.key));
    from_file.extend(from_env);
    from_file
}

fn flatten(table: &toml::Table, above: &KeyPath, prefix: &str, entries: &mut Vec<Entry>) {
    for (key, value) in table {
        let path = above.child(key);
        let dotted = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        let text = match value {
            toml::Value::Table(inner) => {
                flatten(inner, &path, &dotted, entries);
                continue;
            }
            toml::Value::String(text) => Ok(text.clone()),
            toml::Value::Integer(number) => Ok(number.to_string()),
            toml::Value::Boolean(flag) => Ok(flag.to_string()),
            toml::Value::Float(_) | toml::Value::Datetime(_) | toml::Value::Array(_) => {
                Err("must be text, a whole number, true or false".to_owned())
            }
        };
        entries.push(file_entry(path, dotted, text));
    }
}

fn file_entry(path: KeyPath, key: String, text: Result<String, String>) -> Entry {
    if is_secret(&key) {
        let value = Err(format!("a secret does not stand in the file; name a file of its own in {key}_file"));
        return Entry { path, key, value };
    }
    let Some(secret_key) = secret_file_key(&key) else {
        return Entry { path, key, value: text.map(Content::Plain) };
    };
    let value = text.and_then(|file| read_secret(&file));
    Entry { path, key: secret_key.to_owned(), value }
}

fn env_entry(path: &KeyPath, keys: &[String], text: &str) -> Entry {
    let key = keys.join(".").replace('_', ".");
    if let Some(secret_key) = secret_file_key(&key) {
        return Entry { path: path.clone(), key: secret_key.to_owned(), value: read_secret(text) };
    }
    let value = if is_secret(&key) {
        Secret::new(text)
            .map(Content::SecretFromEnvironment)
            .ok_or_else(|| "is empty; set it or leave it out".to_owned())
    } else {
        Ok(Content::Plain(text.to_owned()))
    };
    Entry { path: path.clone(), key, value }
}

/// `sasl.password` for `sasl.password_file`, and for the same spelled with a dot, as the environment has to.
fn secret_file_key(key: &str) -> Option<&str> {
    key.strip_suffix("_file").or_else(|| key.strip_suffix(".file")).filter(|stem| is_secret(stem))
}

fn read_secret(file: &str) -> Result<Content, String> {
    let secret = Secret::from_file(Path::new(file))?;
    Ok(Content::SecretFromFile { file: file.to_owned(), secret })
}

/// `"a.b"` and `a.b` are two keys in TOML and one here.
fn mark_doubles(entries: &mut [Entry]) {
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let mut previous: Option<String> = None;
    for entry in entries {
        if previous.as_deref() == Some(entry.key.as_str()) {
            entry.value = Err(format!("{} is set twice; leave one of them out", entry.key));
        }
        previous = Some(entry.key.clone());
    }
}
