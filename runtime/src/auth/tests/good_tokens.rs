//! Tokens that count, at the edges of what is allowed, and what they make of their bearer.

use super::forge::{AGE_S, Draft, ED, P256, P384, RSA};
use super::issuer::{AUDIENCE, Guarded, Issuer, NOW_S, headers, pace};
use crate::auth::{Config, FieldMask, Guard, Mode};
use crate::clock::Clock;
use crate::health::Health;
use http::HeaderMap;
use serde_json::json;

type Twist = fn(&mut Draft);

const GOOD: &[(&str, Twist)] = &[
    ("as it is", |_| ()),
    ("a scheme in lower case", |d| d.sent = |token| vec![format!("bearer {token}")]),
    ("a scheme in upper case", |d| d.sent = |token| vec![format!("BEARER {token}")]),
    ("a type in full", |d| d.set_header("typ", "application/at+jwt")),
    ("a type in upper case", |d| d.set_header("typ", "AT+JWT")),
    ("the thumbprint of a certificate", |d| d.set_header("x5t", "AAAA")),
    ("several audiences", |d| d.set("aud", json!(["https://other.example.com", AUDIENCE]))),
    ("expired within the leeway", |d| d.set_time("exp", -28)),
    ("issued ahead, within the leeway", |d| d.set_time("iat", 28)),
    ("valid from ahead, within the leeway", |d| d.set_time("nbf", 28)),
    ("a whole day long", |d| d.set_time("exp", 24 * 3600 - AGE_S)),
    ("no scope", |d| drop(d.claims.remove("scope"))),
    ("the client in azp", |d| {
        d.claims.remove("client_id");
        d.set("azp", "crm");
    }),
    ("claims that nobody asks for", |d| d.set("cnf", json!({"jkt": [1, 2]}))),
    ("nearly 8 KiB", |d| d.set("filler", "x".repeat(5_000))),
];

async fn guarded(more: &str) -> (Issuer, Guarded) {
    let issuer = Issuer::publishing(vec![RSA.jwk("rsa"), P256.jwk("p256"), P384.jwk("p384"), ED.jwk("ed")]).await;
    let guarded = Guarded::ready(&issuer.url, more, pace()).await;
    (issuer, guarded)
}

const ALL: &str = r#"algorithms = ["RS256", "RS384", "PS256", "ES256", "ES384", "EdDSA"]"#;

#[tokio::test]
async fn a_token_at_the_edge_of_what_is_allowed_counts() {
    let (issuer, guarded) = guarded(ALL).await;
    for algorithm in ["RS256", "RS384", "PS256", "ES256", "ES384", "EdDSA"] {
        for (name, twist) in GOOD {
            let mut draft = Draft::good(algorithm, &issuer.url, NOW_S);
            twist(&mut draft);
            let identity =
                guarded.admit(&draft).await.unwrap_or_else(|denied| panic!("{algorithm}, {name}: {denied:?}"));
            assert_eq!((&*identity.tenant, &*identity.client), ("acme", "crm"), "{algorithm}, {name}");
        }
    }
}

#[tokio::test]
async fn a_token_gives_the_scopes_it_has() {
    let (issuer, guarded) = guarded("").await;
    let identity = guarded.admit(&Draft::good("RS256", &issuer.url, NOW_S)).await.unwrap();
    assert!(identity.may("changes:write") && identity.may("profiles:read"));
    assert!(!identity.may("pii:read"));
    assert!(identity.mask().is_none());
}

#[tokio::test]
async fn a_client_has_the_mask_of_its_issuer() {
    let masks = "[auth.issuers.main.masks]\n\"crm\" = \"email, phone\"\n\"*\" = \"city\"";
    let (issuer, guarded) = guarded(masks).await;
    let mut draft = Draft::good("RS256", &issuer.url, NOW_S);
    let identity = guarded.admit(&draft).await.unwrap();
    assert_eq!(identity.mask(), Some(&FieldMask::from_iter(["phone", "email"])));
    draft.set("client_id", "another");
    let identity = guarded.admit(&draft).await.unwrap();
    assert_eq!(identity.mask(), Some(&FieldMask::from_iter(["city"])));
}

#[tokio::test]
async fn the_claims_of_tenant_and_client_are_the_operators_choice() {
    let (issuer, guarded) = guarded("tenant_claim = \"https://example.com/org\"\nclient_claim = \"cid\"").await;
    let mut draft = Draft::good("RS256", &issuer.url, NOW_S);
    assert!(guarded.admit(&draft).await.is_err(), "neither is there");
    draft.set("https://example.com/org", "beta");
    draft.set("cid", "app");
    let identity = guarded.admit(&draft).await.unwrap();
    assert_eq!((&*identity.tenant, &*identity.client), ("beta", "app"));
}

#[tokio::test]
async fn without_a_check_everybody_may_everything_as_one_tenant() {
    let config = Config { mode: Mode::Off, issuers: Vec::new() };
    let health = Health::new();
    let guard = Guard::new(config, Clock::fixed(0), &health).unwrap();
    let identity = guard.admit(&HeaderMap::new()).await.unwrap();
    assert_eq!((&*identity.tenant, &*identity.client), ("main", "anonymous"));
    assert!(identity.may("pii:read") && identity.mask().is_none());
    assert!(health.ready().is_ok, "there are no keys to wait for");
}

#[tokio::test]
async fn a_token_that_counted_is_remembered_and_one_that_did_not_is_not() {
    let (issuer, guarded) = guarded("").await;
    let remembered = || guarded.guard.0.checked.as_ref().unwrap().remembered.len();
    let draft = Draft::good("RS256", &issuer.url, NOW_S);
    let headers = headers(&draft.authorizations());
    for _ in 0..3 {
        let identity = guarded.guard.admit(&headers).await.unwrap();
        assert_eq!((&*identity.tenant, identity.may("changes:write"), remembered()), ("acme", true, 1));
    }
    let mut bad = Draft::good("RS256", &issuer.url, NOW_S);
    bad.set("aud", "another");
    assert!(guarded.admit(&bad).await.is_err());
    assert_eq!(remembered(), 1);
}
