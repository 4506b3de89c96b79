use super::*;

const ADA: &str = r#"{"name":"Ada \"L\"","email":"ada@example.com","plan":"pro","later":"?"}"#;

fn profile() -> Profile {
    Profile::embedded().unwrap()
}

fn seen(payload: Option<&str>) -> Seen {
    Seen { version: Version::new(8_004), receipt: None, payload: payload.map(Arc::from), source: Source::Store }
}

fn view(asked: &str, may_see_pii: bool) -> View {
    let profile = profile();
    let asked = Asked::parse((!asked.is_empty()).then_some(asked), &profile).unwrap();
    let reader = Reader { may_see_pii, ..Reader::default() };
    View::of(seen(Some(ADA)), asked, &reader, &profile).unwrap()
}

#[test]
fn a_profile_that_is_shown_whole_is_the_very_text_of_the_store() {
    assert_eq!(view("", true).payload.as_str(), ADA);
}

#[test]
fn fields_that_were_not_asked_for_are_left_out_and_the_others_stand_as_they_were() {
    assert_eq!(view("fields=name", true).payload.as_str(), r#"{"name":"Ada \"L\""}"#);
    assert_eq!(view("fields=bio", true).payload.as_str(), "{}", "it has no value");
    assert_eq!(
        view("fields=email%2Cname", true).payload.as_str().len(),
        ADA.len() - r#","plan":"pro","later":"?""#.len()
    );
}

#[test]
fn who_may_not_see_who_somebody_is_is_told_what_is_missing_and_nothing_else() {
    let profile = profile();
    let pii: Vec<&str> = profile.fields().iter().filter(|field| field.pii).map(|field| &*field.name).collect();
    assert!(pii.contains(&"email") && pii.contains(&"name"), "{pii:?}");
    let all = view("", false);
    assert_eq!(all.redacted, Some(pii.join(",").parse().unwrap()));
    // Neither does it show a field that only another release knows.
    assert_eq!(all.payload.as_str(), r#"{"plan":"pro"}"#);
    let some = view("fields=email,country", false);
    assert!(some.payload.as_str() == "{}" && some.redacted.unwrap().to_str().unwrap().contains("email"));
    assert_eq!(view("fields=email", true).redacted, None);
}

#[test]
fn a_query_that_is_not_understood_is_refused() {
    let profile = profile();
    for wrong in
        ["fields=", "fields=name,", "fields=shoe_size", "fields=name&fields=bio", "field=name", "x", "tw_version="]
    {
        assert_eq!(Asked::parse(Some(wrong), &profile), Err(Problem::QueryInvalid), "{wrong}");
    }
    assert_eq!(Asked::parse(Some(""), &profile), Asked::parse(None, &profile));
}

#[test]
fn a_tag_changes_with_the_version_and_with_what_is_shown() {
    let (version, later) = (Version::new(8_004), Version::new(8_012));
    let tag = tag_of(version, ADA);
    assert!(tag.starts_with("\"8004-") && tag.ends_with('"'), "{tag}");
    assert_ne!(tag, tag_of(later, ADA));
    assert_ne!(tag, tag_of(version, "{}"), "a replay into the past, or another reader");
    assert_eq!(tag_of(version, "{}"), "\"8004-08f44b07b5901a25\"", "the same in every release");
}

#[test]
fn a_known_tag_is_recognised_as_the_standard_says() {
    let names = |known: &'static str| names(&HeaderValue::from_static(known), "\"8-1\"");
    assert!(names("\"8-1\"") && names("\"7-1\", W/\"8-1\"") && names("*"));
    assert!(!names("8-1") && !names("\"8-2\"") && !names(""));
}

#[test]
fn nobody_is_told_what_is_not_there() {
    let profile = profile();
    let asked = Asked::parse(None, &profile).unwrap();
    let problem = View::of(seen(None), asked, &Reader::default(), &profile).unwrap_err();
    assert_eq!(problem, Problem::UserUnknown { version: Version::new(8_004), by: Source::Store });
    let response = problem.into_response();
    assert_eq!((response.status().as_u16(), &response.headers()[VERSION]), (404, &HeaderValue::from_static("8004")));
}

#[test]
fn a_debug_print_never_shows_a_value() {
    let shown = format!("{:?} {:?}", view("", true), view("fields=name", true));
    assert!(shown.contains("Whole(..)") && shown.contains("Part(..)") && !shown.contains("Ada"), "{shown}");
}
