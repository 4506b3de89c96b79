//! Rows of an old table come in, an installation moves to another one, and neither harms what is live.

use runtime::clock::Clock;
use runtime::record::Record;
use schemas::{FieldValue, Lane, headers, topics};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tests::history::History;
use tests::installation::{Installation, told};
use tests::process::binary;
use tests::stack::Stack;
use tests::until;

fn file(home: &Installation, name: &str, text: &str) -> String {
    let path = home.dir().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn config(home: &Installation) -> PathBuf {
    home.dir().join("tidewater.toml")
}

/// Another start of operation for everything that is started from now on.
fn set_floor(home: &Installation, ago: Duration) {
    let ago_ms = i64::try_from(ago.as_millis()).unwrap();
    let floor = headers::format_instant(1_000 * (Clock::system().now_ms() - ago_ms));
    let text = fs::read_to_string(config(home)).unwrap();
    let lines =
        text.lines().map(|line| if line.starts_with("floor = ") { format!("floor = {floor}") } else { line.into() });
    fs::write(config(home), lines.collect::<Vec<_>>().join("\n")).unwrap();
}

/// An installation that began lately, so that it takes backfill.
async fn build(name: &str) -> Installation {
    let home = Installation::build(&Stack::of_run(), name).await;
    set_floor(&home, Duration::from_secs(3_600));
    home
}

fn exit_and_error(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stderr.clone()).unwrap())
}

/// I3.
#[tokio::test]
async fn rows_of_an_old_table_never_win_over_live_changes_and_importing_twice_is_importing_once() {
    let home = build("imported").await;
    let _path = home.start_path();
    let raw = home.feed(topics::RAW);
    raw.change("live", r#""op": "upsert", "set": {"name": "Live"}"#).await;
    raw.change("patched", r#""op": "patch", "set": {"name": "Live"}"#).await;
    raw.change("gone", r#""op": "delete""#).await;
    let mut table = String::from("id,name,email,updated_at,password\n");
    // The clock of the old system says that its rows are newer than anything live.
    for user in ["live", "patched", "gone"] {
        table.push_str(&format!("{user},Old,{user}@old.example,2199-01-01T00:00:00Z,x\n"));
    }
    table
        .push_str("old,Older,old@old.example,2020-01-01T00:00:00Z,x\nold,Old,old@old.example,2021-01-01T00:00:00Z,x\n");
    table.push_str("bad,Bad,no address,2020-01-01T00:00:00Z,x\n,Nobody,,2020-01-01T00:00:00Z,x\n");
    for user in 0..600 {
        table.push_str(&format!("u{user},Old,u{user}@old.example,2020-01-01T00:00:00Z,x\n"));
    }
    let file = file(&home, "users.csv", &table);
    let arguments = ["import", &file, "--key", "id", "--ignore", "password", "--rate", "0", "--json"];

    // Live traffic goes on while the rows come in; some of it is about the same users.
    let mut history = History::new(5, home.name(), 60);
    let traffic = async {
        for round in 0..10 {
            raw.send(&history.next(40, &raw)).await;
            let live: Vec<_> = (0..20)
                .map(|user| raw.of(&format!("u{}", 30 * round + user), r#""op": "patch", "set": {"name": "Live"}"#))
                .collect();
            raw.send(&live).await;
        }
    };
    let (import, ()) = tokio::join!(
        tokio::task::spawn_blocking({
            let (arguments, config) = (arguments.map(str::to_owned), config(&home));
            move || Command::new(binary("tidewater")).arg("--config").arg(config).args(arguments).output().unwrap()
        }),
        traffic
    );
    let import = import.unwrap();
    assert_eq!(import.status.code(), Some(1), "{import:?}");
    let totals: Value = serde_json::from_slice(&import.stdout).unwrap();
    let by_code = json!({"field-missing": 1, "format-invalid": 1});
    assert_eq!(totals, json!({"lines": 607, "sent": 605, "clamped": 3, "refused": 2, "by_code": by_code}));
    let rejects = fs::read_to_string(format!("{file}.rejects.ndjson")).unwrap();
    assert!(rejects.contains(r#""line":7"#) && rejects.contains(r#""field":"set.email""#), "{rejects}");
    assert!(!rejects.contains("no address"), "{rejects}");
    home.settled().await;

    let fields = async |user: &str| {
        let row = home.row(user).await;
        let field = |name| home.text(&row, name).map(str::to_owned);
        (field("name"), field("email_domain"), row.alive())
    };
    let known = |text: &str| Some(text.to_owned());
    assert_eq!(fields("live").await, (known("Live"), None, true), "an upsert replaces the whole profile, backfill too");
    assert_eq!(fields("patched").await, (known("Live"), known("old.example"), true), "a patch touches what it names");
    assert_eq!(fields("gone").await, (None, None, false));
    assert_eq!(fields("old").await, (known("Old"), known("old.example"), true), "of two rows the newer");
    for user in 0..600 {
        let name = if user % 30 < 20 && user < 300 { "Live" } else { "Old" };
        assert_eq!(fields(&format!("u{user}")).await, (known(name), known("old.example"), true), "u{user}");
    }

    let (rows, once) = (home.rows().await, sent(&home).await);
    assert_eq!(home.tidewater(&arguments).status.code(), Some(1));
    home.settled().await;
    assert_eq!(home.rows().await, rows, "twice is once");
    let twice = sent(&home).await;
    assert!(once.keys().eq(twice.keys()) && twice.values().all(|count| *count == 2), "the same bytes once more");

    set_floor(&home, Duration::from_secs(3_000));
    let (code, error) = exit_and_error(&home.tidewater(&arguments));
    assert!(code == Some(64) && error.contains("is what validate works with; set the same in both"), "{error}");
    set_floor(&home, Duration::from_secs(37 * 24 * 3_600));
    let (code, error) = exit_and_error(&home.tidewater(&arguments));
    assert!(code == Some(64) && error.contains("say --late if"), "{error}");
}

/// How often each record stands in pinned: key, value and what it brings.
async fn sent(home: &Installation) -> BTreeMap<[Vec<u8>; 4], u64> {
    let mut sent = BTreeMap::new();
    for record in home.records(topics::PINNED).await {
        let header = |name| record.headers.last(name).unwrap().to_vec();
        let parts = [&record.key, &record.value].map(|part| part.as_deref().unwrap().to_vec());
        let [key, value] = parts;
        *sent.entry([key, value, header(headers::VERSION), header(headers::ID)]).or_default() += 1;
    }
    sent
}

#[tokio::test]
async fn an_import_that_was_killed_goes_on_where_all_was_acknowledged() {
    let home = build("killedimport").await;
    let mut rows = String::new();
    for user in 0..3_000 {
        rows.push_str(
            &json!({"user_id": format!("u{user}"), "name": "Old", "updated_at": "2020-01-01T00:00:00Z"}).to_string(),
        );
        rows.push('\n');
        if user % 100 == 0 {
            rows.push_str("no object\n");
        }
    }
    let file = file(&home, "users.ndjson", &rows);
    let start = |more: &[&str]| {
        let mut command = Command::new(binary("tidewater"));
        command.arg("--config").arg(config(&home)).args(["import", &file]).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let mut import = start(&["--rate", "500"]);
    let kept = || {
        let progress: Value = serde_json::from_slice(&fs::read(format!("{file}.progress")).ok()?).unwrap();
        progress["lines"].as_u64().filter(|lines| *lines > 0)
    };
    let before = until("a part to be acknowledged", Duration::from_secs(30), async || kept()).await;
    import.kill().and_then(|()| import.wait()).unwrap();
    let by_then = home.records(topics::PINNED).await.len();
    assert!(by_then < 3_000, "it was killed too late");

    let (code, error) = exit_and_error(&home.tidewater(&["import", &file, "--resume", "--run", "1"]));
    assert!(code == Some(64) && error.contains("other options"), "{error}");
    let resumed = home.tidewater(&["import", &file, "--resume", "--rate", "0", "--json"]);
    let totals: Value = serde_json::from_slice(&resumed.stdout).unwrap();
    assert_eq!((&totals["lines"], &totals["sent"], &totals["refused"]), (&json!(3_030), &json!(3_000), &json!(30)));
    let records = home.records(topics::PINNED).await;
    let users: BTreeSet<_> = records.iter().map(|record: &Record| record.key.clone()).collect();
    assert_eq!(users.len(), 3_000, "nobody is left out");
    assert!(records.len() < 3_000 + by_then, "{before} lines were done, and are not done again");
    let rejects = fs::read_to_string(format!("{file}.rejects.ndjson")).unwrap();
    let told: BTreeSet<&str> = rejects.lines().collect();
    assert_eq!((told.len(), rejects.lines().count()), (30, 30), "each refused line is told once");
    let (code, error) = exit_and_error(&home.tidewater(&["import", &file, "--resume"]));
    assert!(code == Some(64) && error.contains("all is imported"), "{error}");
}

#[tokio::test]
async fn an_export_imported_elsewhere_gives_the_same_users() {
    let home = build("exported").await;
    let path = home.start_path();
    let mut history = History::new(31, home.name(), 120);
    let raw = home.feed(topics::RAW);
    raw.send(&history.next(1_500, &raw)).await;
    raw.changes("stub", &[r#""op": "upsert", "set": {"name": "Ada"}"#, r#""op": "delete""#]).await;
    raw.change("stub", r#""op": "patch", "set": {"bio": "too late"}"#).await;
    raw.changes("patched", &[r#""op": "patch", "set": {"email": "ada@example.com"}, "source": "crm""#]).await;
    home.settled().await;
    drop(path);
    let file = home.dir().join("export.ndjson").to_str().unwrap().to_owned();
    let said = told(&home.tidewater(&["export", "--out", &file]));
    let text = fs::read_to_string(&file).unwrap();
    assert!(said.starts_with(&format!("{} lines: ", text.lines().count())), "{said}");
    assert!(!text.contains("email_domain"), "what is derived is derived again");
    assert_eq!(told(&home.tidewater(&["export"])), text, "a table at rest is exported the same");

    let away = Installation::build(&Stack::of_run(), "moved").await;
    set_floor(&away, Duration::ZERO);
    let _path = away.start_path();
    let said = told(&away.tidewater(&["import", &file, "--rate", "0"]));
    assert!(!said.contains("refused") && !said.contains("floor"), "{said}");
    away.settled().await;

    let (before, after) = (home.rows().await, away.rows().await);
    assert!(before.keys().eq(after.keys()), "the same users");
    let mut stubs = 0;
    for (user, row) in &before {
        let moved = &after[user];
        assert_eq!((&moved.row, moved.alive()), (&row.row, row.alive()), "{user:?}");
        let place = |version: Option<schemas::Version>| version.map(|version| version.place());
        for (version, old) in [(moved.live, row.live), (moved.dead, row.dead), (moved.version, row.version)] {
            assert_eq!(place(version), place(old), "{user:?}");
            assert!(version.is_none_or(|version| version.lane() == Lane::Backfill), "{user:?}");
        }
        assert_eq!((moved.change, &moved.source), (row.change, &row.source), "{user:?}");
        assert_eq!((moved.partition, moved.offset), (None, None), "receipts are of the other installation");
        stubs += u64::from(!row.alive());
    }
    assert!(stubs > 0, "no stub was moved");
    let patched = away.row("patched").await;
    assert_eq!(away.text(&patched, "email_domain"), Some("example.com"));
    let bio = away.profile.position("bio").unwrap();
    let stub = away.row("stub").await;
    assert!(!stub.alive() && stub.row.get(bio) == Some(&FieldValue::Text("too late".to_owned())));
}
