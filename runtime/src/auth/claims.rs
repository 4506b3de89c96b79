//! What a verified token has to say to be let in, and who that makes of its bearer.

use super::config::Issuer;
use super::denied::Reason;
use super::identity::Identity;
use super::token::text;
use serde_json::{Map, Value};

/// How far the issuer's clock and ours may differ, in seconds.
const LEEWAY_S: i64 = 30;
/// The end of the year 9999: what lies beyond is no date, and sums with it stay far from overflow.
const SECONDS_MAX: i64 = 253_402_300_799;
/// What a client's id may be long; the source of a change has as much.
const CLIENT_LEN_MAX: usize = 128;
const TENANT_LEN_MAX: usize = 63;

/// Who the bearer is at `now_s`, and the first second in which that is over; both since 1970-01-01. The signature has
/// been checked, and `iss` too.
pub(super) fn identity(claims: &Map<String, Value>, issuer: &Issuer, now_s: i64) -> Result<(Identity, i64), Reason> {
    let until_s = lasts_until(claims, issuer, now_s)?;
    if !names_audience(claims, &issuer.audience) {
        return Err(Reason::Audience);
    }
    said(claims, "sub").ok_or(Reason::Subject)?;
    said(claims, "jti").ok_or(Reason::TokenId)?;
    let client = issuer.client_claims.iter().find(|claim| claims.contains_key(*claim));
    let client = client.and_then(|claim| said(claims, claim)).filter(|client| is_client(client));
    let client = client.ok_or(Reason::Client)?;
    let tenant = said(claims, &issuer.tenant_claim).filter(|tenant| is_tenant(tenant)).ok_or(Reason::Tenant)?;
    if !issuer.tenants.is_empty() && !issuer.tenants.iter().any(|allowed| allowed == tenant) {
        return Err(Reason::TenantNotAllowed);
    }
    Ok((Identity::new(tenant, client, scope(claims)?, issuer.mask(client)), until_s))
}

/// `exp` and `iat` have to be there (RFC 9068, 2.2), `nbf` may be. All are whole seconds: readers round a fraction
/// in different ways, and no issuer needs one.
fn lasts_until(claims: &Map<String, Value>, issuer: &Issuer, now_s: i64) -> Result<i64, Reason> {
    let expiry = seconds(claims, "exp").ok_or(Reason::Expiry)?;
    let issued = seconds(claims, "iat").ok_or(Reason::IssuedAt)?;
    let until_s = expiry + LEEWAY_S;
    if until_s <= now_s {
        return Err(Reason::Expired);
    }
    let latest = now_s.saturating_add(LEEWAY_S);
    if issued > latest {
        return Err(Reason::IssuedAt);
    }
    if claims.contains_key("nbf") && seconds(claims, "nbf").is_none_or(|from| from > latest) {
        return Err(Reason::NotYetValid);
    }
    let lifetime = u64::try_from(expiry - issued).map_err(|_| Reason::Lifetime)?;
    if lifetime > issuer.lifetime_max.as_secs() {
        return Err(Reason::Lifetime);
    }
    Ok(until_s)
}

fn seconds(claims: &Map<String, Value>, name: &str) -> Option<i64> {
    claims.get(name)?.as_i64().filter(|seconds| (0..=SECONDS_MAX).contains(seconds))
}

/// `aud` is one text or a list of texts (RFC 7519, 4.1.3).
fn names_audience(claims: &Map<String, Value>, audience: &str) -> bool {
    match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => {
            several.iter().all(Value::is_string) && several.iter().any(|one| one == audience)
        }
        _ => false,
    }
}

/// The text of a claim that says something.
fn said<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c str> {
    text(claims, name).filter(|text| !text.is_empty())
}

/// What RFC 6749 lets a client's id be (A.1).
fn is_client(client: &str) -> bool {
    client.len() <= CLIENT_LEN_MAX && client.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

/// A label: it becomes part of keys, and nothing in it may end one early.
fn is_tenant(tenant: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    tenant.len() <= TENANT_LEN_MAX
        && tenant.bytes().next().is_some_and(plain)
        && tenant.bytes().all(|byte| plain(byte) || byte == b'-')
}

/// Words with one space between them (RFC 6749, 3.3); none is no scope at all.
fn scope(claims: &Map<String, Value>) -> Result<&str, Reason> {
    let Some(scope) = claims.get("scope") else { return Ok("") };
    let scope = scope.as_str().ok_or(Reason::Scope)?;
    let is_word = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if scope.is_empty() || scope.split(' ').all(|word| !word.is_empty() && word.bytes().all(is_word)) {
        return Ok(scope);
    }
    Err(Reason::Scope)
}
