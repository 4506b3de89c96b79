use super::columns::Columns;
use super::lines::{Item, Lines};
use super::progress::{Progress, Totals};
use super::rejects::{Refused, Rejects};
use super::row::{Ready, Rows, Unit};
use super::*;
use runtime::record::Outgoing;
use schemas::{Lane, Op, RejectCode, Rejection, Version, headers};
use std::fs;

/// 2023-11-14T22:13:20Z, a multiple of 8.
const FLOOR: i64 = 1_700_000_000_000_000;

fn rows() -> Rows {
    let named = |name: &str| name.to_owned();
    Rows {
        profile: Arc::new(Profile::embedded().unwrap()),
        backfill: Backfill::new(FLOOR),
        run: None,
        columns: Columns {
            key: named("user_id"),
            tenant: named("tenant"),
            time: named("updated_at"),
            ignored: vec![named("password")],
        },
        unit: None,
        source: None,
        partitions: 12,
    }
}

fn shown(row: Result<Ready, Rejection>) -> String {
    match row {
        Err(Rejection { code, field }) => format!("{code} {}", field.unwrap_or_default()),
        Ok(Ready { record, is_clamped }) => {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let header = |name| text(record.headers.last(name).unwrap());
            let (version, value) = (header(headers::VERSION), text(&record.value.unwrap()));
            format!("{version}{} {value}", if is_clamped { " clamped" } else { "" })
        }
    }
}

fn json(rows: &Rows, line: &str) -> String {
    shown(rows.of_json(line.as_bytes()))
}

fn cells(rows: &Rows, header: &str, row: &str) -> Result<Ready, Rejection> {
    let header: Vec<String> = header.split(',').map(str::to_owned).collect();
    rows.of_cells(&header, row.split(',').map(str::as_bytes).collect::<Vec<_>>().into_iter())
}

#[test]
fn a_row_is_an_upsert_at_its_time_and_a_change_what_it_says() {
    let rows = rows();
    let lines = [
        r#"{"user_id": 17, "updated_at": "2023-01-01T00:00:00.000001Z", "email": "ada@Example.COM", "bio": null, "password": "x"}"#,
        r#"{"user_id": "ada", "tenant": "acme", "updated_at": "2023-01-01 02:00:00+02", "country": "de"}"#,
        r#"{"user_id": "ada", "updated_at": "2024-06-01T00:00:00Z"}"#,
        r#"  {"user_id": "ada", "op": "patch", "set": {"name": "Ada", "bio": null}, "version": 1672531200000004}"#,
        r#"{"user_id": "ada", "op": "delete", "source": "crm", "version": 1699999999999998}"#,
        r#"{"user_id": "ada", "op": "delete", "version": 1700000000000004}"#,
    ];
    insta::assert_snapshot!(lines.map(|line| json(&rows, line)).join("\n"), @r#"
    1672531200000000 {"tenant":"main","user_id":"17","op":"upsert","set":{"email":"ada@example.com"},"occurred_at":"2023-01-01T00:00:00.000001Z"}
    1672531200000000 {"tenant":"acme","user_id":"ada","op":"upsert","set":{"country":"DE"},"occurred_at":"2023-01-01T00:00:00Z"}
    1699999999999992 clamped {"tenant":"main","user_id":"ada","op":"upsert","set":{},"occurred_at":"2024-06-01T00:00:00Z"}
    1672531200000000 {"tenant":"main","user_id":"ada","op":"patch","set":{"name":"Ada"},"unset":["bio"]}
    1699999999999992 {"tenant":"main","user_id":"ada","op":"delete","source":"crm"}
    1699999999999992 clamped {"tenant":"main","user_id":"ada","op":"delete"}
    "#);
}

#[test]
fn the_same_row_is_the_same_bytes_in_either_form_and_every_time() {
    let rows = rows();
    let line = br#"{"user_id": "ada", "updated_at": "2023-01-01T00:00:00Z", "marketing_opt_in": true, "name": "Ada"}"#;
    let once = rows.of_json(line).unwrap();
    assert_eq!(rows.of_json(line).unwrap(), once);
    let header = "user_id,name,updated_at,marketing_opt_in,bio";
    assert_eq!(cells(&rows, header, "ada,Ada,2023-01-01T00:00:00Z,t,").unwrap(), once);
    let id = |ready: &Ready| ready.record.headers.last(headers::ID).unwrap().clone();
    let other = cells(&rows, header, "ada,Ada,2023-01-01T00:00:00Z,f,").unwrap();
    assert_ne!(id(&other), id(&once), "another row is another change");
    let exported = br#"{"id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","user_id":"ada","op":"delete","version":16}"#;
    assert_eq!(id(&rows.of_json(exported).unwrap()), "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "an id is kept");
}

#[test]
fn a_record_goes_where_its_key_belongs_with_its_place_beside_it() {
    let record: Outgoing = cells(&rows(), "user_id,updated_at", "abc,2023-01-01T00:00:00Z").unwrap().record;
    assert_eq!((record.key.as_deref(), record.partition), (Some(&b"abc"[..]), 3), "as Java's partitioner");
    let names: Vec<&str> = record.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, [headers::VERSION, headers::ID]);
}

#[test]
fn what_is_wrong_with_a_row_is_said_by_code_and_field() {
    let rows = rows();
    let time = r#""updated_at": "2023-01-01T00:00:00Z""#;
    let wrong = [
        ("{".to_owned(), "undecodable "),
        ("[]".to_owned(), "undecodable "),
        (format!(r#"{{"name": "Ada", {time}}}"#), "field-missing user_id"),
        (format!(r#"{{"user_id": {{"a": 1}}, {time}}}"#), "too-deep user_id"),
        (format!(r#"{{"user_id": "", {time}}}"#), "user-id-invalid user_id"),
        (format!(r#"{{"user_id": "a", "user_id": "b", {time}}}"#), "field-duplicate user_id"),
        (format!(r#"{{"user_id": "a", "name": "a", "name": "b", {time}}}"#), "field-duplicate set.name"),
        (format!(r#"{{"user_id": "a", "nick": "a", {time}}}"#), "field-unknown set.nick"),
        (format!(r#"{{"user_id": "a", "region": "a", {time}}}"#), "derived-field set.region"),
        (format!(r#"{{"user_id": "a", "phone": "12", {time}}}"#), "format-invalid set.phone"),
        (format!(r#"{{"user_id": "a", "tenant": "A", {time}}}"#), "tenant-invalid tenant"),
        (r#"{"user_id": "a"}"#.to_owned(), "version-invalid updated_at"),
        (r#"{"user_id": "a", "updated_at": "1969-12-31T23:59:59Z"}"#.to_owned(), "version-invalid updated_at"),
        (r#"{"user_id": "a", "updated_at": "2023-01-01"}"#.to_owned(), "format-invalid updated_at"),
        (r#"{"user_id": "a", "updated_at": 1700}"#.to_owned(), "format-invalid updated_at"),
        (r#"{"user_id": "a", "op": "patch", "version": -8}"#.to_owned(), "version-invalid version"),
        (r#"{"user_id": "a", "op": "delete", "set": {}, "version": 8}"#.to_owned(), "shape set"),
        (format!(r#"{{"user_id": "a", "bio": "{}", {time}}}"#, "x".repeat(1 << 20)), "too-long set.bio"),
    ];
    for (line, expected) in wrong {
        assert_eq!(json(&rows, &line), expected, "{line:.80}");
    }
    assert_eq!(shown(cells(&rows, "user_id,updated_at", "ada")), "undecodable ");
    assert_eq!(shown(rows.of_cells(&["user_id".into()], [&b"\xff"[..]].into_iter())), "undecodable ");
    let mistyped = cells(&rows, "user_id,marketing_opt_in,updated_at", "ada,perhaps,2023-01-01T00:00:00Z");
    assert_eq!(shown(mistyped), "field-type set.marketing_opt_in");
}

#[test]
fn rows_without_a_time_have_their_run_and_numbers_their_unit() {
    let mut rows = rows();
    rows.run = Some(3);
    let line = r#"{"user_id": "a"}"#;
    let place = (FLOOR - 8 * ((1 << 20) - 3)).to_string();
    assert!(json(&rows, line).starts_with(&place));
    for (unit, time) in
        [(Unit::Seconds, "1600000000"), (Unit::Millis, "1600000000000"), (Unit::Micros, "1600000000000000")]
    {
        rows.unit = Some(unit);
        for time in [time.to_owned(), format!("\"{time}\"")] {
            let line = format!(r#"{{"user_id": "a", "updated_at": {time}}}"#);
            assert!(json(&rows, &line).starts_with("1600000000000000 "), "{line}");
        }
    }
}

/// One user: rows of the old table, live changes, and what is left when all have been written in some order.
mod against_live {
    use super::*;
    use schemas::{Change, FieldSet, FieldValue, Origin, Row, Tenant, UserId};
    use store::cql::{Model, ProfileRow, merge};
    use uuid::Uuid;

    fn change(op: Op, version: Version, name: &str) -> Change {
        let mut set = Row::default();
        if op != Op::Delete {
            set.set(0, FieldValue::Text(name.to_owned()));
        }
        Change {
            id: Uuid::from_u128(u128::from(version.get().unsigned_abs())),
            tenant: Tenant::default(),
            user_id: UserId::new("ada").unwrap(),
            op,
            set,
            unset: FieldSet::EMPTY,
            occurred_at: None,
            source: None,
            version,
            origin: Origin::new(topics::PINNED, 0, 0).unwrap(),
        }
    }

    fn left(profile: &Profile, changes: &[&Change]) -> ProfileRow {
        let mut model = Model::new(profile);
        for change in changes {
            merge(&[change]).iter().for_each(|statement| model.apply(statement));
        }
        model.read()
    }

    /// Whether every order of every such history leaves what the live change alone has said of its field.
    fn live_wins(place: impl Fn(i64) -> Option<Version>) -> bool {
        let profile = Profile::embedded().unwrap();
        let times = [FLOOR - 16, FLOOR - 8, FLOOR - 1, FLOOR, FLOOR + 7, FLOOR + 1_000_000, 2 * FLOOR];
        let live = [FLOOR + 8, FLOOR + 1_000_000, FLOOR + 2_000_000].map(|at| Version::at(at, Lane::Live).unwrap());
        let ops = [Op::Upsert, Op::Patch, Op::Delete];
        times.into_iter().flat_map(|time| live.map(|live| (time, live))).all(|(time, live)| {
            ops.into_iter().all(|op| {
                let row = change(Op::Upsert, place(time).unwrap(), "of the old table");
                let live = change(op, live, "live");
                let (said, alive) = (live.set.get(0), op != Op::Delete);
                // Twice is once, and late is nothing.
                let orders = [vec![&row, &live], vec![&live, &row], vec![&row, &live, &row], vec![&live, &row, &row]];
                let rows: Vec<ProfileRow> = orders.iter().map(|order| left(&profile, order)).collect();
                rows.iter().all(|row| row.row.get(0) == said && row.alive() == alive && *row == rows[0])
            })
        })
    }

    /// I3. Without the clamp below the floor the same look finds it.
    #[test]
    fn backfill_never_wins_over_live() {
        assert!(live_wins(|time| Backfill::new(FLOOR).at(time)));
        assert!(!live_wins(|time| Version::at(time, Lane::Backfill)), "a row that changed after the floor wins");
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("tidewater-import-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

fn rest(lines: &mut Lines, rows: &Rows) -> Vec<(u64, String)> {
    std::iter::from_fn(|| lines.next(rows).unwrap().map(|Item { line, row }| (line, shown(row)))).collect()
}

/// What is read on from the place behind each row is what stands behind it, whatever the file looks like.
#[test]
fn an_import_goes_on_from_behind_any_row() {
    let rows = rows();
    let folder = Folder::new("resume");
    let table = "\u{feff}user_id,name,updated_at\r\na,\"A\n\"\"a\"\"\",2023-01-01T00:00:00Z\r\n\r\nb,B\r\nc,C,2023-01-01T00:00:00Z";
    let objects =
        "\u{feff}{\"user_id\": \"a\"}\n\n  \r\n{\"user_id\": \"b\", \"updated_at\": \"2023-01-01T00:00:00Z\"}\nx";
    for (name, format, text, at) in
        [("t.csv", Format::Csv, table, [2, 5, 6]), ("t.ndjson", Format::Ndjson, objects, [1, 4, 5])]
    {
        let file = folder.file(name, text.as_bytes());
        let mut progress = Progress::new(Value::Null);
        let mut lines = Lines::open(&file, format, &rows, &mut progress).unwrap();
        let whole = rest(&mut lines, &rows);
        assert_eq!(whole.iter().map(|(line, _)| *line).collect::<Vec<_>>(), at, "{name}: {whole:?}");
        assert_eq!(lines.place().bytes, text.len() as u64);
        for done in 0..whole.len() {
            let mut lines = Lines::open(&file, format, &rows, &mut Progress::new(Value::Null)).unwrap();
            for _ in 0..done {
                lines.next(&rows).unwrap().unwrap();
            }
            progress.place = lines.place();
            let mut lines = Lines::open(&file, format, &rows, &mut progress).unwrap();
            assert_eq!(rest(&mut lines, &rows), whole[done..], "{name} behind {done}");
        }
        fs::write(&file, text.replace("user_id", "id")).unwrap();
        assert_eq!(Lines::open(&file, format, &rows, &mut progress).err().unwrap().exit_code(), 64, "another file");
    }
}

#[test]
fn a_line_without_an_end_is_never_taken_whole() {
    let rows = rows();
    let folder = Folder::new("endless");
    let long = format!("{}\n{{\"user_id\": \"b\"}}\n", "x".repeat(7 << 20));
    let file = folder.file("t.ndjson", long.as_bytes());
    let mut lines = Lines::open(&file, Format::Ndjson, &rows, &mut Progress::new(Value::Null)).unwrap();
    let told = [(1, "too-large ".to_owned()), (2, "version-invalid updated_at".to_owned())];
    assert_eq!(rest(&mut lines, &rows), told);

    let open = format!("user_id,name,updated_at\na,\"{}", "x\n".repeat(8 << 20));
    let file = folder.file("t.csv", open.as_bytes());
    let mut lines = Lines::open(&file, Format::Csv, &rows, &mut Progress::new(Value::Null)).unwrap();
    let error = lines.next(&rows).err().unwrap();
    assert_eq!(error.to_string(), "the row in line 2 has no end; is a quote left open there?");
}

#[test]
fn a_header_is_told_all_that_is_wrong_with_it() {
    let rows = rows();
    let check = |names: &str| {
        let header: Vec<String> = names.split(',').map(str::to_owned).collect();
        rows.columns.check(&header, &rows.profile, false)
    };
    assert!(check("user_id,tenant,updated_at,name,password").is_ok());
    insta::assert_snapshot!(check("id,name,name,nick,region").unwrap_err(), @r#"the first line does not name what is needed: column "id" is no field of the profile: leave it out with --ignore; column "name" stands twice; column "nick" is no field of the profile: leave it out with --ignore; column "region" is derived by the pipeline: leave it out with --ignore; no column "user_id" for the user id: name it with --key; no column "updated_at" for the time: name it with --time, or say --run N"#);
}

#[test]
fn progress_comes_back_from_its_file_and_only_for_the_same_import() {
    let folder = Folder::new("progress");
    let options = json!({"run": 1});
    let mut progress = Progress::new(options.clone());
    assert!(progress.is_of(b"head"));
    progress.header = Some(vec!["a".into()]);
    progress.place = lines::Place { bytes: 7, lines: 2 };
    progress.rejects_bytes = 3;
    progress.totals = Totals { lines: 5, sent: 4, clamped: 1, by_code: [("shape".to_owned(), 1)].into() };
    let path = folder.0.join("p");
    progress.save(&path).unwrap();
    let mut loaded = Progress::load(&path, &options).unwrap();
    assert_eq!(loaded, progress);
    assert!(loaded.is_of(b"head") && !loaded.is_of(b"tail"));
    assert!(Progress::load(&path, &json!({"run": 2})).unwrap_err().to_string().contains("other options"));
    progress.is_done = true;
    progress.save(&path).unwrap();
    assert!(Progress::load(&path, &options).unwrap_err().to_string().contains("all is imported"));
    fs::write(&path, "{}").unwrap();
    assert_eq!(Progress::load(&path, &options).unwrap_err().exit_code(), 64);
}

#[test]
fn refused_lines_are_told_once_whatever_was_interrupted() {
    let folder = Folder::new("rejects");
    let path = folder.0.join("r");
    let refused =
        |line, field: Option<&str>| Refused { line, code: RejectCode::Shape.as_str(), field: field.map(Into::into) };
    let kept = Rejects::open(&path, 0).unwrap().write(&[refused(1, None)]).unwrap();
    Rejects::open(&path, kept).unwrap().write(&[refused(2, Some("set"))]).unwrap();
    // Interrupted before the place behind line 2 was kept.
    Rejects::open(&path, kept).unwrap().write(&[refused(2, Some("set"))]).unwrap();
    let told = "{\"code\":\"shape\",\"line\":1}\n{\"code\":\"shape\",\"field\":\"set\",\"line\":2}\n";
    assert_eq!(fs::read_to_string(&path).unwrap(), told);
}
