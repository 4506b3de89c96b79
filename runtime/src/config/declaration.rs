//! An option as its module declared it, with what it was resolved to.

use super::path::KeyPath;
use super::problem::Place;
use super::table::Entry;

/// Every option of a configuration, in the order of reading.
#[derive(Clone, Debug, Default)]
pub struct Declarations(Vec<Declaration>);

#[derive(Clone, Debug)]
pub(super) struct Declaration {
    pub(super) path: KeyPath,
    pub(super) about: &'static str,
    /// What may be written, to follow "must be".
    pub(super) expected: String,
    pub(super) presence: Presence,
    pub(super) resolved: Resolved,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Presence {
    /// With the reason why there is no default.
    Required(&'static str),
    Default(toml::Value),
    Optional,
    /// Not an option but a section of keys that are somebody else's.
    Free,
    /// A section that other processes read; neither shown nor printed.
    Foreign,
}

#[derive(Clone, Debug)]
pub(super) enum Resolved {
    Unset,
    Value(toml::Value, Place),
    /// The file that holds the secret.
    SecretFromFile(toml::Value),
    SecretFromEnvironment(String),
    Entries(Vec<Entry>),
}

impl Declarations {
    /// Adds `declaration`; an option that two modules read is declared once.
    pub(super) fn add(&mut self, declaration: Declaration) {
        if !self.0.iter().any(|known| known.path == declaration.path) {
            self.0.push(declaration);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Declaration> {
        self.0.iter()
    }

    /// The sections in the order of first mention, the root first, each with its options.
    pub(super) fn sections(&self) -> Vec<(KeyPath, Vec<&Declaration>)> {
        let mut sections: Vec<(KeyPath, Vec<&Declaration>)> = vec![(KeyPath::default(), Vec::new())];
        for declaration in &self.0 {
            let path = match declaration.presence {
                Presence::Foreign => continue,
                Presence::Free => declaration.path.clone(),
                Presence::Required(_) | Presence::Default(_) | Presence::Optional => declaration.path.parent(),
            };
            match sections.iter_mut().find(|(known, _)| *known == path) {
                Some((_, options)) => options.push(declaration),
                None => sections.push((path, vec![declaration])),
            }
        }
        sections.retain(|(_, options)| !options.is_empty());
        sections
    }
}
