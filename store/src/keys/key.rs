//! What tells one request from another: its key within its scope, and the digest of its body.

use super::protocol::DIGEST_LEN;
use schemas::Tenant;
use sha2::{Digest as _, Sha256};
use std::fmt;

/// Characters of a key, at most.
const SENT_LEN_MAX: usize = 255;

/// Whose key it is and what for: the same text in another scope is another key.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    pub tenant: &'a Tenant,
    /// Who asks, as the token says; clients never share keys.
    pub client: &'a str,
    pub method: &'a str,
    pub path: &'a str,
}

/// A key in its scope, of which only the SHA-256 is left: what a client chose may be user data.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey([u8; DIGEST_LEN]);

/// The SHA-256 of a request's body: what tells a repetition from another request under the same key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BodyDigest(pub [u8; DIGEST_LEN]);

/// What was sent is no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an Idempotency-Key is 1 to {SENT_LEN_MAX} visible ASCII characters, in double quotes or bare")]
pub struct KeyMalformed;

impl Scope<'_> {
    /// The key that a header's value stands for. It is a string of RFC 9651 in double quotes, as the draft of the header
    /// has it, or bare, as many clients send it; `"a"` and `a` are the same key.
    ///
    /// # Errors
    /// If it is none, or has parameters behind it.
    pub fn key(&self, sent: &[u8]) -> Result<IdempotencyKey, KeyMalformed> {
        let text = match sent.strip_prefix(b"\"") {
            Some(quoted) => unquoted(quoted).ok_or(KeyMalformed)?,
            None => sent.to_vec(),
        };
        if text.is_empty() || text.len() > SENT_LEN_MAX || !text.iter().all(u8::is_ascii_graphic) {
            return Err(KeyMalformed);
        }
        let mut digest = Sha256::new();
        let parts = [self.tenant.as_str(), self.client, self.method, self.path].map(str::as_bytes);
        for part in parts.into_iter().chain([&*text]) {
            // With its length before it no part can reach into the next.
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        Ok(IdempotencyKey(digest.finalize().into()))
    }
}

/// What stands before the closing quote, which has to be the last character.
fn unquoted(quoted: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(quoted.len());
    let mut rest = quoted.iter();
    loop {
        match rest.next()? {
            b'"' => return rest.as_slice().is_empty().then_some(text),
            b'\\' => match rest.next()? {
                escaped @ (b'"' | b'\\') => text.push(*escaped),
                _ => return None,
            },
            plain => text.push(*plain),
        }
    }
}

impl IdempotencyKey {
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; DIGEST_LEN] {
        &self.0
    }

    /// `tw:i1:<SHA-256 in hexadecimal>`, as the Redis of the keys has it.
    #[must_use]
    pub fn in_redis(&self) -> String {
        let mut key = String::with_capacity("tw:i1:".len() + 2 * DIGEST_LEN);
        key.push_str("tw:i1:");
        for nibble in self.0.iter().flat_map(|byte| [byte >> 4, byte & 15]) {
            key.push(char::from_digit(nibble.into(), 16).unwrap_or('0'));
        }
        key
    }
}

impl BodyDigest {
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).into())
    }
}

/// Never what was sent, nor its digest, by which somebody who guesses it could be sure of it.
impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdempotencyKey(..)")
    }
}

impl fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BodyDigest(..)")
    }
}

/// Never who asks.
impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scope(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(scope: [&str; 4], sent: &[u8]) -> Result<IdempotencyKey, KeyMalformed> {
        let [tenant, client, method, path] = scope;
        Scope { tenant: &Tenant::new(tenant).unwrap(), client, method, path }.key(sent)
    }

    const SCOPE: [&str; 4] = ["main", "shop", "POST", "/v1/changes"];

    #[test]
    fn a_key_is_the_same_in_quotes_and_bare() {
        assert_eq!(key(SCOPE, br#""8e03978e-40d5""#), key(SCOPE, b"8e03978e-40d5"));
        assert_eq!(key(SCOPE, br#""a\"b\\c""#), key(SCOPE, br#"a"b\c"#));
        assert_ne!(key(SCOPE, b"a"), key(SCOPE, b"A"), "it is compared byte for byte");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let long = [b'k'; 256];
        let malformed: [&[u8]; 12] = [
            b"",
            b"\"",
            b"\"\"",
            b"\"a",
            b"\"a\"b",
            b"\"a\";p=1",
            br#""a\b""#,
            br#""a\"#,
            b"a b",
            b"a\x7f",
            "\u{e9}".as_bytes(),
            &long,
        ];
        for sent in malformed {
            assert_eq!(key(SCOPE, sent), Err(KeyMalformed), "{}", String::from_utf8_lossy(sent));
        }
        assert!(key(SCOPE, &long[..255]).is_ok());
        assert!(key(SCOPE, &[b"\"", &long[..255], b"\""].concat()).is_ok());
    }

    #[test]
    fn the_name_in_redis_is_what_other_releases_look_for() {
        let name = key(SCOPE, b"8e03978e-40d5").unwrap().in_redis();
        assert_eq!(name, "tw:i1:ae2af7e3c70a5fc03d5b2076479f6c27a531a652fc500e4b3733c7abc5af6dc3");
    }

    #[test]
    fn a_debug_print_shows_nothing_of_a_request() {
        let printed = format!("{:?} {:?}", key(SCOPE, b"ada"), BodyDigest::of(b"ada"));
        assert_eq!(printed, "Ok(IdempotencyKey(..)) BodyDigest(..)");
    }

    proptest! {
        #[test]
        fn two_requests_share_a_key_only_if_scope_and_text_are_the_same(
            scopes in (["[a-b]{1,2}", "[a-b]{0,2}", "[a-b]{0,2}", "[a-b]{0,2}"], ["[a-b]{1,2}", "[a-b]{0,2}", "[a-b]{0,2}", "[a-b]{0,2}"]),
            sent in ("[a-b]{1,2}", "[a-b]{1,2}"),
        ) {
            let of = |scope: &[String; 4], sent: &str| key(scope.each_ref().map(String::as_str), sent.as_bytes()).unwrap();
            let same = of(&scopes.0, &sent.0) == of(&scopes.1, &sent.1);
            prop_assert_eq!(same, scopes.0 == scopes.1 && sent.0 == sent.1);
        }
    }
}
