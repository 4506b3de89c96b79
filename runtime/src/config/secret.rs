//! Text that is never printed, and the rule for where it may come from.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

/// A secret's file is read up to here: enough for a chain of certificates.
const SECRET_LEN_MAX: u64 = 64 * 1024;

/// A password, token or key. `Debug` shows that there is one; only [`Secret::reveal`] gives the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// `None` for the empty text, which is no secret.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        (!text.is_empty()).then(|| Self(text.into()))
    }

    /// The text, to hand to a client and to nothing that prints.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The content of a file, without the line ends that editors put last.
    pub(super) fn from_file(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        std::fs::File::open(path)
            .and_then(|file| file.take(SECRET_LEN_MAX + 1).read_to_string(&mut text))
            .map_err(|error| format!("its file cannot be read: {error}; check the path and who may read it"))?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > SECRET_LEN_MAX {
            return Err("its file is over 64 KiB, which no secret is; check the path".to_owned());
        }
        Self::new(text.trim_end_matches(['\r', '\n']))
            .ok_or_else(|| "its file is empty; put the secret in it".to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Whether a key of a free table, such as librdkafka's `sasl.password`, holds a secret by its name.
pub(super) fn is_secret(key: &str) -> bool {
    let last = key.rsplit(['.', '_']).next().unwrap_or(key);
    matches!(last, "password" | "passphrase" | "secret" | "token" | "pem") || key == "sasl.oauthbearer.config"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print_itself() {
        let secret = Secret::new("hunter2").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert_eq!(secret.reveal(), "hunter2");
    }

    #[test]
    fn the_keys_of_librdkafka_that_hold_secrets_are_known_by_name() {
        for key in ["sasl.password", "ssl.key.password", "ssl.key.pem", "sasl.oauthbearer.client.secret"] {
            assert!(is_secret(key), "{key}");
        }
        for key in ["security.protocol", "ssl.key.location", "sasl.oauthbearer.token.endpoint.url"] {
            assert!(!is_secret(key), "{key}");
        }
    }
}
