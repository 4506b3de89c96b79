use super::*;
use clap::Parser;
use forecast::{Cells, Forecast};
use runtime::record::{Headers, Offset, Timestamp, TopicPartition};
use schemas::headers;

#[derive(Debug, Parser)]
struct Asked {
    #[command(flatten)]
    replay: Replay,
}

fn checked(args: &[&str]) -> Result<(), String> {
    let asked = Asked::try_parse_from([&["replay"], args].concat()).unwrap();
    asked.replay.check().map_err(|error| format!("{} {}", error.exit_code(), error))
}

#[test]
fn nobody_replays_everything_by_mistake() {
    for none in [&[][..], &["--as-new"], &["--dry-run"], &["--edit", "cat"], &["--json"]] {
        assert!(checked(none).unwrap_err().starts_with("64 say which letters"), "{none:?}");
    }
    let some: [&[&str]; 9] = [
        &["--all"],
        &["3/17"],
        &["--code", "format-invalid"],
        &["--stage", "sink"],
        &["--since", "1h"],
        &["--until", "1h"],
        &["--field", "set.email"],
        &["--user", "ada"],
        &["--tenant", "main"],
    ];
    for args in some {
        assert_eq!(checked(args), Ok(()), "{args:?}");
    }
}

#[test]
fn what_can_only_be_sent_as_new_is_refused_with_the_price_of_it() {
    for code in ["misplaced", "change-too-old"] {
        let refused = checked(&["--code", code]).unwrap_err();
        assert!(refused.starts_with("64 ") && refused.contains("--as-new"), "{refused}");
        assert!(refused.contains("sent twice it is two changes"), "{refused}");
        assert_eq!(checked(&["--code", code, "--as-new"]), Ok(()));
    }
}

fn letter(offset: i64, code: &str) -> Letter {
    let mut kept = Headers::default();
    for (name, value) in [(headers::CODE, code), (headers::VERSION, "1767312000000004")] {
        kept.push_text(name, value);
    }
    Letter::of(&Record {
        place: TopicPartition::new("tidewater.changes.dead.v1", 3),
        offset: Offset(offset),
        timestamp: Timestamp::Missing,
        key: None,
        value: None,
        headers: kept,
        is_damaged: false,
    })
}

type Foreseen = (Letter, Result<Forecast, Left>);

fn foreseen() -> Vec<Foreseen> {
    vec![
        (letter(7, "format-invalid"), Ok(Forecast::Changes(Cells { changed: 2, superseded: 1, unsure: 1 }))),
        (letter(8, "format-invalid"), Ok(Forecast::Superseded(Cells { superseded: 3, ..Cells::default() }))),
        (letter(9, "too-long"), Ok(Forecast::Same)),
        (letter(10, "too-long"), Ok(Forecast::Rejected(RejectCode::TooLong))),
        (letter(11, "misplaced"), Err(Left::Misplaced)),
    ]
}

fn tally() -> Tally {
    let mut tally = Tally::default();
    (tally.found, tally.copies, tally.sent) = (6, 1, 4);
    for (_, outcome) in foreseen() {
        match outcome {
            Ok(forecast) => tally.foresee(&forecast),
            Err(left) => tally.leave(left),
        }
    }
    tally
}

fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_dry_run_tells_letter_by_letter_what_would_become_of_it() {
    let mut rows = tally::Rows::new();
    foreseen().iter().for_each(|(letter, outcome)| rows.push(letter, outcome));
    insta::assert_snapshot!(text(|out| rows.write(out).unwrap()), @r"
    letter  code                     version  cells change  superseded  outcome
    3/7     format-invalid  1767312000000004             3           1  changes
    3/8     format-invalid  1767312000000004             0           3  superseded
    3/9     too-long        1767312000000004             0           0  same
    3/10    too-long        1767312000000004             0           0  refused: too-long
    3/11    misplaced       1767312000000004             0           0  left: misplaced
    ");
    let lines: Vec<String> =
        foreseen().iter().map(|(letter, outcome)| tally::line_of(letter, outcome).to_string()).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"cells":{"changed":2,"superseded":1,"unsure":1},"code":"format-invalid","letter":"3/7","outcome":"changes","version":"1767312000000004"}
    {"cells":{"changed":0,"superseded":3,"unsure":0},"code":"format-invalid","letter":"3/8","outcome":"superseded","version":"1767312000000004"}
    {"cells":{"changed":0,"superseded":0,"unsure":0},"code":"too-long","letter":"3/9","outcome":"same","version":"1767312000000004"}
    {"code":"too-long","letter":"3/10","outcome":"refused","refused_with":"too-long","version":"1767312000000004"}
    {"code":"misplaced","left":"misplaced","letter":"3/11","outcome":"left","version":"1767312000000004"}
    "#);
}

#[test]
fn many_letters_are_counted_and_the_first_shown() {
    let mut rows = tally::Rows::new();
    (0..120).for_each(|offset| rows.push(&letter(offset, "shape"), &Ok(Forecast::Same)));
    let shown = text(|out| rows.write(out).unwrap());
    assert!(shown.contains("70 more are only counted"), "{shown}");
    assert_eq!(shown.lines().count(), 1 + 50 + 1 + 1);
}

#[test]
fn the_counts_say_what_was_sent_what_was_left_and_why() {
    let topic = "tidewater.changes.pinned.v1";
    let told = |dry_run| text(|out| tally().table_of(topic, false, dry_run).write(out).unwrap());
    insta::assert_snapshot!(told(true), @r"
    count  of
        6  letters found
        1  of them older letters of the same change, left out
        4  would be sent to tidewater.changes.pinned.v1, into their old places
        1  of them would change something
        1  of them would be refused again
        1  of them are there already
        1  of them are superseded: what they touch is newer already
        2  cells would change
        4  cells are newer already and stay
        1  cells are empty: they change unless something newer cleared them
        1  left, misplaced: another partition than its key's orders it; only --as-new, and sent twice it is two changes
    ");
    let mut sent = Tally::default();
    (sent.found, sent.sent) = (3, 3);
    insta::assert_snapshot!(text(|out| sent.table_of(topic, false, false).write(out).unwrap()), @r"
    count  of
        3  letters found
        3  sent to tidewater.changes.pinned.v1, into their old places
    ");
    insta::assert_snapshot!(tally().to_json(topic).to_string(), @r#"{"cells":{"changed":2,"superseded":4,"unsure":1},"copies":1,"foreseen":{"changes":1,"refused":1,"same":1,"superseded":1},"found":6,"left":{"misplaced":1},"sent":4,"topic":"tidewater.changes.pinned.v1"}"#);
    assert_eq!((sent.left(), tally().left()), (0, 1));
    sent.leave(Left::EditFailed);
    assert_eq!(sent.left(), 1);
}
