//! A token as it arrives: found in the request, taken apart, and read strictly. Nothing of it is believed yet.

use super::algorithm::Algorithm;
use super::denied::{Denied, Reason};
use super::strict::{Flaw, object};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::{Map, Value};

/// Longest token. Real ones have one or two KiB, and whoever sends more is not asked to prove it.
const TOKEN_LEN_MAX: usize = 8 * 1024;
/// Longest `kid`; a digest in hexadecimal is 64.
const KEY_ID_LEN_MAX: usize = 256;

/// What an unverified token says of how to verify it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unverified {
    pub(super) algorithm: Algorithm,
    pub(super) key_id: String,
    pub(super) issuer: String,
}

/// The token of a request: from the one `Authorization` header, and from nowhere else (a URL is logged and kept).
pub(super) fn bearer(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or(Denied::Missing)?;
    if values.next().is_some() {
        return Err(Reason::HeaderRepeated.into());
    }
    let text = value.to_str().map_err(|_| Reason::HeaderMalformed)?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        // Another scheme is an honest try to log in, and no token.
        return Err(Denied::Missing);
    }
    if token.is_empty() || token.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(Reason::HeaderMalformed.into());
    }
    if token.len() > TOKEN_LEN_MAX {
        return Err(Reason::TooLong.into());
    }
    Ok(token)
}

/// Reads the header and the claims of `token`, a JWS in its compact form.
pub(super) fn read(token: &str) -> Result<Unverified, Reason> {
    let mut parts = token.split('.');
    // Five parts would be an encrypted token, and two parts of a signed one with an empty third its unsigned form.
    let (Some(header), Some(claims), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reason::Malformed);
    };
    let header = part(header)?;
    let claims = part(claims)?;
    URL_SAFE_NO_PAD.decode(signature).map_err(|_| Reason::Malformed)?;
    check_header(&header)?;
    let algorithm = text(&header, "alg").and_then(Algorithm::named).ok_or(Reason::Algorithm)?;
    let key_id = text(&header, "kid").filter(|id| !id.is_empty() && id.len() <= KEY_ID_LEN_MAX);
    let key_id = key_id.ok_or(Reason::KeyId)?.to_owned();
    let issuer = text(&claims, "iss").ok_or(Reason::Issuer)?.to_owned();
    Ok(Unverified { algorithm, key_id, issuer })
}

/// Unpadded base64url without stray bits, and an object in it that reads in one way only.
fn part(part: &str) -> Result<Map<String, Value>, Reason> {
    let bytes = URL_SAFE_NO_PAD.decode(part).map_err(|_| Reason::Malformed)?;
    object(&bytes).map_err(|flaw| match flaw {
        Flaw::NoObject => Reason::Malformed,
        Flaw::Duplicate => Reason::DuplicateMember,
    })
}

/// Refuses what would make the token mean something else to another reader. A key that a token brings along is never
/// looked at; but no honest issuer of access tokens sends one, so who does is not worth a second look.
fn check_header(header: &Map<String, Value>) -> Result<(), Reason> {
    let has = |name: &&str| header.contains_key(*name);
    if ["crit", "b64", "zip", "enc"].iter().any(has) {
        return Err(Reason::CriticalExtension);
    }
    if ["jwk", "jku", "x5u", "x5c"].iter().any(has) {
        return Err(Reason::EmbeddedKey);
    }
    if has(&"cty") {
        return Err(Reason::Nested);
    }
    // A media type, so its case does not count and `application/` may be left out (RFC 9068, 4; RFC 7515, 4.1.9).
    let kind = text(header, "typ").ok_or(Reason::Type)?.to_ascii_lowercase();
    if kind.strip_prefix("application/").unwrap_or(&kind) != "at+jwt" {
        return Err(Reason::Type);
    }
    Ok(())
}

/// The text at `name`; `None` also for what is there and no text.
pub(super) fn text<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m str> {
    members.get(name)?.as_str()
}
