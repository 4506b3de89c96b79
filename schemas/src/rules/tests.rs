use super::*;
use crate::sample::{position, profile, row, text};
use crate::{FieldSet, Op, Origin, Row, Tenant, UserId, Version};
use proptest::prelude::*;
use proptest::{option, sample};
use uuid::Uuid;

fn change(set: Row) -> Change {
    Change {
        id: Uuid::nil(),
        tenant: Tenant::default(),
        user_id: UserId::new("u").unwrap(),
        op: Op::Patch,
        set,
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Version::new(8).unwrap(),
        origin: Origin::new("changes.raw.v1", 0, 0).unwrap(),
    }
}

/// What becomes of one value, or the code it is refused with.
fn checked(field: &'static str, value: FieldValue) -> Result<FieldValue, RejectCode> {
    match check(profile(), change(row([(field, value)]))) {
        Ok(mut change) => Ok(change.set.take(position(field)).unwrap()),
        Err(rejection) => {
            assert_eq!(rejection.field.as_deref(), Some(&*format!("set.{field}")));
            Err(rejection.code)
        }
    }
}

#[track_caller]
fn becomes(field: &'static str, pairs: &[(&str, &str)]) {
    for (sent, kept) in pairs {
        assert_eq!(checked(field, text(sent)), Ok(text(kept)), "{field} {sent}");
    }
}

#[track_caller]
fn refuses(field: &'static str, code: RejectCode, values: &[&str]) {
    for sent in values {
        assert_eq!(checked(field, text(sent)), Err(code), "{field} {sent}");
    }
}

#[test]
fn text_is_composed_and_neither_trimmed_nor_split() {
    becomes(
        "text",
        &[("", ""), (" a ", " a "), ("Zoe\u{308}", "Zo\u{eb}"), ("\u{212b}", "\u{c5}"), ("\u{2028}", "\u{2028}")],
    );
    refuses("text", RejectCode::TextInvalid, &["a\nb", "\0", "\u{7f}", "é\u{85}", "\u{9b}ü"]);
}

#[test]
fn a_length_is_counted_in_characters_of_what_is_kept() {
    assert!(checked("text", text(&"\u{10348}".repeat(20))).is_ok());
    assert!(checked("text", text(&"e\u{301}".repeat(20))).is_ok(), "composed, it is 20 long");
    refuses("text", RejectCode::TooLong, &[&"x".repeat(21), &"\u{958}".repeat(11)]);
    assert_eq!(checked("bytes", FieldValue::Bytes(vec![0; 4])), Ok(FieldValue::Bytes(vec![0; 4])));
    assert_eq!(checked("bytes", FieldValue::Bytes(vec![0; 5])), Err(RejectCode::TooLong));
}

#[test]
fn a_pattern_matches_the_whole_text() {
    becomes("code", &[("ab", "ab"), ("123", "123")]);
    refuses("code", RejectCode::PatternMismatch, &["", "abc", "ab1", "1234", "x123"]);
}

#[test]
fn numbers_keep_to_their_bounds() {
    for (number, kept) in [(-11, false), (-10, true), (10, true), (11, false), (i32::MIN, false)] {
        assert_eq!(checked("int", FieldValue::Int(number)).is_ok(), kept, "{number}");
    }
    for number in [-0.1, 1.6, f64::NAN, f64::INFINITY] {
        assert_eq!(checked("double", FieldValue::Double(number)), Err(RejectCode::OutOfRange), "{number}");
    }
    assert_eq!(checked("double", FieldValue::Double(1.5)), Ok(FieldValue::Double(1.5)));
    assert_eq!(checked("float", FieldValue::Float(f32::NEG_INFINITY)), Err(RejectCode::OutOfRange));
    assert_eq!(checked("long", FieldValue::Long(i64::MIN)), Ok(FieldValue::Long(i64::MIN)));
}

#[test]
fn dates_and_times_are_of_the_years_1_to_9999() {
    let (days, micros) = (calendar::DAYS, calendar::MICROS);
    for (day, kept) in [(*days.start(), true), (*days.end(), true), (days.start() - 1, false), (i32::MAX, false)] {
        assert_eq!(checked("day", FieldValue::Int(day)).is_ok(), kept, "{day}");
    }
    for (time, kept) in [(*micros.start(), true), (*micros.end(), true), (micros.end() + 1, false), (i64::MIN, false)] {
        assert_eq!(checked("time", FieldValue::Long(time)).is_ok(), kept, "{time}");
    }
    let late = Change { occurred_at: Some(i64::MAX), ..change(Row::default()) };
    assert_eq!(check(profile(), late), Err(Rejection::at(RejectCode::OutOfRange, "occurred_at")));
}

#[test]
fn a_value_of_another_kind_is_refused() {
    for (field, value) in [
        ("flag", FieldValue::Int(1)),
        ("int", FieldValue::Long(1)),
        ("text", FieldValue::Bytes(vec![])),
        ("plan", text("Free")),
        ("day", text("2026-01-01")),
        ("device", FieldValue::Bytes(vec![0; 16])),
    ] {
        assert_eq!(checked(field, value), Err(RejectCode::FieldType), "{field}");
    }
}

#[test]
fn an_email_keeps_its_local_part_and_lowers_its_domain() {
    becomes(
        "email",
        &[
            ("Ada.Lovelace+x@EXAMPLE.com", "Ada.Lovelace+x@example.com"),
            ("a@b.co", "a@b.co"),
            ("\u{fc}ml@EXA\u{308}MPLE.de", "\u{fc}ml@ex\u{e4}mple.de"),
            ("\"A@b\"@x.org", "\"A@b\"@x.org"),
            ("a@x\u{3aa}\u{301}.gr", "a@x\u{390}.gr"), // in lower case it composes further
        ],
    );
    let bad = [
        "",
        "@",
        "ada",
        "ada@",
        "@example.com",
        "a@b",
        "a@localhost",
        "a@-b.com",
        "a@b-.com",
        "a@b..com",
        "a@[127.0.0.1]",
        "Ada <a@example.com>",
        " <a@example.com>",
        "<a@example.com>",
        "a @example.com",
        " a@example.com",
        "a@example.com ",
        "a@exa_mple.com",
        "a@exa!mple.com",
        "a@b.com.",
        "a.@b.com",
        ".a@b.com",
        "a@b@c.com",
        "mailto:a@b.com",
    ];
    refuses("email", RejectCode::FormatInvalid, &bad);
}

#[test]
fn a_phone_number_becomes_e164() {
    becomes(
        "phone",
        &[
            ("+4915112345678", "+4915112345678"),
            ("+49 (151) 1234-5678", "+4915112345678"),
            ("+1 415.555.2671", "+14155552671"),
            ("+39 06 6982", "+39066982"),
            ("+44 20/7183 8750", "+442071838750"),
        ],
    );
    let bad = [
        "",
        "+",
        "0151 12345678",
        "4915112345678",
        "004915112345678",
        " +4915112345678",
        "+4915112345678 ",
        "+49 151 12345678 ext 5",
        "+4915112345678;ext=5",
        "+1 800 FLOWERS",
        "+999123456",
        "+49",
        "+49 1",
        "+49151123456789012345",
        "\u{ff0b}4915112345678",
        "+\u{664}\u{669}15112345678",
        "tel:+4915112345678",
        "+1 415 555 2671 / x 2672",
        "+1 555 555 5555",
    ];
    refuses("phone", RejectCode::FormatInvalid, &bad);
}

#[test]
fn a_country_and_a_currency_are_codes_in_upper_case() {
    becomes("country", &[("DE", "DE"), ("gb", "GB"), ("xk", "XK")]);
    refuses("country", RejectCode::FormatInvalid, &["", "DEU", "XX", "ZZ", "UK", " DE", "Germany", "d\u{e9}"]);
    becomes("currency", &[("EUR", "EUR"), ("usd", "USD"), ("HRK", "HRK")]);
    refuses("currency", RejectCode::FormatInvalid, &["", "EU", "ZZZ", "\u{20ac}", "EUR "]);
}

#[test]
fn a_locale_is_a_language_tag_in_canonical_case() {
    becomes(
        "locale",
        &[
            ("de", "de"),
            ("en_us", "en-US"),
            ("ZH-hant-tw", "zh-Hant-TW"),
            ("sr_Latn_RS-u-ca-gregory", "sr-Latn-RS-u-ca-gregory"),
        ],
    );
    refuses("locale", RejectCode::FormatInvalid, &["", "english", "en_US.UTF-8", "e", "en--US", "en-", " en", "C"]);
}

#[test]
fn a_time_zone_is_a_name_of_the_bundled_database() {
    becomes(
        "time_zone",
        &[
            ("europe/BERLIN", "Europe/Berlin"),
            ("utc", "UTC"),
            ("Etc/GMT+5", "Etc/GMT+5"),
            ("asia/calcutta", "Asia/Calcutta"),
        ],
    );
    refuses(
        "time_zone",
        RejectCode::FormatInvalid,
        &["", "Mars/Base", "+01:00", "CET-1CEST", "Etc/Unknown", "Europe/Berlin "],
    );
}

#[test]
fn a_url_is_for_the_web_and_names_nobody() {
    becomes(
        "url",
        &[
            ("HTTPS://Example.com:443/a/../b?q=1#f", "https://example.com/b?q=1#f"),
            ("http://ex\u{e4}mple.de/\u{e4} b", "http://xn--exmple-cua.de/%C3%A4%20b"),
            ("https://[::1]:8080/", "https://[::1]:8080/"),
        ],
    );
    let bad = [
        "",
        "example.com",
        "//x",
        "javascript:alert(1)",
        "ftp://x/y",
        "https:example.com",
        "https:/example.com",
        "https:///example.com",
        "https://",
        "https://user@example.com/",
        "https://user:pw@example.com/",
        "https://:pw@x.com/",
        " https://example.com",
        "https://example.com ",
        "https://exa mple.com",
        "https:\\\\example.com",
        "https://x:99999/",
    ];
    refuses("url", RejectCode::FormatInvalid, &bad);
}

#[test]
fn dates_and_uuids_have_one_spelling() {
    becomes("date_text", &[("2024-02-29", "2024-02-29")]);
    refuses(
        "date_text",
        RejectCode::FormatInvalid,
        &["", "2023-02-29", "2024-2-9", "20240229", "2024-02-29T00:00:00Z"],
    );
    for field in ["uuid_text", "device"] {
        becomes(field, &[("0192F0C1-7B2A-7C3D-9E4F-5A6B7C8D9E0F", "0192f0c1-7b2a-7c3d-9e4f-5a6b7c8d9e0f")]);
        let bare = "0192f0c17b2a7c3d9e4f5a6b7c8d9e0f";
        let braced = "{0192f0c1-7b2a-7c3d-9e4f-5a6b7c8d9e0f}";
        refuses(field, RejectCode::FormatInvalid, &["", bare, braced, "0192f0c1-7b2a-7c3d-9e4f-5a6b7c8d9e0g"]);
    }
}

#[test]
fn a_source_fits_a_header() {
    let from = |source: &str| Change { source: Some(source.to_owned()), ..change(Row::default()) };
    assert!(check(profile(), from(&"\u{e9}".repeat(SOURCE_LEN_MAX))).is_ok());
    let refused = |source: &str| check(profile(), from(source)).unwrap_err();
    assert_eq!(refused("a\r\nb"), Rejection::at(RejectCode::TextInvalid, "source"));
    assert_eq!(refused(&"x".repeat(SOURCE_LEN_MAX + 1)), Rejection::at(RejectCode::TooLong, "source"));
}

/// Texts near each format and far from it.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "\\PC{0,12}",
        "[a-zA-Z.+\u{e9}\u{212b}\u{130}]{1,6}@[a-zA-Z0-9.\u{e4}\u{308}\u{130}\u{1e9e}\u{3a3}\u{212a}-]{1,12}\\.[a-zA-Z]{2,3}",
        "\\PC{1,4}@\\PC{1,8}\\.com",
        "\\+(49151|1415|4420|3906|3361|8190|5511)[0-9 ./()-]{5,10}",
        "\\+[0-9]{7,14}",
        "[a-zA-Z]{2,3}([_-][a-zA-Z]{4})?([_-][a-zA-Z]{2})?([_-][a-zA-Z0-9]{1,8}){0,3}",
        "(http|HTTPS)://\\PC{1,20}",
        "https://[a-z0-9.\u{e4}%@:/?#-]{1,20}",
        sample::select(vec!["europe/berlin", "Asia/Calcutta", "US/Eastern", "gmt", "uct", "zulu", "Etc/GMT-14"])
            .prop_map(str::to_owned),
        "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn what_is_normalised_stays_what_it_is(field in 0..position("domain"), sent in any_text()) {
        let mut set = Row::with_width(profile().fields().len());
        set.set(field, FieldValue::Text(sent));
        if let Ok(once) = check(profile(), change(set)) {
            let twice = check(profile(), once.clone());
            prop_assert_eq!(twice.map(|change| change.set), Ok(once.set));
        }
    }

    #[test]
    fn every_change_is_kept_but_for_the_spelling_of_its_values(texts in prop::collection::vec(option::of(any_text()), 21)) {
        let mut set = Row::default();
        for (field, sent) in texts.into_iter().enumerate().filter_map(|(field, sent)| sent.map(|sent| (field, sent))) {
            set.set(field, FieldValue::Text(sent));
        }
        let before = change(set);
        if let Ok(after) = check(profile(), before.clone()) {
            prop_assert_eq!(after.named(), before.named());
        }
    }
}
