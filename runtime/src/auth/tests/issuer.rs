//! An issuer: a real HTTP server on this machine that publishes keys, fails, lies and dawdles as it is told; and a
//! guard that believes it.

use super::forge::Draft;
use crate::auth::keys::Pace;
use crate::auth::{Config, Denied, Guard, Identity};
use crate::clock::Clock;
use crate::config::{Given, Section, Settings, load};
use crate::health::Health;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) const AUDIENCE: &str = "https://tidewater.example.com";
pub(crate) const NOW_S: i64 = 1_800_000_000;
pub(crate) const DISCOVERY: &str = "/.well-known/openid-configuration";
pub(crate) const KEYS: &str = "/keys";

/// How a path is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Json(Value),
    /// The body as it is, with status 200.
    Text(String),
    Status(u16),
    Redirect(String),
    /// After that time.
    Slow(Duration, Value),
    /// A body that never ends, without a length.
    Endless,
    /// Half an answer.
    BreaksOff,
}

#[derive(Debug, Default)]
struct Script {
    replies: BTreeMap<String, Reply>,
    counts: BTreeMap<String, usize>,
}

#[derive(Debug)]
pub(crate) struct Issuer {
    pub(crate) url: String,
    script: Arc<Mutex<Script>>,
    _tasks: JoinSet<()>,
}

impl Issuer {
    /// Publishes `keys`, and says where.
    pub(crate) async fn publishing(keys: Vec<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let script = Arc::new(Mutex::new(Script::default()));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, Arc::clone(&script)));
        let issuer = Self { url, script, _tasks: tasks };
        issuer.discoverable();
        issuer.publish(keys);
        issuer
    }

    pub(crate) fn discoverable(&self) {
        let document = json!({"issuer": self.url, "jwks_uri": format!("{}{KEYS}", self.url)});
        self.answers(DISCOVERY, Reply::Json(document));
    }

    pub(crate) fn publish(&self, keys: Vec<Value>) {
        self.answers(KEYS, Reply::Json(json!({ "keys": keys })));
    }

    pub(crate) fn answers(&self, path: &str, reply: Reply) {
        self.script.lock().unwrap().replies.insert(path.to_owned(), reply);
    }

    /// How often `path` was asked for.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.script.lock().unwrap().counts.get(path).copied().unwrap_or(0)
    }
}

async fn serve(listener: TcpListener, script: Arc<Mutex<Script>>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        connections.spawn(answer(stream, Arc::clone(&script)));
    }
}

async fn answer(mut stream: TcpStream, script: Arc<Mutex<Script>>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut chunk = [0; 1024];
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(len) => request.extend(&chunk[..len]),
        }
    }
    let path = String::from_utf8(request).unwrap().split(' ').nth(1).unwrap().to_owned();
    let reply = {
        let mut script = script.lock().unwrap();
        *script.counts.entry(path.clone()).or_default() += 1;
        script.replies.get(&path).cloned().unwrap_or(Reply::Status(404))
    };
    let whole = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let text = match reply {
        Reply::Json(body) => whole(&body.to_string()),
        Reply::Text(body) => whole(&body),
        Reply::Status(status) => format!("HTTP/1.1 {status} No\r\ncontent-length: 0\r\n\r\n"),
        Reply::Redirect(to) => format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
        Reply::BreaksOff => "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"keys\":".to_owned(),
        Reply::Slow(pause, body) => {
            tokio::time::sleep(pause).await;
            whole(&body.to_string())
        }
        Reply::Endless => {
            let _begun = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{\"keys\":[").await;
            while stream.write_all(&[b' '; 16 * 1024]).await.is_ok() {}
            return;
        }
    };
    let _sent = stream.write_all(text.as_bytes()).await;
}

struct Root(Config);

impl Settings for Root {
    fn read(section: &mut Section<'_>) -> Self {
        Self(section.section("auth"))
    }
}

/// `[auth]` as an operator writes it.
pub(crate) fn config(text: &str) -> Result<Config, Vec<String>> {
    let given = Given::new(None, text, []).unwrap();
    let problems = |error: crate::config::Error| error.problems().iter().map(ToString::to_string).collect();
    load::<Root>(given).map(|loaded| loaded.config.0).map_err(problems)
}

/// A guard that fetches, as in a process.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) guard: Guard,
    pub(crate) health: Health,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: JoinSet<()>,
}

/// Fast enough for tests that wait; nothing is asked twice by itself.
pub(crate) fn pace() -> Pace {
    Pace {
        refresh: Duration::from_secs(600),
        asked: Duration::from_secs(60),
        retry: (Duration::from_millis(5), Duration::from_millis(20)),
        stale_max: Duration::from_secs(3600),
        wait: Duration::from_secs(20),
        fetch: Duration::from_secs(10),
    }
}

impl Guarded {
    /// Believes the issuer at `url`; `more` are further lines of its section, and sections after it.
    pub(crate) fn new(url: &str, more: &str, pace: Pace) -> Self {
        let text = format!(
            "[auth]\nmode = \"oauth2\"\n[auth.issuers.main]\nurl = \"{url}\"\naudience = \"{AUDIENCE}\"\n{more}\n"
        );
        let health = Health::new();
        let guard = Guard::paced(config(&text).unwrap(), Clock::fixed(NOW_S * 1_000), &health, pace).unwrap();
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let keeping = guard.clone().keep_keys(stop.clone());
        tasks.spawn(async move { keeping.await.unwrap() });
        Self { guard, health, stop, tasks }
    }

    /// The same, with keys.
    pub(crate) async fn ready(url: &str, more: &str, pace: Pace) -> Self {
        let guarded = Self::new(url, more, pace);
        guarded.until(|guarded| guarded.health.ready().is_ok).await;
        guarded
    }

    pub(crate) async fn until(&self, is_met: impl Fn(&Self) -> bool) {
        let look = async {
            while !is_met(self) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), look).await.expect("it comes true");
    }

    pub(crate) async fn admit(&self, draft: &Draft) -> Result<Identity, Denied> {
        self.guard.admit(&headers(&draft.authorizations())).await
    }
}

pub(crate) fn headers(authorizations: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in authorizations {
        headers.append(AUTHORIZATION, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    headers
}
