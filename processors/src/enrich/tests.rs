use super::*;
use bytes::Bytes;
use runtime::Clock;
use runtime::fault::Rejection;
use runtime::logs::chain;
use runtime::record::{Headers, Offset, Record, Timestamp, TopicPartition};
use schemas::reference::{Table, Tables};
use schemas::{Change, FieldSet, FieldValue, Op, Origin, Row, Tenant, UserId, Version};
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use uuid::Uuid;

/// 2026-03-01T00:00:00Z, in milliseconds.
const NOW_MS: i64 = 1_772_323_200_000;

static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| Arc::new(Profile::embedded().unwrap()));

fn position(name: &str) -> usize {
    PROFILE.position(name).unwrap()
}

fn stage() -> Enrich {
    let mut tables = Tables::default();
    for (name, region) in [("countries@20260101T000000Z.csv", "Europe"), ("countries@20260301T000000Z.csv", "Core")] {
        let table = Table::parse(&format!("country,region\nDE,{region}\n")).unwrap();
        assert!(tables.insert(&name.parse().unwrap(), table));
    }
    Enrich::new(PROFILE.clone(), Shelf::new(tables))
}

fn change(version_ms: i64) -> Change {
    let mut set = Row::default();
    set.set(position("country"), FieldValue::Text("DE".into()));
    set.set(position("email"), FieldValue::Text("ada@example.com".into()));
    Change {
        id: Uuid::nil(),
        tenant: Tenant::default(),
        user_id: UserId::new("ada").unwrap(),
        op: Op::Patch,
        set,
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Version::new((version_ms * 1000) | 4).unwrap(),
        origin: "changes.raw.v1/2/7".parse::<Origin>().unwrap(),
    }
}

/// As `validate` puts it out.
fn record(change: &Change) -> Record {
    let mut value = Vec::new();
    Codec::new(PROFILE.clone()).encode(change, &mut value).unwrap();
    let mut headers = Headers::default();
    headers.push_text("traceparent", "00-1-2-01");
    headers.push_text(headers::ORIGIN, change.origin.to_string());
    headers.push_text(headers::VERSION, change.version.to_string());
    Record {
        place: TopicPartition::new("changes.valid.v1", 2),
        offset: Offset(3),
        timestamp: Timestamp::Create(NOW_MS),
        key: Some(Bytes::from_static(b"ada")),
        value: Some(Bytes::from(value)),
        headers,
        is_damaged: false,
    }
}

async fn judge(record: Record) -> Result<Verdict<Outgoing>, Fault> {
    stage().apply(&Admitted { record, mark: 0 }).await
}

async fn forwarded(record: Record) -> (Outgoing, Change) {
    let Ok(Verdict::Forward(outgoing)) = judge(record).await else { panic!("not forwarded") };
    let origin = outgoing.headers.last(headers::ORIGIN).map(|origin| &origin[..]);
    let change = Codec::new(PROFILE.clone()).decode_own(outgoing.value.as_deref(), origin).unwrap();
    (outgoing, change)
}

async fn rejected(record: Record) -> Rejection {
    let Ok(Verdict::Reject(rejection)) = judge(record).await else { panic!("not rejected") };
    rejection
}

#[tokio::test]
async fn derived_fields_are_filled_in_and_all_else_is_as_it_was() {
    let valid = change(NOW_MS);
    let (outgoing, enriched) = forwarded(record(&valid)).await;
    let text = |name| enriched.set.get(position(name)).cloned();
    assert_eq!(text("region"), Some(FieldValue::Text("Core".into())));
    assert_eq!(text("email_domain"), Some(FieldValue::Text("example.com".into())));
    let mut rest = enriched.clone();
    rest.set.take(position("region"));
    rest.set.take(position("email_domain"));
    assert_eq!(rest, valid);
    let names: Vec<&str> = outgoing.headers.iter().map(|(name, _)| &**name).collect();
    assert_eq!((outgoing.partition, names), (2, vec!["traceparent", "tw-origin", "tw-version"]));
}

/// I2: the table is the one of the change's version, whenever it is read.
#[tokio::test]
async fn a_change_is_looked_up_in_the_table_of_its_time() {
    let region = async |ms| forwarded(record(&change(ms))).await.1.set.get(position("region")).cloned();
    assert_eq!(region(NOW_MS - 1).await, Some(FieldValue::Text("Europe".into())));
    assert_eq!(region(NOW_MS).await, Some(FieldValue::Text("Core".into())));
    let before_all = 1_700_000_000_000;
    assert_eq!(region(before_all).await, Some(FieldValue::Text("Europe".into())), "backfill takes the oldest");
}

#[tokio::test]
async fn a_record_that_is_no_change_is_rejected_with_what_its_headers_say() {
    let whole = record(&change(NOW_MS));
    let cut = whole.value.clone().map(|value| value.slice(..value.len() - 1));
    for value in [None, Some(Bytes::new()), Some(Bytes::from_static(b"{}")), cut] {
        let rejection = rejected(Record { value, ..whole.clone() }).await;
        assert_eq!((rejection.code, rejection.field.as_deref()), ("undecodable", None));
        let version = change(NOW_MS).version.to_string();
        assert_eq!(rejection.facts, [("tw-origin", "changes.raw.v1/2/7".to_owned()), ("tw-version", version)]);
    }
}

#[tokio::test]
async fn a_record_whose_origin_is_unreadable_is_rejected() {
    for origin in [None, Some("nonsense")] {
        let mut record = record(&change(NOW_MS));
        record.headers = Headers::default();
        if let Some(origin) = origin {
            record.headers.push_text(headers::ORIGIN, origin);
        }
        let rejection = rejected(record).await;
        assert_eq!((rejection.code, rejection.field.as_deref()), ("undecodable", Some("tw-origin")));
        assert_eq!(rejection.facts, []);
    }
}

#[tokio::test]
async fn a_record_of_a_newer_release_waits_for_its_deployment() {
    let mut record = record(&change(NOW_MS));
    let mut value = record.value.take().unwrap().to_vec();
    value[2..10].copy_from_slice(&[0xAB; 8]);
    record.value = Some(Bytes::from(value));
    let fault = judge(record).await.unwrap_err();
    assert!(matches!(fault, Fault::Transient(_)), "{fault:?}");
    let text = fault.to_string();
    assert!(text.contains("changes.valid.v1/2/3") && text.contains("abababababababab"), "{text}");
    assert!(text.contains("migrate, sink, enrich, validate"), "{text}");
}

/// A folder of reference tables of its own, gone when the test ends.
struct Tray(PathBuf);

impl Tray {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidewater-{name}-{}", Uuid::new_v4()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn put(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap();
    }

    fn open(&self) -> Result<Folder, String> {
        Folder::open(&self.0, PROFILE.clone(), Clock::fixed(NOW_MS)).map_err(|failure| chain(&failure).to_string())
    }
}

impl Drop for Tray {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

const FIRST: &str = "countries@20260101T000000Z.csv";

fn region(shelf: &Shelf, ms: i64) -> Option<String> {
    let version = Version::new(ms * 1000).unwrap();
    shelf.tables().lookup("countries", "region", "DE", version).map(str::to_owned)
}

#[test]
fn a_file_that_comes_before_its_instant_is_used_from_then_on() {
    let tray = Tray::new("early");
    tray.put(FIRST, "country,region\nDE,Europe\n");
    tray.put("notes.txt", "not a table");
    let mut folder = tray.open().unwrap();
    let shelf = folder.shelf();
    tray.put("countries@20260301T000300Z.csv", "country,region\nDE,Core\n");
    assert_eq!(region(&shelf, NOW_MS + 180_000).as_deref(), Some("Europe"), "nobody has looked");
    folder.look().unwrap();
    assert!(folder.is_whole());
    assert_eq!(region(&shelf, NOW_MS + 179_999).as_deref(), Some("Europe"));
    assert_eq!(region(&shelf, NOW_MS + 180_000).as_deref(), Some("Core"));
}

#[test]
fn a_file_that_comes_after_its_instant_is_not_used_until_it_is_gone_or_all_start_anew() {
    let tray = Tray::new("late");
    tray.put(FIRST, "country,region\nDE,Europe\n");
    let mut folder = tray.open().unwrap();
    let late = "countries@20260228T235959Z.csv";
    tray.put(late, "country,region\nDE,Core\n");
    folder.look().unwrap();
    folder.look().unwrap();
    assert!(!folder.is_whole(), "and so the process is not ready");
    assert_eq!(region(&folder.shelf(), NOW_MS).as_deref(), Some("Europe"));
    assert_eq!(region(&tray.open().unwrap().shelf(), NOW_MS).as_deref(), Some("Core"), "a new process uses it");
    fs::remove_file(tray.0.join(late)).unwrap();
    folder.look().unwrap();
    assert!(folder.is_whole());
}

#[test]
fn a_file_that_cannot_be_read_later_is_not_used() {
    let tray = Tray::new("broken");
    tray.put(FIRST, "country,region\nDE,Europe\n");
    let mut folder = tray.open().unwrap();
    tray.put("countries@20270101T000000Z.csv", "country\n");
    tray.put("countries-2027.csv", "country,region\n");
    folder.look().unwrap();
    assert!(!folder.is_whole());
    assert_eq!(region(&folder.shelf(), NOW_MS + 365 * 86_400_000).as_deref(), Some("Europe"));
}

/// What a start refuses, a running process refuses, too: from the file's instant on every lookup would miss.
#[test]
fn a_file_without_a_column_that_is_looked_up_is_not_used_later_either() {
    let tray = Tray::new("column");
    tray.put(FIRST, "country,region\nDE,Europe\n");
    let mut folder = tray.open().unwrap();
    tray.put("countries@20270101T000000Z.csv", "country,Region\nDE,Europe\n");
    folder.look().unwrap();
    assert!(!folder.is_whole());
    assert_eq!(region(&folder.shelf(), NOW_MS + 365 * 86_400_000).as_deref(), Some("Europe"));
}

#[test]
fn a_start_names_every_file_that_is_wrong_and_every_table_that_is_not_there() {
    let tray = Tray::new("gaps");
    tray.put("cities@20260101T000000Z.csv", "city\n");
    tray.put("countries.csv", "country,region\n");
    let text = tray.open().unwrap_err();
    for part in ["cities@20260101T000000Z.csv", "countries.csv", "field region", "add countries@<instant>.csv"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    tray.put(FIRST, "country,subregion\nDE,Western Europe\n");
    let text = tray.open().unwrap_err();
    assert!(text.contains("column region") && text.contains(FIRST), "{text}");
}

#[test]
fn a_folder_that_is_not_there_is_named_with_its_setting() {
    let gone = std::env::temp_dir().join("tidewater-no-such-folder");
    let text = chain(&Folder::open(&gone, PROFILE.clone(), Clock::fixed(NOW_MS)).unwrap_err()).to_string();
    assert!(text.contains("tidewater-no-such-folder") && text.contains("enrich.tables"), "{text}");
}
