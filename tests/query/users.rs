//! `/v1/users/{id}`, as a client sees it.

use crate::house::{House, WITHIN};
use axum::http::StatusCode;
use query::Reader;
use schemas::{Tenant, UserId};
use std::sync::Arc;
use store::cache::protocol::Entry;
use store::cache::{Key, Value};
use tests::until;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const ADA: &str = r#""op":"upsert","set":{"name":"Ada","email":"ada@Example.com","plan":"pro"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_is_answered_from_the_store_and_then_from_the_cache_and_is_the_same() {
    let house = House::at_work("twice");
    house.settle("ada", ADA).await;
    let first = house.ask("/v1/users/ada", &[]).await;
    assert_eq!((first.status, first.header("tidewater-source")), (StatusCode::OK, "store"));
    // Readers are answered before the entry is filled.
    let second = until("the entry to be filled", WITHIN, async || {
        let answer = house.ask("/v1/users/ada", &[]).await;
        (answer.header("tidewater-source") == "cache").then_some(answer)
    });
    let second = second.await;
    assert_eq!(second.status, StatusCode::OK);
    assert_eq!(first.json()["email"], "ada@example.com");
    for name in ["etag", "tidewater-version", "content-type", "content-length", "cache-control", "vary"] {
        assert!(!first.header(name).is_empty() && first.header(name) == second.header(name), "{name}");
    }
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("cache-control"), "private, no-cache");
    assert!(first.header("etag").contains(first.header("tidewater-version")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_profile_already_is_told_so_until_it_changes() {
    let house = House::at_work("known");
    house.settle("ada", ADA).await;
    let tag = house.ask("/v1/users/ada", &[]).await.header("etag").to_owned();
    let known = house.ask("/v1/users/ada", &[("if-none-match", &tag)]).await;
    assert_eq!((known.status, &*known.body, known.header("etag")), (StatusCode::NOT_MODIFIED, "", &*tag));
    assert!(known.header("vary") == "authorization" && known.header("content-type").is_empty());
    house.settle("ada", r#""op":"patch","set":{"plan":"free"}"#).await;
    let changed = house.ask("/v1/users/ada", &[("if-none-match", &tag)]).await;
    assert_eq!((changed.status, changed.json()["plan"].as_str()), (StatusCode::OK, Some("free")));
    assert_ne!(changed.header("etag"), tag);
    let head = house.ask_as("HEAD", "/v1/users/ada", &[], None).await;
    assert_eq!((head.status, &*head.body, head.header("etag")), (StatusCode::OK, "", changed.header("etag")));
    assert_eq!(head.header("content-length"), changed.body.len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_is_not_there_is_not_found_and_a_deleted_one_has_a_version() {
    let house = House::at_work("absent");
    for _ in 0..2 {
        let never = house.ask("/v1/users/nobody", &[]).await;
        assert_eq!((never.status, never.header("tidewater-version")), (StatusCode::NOT_FOUND, ""));
        assert_eq!(never.json()["code"], "user-unknown");
        assert_eq!(never.header("content-type"), "application/problem+json");
    }
    house.settle("ada", ADA).await;
    house.settle("ada", r#""op":"delete""#).await;
    for _ in 0..2 {
        let deleted = house.ask("/v1/users/ada", &[]).await;
        assert_eq!(deleted.status, StatusCode::NOT_FOUND);
        assert!(deleted.header("tidewater-version").len() == 16, "{deleted:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_compared_byte_for_byte_and_what_is_none_is_refused() {
    let house = House::at_work("ids");
    house.settle("a/b", ADA).await;
    assert_eq!(house.ask("/v1/users/a%2Fb", &[]).await.status, StatusCode::OK);
    assert_eq!(house.ask("/v1/users/A%2Fb", &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(house.ask("/v1/users/a%252Fb", &[]).await.status, StatusCode::NOT_FOUND, "it is decoded once");
    assert_eq!(house.ask("/v1/users/a/b", &[]).await.json()["code"], "nothing-here");
    for wrong in ["a%00", "a%0a", "%FF", "%4", &"a".repeat(129)] {
        let refused = house.ask(&format!("/v1/users/{wrong}"), &[]).await;
        assert_eq!(
            (refused.status, refused.json()["code"].as_str()),
            (StatusCode::BAD_REQUEST, Some("user-id-invalid"))
        );
        assert!(!refused.body.contains(wrong));
    }
    let post = house.ask_as("POST", "/v1/users/ada", &[], None).await;
    assert_eq!((post.status, post.json()["status"].as_u64()), (StatusCode::METHOD_NOT_ALLOWED, Some(405)));
    assert_eq!(house.ask("/v1/users/ada?field=name", &[]).await.json()["code"], "query-invalid");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_its_tenant_and_what_it_may() {
    let house = House::at_work("readers");
    house.settle("ada", ADA).await;
    house.settle("ada", &format!(r#""tenant":"acme",{}"#, ADA.replace("Ada", "Another"))).await;
    let acme = Reader { tenant: Tenant::new("acme").unwrap(), may_see_pii: false, mask: None };
    let seen = house.ask_as("GET", "/v1/users/ada?fields=name,plan", &[], Some(acme.clone())).await;
    assert_eq!((&*seen.body, seen.header("tidewater-redacted")), (r#"{"plan":"pro"}"#, "name"));
    let all = Reader { may_see_pii: true, ..acme.clone() };
    let all = house.ask_as("GET", "/v1/users/ada?fields=name,plan", &[], Some(all)).await;
    assert_eq!((all.json()["name"].as_str(), all.header("tidewater-redacted")), (Some("Another"), ""));
    assert_ne!(all.header("etag"), seen.header("etag"));
    let mask = Some([house.home.profiles.profile().position("name").unwrap()].into_iter().collect());
    let masked = Reader { may_see_pii: true, mask, ..acme.clone() };
    let masked = house.ask_as("GET", "/v1/users/ada?fields=name,plan", &[], Some(masked)).await;
    assert_eq!((&*masked.body, masked.header("tidewater-redacted")), (r#"{"name":"Another"}"#, "plan"));
    assert_eq!(house.ask("/v1/users/ada?fields=name", &[]).await.body, r#"{"name":"Ada"}"#);
    let other = Reader { tenant: Tenant::new("other").unwrap(), ..acme };
    assert_eq!(house.ask_as("GET", "/v1/users/ada", &[], Some(other)).await.status, StatusCode::NOT_FOUND);
}

/// I13.
#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_cache_is_no_answer() {
    let house = House::at_work("garbage");
    house.settle("ada", ADA).await;
    let key = Key::new(&Tenant::default(), &UserId::new("ada").unwrap());
    for planted in [Entry::of("V but what"), Entry::foreign()] {
        house.home.cache.plant(key.clone(), planted);
        let answer = house.ask("/v1/users/ada", &[]).await;
        assert_eq!((answer.status, answer.header("tidewater-source")), (StatusCode::OK, "store"));
    }
    // What is a value by its form, is believed.
    let version = schemas::Version::new(8_004).unwrap();
    let value = Value { version, receipt: None, payload: "{no json}" };
    house.home.cache.plant(key, Entry::of(value.encode().unwrap()));
    let answer = house.ask("/v1/users/ada?fields=name", &[]).await;
    assert_eq!(answer.json()["code"], "store-broken");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_readers_of_a_cold_user_are_answered_alike() {
    let house = Arc::new(House::at_work("many"));
    house.settle("ada", ADA).await;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..500 {
        let house = house.clone();
        readers.spawn(async move { house.ask("/v1/users/ada", &[]).await.body });
    }
    let bodies = readers.join_all().await;
    assert!(bodies.iter().all(|body| body == &bodies[0]) && bodies[0].contains("Ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_on_a_socket_is_answered() {
    let house = House::at_work("socket");
    house.settle("Zo\u{eb}", ADA).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = tokio::task::JoinSet::new();
    let router = house.router.clone();
    serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
    for (method, has_body) in [("GET", true), ("HEAD", false)] {
        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} /v1/users/Zo%C3%AB HTTP/1.1\r\nhost: query\r\nconnection: close\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.contains("\r\ntidewater-version: "), "{answer}");
        assert_eq!(answer.ends_with('}'), has_body, "{answer}");
    }
}
