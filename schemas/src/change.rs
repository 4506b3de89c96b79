//! One event about one user.

use crate::{FieldSet, Origin, Row, Version};
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Replaces the whole profile.
    Upsert,
    /// Touches what it names.
    Patch,
    /// Removes the profile.
    Delete,
}

/// A change with its place in history, as it travels from `validate` on.
///
/// `set` and `unset` name disjoint fields. An upsert has no `unset`, a delete neither.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub id: Uuid,
    pub tenant: Tenant,
    pub user_id: UserId,
    pub op: Op,
    pub set: Row,
    pub unset: FieldSet,
    /// Microseconds since 1970-01-01; information only, never order.
    pub occurred_at: Option<i64>,
    pub source: Option<String>,
    pub version: Version,
    /// The raw record this came from; travels as a header.
    pub origin: Origin,
}

impl Change {
    /// The fields this change writes or clears.
    #[must_use]
    pub fn named(&self) -> FieldSet {
        self.set.named().union(self.unset)
    }
}

/// `[a-z0-9][a-z0-9-]{0,62}`, `main` where a change names none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant(Cow<'static, str>);

impl Tenant {
    /// `None` if `text` is not a tenant's name.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let first = bytes.first()?;
        let well_formed = (first.is_ascii_lowercase() || first.is_ascii_digit())
            && bytes.len() <= 63
            && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
        well_formed.then(|| if text == MAIN { Self::default() } else { Self(Cow::Owned(text.to_owned())) })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Most changes are its, and none pays for it.
const MAIN: &str = "main";

impl Default for Tenant {
    fn default() -> Self {
        Self(Cow::Borrowed(MAIN))
    }
}

/// 1 to 128 bytes of UTF-8 without control characters, compared byte for byte, never normalised.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Box<str>);

impl UserId {
    pub const LEN_MAX: usize = 128;

    /// `None` if `text` is not a user id.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        Self::is_well_formed(text).then(|| Self(text.into()))
    }

    /// The same of a text that is done with.
    #[must_use]
    pub fn of(text: String) -> Option<Self> {
        Self::is_well_formed(&text).then(|| Self(text.into()))
    }

    fn is_well_formed(text: &str) -> bool {
        !text.is_empty() && text.len() <= Self::LEN_MAX && !text.chars().any(char::is_control)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Never the id itself: it is user data.
impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(..)")
    }
}
