//! Access tokens of a real OpenID provider: given out over HTTP, signed with keys that it publishes and changes.
//!
//! It is a process of its own, installed and started by `deploy/local/openid`, and ends with its test.

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use runtime::auth::{self, Denied, Guard, Identity, Reason};
use runtime::config::{Given, Section, Settings, load};
use runtime::{Clock, Health};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;
use tests::stack::root;
use tests::until;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The first time the provider is fetched, too.
const STARTS_WITHIN: Duration = Duration::from_secs(120);
const WITHIN: Duration = Duration::from_secs(20);

struct Provider {
    said: BTreeMap<String, String>,
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Provider {
    async fn start() -> Self {
        let mut command = Command::new(root().join("deploy/local/openid"));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
        let commands = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut provider = Self { said: BTreeMap::new(), commands, answers, _process: process };
        let reading = async { while provider.next().await != "READY" {} };
        tokio::time::timeout(STARTS_WITHIN, reading).await.expect("the provider starts");
        provider
    }

    /// The name of what it says next.
    async fn next(&mut self) -> String {
        let line = self.answers.next_line().await.unwrap().expect("the provider has ended: its words are on stderr");
        let (name, value) = line.split_once('=').expect("NAME=value");
        self.said.insert(name.to_owned(), value.to_owned());
        name.to_owned()
    }

    async fn tell(&mut self, command: &str) {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        assert_eq!(tokio::time::timeout(WITHIN, self.next()).await.expect("an answer"), "DONE");
    }

    fn issuer(&self) -> &str {
        &self.said["ISSUER"]
    }

    /// A token by the grant of client credentials, for `audience`.
    async fn token(&self, audience: &str, scope: &str) -> String {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}&scope={scope}&resource={audience}",
            self.said["CLIENT_ID"], self.said["CLIENT_SECRET"]
        );
        let host = self.issuer().trim_start_matches("http://");
        let mut stream = TcpStream::connect(host).await.unwrap();
        let request = format!(
            "POST /token HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\r\n{form}",
            form.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
        serde_json::from_str::<Value>(body).unwrap()["access_token"].as_str().unwrap().to_owned()
    }
}

struct Root(auth::Config);

impl Settings for Root {
    fn read(section: &mut Section<'_>) -> Self {
        Self(section.section("auth"))
    }
}

struct Guarded {
    guard: Guard,
    _fetching: JoinSet<()>,
}

impl Guarded {
    /// A guard that believes `provider`, as a process has it.
    async fn by(provider: &Provider) -> Self {
        let text = format!(
            "[auth]\nmode = \"oauth2\"\n[auth.issuers.test]\nurl = \"{}\"\naudience = \"{}\"\n\
             algorithms = [\"RS256\", \"ES256\"]\n",
            provider.issuer(),
            provider.said["AUDIENCE"]
        );
        let config = load::<Root>(Given::new(None, &text, []).unwrap()).unwrap().config.0;
        let health = Health::new();
        let guard = Guard::new(config, Clock::system(), &health).unwrap();
        let mut fetching = JoinSet::new();
        let keeping = guard.clone().keep_keys(CancellationToken::new());
        fetching.spawn(async move { keeping.await.unwrap() });
        until("the provider's keys", WITHIN, async || health.ready().is_ok.then_some(())).await;
        Self { guard, _fetching: fetching }
    }

    async fn admit(&self, token: &str) -> Result<Identity, Denied> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(&format!("Bearer {token}")).unwrap());
        self.guard.admit(&headers).await
    }
}

#[tokio::test]
async fn a_token_of_a_real_provider_counts_for_its_audience_with_its_scopes() {
    let provider = Provider::start().await;
    let guarded = Guarded::by(&provider).await;
    let audience = provider.said["AUDIENCE"].clone();
    let identity = guarded.admit(&provider.token(&audience, "changes:write").await).await.unwrap();
    assert_eq!((&*identity.tenant, &*identity.client), ("acme", "crm"));
    assert!(identity.may("changes:write") && !identity.may("pii:read"));
    let both = guarded.admit(&provider.token(&audience, "profiles:read+pii:read").await).await.unwrap();
    assert!(both.may("profiles:read") && both.may("pii:read") && !both.may("changes:write"));
    let for_others = provider.token("https://other.example.com", "changes:write").await;
    assert_eq!(guarded.admit(&for_others).await.map(drop), Err(Reason::Audience.into()));
    let tokens = [provider.token(&audience, "changes:write").await, provider.token(&audience, "pii:read").await];
    let [(said, _), (_, signature)] = tokens.each_ref().map(|token| token.rsplit_once('.').unwrap());
    let pieced = format!("{said}.{signature}");
    assert_eq!(guarded.admit(&pieced).await.map(drop), Err(Reason::Signature.into()));
}

#[tokio::test]
async fn a_provider_may_change_its_keys_while_requests_come() {
    let mut provider = Provider::start().await;
    let guarded = Guarded::by(&provider).await;
    let audience = provider.said["AUDIENCE"].clone();
    let first = provider.token(&audience, "changes:write").await;
    assert!(guarded.admit(&first).await.is_ok());
    provider.tell("rotate ES256").await;
    let second = provider.token(&audience, "changes:write").await;
    assert_ne!(first.split('.').next(), second.split('.').next(), "the key is another");
    assert!(guarded.admit(&second).await.is_ok(), "a new key counts at once");
    assert!(guarded.admit(&first).await.is_ok(), "and the old one until it is withdrawn");
    provider.tell("withdraw").await;
    let later = Guarded::by(&provider).await;
    assert_eq!(later.admit(&first).await.map(drop), Err(Reason::KeyUnknown.into()));
    assert!(later.admit(&second).await.is_ok());
}
