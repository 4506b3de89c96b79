//! No user data and no secret in anything that a run writes but the data itself.
//!
//! A word that stands nowhere else is planted in every place that an outsider can write to, and in every secret of the
//! configuration; then all that workers and commands have said is searched for it, in the forms in which bytes come out
//! by accident.

use bytes::Bytes;
use runtime::record::{Headers, Outgoing};
use schemas::{
    Change, FieldSet, FieldValue, Lane, Op, Origin, RejectCode, Row, Tenant, UserId, Version, headers, topics,
};
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use std::time::Duration;
use store::cache::Key;
use tests::collector::Collector;
use tests::history::History;
use tests::installation::{Installation, PATH};
use tests::process::{Worker, binary, logs_in};
use tests::stack::Stack;
use tests::until;
use uuid::Uuid;

/// In every user id, tenant, value, header and key of these tests.
const CANARY: &str = "canary7f3a";
/// In every secret.
const SECRET: &str = "hushcanary5";
/// In the names of headers and of fields that do not exist. Alone of what producers write, such a name is told, by the
/// dead letter and by `tidewater dead`, because without it nobody finds the mistake. Logs, metrics and spans have no
/// place for it either.
const STRAY: &str = "strayname9c";

/// No change of this run can get these: no shipped field has a pattern.
const NOT_HERE: [RejectCode; 1] = [RejectCode::PatternMismatch];

/// What a worker is started with.
const LOUD: [(&str, &str); 5] = [
    ("LOG__FILTER", "debug"),
    ("CASSANDRA__USER", "tidewater"),
    ("CASSANDRA__PASSWORD", SECRET),
    ("KAFKA__EXTRA__SASL_PASSWORD", SECRET),
    ("TELEMETRY__SAMPLE_RATIO", "1"),
];

/// The ways in which a word may come out.
fn forms(word: &str) -> Vec<String> {
    let bytes = word.as_bytes();
    let each = |form: fn(&u8) -> String, between: &str| bytes.iter().map(form).collect::<Vec<_>>().join(between);
    let mut forms = vec![
        word.to_owned(),
        each(|byte| format!("{byte:02x}"), ""),
        each(|byte| format!("{byte:02x}"), " "),
        each(|byte| format!("%{byte:02x}"), ""),
        each(|byte| format!("\\x{byte:02x}"), ""),
        each(|byte| format!("\\u00{byte:02x}"), ""),
        each(u8::to_string, ", "),
        each(u8::to_string, ","),
        word.chars().rev().collect(),
    ];
    // Base64 of the word begins in one of three places; what its neighbours share with it is cut off.
    for before in 0..3 {
        let text = base64(&[&b"\0\0"[..before], bytes].concat());
        let (from, to) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
        forms.push(text.chars().take(to).skip(from).collect());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let number = |six: &[u8]| six.iter().fold(0, |number, bit| number << 1 | usize::from(*bit)) << (6 - six.len());
    bits.chunks(6).map(|six| char::from(LETTERS[number(six)])).collect()
}

/// The line in which `said` has one of `words`, in any form; the line itself is what must not be printed, so only its
/// place is told.
fn found(said: &[u8], words: &[&str]) -> Option<String> {
    let text = String::from_utf8_lossy(said);
    let folded = text.to_lowercase();
    for form in words.iter().flat_map(|word| forms(word)) {
        let at = text.find(&form).or_else(|| folded.find(&form.to_lowercase()));
        if let Some(at) = at {
            return Some(format!(
                "{form:?} in line {}",
                1 + said.iter().take(at).filter(|byte| **byte == b'\n').count()
            ));
        }
    }
    None
}

fn assert_quiet(what: &str, said: impl AsRef<[u8]>, words: &[&str]) {
    if let Some(place) = found(said.as_ref(), words) {
        panic!("{what} says {place}:\n{}", String::from_utf8_lossy(said.as_ref()));
    }
}

#[test]
fn a_word_is_found_in_every_form_and_another_is_not() {
    let word = "ab\u{7f}c1";
    let hidden: [String; 8] = [
        "x AB\u{7f}C1 y".to_owned(),
        "6162 61627F6331".to_owned(),
        "%61%62%7f%63%31".to_owned(),
        format!("{:?}", word.as_bytes()),
        "1c\u{7f}ba".to_owned(),
        base64(format!("{word}z").as_bytes()),
        base64(format!("x{word}yz").as_bytes()),
        base64(format!("xy{word}").as_bytes()),
    ];
    for hidden in hidden {
        assert!(found(hidden.as_bytes(), &["nothing", word]).is_some(), "{hidden}");
        assert_eq!(found(hidden.as_bytes(), &["nothing"]), None);
    }
    assert_eq!(found(b"one\ntwo\ncanary\n", &["canary"]).as_deref(), Some("\"canary\" in line 3"));
}

/// A change that Avro can carry and JSON or `validate` would not let pass.
fn avro(home: &Installation, set: (&str, &str), occurred_at: Option<i64>, version: Version) -> (Change, Bytes) {
    let mut row = Row::default();
    row.set(home.profile.position(set.0).unwrap(), FieldValue::Text(set.1.to_owned()));
    let change = Change {
        id: Uuid::from_u128(7),
        tenant: Tenant::new(&format!("{CANARY}-tenant")).unwrap(),
        user_id: UserId::new(&format!("{CANARY}-avro")).unwrap(),
        op: Op::Patch,
        set: row,
        unset: FieldSet::EMPTY,
        occurred_at,
        source: Some(format!("{CANARY}-source")),
        version,
        origin: Origin::new(topics::RAW, 0, 7).unwrap(),
    };
    let mut bytes = Vec::new();
    home.codec().encode(&change, &mut bytes).unwrap();
    (change, bytes.into())
}

/// Headers with the word in all that is theirs, and in ours, which are dropped.
fn tainted(mut record: Outgoing) -> Outgoing {
    for (name, value) in [
        (format!("x-{STRAY}"), CANARY),
        ("traceparent".to_owned(), CANARY),
        ("tracestate".to_owned(), CANARY),
        ("tw-source".to_owned(), CANARY),
    ] {
        record.headers.push(name, Some(Bytes::from_static(value.as_bytes())));
    }
    record
}

/// Records of `raw` that are rejected, each in its own way, and one reference that is missed.
fn poisons(home: &Installation) -> Vec<Outgoing> {
    let feed = home.feed(topics::RAW);
    let user = format!("{CANARY}-poison");
    let long = CANARY.repeat(500);
    let mut records: Vec<Outgoing> = [
        format!(r#""op": "delete", "set": {{"name": "{CANARY}"}}"#),
        format!(r#""op": "patch", "set": {{"{STRAY}": "{CANARY}"}}"#),
        format!(r#""op": "patch", "set": {{"name": "{CANARY}", "name": "{CANARY}"}}"#),
        format!(r#""source": "{CANARY}""#),
        format!(r#""op": "{CANARY}""#),
        format!(r#""op": "patch", "set": {{"marketing_opt_in": "{CANARY}"}}"#),
        format!(r#""op": "patch", "set": {{"name": [["{CANARY}"]]}}"#),
        format!(r#""op": "delete", "tenant": "{CANARY}!""#),
        r#""op": "delete", "version": 8"#.to_owned(),
        format!(r#""op": "patch", "set": {{"region": "{CANARY}"}}"#),
        format!(r#""op": "patch", "set": {{"name": "{CANARY}\u0000"}}"#),
        format!(r#""op": "patch", "set": {{"email": "{CANARY} at home"}}"#),
        format!(r#""op": "patch", "set": {{"phone": "+{CANARY}", "avatar_url": "http://{CANARY}@example.org/"}}"#),
        format!(r#""op": "patch", "id": "{CANARY}""#),
        format!(r#""op": "patch", "set": {{"bio": "{long}"}}"#),
        // Well formed, and in no reference table.
        format!(
            r#""op": "upsert", "set": {{"country": "AQ", "name": "{CANARY}", "email": "{CANARY}@{CANARY}.example"}}"#
        ),
    ]
    .iter()
    .map(|change| feed.of(&user, change))
    .collect();
    let key = user.as_bytes();
    let value = format!(r#"{{"user_id": "{user}", "op": "delete"}}"#).into_bytes();
    let unknown = [&[0xc3, 0x01][..], &CANARY.as_bytes()[..8], CANARY.as_bytes()].concat();
    let control = format!("{CANARY}\u{1}");
    let of_control = format!(r#"{{"user_id": "{CANARY}\u0001", "op": "delete"}}"#);
    records.extend([
        feed.record(Some(key), Some(CANARY.as_bytes())),
        feed.record(Some(key), Some(&unknown)),
        feed.record(None, Some(&value)),
        feed.record(Some(format!("{CANARY}-other").as_bytes()), Some(&value)),
        feed.record(Some(control.as_bytes()), Some(of_control.as_bytes())),
        feed.record(Some(key), Some(&[value.clone(), CANARY.repeat(200_000).into_bytes()].concat())),
    ]);
    let mut misplaced = feed.record(Some(key), Some(&value));
    misplaced.partition = (misplaced.partition + 1) % 4;
    records.push(misplaced);
    // Its version, the last thing in the record, is left out: the union's branch and one byte of a small number.
    let (_, beyond) = avro(home, ("name", CANARY), Some(i64::MAX), Version::FIRST);
    let beyond = [&beyond[..beyond.len() - 2], &[0]].concat();
    records.push(feed.record(Some(format!("{CANARY}-avro").as_bytes()), Some(&beyond)));
    records.into_iter().map(tainted).collect()
}

/// Records of the other topics: with versions that are none or not now, unreadable ones, and one that Cassandra refuses.
async fn plant_beside(home: &Installation) {
    let pinned = home.feed(topics::PINNED);
    let user = format!("{CANARY}-pinned");
    for version in [CANARY, "9000000000000000004", "1710000000000002"] {
        let mut record = pinned.of(&user, &format!(r#""op": "patch", "set": {{"name": "{CANARY}"}}"#));
        record.headers.push_text(headers::VERSION, version);
        pinned.send(&[tainted(record)]).await;
    }
    for topic in [topics::VALID, topics::ENRICHED] {
        let feed = home.feed(topic);
        let stranger = feed.record(Some(CANARY.as_bytes()), Some(CANARY.as_bytes()));
        feed.send(&[tainted(stranger)]).await;
    }
    let now = runtime::Clock::system().now_ms() * 1000;
    let version = Version::at(now - 1_000_000, Lane::Live).unwrap();
    let (change, value) = avro(home, ("bio", &CANARY.repeat(7_000)), None, version);
    let feed = home.feed(topics::ENRICHED);
    let mut refused = feed.record(Some(change.user_id.as_str().as_bytes()), Some(&value));
    refused.headers = Headers::default();
    refused.headers.push_text(headers::ORIGIN, change.origin.to_string());
    feed.send(&[tainted(refused)]).await;
}

/// Entries that nobody of ours would leave, under the keys of users whose changes are on the way.
fn spoil_cache(home: &Installation) {
    let key = |user: &str| Key::new(&Tenant::default(), &UserId::new(user).unwrap()).as_str().to_owned();
    let (broken, list) = (key(&format!("{CANARY}-poison")), key(&format!("{CANARY}-0")));
    assert_eq!(home.stack.redis(&["SET", &broken, CANARY]), "OK");
    let _left_by_another_run = home.stack.redis(&["DEL", &list]);
    assert_eq!(home.stack.redis(&["LPUSH", &list, CANARY]), "1");
}

async fn dead_codes(home: &Installation) -> BTreeSet<String> {
    let letters = home.records(topics::DEAD).await;
    let code = |letter: &runtime::record::Record| letter.headers.last(headers::CODE).unwrap().to_vec();
    letters.iter().map(|letter| String::from_utf8(code(letter)).unwrap()).collect()
}

/// Every command that can be asked about it; what each has said.
async fn asked(home: &Installation) -> Vec<(String, Vec<u8>)> {
    let mut asked: Vec<String> = [
        "lag",
        "lag --json",
        "dead list --limit 1000",
        "dead list --json --limit 1000",
        "topics apply --profile local --dry-run",
        "migrate --profile local --dry-run",
        "rewind sink --to START --dry-run",
        "dead show 0/999999",
        "dead replay --code format-invalid --dry-run",
        "dead replay --code store-refused --dry-run",
    ]
    .map(str::to_owned)
    .into();
    for letter in home.records(topics::DEAD).await {
        asked.push(format!("dead show {}/{}", letter.place.partition, letter.offset));
    }
    // A command is a process: one of each code is enough.
    asked.truncate(26);
    asked
        .into_iter()
        .map(|line| {
            let output = home.tidewater(&line.split(' ').collect::<Vec<_>>());
            (line, [output.stdout, output.stderr].concat())
        })
        .collect()
}

/// A binary with every secret there is, to its end; what it has said.
fn with_secrets(home: &Installation, name: &str, arguments: &[&str]) -> Vec<u8> {
    let mut command = Command::new(binary(name));
    command.arg("--config").arg(home.dir().join("tidewater.toml")).args(arguments).stdin(Stdio::null());
    for (name, secret) in [
        ("CASSANDRA__USER", "tidewater"),
        ("CASSANDRA__PASSWORD", SECRET),
        ("REDIS__USER", "default"),
        ("REDIS__PASSWORD", SECRET),
        ("KAFKA__EXTRA__SASL_PASSWORD", SECRET),
        ("KAFKA__EXTRA__SSL_KEY_PASSWORD", SECRET),
        ("KAFKA__EXTRA__SASL_OAUTHBEARER_CLIENT_SECRET", SECRET),
    ] {
        command.env(format!("TIDEWATER__{name}"), secret);
    }
    let output = command.output().unwrap();
    [output.stdout, output.stderr].concat()
}

#[tokio::test]
async fn nothing_that_a_run_writes_names_a_user_or_tells_a_secret() {
    let home = Installation::build(&Stack::of_run(), "canary").await;
    home.session.define(&format!("CREATE INDEX ON \"{}\".\"profiles\" (\"bio\")", home.name())).await.unwrap();
    let collector = Collector::start();
    let endpoint = collector.endpoint();
    let options =
        [&LOUD[..], &[("TELEMETRY__OTLP_ENDPOINT", &*endpoint), ("TELEMETRY__METRICS_EVERY", "500ms")]].concat();
    let mut path: Vec<Worker> = PATH.map(|(worker, _)| home.start(worker, &options)).into();
    for worker in &mut path {
        worker.ready().await;
    }
    spoil_cache(&home);
    let feed = home.feed(topics::RAW);
    feed.send(&History::new(7, CANARY, 40).next(200, &feed)).await;
    feed.send(&poisons(&home)).await;
    plant_beside(&home).await;
    let all: BTreeSet<String> = RejectCode::ALL.iter().map(ToString::to_string).collect();
    let expected = &all - &NOT_HERE.iter().map(ToString::to_string).collect();
    let within = Duration::from_secs(90);
    until("a dead letter of every code", within, async || (dead_codes(&home).await == expected).then_some(())).await;
    home.settled().await;

    let everything = [CANARY, SECRET, STRAY];
    for worker in &path {
        for page in ["/metrics", "/ready", "/live"] {
            let (_, body) = worker.get(page).unwrap();
            assert_quiet(&format!("{page} of {}", worker.name()), body, &everything);
        }
    }
    for worker in path {
        assert_eq!(worker.leave().await, 0);
    }
    for (path, log) in logs_in(home.dir()) {
        assert!(log.lines().count() > 10, "{} is a log", path.display());
        assert_quiet(&path.display().to_string(), log, &everything);
    }
    assert!(collector.spans().len() > 10, "{} spans", collector.spans().len());
    for request in collector.requests() {
        assert_quiet(&request.path, [request.head.as_bytes(), &request.body].concat(), &everything);
    }
    for (line, said) in asked(&home).await {
        assert!(!said.is_empty(), "{line} says nothing");
        assert_quiet(&line, said, &[CANARY, SECRET]);
    }
    // Shown when somebody asks for it, so that there is something to be found.
    let letter = home.records(topics::DEAD).await.into_iter().find(|letter| letter.value.is_some()).unwrap();
    let place = format!("{}/{}", letter.place.partition, letter.offset);
    assert!(found(&home.tidewater(&["dead", "show", &place, "--value"]).stdout, &[CANARY]).is_some());
    for (name, arguments) in PATH.iter().flat_map(|(name, _)| [(name, "--print-config"), (name, "--check")]) {
        let said = with_secrets(&home, name, &[arguments]);
        assert!(!said.is_empty());
        assert_quiet(&format!("{name} {arguments}"), said, &everything);
    }
    for arguments in [&["lag"][..], &["migrate", "--profile", "local"]] {
        assert_quiet(&arguments.join(" "), with_secrets(&home, "tidewater", arguments), &everything);
    }
}

/// A password that the server does not want is quoted by neither the client nor the server's answer.
#[tokio::test]
async fn a_secret_that_is_refused_is_not_told() {
    let home = Installation::build(&Stack::of_run(), "refusedsecret").await;
    let mut sink =
        home.start("sink", &[("LOG__FILTER", "debug"), ("REDIS__USER", "stranger"), ("REDIS__PASSWORD", SECRET)]);
    until("the sink to be refused", Duration::from_secs(60), async || {
        (!sink.is_running() || sink.waits_for("redis").is_some_and(|why| why.contains("AUTH"))).then_some(())
    })
    .await;
    assert_quiet("the log", sink.log(), &[SECRET]);
    assert_quiet("/ready", sink.get("/ready").map(|(_, body)| body).unwrap_or_default(), &[SECRET]);
}
