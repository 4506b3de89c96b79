use super::*;
use sha1::{Digest as _, Sha1};

type Token = [u8; TOKEN_LEN];
type Body = [u8; DIGEST_LEN];

const MINE: Token = *b"mine............";
const OTHER: Token = *b"other...........";
const BODY: Body = [7; DIGEST_LEN];
const ANOTHER: Body = [8; DIGEST_LEN];
const TERMS: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(86_400));

/// When every entry of the table was made.
const START_MS: i64 = 1_795_331_234_567;

fn in_flight() -> Entry {
    let mut entry = Entry::default();
    assert_eq!(entry.begin(START_MS, &MINE, &BODY, TERMS.0), Ok(Began::Granted));
    entry
}

fn finished(answer: &[u8]) -> Entry {
    let mut entry = in_flight();
    assert_eq!(entry.finish(START_MS, (&MINE, &BODY), answer, TERMS.1), Ok(Finished::Kept));
    entry
}

/// What an entry answers to everything that may be asked of it, `after_ms` later.
#[derive(Debug, PartialEq)]
struct Row {
    begin: [Result<Began, Foreign>; 4],
    finish: [Result<Finished, Foreign>; 2],
    abandon: [Result<Abandoned, Foreign>; 2],
}

fn row(entry: &Entry, after_ms: i64) -> Row {
    let now_ms = START_MS + after_ms;
    let begin = |token, body| entry.clone().begin(now_ms, token, body, TERMS.0);
    let finish = |token| entry.clone().finish(now_ms, (token, &BODY), b"late", TERMS.1);
    let abandon = |token| entry.clone().abandon(now_ms, token);
    Row {
        begin: [begin(&MINE, &BODY), begin(&OTHER, &BODY), begin(&MINE, &ANOTHER), begin(&OTHER, &ANOTHER)],
        finish: [finish(&MINE), finish(&OTHER)],
        abandon: [abandon(&MINE), abandon(&OTHER)],
    }
}

#[test]
fn every_state_answers_every_request_as_the_table_has_it() {
    use Abandoned::{Freed, NotOurs};
    use Began::{Done, Granted, OtherBody};
    use Finished::{Kept, Lost};
    let answered = || Ok(Began::Answered(b"202".to_vec()));
    let left = |ms| Ok(Began::InFlight { left: Duration::from_millis(ms) });
    let free = || Row {
        begin: [Ok(Granted), Ok(Granted), Ok(Granted), Ok(Granted)],
        finish: [Ok(Kept), Ok(Kept)],
        abandon: [Ok(NotOurs), Ok(NotOurs)],
    };
    let leased = |ms| Row {
        begin: [Ok(Granted), left(ms), Ok(OtherBody), Ok(OtherBody)],
        finish: [Ok(Kept), Ok(Lost)],
        abandon: [Ok(Freed), Ok(NotOurs)],
    };
    let known = || Row {
        begin: [answered(), answered(), Ok(OtherBody), Ok(OtherBody)],
        finish: [Ok(Kept), Ok(Lost)],
        abandon: [Ok(NotOurs), Ok(NotOurs)],
    };
    let done = Row {
        begin: [Ok(Done), Ok(Done), Ok(OtherBody), Ok(OtherBody)],
        finish: [Ok(Kept), Ok(Lost)],
        abandon: [Ok(NotOurs), Ok(NotOurs)],
    };
    let foreign = || Row {
        begin: [Err(Foreign), Err(Foreign), Err(Foreign), Err(Foreign)],
        finish: [Err(Foreign), Err(Foreign)],
        abandon: [Err(Foreign), Err(Foreign)],
    };
    let long = vec![b'x'; ANSWER_LEN_MAX + 1];
    let table = [
        ("absent", Entry::Absent, 0, free()),
        ("in flight", in_flight(), 0, leased(30_000)),
        ("in flight, just", in_flight(), 29_999, leased(1)),
        ("its lease is over", in_flight(), 30_000, free()),
        ("answered", finished(b"202"), 1, known()),
        ("answered, just", finished(b"202"), 86_399_999, known()),
        ("its day is over", finished(b"202"), 86_400_000, free()),
        ("done", finished(&long), 1, done),
        ("of another type", Entry::Foreign, 0, foreign()),
        ("garbage", Entry::Bytes(b"garbage".to_vec()), 0, foreign()),
    ];
    for (name, entry, after_ms, expected) in table {
        assert_eq!(row(&entry, after_ms), expected, "{name}");
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    for entry in [in_flight(), finished(b"202"), Entry::Foreign, Entry::Bytes(b"garbage".to_vec())] {
        let mut tried = entry.clone();
        let refusals = (
            tried.begin(START_MS + 1, &OTHER, &BODY, TERMS.0).is_ok_and(|began| began == Began::Granted),
            tried.finish(START_MS + 1, (&OTHER, &BODY), b"theirs", TERMS.1).is_ok_and(|done| done == Finished::Kept),
            tried.abandon(START_MS + 1, &OTHER).is_ok_and(|done| done == Abandoned::Freed),
        );
        assert_eq!(refusals, (false, false, false), "{entry:?}");
        assert!(tried == entry, "{entry:?}");
    }
}

#[test]
fn the_bytes_are_the_ones_that_the_scripts_write() {
    let bytes = |entry: Entry| match entry {
        Entry::Bytes(bytes) => bytes,
        Entry::Absent | Entry::Foreign => panic!("nothing is there"),
    };
    let body = "\u{7}".repeat(32);
    assert_eq!(bytes(in_flight()), format!("P1795331264567mine............{body}").into_bytes());
    assert_eq!(bytes(finished(b"202")), format!("A1795417634567mine............{body}202").into_bytes());
    let long = vec![b'x'; ANSWER_LEN_MAX + 1];
    assert_eq!(bytes(finished(&long)), format!("D1795417634567mine............{body}").into_bytes());
    assert_eq!(bytes(finished(&long[1..])).len(), 62 + ANSWER_LEN_MAX, "the longest that is kept");
    assert_eq!(in_flight().until_ms(), Some(1_795_331_264_567));
}

#[test]
fn nearly_an_entry_is_none() {
    let Entry::Bytes(good) = in_flight() else { panic!("nothing is there") };
    let mut spoiled = vec![vec![], good[..61].to_vec(), [&good[..], b"x"].concat()];
    for (at, byte) in [(0, b'Q'), (1, b'+'), (5, b' '), (13, b'x')] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        spoiled.push(bytes);
    }
    for bytes in spoiled {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(Entry::Bytes(bytes).begin(START_MS, &MINE, &BODY, TERMS.0), Err(Foreign), "{text}");
    }
}

#[test]
fn a_holder_who_comes_late_loses_to_whoever_has_the_key_and_to_nobody_else() {
    let late_ms = START_MS + 31_000;
    let mut free = in_flight();
    assert_eq!(free.finish(late_ms, (&MINE, &BODY), b"late", TERMS.1), Ok(Finished::Kept));
    let mut taken = in_flight();
    assert_eq!(taken.begin(late_ms, &OTHER, &BODY, TERMS.0), Ok(Began::Granted), "the one repetition");
    assert_eq!(taken.finish(late_ms, (&MINE, &BODY), b"late", TERMS.1), Ok(Finished::Lost));
    assert_eq!(taken.finish(late_ms, (&OTHER, &BODY), b"second", TERMS.1), Ok(Finished::Kept));
    assert_eq!(taken.begin(late_ms, &MINE, &BODY, TERMS.0), Ok(Began::Answered(b"second".to_vec())));
}

#[test]
fn an_answer_is_never_replaced_by_a_second_finish() {
    let mut entry = finished(b"202");
    assert_eq!(entry.finish(START_MS + 5, (&MINE, &BODY), b"500", TERMS.1), Ok(Finished::Kept));
    assert!(entry == finished(b"202"));
}

#[test]
fn a_lease_outlasts_what_a_broker_is_waited_for_and_an_answer_a_day() {
    let Terms { lease, keep_for } = Terms::default();
    assert_eq!((lease.as_secs(), keep_for.as_secs()), (30, 86_400));
}

#[test]
fn the_sums_are_those_of_the_scripts() {
    for script in [BEGIN_SCRIPT, FINISH_SCRIPT, ABANDON_SCRIPT] {
        let sum: String = Sha1::digest(script.text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sum, script.sha1, "{}", script.text.lines().next().unwrap());
    }
}

#[test]
fn a_debug_print_shows_neither_token_nor_answer() {
    let mut entry = finished(b"ada");
    let began = entry.begin(START_MS, &OTHER, &BODY, TERMS.0);
    assert_eq!(format!("{entry:?} {began:?} {:?}", in_flight()), "Entry(answered) Ok(Answered(..)) Entry(in flight)");
}
