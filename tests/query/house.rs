//! A directory with its workers, and whoever asks about its users.

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, HeaderMap, Request, StatusCode};
use bytes::Bytes;
use ctl::standalone::Followed;
use embedded::{Durability, Founding, Home, LogSink, LogSource, Member, Options, TableSink, Topic};
use http_body_util::BodyExt as _;
use processors::Fused;
use processors::enrich::{Enrich, Folder};
use processors::validate::{Fold, Validate};
use query::Reader;
use runtime::dead::DeadLetters;
use runtime::limits::Limits;
use runtime::pair::Pair;
use runtime::record::{Headers, Outgoing};
use runtime::telemetry::Telemetry;
use runtime::vitals::Vitals;
use runtime::worker::{Parts, Worker};
use runtime::{Clock, Health, Lifecycle};
use schemas::topics::{self, partition_for};
use schemas::{Codec, Profile, RejectCode};
use serde_json::Value;
use sinks::{Decode, Horizon};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::cql::GC_GRACE_MIN;
use tests::process::dir_of;
use tests::stack::scratch;
use tests::until;
use tokio::runtime::Handle;
use tower::ServiceExt as _;

const PARTITIONS: u16 = 3;

/// A start under load, and whatever else takes its time.
pub(crate) const WITHIN: Duration = Duration::from_secs(30);

pub(crate) struct House {
    dir: PathBuf,
    pub(crate) home: Home,
    profile: Arc<Profile>,
    pub(crate) router: Router,
    lifecycle: Lifecycle,
}

/// An answer, all of it.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl House {
    /// Without workers: nothing that is written is settled yet.
    pub(crate) fn new(name: &str) -> Self {
        let dir = dir_of(&format!("query-{name}"));
        std::fs::remove_dir_all(&dir).unwrap();
        let profile = Arc::new(Profile::embedded().unwrap());
        let options = Options::new(profile.clone(), Durability::System);
        let founding = Founding { partitions: Some(PARTITIONS), floor_micros: Some(1_767_225_600_000_000) };
        let home = Home::open(&dir, Some(founding), &options).unwrap();
        let router = query::router(home.profiles.clone(), Followed::new(home.clone()));
        let lifecycle = Lifecycle::new(Health::new(), Handle::current());
        Self { dir, home, profile, router, lifecycle }
    }

    /// Starts what gives changes their place, checks and enriches them.
    pub(crate) fn start_validate(&self) {
        let (home, profile, clock) = (&self.home, &self.profile, Clock::system());
        let floor = home.layout.floor_micros;
        let mark = Fold::new(floor);
        let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas/reference");
        let shelf = Folder::open(&tables, profile.clone(), clock.clone()).unwrap().shelf();
        let validate = Validate::new(profile.clone(), clock, PARTITIONS.into(), floor);
        let source = |name| self.source("validate", name, mark.first());
        let parts = Parts {
            source: Pair::two(source(topics::RAW), topics::PINNED, source(topics::PINNED)),
            mark,
            stage: Fused::new(profile.clone(), validate, Enrich::new(profile.clone(), shelf)),
            sink: LogSink::new(self.topic(topics::ENRICHED)),
            dead: self.dead("validate"),
            limits: limits(),
        };
        Worker::new(parts, vitals(["validate", "validate-loop"])).spawn("validate", &self.lifecycle);
    }

    /// Starts what writes the table.
    pub(crate) fn start_sink(&self) {
        let (home, clock) = (&self.home, Clock::system());
        let horizon = Horizon::new(GC_GRACE_MIN, home.layout.floor_micros);
        let parts = Parts {
            source: self.source("sink", topics::ENRICHED, String::new()),
            mark: (),
            stage: Decode::new(Codec::new(self.profile.clone()), horizon, clock.clone()),
            sink: TableSink::new(home.table.clone(), home.cache.clone(), clock),
            dead: self.dead("sink"),
            limits: limits(),
        };
        Worker::new(parts, vitals(["sink", "sink-loop"])).spawn("sink", &self.lifecycle);
    }

    /// Both.
    pub(crate) fn at_work(name: &str) -> Self {
        let house = Self::new(name);
        house.start_validate();
        house.start_sink();
        house
    }

    /// Writes a raw record of a user; its receipt.
    pub(crate) async fn send(&self, user: &str, rest: &str) -> String {
        let value = format!(r#"{{"user_id":"{user}",{rest}}}"#);
        let record = record(user, value, Headers::default());
        let partition = record.partition;
        let offset = self.topic(topics::RAW).append(&[record]).await.unwrap()[0];
        format!("{partition}/{}", offset.0)
    }

    /// Writes a pinned record of a user: the version that it brings is its only place.
    pub(crate) async fn pin(&self, user: &str, rest: &str, version: i64) {
        let mut headers = Headers::default();
        headers.push_text("tw-version", version.to_string());
        let value = format!(r#"{{"user_id":"{user}",{rest}}}"#);
        self.topic(topics::PINNED).append(&[record(user, value, headers)]).await.unwrap();
    }

    /// Writes a change and waits for it; its receipt.
    pub(crate) async fn settle(&self, user: &str, rest: &str) -> String {
        let receipt = self.send(user, rest).await;
        let ask = async || {
            let answer = self.ask(&format!("/v1/changes/{receipt}"), &[]).await;
            (answer.json()["state"] != "not-yet").then_some(())
        };
        until("the change to be settled", WITHIN, ask).await;
        receipt
    }

    pub(crate) async fn ask(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask_as("GET", path, headers, None).await
    }

    pub(crate) async fn ask_as(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        reader: Option<Reader>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        request.extensions_mut().extend(
            reader
                .map(|reader| {
                    let mut extensions = Extensions::new();
                    extensions.insert(reader);
                    extensions
                })
                .unwrap_or_default(),
        );
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status, headers: parts.headers, body: String::from_utf8(body.to_vec()).unwrap() }
    }

    pub(crate) fn topic(&self, name: &str) -> Topic {
        self.home.log.topic(name).unwrap().clone()
    }

    fn source(&self, group: &'static str, topic: &str, first_metadata: String) -> LogSource {
        let member = Member { group, first_metadata, rewind: String::new() };
        LogSource::new(self.home.log.clone(), self.topic(topic), self.home.table.clone(), member)
    }

    fn dead(&self, stage: &'static str) -> DeadLetters<LogSink> {
        DeadLetters::new(stage, LogSink::new(self.topic(topics::DEAD)), Clock::system())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.lifecycle.leave();
        if !std::thread::panicking() {
            debug_assert!(self.dir.starts_with(scratch()));
            std::fs::remove_dir_all(&self.dir).ok();
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?} has no JSON"))
    }
}

fn record(user: &str, value: String, headers: Headers) -> Outgoing {
    let key = Bytes::copy_from_slice(user.as_bytes());
    let partition = partition_for(&key, PARTITIONS.into());
    Outgoing { partition, key: Some(key), value: Some(value.into()), headers }
}

fn limits() -> Limits {
    Limits { commit_every: Duration::from_millis(30), ..Limits::local() }
}

fn vitals(names: [&'static str; 2]) -> Vitals {
    let telemetry = Telemetry::new("query").unwrap();
    Vitals::named(names, &Health::new(), &telemetry, Clock::system(), &RejectCode::names())
}
