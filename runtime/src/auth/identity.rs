//! Who was let in, and what for.

use ring::digest::{SHA256, digest};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// Who a request is from. `Debug` shows a hash in place of each name.
#[derive(Clone)]
pub struct Identity {
    /// Whose data it may touch.
    pub tenant: Arc<str>,
    /// Which program asks; the source of what it writes.
    pub client: Arc<str>,
    scopes: Scopes,
    mask: Option<Arc<FieldMask>>,
}

#[derive(Clone, PartialEq, Eq)]
enum Scopes {
    All,
    /// Words with one space between them.
    These(Arc<str>),
}

/// The fields that a client is let near.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldMask(BTreeSet<Box<str>>);

impl Identity {
    /// Whoever asks where nobody is checked.
    pub(super) fn anonymous() -> Self {
        Self { tenant: "main".into(), client: "anonymous".into(), scopes: Scopes::All, mask: None }
    }

    /// Who was checked: `scope` as a token has it, words with one space between them.
    #[must_use]
    pub fn new(tenant: &str, client: &str, scope: &str, mask: Option<Arc<FieldMask>>) -> Self {
        Self { tenant: tenant.into(), client: client.into(), scopes: Scopes::These(scope.into()), mask }
    }

    /// Whether nobody was checked: then tenant and client are words, and not known.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.scopes == Scopes::All
    }

    /// Whether the token has this scope, word for word: none stands for another.
    #[must_use]
    pub fn may(&self, scope: &str) -> bool {
        match &self.scopes {
            Scopes::All => true,
            Scopes::These(words) => words.split(' ').any(|word| word == scope && !word.is_empty()),
        }
    }

    /// The fields its client is let near; `None` where that is all of them.
    #[must_use]
    pub fn mask(&self) -> Option<&FieldMask> {
        self.mask.as_deref()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("tenant", &format_args!("#{}", short_hash(&self.tenant)))
            .field("client", &format_args!("#{}", short_hash(&self.client)))
            .finish_non_exhaustive()
    }
}

/// Enough to tell two apart in a log.
fn short_hash(name: &str) -> String {
    digest(&SHA256, name.as_bytes()).as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

impl FieldMask {
    #[must_use]
    pub fn allows(&self, field: &str) -> bool {
        self.0.contains(field)
    }

    /// The fields, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|field| &**field)
    }
}

impl<'f> FromIterator<&'f str> for FieldMask {
    fn from_iter<I: IntoIterator<Item = &'f str>>(fields: I) -> Self {
        Self(fields.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_had_word_for_word() {
        let identity = Identity::new("acme", "crm", "profiles:read pii:read", None);
        assert!(identity.may("profiles:read") && identity.may("pii:read"));
        for scope in ["profiles", "profiles:rea", "read", "PII:READ", "profiles:read pii:read", "", " "] {
            assert!(!identity.may(scope), "{scope}");
        }
        assert!(!Identity::new("acme", "crm", "", None).may(""));
    }

    #[test]
    fn an_identity_does_not_print_its_names() {
        let mask = Arc::new(FieldMask::from_iter(["email"]));
        let printed = format!("{:?}", Identity::new("acme", "crm-7", "pii:read", Some(mask)));
        for text in ["acme", "crm", "pii", "email"] {
            assert!(!printed.contains(text), "{printed}");
        }
        assert_ne!(printed, format!("{:?}", Identity::new("acme", "crm-8", "", None)), "two clients can be told apart");
    }
}
