//! Where a value stands: the keys from the root of the configuration down to it.

use std::fmt;

/// What a variable's name starts with; the rest are the keys, upper-case, joined by `__`.
pub(super) const ENV_PREFIX: &str = "TIDEWATER__";

/// The keys from the root to a value; empty is the root itself. Prints as `kafka.session_timeout`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyPath(Vec<String>);

impl KeyPath {
    pub(super) fn child(&self, key: &str) -> Self {
        let mut keys = self.0.clone();
        keys.push(key.to_owned());
        Self(keys)
    }

    /// The path that `dotted` names, seen from here.
    pub(super) fn join(&self, dotted: &str) -> Self {
        dotted.split('.').fold(self.clone(), |path, key| path.child(key))
    }

    /// `None` if the name is not one of ours.
    pub(super) fn from_env(name: &str) -> Option<Self> {
        let keys = name.strip_prefix(ENV_PREFIX)?;
        Some(Self(keys.split("__").map(str::to_ascii_lowercase).collect()))
    }

    /// The name of the variable that sets this value.
    pub(super) fn env_name(&self) -> String {
        format!("{ENV_PREFIX}{}", self.0.join("__").to_ascii_uppercase())
    }

    /// What to do about a missing value.
    pub(super) fn how_to_set(&self) -> String {
        format!("set it in the file or as {}", self.env_name())
    }

    pub(super) fn keys(&self) -> &[String] {
        &self.0
    }

    pub(super) fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    pub(super) fn parent(&self) -> Self {
        let mut keys = self.0.clone();
        keys.pop();
        Self(keys)
    }

    /// The keys that follow `self` in `longer`; `None` if `longer` does not start with `self`.
    pub(super) fn beneath<'p>(&self, longer: &'p Self) -> Option<&'p [String]> {
        longer.0.strip_prefix(self.0.as_slice())
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, key) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(".")?;
            }
            f.write_str(&toml_key(key))?;
        }
        Ok(())
    }
}

/// A key as TOML writes it: bare where that is allowed.
pub(super) fn toml_key(key: &str) -> String {
    let bare = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare {
        return key.to_owned();
    }
    // As the key of a table: as a value it may come out as a multi-line text, which no key can be.
    let line = toml::Table::from_iter([(key.to_owned(), toml::Value::Boolean(true))]).to_string();
    line.trim_end().strip_suffix(" = true").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_is_written_so_that_it_reads_as_itself() {
        for key in ["plain", "", "a.b", "a b", "'\\", "\"", "\u{7f}", "line\nline", "'''", "= true", "é"] {
            let table: toml::Table = format!("{} = 1", toml_key(key)).parse().unwrap();
            assert_eq!(table.keys().collect::<Vec<_>>(), [key]);
        }
    }

    #[test]
    fn a_path_and_its_variable_name_each_other() {
        let path = KeyPath::default().child("kafka").child("session_timeout");
        assert_eq!(path.env_name(), "TIDEWATER__KAFKA__SESSION_TIMEOUT");
        assert_eq!(KeyPath::from_env(&path.env_name()), Some(path));
    }

    #[test]
    fn a_variable_of_another_program_is_not_ours() {
        assert_eq!(KeyPath::from_env("TIDEWATER_SERVICE_HOST"), None);
    }

    #[test]
    fn a_key_that_toml_would_not_take_bare_is_quoted() {
        let path = KeyPath::default().child("extra").child("security.protocol");
        assert_eq!(path.to_string(), "extra.\"security.protocol\"");
    }
}
