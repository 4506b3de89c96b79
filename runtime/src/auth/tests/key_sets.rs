//! How keys come, go and stay, against an issuer that is a real server.

use super::forge::{Draft, ED, OTHER_P256, P256, P384, RSA};
use super::issuer::{AUDIENCE, DISCOVERY, Guarded, Issuer, KEYS, NOW_S, Reply, headers, pace};
use crate::auth::keys::Pace;
use crate::auth::{Denied, Reason};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

/// A good token of `issuer`, signed by its second key.
fn by_new_key(issuer: &Issuer) -> Draft {
    let mut draft = Draft::good("ES256", &issuer.url, NOW_S);
    draft.set_header("kid", "new");
    draft.signer = &OTHER_P256;
    draft
}

fn by_unknown_key(issuer: &Issuer, number: usize) -> Draft {
    let mut draft = Draft::good("ES256", &issuer.url, NOW_S);
    draft.set_header("kid", format!("unknown-{number}"));
    draft
}

/// What fetching the keys of `issuer` comes to, in words.
async fn fetching(guarded: &Guarded) -> String {
    let checked = guarded.guard.0.checked.as_ref().unwrap();
    match checked.fetch.keys(&checked.issuers[0].issuer).await {
        Ok(keys) => format!("{} keys", keys.len()),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn keys_are_found_by_discovery_or_at_the_address_that_is_set() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let discovering = Guarded::ready(&issuer.url, "", pace()).await;
    assert_eq!((issuer.count(DISCOVERY), issuer.count(KEYS)), (1, 1));
    assert!(discovering.admit(&Draft::good("ES256", &issuer.url, NOW_S)).await.is_ok());
    let told = Guarded::ready(&issuer.url, &format!("jwks_url = \"{}{KEYS}\"", issuer.url), pace()).await;
    assert_eq!((issuer.count(DISCOVERY), issuer.count(KEYS)), (1, 2));
    assert!(told.admit(&Draft::good("ES256", &issuer.url, NOW_S)).await.is_ok());
}

#[tokio::test]
async fn what_is_no_key_set_is_refused_and_the_issuer_asked_again_until_it_is_one() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let elsewhere = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let away = |path: &str| json!({"issuer": issuer.url, "jwks_uri": path});
    let bad: Vec<(&str, Reply, &str)> = vec![
        (DISCOVERY, Reply::Status(404), "status 404"),
        (DISCOVERY, Reply::Json(json!({"issuer": elsewhere.url, "jwks_uri": KEYS})), "of another issuer"),
        (DISCOVERY, Reply::Json(json!({"issuer": issuer.url})), "names no jwks_uri"),
        (DISCOVERY, Reply::Json(away("http://192.0.2.1/keys")), "names no jwks_uri"),
        (DISCOVERY, Reply::Json(away("file:///etc/hosts")), "names no jwks_uri"),
        (KEYS, Reply::Status(500), "status 500"),
        (KEYS, Reply::Redirect(format!("{}{KEYS}", elsewhere.url)), "status 302"),
        (KEYS, Reply::Endless, "over 256 KiB"),
        (KEYS, Reply::BreaksOff, "broke off"),
        (KEYS, Reply::Slow(Duration::from_secs(30), json!({"keys": []})), "in time"),
        (KEYS, Reply::Text("<html>".to_owned()), "no JSON object"),
        (KEYS, Reply::Text("[]".to_owned()), "no JSON object"),
        (KEYS, Reply::Text(r#"{"keys":[],"keys":[]}"#.to_owned()), "stands twice"),
        (KEYS, Reply::Json(json!({"keys": {}})), "no list of keys"),
    ];
    for (path, reply, expected) in bad {
        issuer.answers(path, reply.clone());
        let guarded = Guarded::new(&issuer.url, "", Pace { fetch: 300 * MS, ..pace() });
        let told = fetching(&guarded).await;
        assert!(told.contains(expected), "{reply:?}: {told}");
        guarded.until(|_| issuer.count(path) > 2).await;
        let good = Draft::good("ES256", &issuer.url, NOW_S);
        assert_eq!(guarded.admit(&good).await.map(drop), Err(Denied::Unavailable), "{reply:?}");
        assert!(!guarded.health.ready().is_ok, "{reply:?}");
        issuer.discoverable();
        issuer.publish(vec![P256.jwk("p256")]);
        guarded.until(|guarded| guarded.health.ready().is_ok).await;
        assert!(guarded.admit(&good).await.is_ok(), "{reply:?}");
    }
    assert_eq!(elsewhere.count(KEYS), 0, "a redirect was followed");
}

#[tokio::test]
async fn an_unknown_key_is_fetched_at_once() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let guarded = Guarded::ready(&issuer.url, "", pace()).await;
    issuer.publish(vec![P256.jwk("p256"), OTHER_P256.jwk("new")]);
    assert!(guarded.admit(&by_new_key(&issuer)).await.is_ok());
    assert_eq!(issuer.count(KEYS), 2);
}

#[tokio::test]
async fn many_who_need_the_same_fetch_share_it() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let guarded = Guarded::ready(&issuer.url, "", pace()).await;
    let both = json!({"keys": [P256.jwk("p256"), OTHER_P256.jwk("new")]});
    issuer.answers(KEYS, Reply::Slow(200 * MS, both));
    let mut requests = JoinSet::new();
    for _ in 0..50 {
        let (guard, authorizations) = (guarded.guard.clone(), by_new_key(&issuer).authorizations());
        requests.spawn(async move { guard.admit(&headers(&authorizations)).await });
    }
    while let Some(admitted) = requests.join_next().await {
        assert!(admitted.unwrap().is_ok());
    }
    assert_eq!(issuer.count(KEYS), 2);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch_a_minute() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let guarded = Guarded::ready(&issuer.url, "", Pace { asked: 400 * MS, ..pace() }).await;
    let since = Instant::now();
    for number in 0..200 {
        let denied = guarded.admit(&by_unknown_key(&issuer, number)).await.map(drop);
        assert_eq!(denied, Err(Reason::KeyUnknown.into()));
    }
    assert!(since.elapsed() < 400 * MS, "too slow a machine to tell");
    assert_eq!(issuer.count(KEYS), 2);
    tokio::time::sleep(400 * MS).await;
    issuer.publish(vec![P256.jwk("p256"), OTHER_P256.jwk("new")]);
    assert!(guarded.admit(&by_new_key(&issuer)).await.is_ok(), "a flood must not keep new keys out");
    assert_eq!(issuer.count(KEYS), 3);
}

#[tokio::test]
async fn a_key_that_the_issuer_withdraws_stops_with_the_next_refresh() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256"), OTHER_P256.jwk("new")]).await;
    let guarded = Guarded::ready(&issuer.url, "", Pace { refresh: 30 * MS, ..pace() }).await;
    let withdrawn = headers(&Draft::good("ES256", &issuer.url, NOW_S).authorizations());
    assert!(guarded.guard.admit(&withdrawn).await.is_ok());
    issuer.publish(vec![OTHER_P256.jwk("new")]);
    let seen = issuer.count(KEYS);
    guarded.until(|_| issuer.count(KEYS) > seen + 1).await;
    assert_eq!(guarded.guard.admit(&withdrawn).await.map(drop), Err(Reason::KeyUnknown.into()), "though remembered");
    assert!(guarded.admit(&by_new_key(&issuer)).await.is_ok());
    issuer.publish(Vec::new());
    let seen = issuer.count(KEYS);
    guarded.until(|_| issuer.count(KEYS) > seen + 1).await;
    assert_eq!(guarded.admit(&by_new_key(&issuer)).await.map(drop), Err(Reason::KeyUnknown.into()));
}

#[tokio::test]
async fn a_key_under_the_name_of_another_takes_its_place() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let guarded = Guarded::ready(&issuer.url, "", Pace { refresh: 30 * MS, ..pace() }).await;
    let old = headers(&Draft::good("ES256", &issuer.url, NOW_S).authorizations());
    assert!(guarded.guard.admit(&old).await.is_ok());
    issuer.publish(vec![OTHER_P256.jwk("p256")]);
    let seen = issuer.count(KEYS);
    guarded.until(|_| issuer.count(KEYS) > seen + 1).await;
    assert_eq!(guarded.guard.admit(&old).await.map(drop), Err(Reason::Signature.into()), "the very token that counted");
}

#[tokio::test]
async fn old_keys_go_on_while_the_issuer_fails_but_not_for_ever() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let lasting = Pace { refresh: 30 * MS, stale_max: 600 * MS, ..pace() };
    let guarded = Guarded::ready(&issuer.url, "", lasting).await;
    issuer.answers(KEYS, Reply::Status(503));
    let seen = issuer.count(KEYS);
    guarded.until(|_| issuer.count(KEYS) > seen + 1).await;
    let good = headers(&Draft::good("ES256", &issuer.url, NOW_S).authorizations());
    assert!(guarded.guard.admit(&good).await.is_ok());
    assert!(guarded.health.ready().is_ok);
    let denied = guarded.admit(&by_unknown_key(&issuer, 0)).await.map(drop);
    assert_eq!(denied, Err(Denied::Unavailable), "it may be a new key");
    guarded.until(|guarded| !guarded.health.ready().is_ok).await;
    assert_eq!(guarded.guard.admit(&good).await.map(drop), Err(Denied::Unavailable), "though remembered");
    issuer.publish(vec![P256.jwk("p256")]);
    guarded.until(|guarded| guarded.health.ready().is_ok).await;
    assert!(guarded.guard.admit(&good).await.is_ok());
}

#[tokio::test]
async fn who_needs_no_new_key_does_not_wait_for_a_slow_issuer() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let guarded = Guarded::ready(&issuer.url, "", Pace { wait: 100 * MS, ..pace() }).await;
    issuer.answers(KEYS, Reply::Slow(Duration::from_secs(5), json!({"keys": [P256.jwk("p256")]})));
    let good = Draft::good("ES256", &issuer.url, NOW_S);
    let (unknown_draft, since) = (by_unknown_key(&issuer, 0), Instant::now());
    let (unknown, known) = tokio::join!(guarded.admit(&unknown_draft), guarded.admit(&good));
    assert!(known.is_ok());
    assert_eq!(unknown.map(drop), Err(Denied::Unavailable), "nobody can tell in that time");
    assert!(since.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_fetch_goes_on_when_the_request_that_wanted_it_is_gone() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let guarded = Guarded::ready(&issuer.url, "", pace()).await;
    let both = json!({"keys": [P256.jwk("p256"), OTHER_P256.jwk("new")]});
    issuer.answers(KEYS, Reply::Slow(200 * MS, both));
    let draft = by_new_key(&issuer);
    assert!(tokio::time::timeout(50 * MS, guarded.admit(&draft)).await.is_err(), "it was to be gone by now");
    assert!(guarded.admit(&draft).await.is_ok());
    assert_eq!(issuer.count(KEYS), 2);
}

#[tokio::test]
async fn an_issuer_that_is_away_does_not_keep_the_others_out() {
    let issuer = Issuer::publishing(vec![P256.jwk("p256")]).await;
    let away = Issuer::publishing(vec![P256.jwk("p256")]).await;
    away.answers(KEYS, Reply::Status(500));
    let more = format!("[auth.issuers.away]\nurl = \"{}\"\naudience = \"{AUDIENCE}\"\n", away.url);
    let guarded = Guarded::ready(&issuer.url, &more, pace()).await;
    assert!(guarded.admit(&Draft::good("ES256", &issuer.url, NOW_S)).await.is_ok());
    let denied = guarded.admit(&Draft::good("ES256", &away.url, NOW_S)).await.map(drop);
    assert_eq!(denied, Err(Denied::Unavailable));
}

#[tokio::test]
async fn keys_of_different_kinds_may_share_a_name() {
    let same = |jwk: Value| vec![jwk, ED.jwk("same"), RSA.jwk("same")];
    let issuer = Issuer::publishing(same(P384.jwk("same"))).await;
    let guarded = Guarded::ready(&issuer.url, r#"algorithms = ["RS256", "ES384", "EdDSA"]"#, pace()).await;
    for algorithm in ["RS256", "ES384", "EdDSA"] {
        let mut draft = Draft::good(algorithm, &issuer.url, NOW_S);
        draft.set_header("kid", "same");
        assert!(guarded.admit(&draft).await.is_ok(), "{algorithm}");
    }
}

#[tokio::test]
async fn fetching_ends_when_it_is_told_to_also_in_the_middle_of_it() {
    let issuer = Issuer::publishing(Vec::new()).await;
    issuer.answers(KEYS, Reply::Slow(Duration::from_secs(30), json!({"keys": []})));
    let mut guarded = Guarded::new(&issuer.url, "", pace());
    guarded.until(|_| issuer.count(KEYS) == 1).await;
    guarded.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), guarded.tasks.join_next()).await;
    assert!(ended.expect("it ends").unwrap().is_ok());
}
