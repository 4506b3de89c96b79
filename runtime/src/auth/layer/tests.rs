use super::*;
use crate::auth::tests::forge::{Draft, RSA};
use crate::auth::tests::issuer::{Guarded, Issuer, KEYS, NOW_S, Reply, headers, pace};
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;

async fn shown(request: Request) -> String {
    let identity = request.extensions().get::<Identity>().expect("an identity");
    let has_token = request.headers().contains_key(header::AUTHORIZATION);
    format!("{} {} {has_token}", identity.tenant, identity.client)
}

async fn ask(guard: &Guard, scope: &'static str, path: &str, authorizations: &[String]) -> (u16, HeaderMap, String) {
    let router = Router::new().route("/", get(shown)).route_layer(require(guard.clone(), scope));
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = path.parse().unwrap();
    *request.headers_mut() = headers(authorizations);
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_request_goes_on_with_its_identity_and_without_its_token() {
    let issuer = Issuer::publishing(vec![RSA.jwk("rsa")]).await;
    let guarded = Guarded::ready(&issuer.url, "", pace()).await;
    let token = Draft::good("RS256", &issuer.url, NOW_S).authorizations();
    let (status, _, body) = ask(&guarded.guard, "profiles:read", "/", &token).await;
    assert_eq!((status, &*body), (200, "acme crm false"));
}

#[tokio::test]
async fn who_is_not_let_in_is_told_why_and_nothing_of_the_token() {
    let issuer = Issuer::publishing(vec![RSA.jwk("rsa")]).await;
    let guarded = Guarded::ready(&issuer.url, "", pace()).await;
    let good = Draft::good("RS256", &issuer.url, NOW_S);
    let mut expired = Draft::good("RS256", &issuer.url, NOW_S);
    expired.set_time("exp", -60);
    let cases = [
        ("profiles:read", "/".to_owned(), vec![], 401, "token-missing"),
        ("profiles:read", format!("/?access_token={}", good.token()), vec![], 401, "token-missing"),
        ("profiles:read", "/".to_owned(), expired.authorizations(), 401, "expired"),
        ("pii:read", "/".to_owned(), good.authorizations(), 403, "scope-missing"),
        ("profiles:read", "/".to_owned(), vec!["Bearer ".to_owned()], 400, "authorization-malformed"),
    ];
    for (scope, path, authorizations, expected, code) in cases {
        let (status, headers, body) = ask(&guarded.guard, scope, &path, &authorizations).await;
        assert_eq!(status, expected, "{code}");
        assert!(body.contains(code), "{body}");
        assert!(headers[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer realm="), "{code}");
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
        for text in ["acme", "crm", "eyJ"] {
            assert!(!format!("{headers:?}{body}").contains(text), "{code}: {headers:?} {body}");
        }
    }
}

#[tokio::test]
async fn without_keys_a_client_is_asked_to_come_again() {
    let issuer = Issuer::publishing(vec![RSA.jwk("rsa")]).await;
    issuer.answers(KEYS, Reply::Status(500));
    let guarded = Guarded::new(&issuer.url, "", pace());
    let token = Draft::good("RS256", &issuer.url, NOW_S).authorizations();
    let (status, headers, body) = ask(&guarded.guard, "profiles:read", "/", &token).await;
    assert_eq!((status, body.contains("keys-unavailable")), (503, true));
    assert_eq!(headers[header::RETRY_AFTER], "5");
    assert!(!headers.contains_key(header::WWW_AUTHENTICATE));
}
