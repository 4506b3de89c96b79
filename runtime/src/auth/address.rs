//! Where an issuer is asked: by https, or by plain http on this machine alone.

use http::Uri;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

/// A URL without user, password or fragment. Prints as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    text: Arc<str>,
    uri: Uri,
}

/// Whether plain http may be spoken, which only this machine can overhear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plain {
    OnLoopback,
    Never,
}

impl Address {
    /// `text`, if it is an address to ask; the error says what it must be.
    pub(super) fn new(text: &str, plain: Plain) -> Result<Self, &'static str> {
        let wrong = "must be a URL with a host: https://id.example.com";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(wrong)?;
        if text.contains('#') || uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("must have no user, no password and no fragment");
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if plain == Plain::OnLoopback && is_loopback(host) => {}
            Some("http") => return Err("must begin with https:// (http:// is for issuers on this machine)"),
            _ => return Err(wrong),
        }
        Ok(Self { text: text.into(), uri })
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.uri
    }

    pub(super) fn is_plain(&self) -> bool {
        self.uri.scheme_str() == Some("http")
    }

    pub(super) fn has_query(&self) -> bool {
        self.uri.query().is_some()
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_leaves_this_machine() {
        for text in ["https://id.example.com", "https://id.example.com:8443/a?b=c", "https://10.0.0.1/"] {
            assert!(Address::new(text, Plain::Never).is_ok(), "{text}");
        }
        for text in ["http://127.0.0.1:4455", "http://localhost/x", "http://[::1]:1/", "http://127.9.9.9"] {
            assert!(Address::new(text, Plain::OnLoopback).is_ok(), "{text}");
            assert!(Address::new(text, Plain::Never).is_err(), "{text}");
        }
        for text in ["http://id.example.com", "http://10.0.0.1", "http://localhost.example.com", "http://0.0.0.0"] {
            assert!(Address::new(text, Plain::OnLoopback).is_err(), "{text}");
        }
    }

    #[test]
    fn what_hides_its_host_is_no_address() {
        for text in [
            "",
            "id.example.com",
            "/a",
            "ftp://a.example.com",
            "file:///etc/passwd",
            "https://",
            "https:///a",
            "https://a@b.example.com",
            "https://127.0.0.1@b.example.com",
            "https://a.example.com/#b",
            "http://127.0.0.1@b.example.com",
        ] {
            assert!(Address::new(text, Plain::OnLoopback).is_err(), "{text}");
        }
    }
}
