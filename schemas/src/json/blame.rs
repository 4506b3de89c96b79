//! Where in a change the reader stands, so that a mistake is blamed on its field and never shows a value.

use super::Key;
use crate::profile::Profile;
use crate::reject::{RejectCode, Rejection};
use serde::de;
use serde_json::error::Category;
use std::cell::Cell;

/// A place within a change.
#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    Change,
    Key(Key),
    SetField(usize),
    UnsetField(usize),
    /// By number: what stands there is not a field's name.
    UnsetItem(usize),
}

impl At {
    /// The place as a path: `set.email`.
    pub(super) fn path(self, profile: &Profile) -> String {
        let name = |position: usize| profile.fields().get(position).map_or("", |field| &*field.name);
        match self {
            Self::Change => String::new(),
            Self::Key(key) => key.name().to_owned(),
            Self::SetField(position) => format!("set.{}", name(position)),
            Self::UnsetField(position) => format!("unset.{}", name(position)),
            Self::UnsetItem(index) => format!("unset.{index}"),
        }
    }
}

/// Carries a rejection past the JSON library, whose errors hold text only (and might quote a value).
pub(super) struct Blame<'a> {
    profile: &'a Profile,
    at: Cell<At>,
    rejection: Cell<Option<Rejection>>,
}

impl<'a> Blame<'a> {
    pub(super) fn new(profile: &'a Profile) -> Self {
        Self { profile, at: Cell::new(At::Change), rejection: Cell::new(None) }
    }

    pub(super) fn enter(&self, at: At) {
        self.at.set(at);
    }

    /// Refuses what stands here.
    pub(super) fn refuse<E: de::Error>(&self, code: RejectCode) -> E {
        self.rejection.set(Some(self.here(code)));
        E::custom("refused")
    }

    /// Refuses a key that `parent` does not have.
    pub(super) fn refuse_key<E: de::Error>(&self, parent: &str, key: &str) -> E {
        self.rejection.set(Some(Rejection::at_key(RejectCode::FieldUnknown, parent, key)));
        E::custom("refused")
    }

    /// The rejection behind an error of the library.
    pub(super) fn rejection(&self, error: &serde_json::Error) -> Rejection {
        if let Some(rejection) = self.rejection.take() {
            return rejection;
        }
        match error.classify() {
            // A visitor met a type that it does not take.
            Category::Data => self.here(RejectCode::FieldType),
            // The library calls 1e999 bad syntax; it is a well-formed number that no type can hold.
            Category::Syntax if error.to_string().starts_with("number out of range") => {
                self.here(RejectCode::FieldType)
            }
            Category::Syntax | Category::Eof | Category::Io => Rejection::new(RejectCode::Undecodable),
        }
    }

    fn here(&self, code: RejectCode) -> Rejection {
        match self.at.get() {
            At::Change => Rejection::new(code),
            at @ (At::Key(_) | At::SetField(_) | At::UnsetField(_) | At::UnsetItem(_)) => {
                Rejection::at(code, at.path(self.profile))
            }
        }
    }
}
