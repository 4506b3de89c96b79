//! The key of a user's cache entry, made here and nowhere else.

use schemas::{Change, Tenant, UserId};
use std::fmt;

/// `tw:p1:{<tenant>/<user_id>}`. The braces keep what belongs to one user on one node of a cluster.
///
/// No two users share one: a tenant has no `/`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    #[must_use]
    pub fn new(tenant: &Tenant, user_id: &UserId) -> Self {
        Self(format!("tw:p1:{{{}/{}}}", tenant.as_str(), user_id.as_str()))
    }

    /// The key of the user whom `change` is about.
    #[must_use]
    pub fn of(change: &Change) -> Self {
        Self::new(&change.tenant, &change.user_id)
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Never the key itself: it holds a user id.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(tenant: &str, user_id: &str) -> Key {
        Key::new(&Tenant::new(tenant).unwrap(), &UserId::new(user_id).unwrap())
    }

    #[test]
    fn a_key_is_what_readers_of_the_cache_expect() {
        assert_eq!(key("main", "ada").as_str(), "tw:p1:{main/ada}");
        assert_eq!(key("acme-eu", "Zoë/1}").as_str(), "tw:p1:{acme-eu/Zoë/1}}");
    }

    #[test]
    fn a_debug_print_never_shows_the_user() {
        assert!(!format!("{:?}", key("main", "ada")).contains("ada"));
    }

    proptest! {
        #[test]
        fn no_two_users_share_a_key(
            tenants in ("[a-z0-9][a-z0-9-]{0,3}", "[a-z0-9][a-z0-9-]{0,3}"),
            users in ("[a-z/{}]{1,4}", "[a-z/{}]{1,4}"),
        ) {
            let same = key(&tenants.0, &users.0) == key(&tenants.1, &users.1);
            prop_assert_eq!(same, tenants.0 == tenants.1 && users.0 == users.1);
        }
    }
}
