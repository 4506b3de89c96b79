use super::*;

const COUNTRIES: &str = "country,region,note\nDE,Europe,\"a, \"\"quoted\"\" cell\"\nAQ,,ice\n";

fn name(file: &str) -> TableName {
    file.parse().unwrap()
}

#[test]
fn a_file_is_named_by_table_and_instant() {
    let file = "plan_limits2@20261122T101500Z.csv";
    assert_eq!(name(file).table(), "plan_limits2");
    assert_eq!(name(file).micros(), calendar::micros_of("2026-11-22T10:15:00Z").unwrap());
    assert_eq!(name(file).to_string(), file);
    for bad in [
        "countries.csv",
        "countries@20260101.csv",
        "countries@20260101T000000.csv",
        "countries@20260101T000000Z",
        "countries@20260101T000000Z.CSV",
        "countries@2026-01-01T00:00:00Z.csv",
        "countries@20260230T000000Z.csv",
        "countries@20161231T235960Z.csv",
        "countries@20260101T000000Z.csv.tmp",
        "a@b@20260101T000000Z.csv",
        "@20260101T000000Z.csv",
        "Countries@20260101T000000Z.csv",
        "../countries@20260101T000000Z.csv",
    ] {
        assert_eq!(bad.parse::<TableName>(), Err(TableNameError), "{bad}");
    }
}

#[test]
fn a_table_is_read_by_key_and_column() {
    let table = Table::parse(COUNTRIES).unwrap();
    assert_eq!(table.get("DE", "region"), Some("Europe"));
    assert_eq!(table.get("DE", "note"), Some("a, \"quoted\" cell"));
    assert_eq!(table.get("AQ", "region"), None, "an empty cell is a miss");
    assert_eq!((table.get("FR", "region"), table.get("DE", "country"), table.get("DE", "x")), (None, None, None));
    assert_eq!(Table::parse("k,v\r\na,1\r\n").unwrap().get("a", "v"), Some("1"), "line ends of Windows");
}

#[test]
fn what_is_wrong_with_a_file_is_said_by_line() {
    for (text, error) in [
        ("", TableError::Header),
        ("country\nDE\n", TableError::Header),
        ("\u{feff}k,v\n", TableError::ByteOrderMark),
        ("k,,v\n", TableError::Column(2)),
        ("k,v,k\n", TableError::Column(3)),
        ("k,v\na,1\nb\n", TableError::Ragged(3)),
        ("k,v\na,1,2\n", TableError::Ragged(2)),
        ("k,v\n,1\n", TableError::Key(2)),
        ("k,v\na,1\nb,2\na,3\n", TableError::Duplicate(4)),
        ("k,v\na,\"1\n2\"\n", TableError::Control(2)),
        ("k,v\na,1\t\n", TableError::Control(2)),
    ] {
        assert_eq!(Table::parse(text), Err(error), "{text:?}");
    }
}

#[test]
fn a_file_is_added_once_in_any_order() {
    let mut tables = Tables::default();
    for year in [2028, 2026, 2027] {
        let file = name(&format!("t@{year}0101T000000Z.csv"));
        assert!(!tables.contains(&file));
        assert!(tables.insert(&file, Table::parse(&format!("k,v\na,{year}\n")).unwrap()));
        assert!(tables.contains(&file));
        assert!(!tables.insert(&file, Table::parse("k,v\na,other\n").unwrap()), "never edited");
    }
    let at = |time: &str| {
        let version = Version::new(calendar::micros_of(time).unwrap()).unwrap();
        tables.lookup("t", "v", "a", version)
    };
    assert_eq!(at("1999-01-01T00:00:00Z"), Some("2026"), "older than all: the oldest");
    assert_eq!(at("2026-01-01T00:00:00Z"), Some("2026"));
    assert_eq!(at("2026-12-31T23:59:59.999992Z"), Some("2026"));
    assert_eq!(at("2027-01-01T00:00:00Z"), Some("2027"));
    assert_eq!(at("2999-01-01T00:00:00Z"), Some("2028"));
    assert_eq!(tables.lookup("u", "v", "a", Version::new(8).unwrap()), None);
}

#[test]
fn what_a_lookup_needs_and_no_file_has_is_named() {
    let mut tables = Tables::default();
    let gaps = |tables: &Tables| tables.gaps(crate::sample::profile()).iter().map(Gap::to_string).collect::<Vec<_>>();
    assert_eq!(
        gaps(&tables),
        ["field region is looked up in table countries, of which there is no file; add countries@<instant>.csv"]
    );
    assert!(tables.insert(&name("countries@20260101T000000Z.csv"), Table::parse(COUNTRIES).unwrap()));
    assert!(gaps(&tables).is_empty());
    assert!(tables.insert(&name("countries@20270101T000000Z.csv"), Table::parse("country,area\nDE,1\n").unwrap()));
    assert_eq!(
        gaps(&tables),
        ["field region is looked up in column region, which countries@20270101T000000Z.csv does not have"]
    );
}
