//! The house is tidy: sizes, names, words, pages and promises. Each rule is a function of what it looks at, and is tried on
//! input that breaks it.
#![cfg(test)]
#![allow(clippy::string_slice, reason = "places come from the very text that they cut; a slip fails the test")]

#[path = "tidy/goldens.rs"]
mod goldens;
#[path = "tidy/makefile.rs"]
mod makefile;
#[path = "tidy/pages.rs"]
mod pages;
#[path = "tidy/promises.rs"]
mod promises;
#[path = "tidy/scripts.rs"]
mod scripts;
#[path = "tidy/size.rs"]
mod size;
#[path = "tidy/soak.rs"]
mod soak;
#[path = "tidy/source.rs"]
mod source;
#[path = "tidy/words.rs"]
mod words;

use source::{Source, files};

const NONE: [String; 0] = [];

/// What others wrote, word for word.
fn is_foreign(path: &str) -> bool {
    path == "LICENSE" || path.starts_with("tests/fixtures/")
}

/// The project's own words.
fn own() -> Vec<Source> {
    files().into_iter().filter(|file| !is_foreign(&file.path)).collect()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(source::root().join(path)).unwrap()
}

#[test]
fn files_end_before_line_400_and_mains_before_line_40() {
    assert_eq!(size::too_long(&files()), NONE);
}

#[test]
fn clippy_holds_functions_to_70_lines_and_five_parameters() {
    let files = files();
    let is_member = |file: &&Source| file.path.ends_with("/Cargo.toml");
    let members: Vec<Source> = files.iter().filter(is_member).cloned().collect();
    // Where these names are looked for, they have to stand.
    let sources: Vec<Source> = files.iter().filter(|file| !file.path.starts_with("tests/tidy/")).cloned().collect();
    assert_eq!(size::lints_that_sleep(&read("Cargo.toml"), &read("clippy.toml"), &members, &sources), NONE);
}

#[test]
fn names_say_what_is_inside() {
    assert_eq!(words::empty_names(&files()), NONE);
}

#[test]
fn files_say_first_what_they_are_for() {
    assert_eq!(words::without_purpose(&files()), NONE);
}

#[test]
fn work_left_over_has_an_issue() {
    assert_eq!(words::unnumbered_todos(&own()), NONE);
}

#[test]
fn paths_are_those_of_every_machine() {
    assert_eq!(words::absolute_paths(&own()), NONE);
}

#[test]
fn no_registry_is_named() {
    assert_eq!(words::registries(&own()), NONE);
}

#[test]
fn no_address_could_be_somebodys() {
    assert_eq!(words::addresses(&own()), NONE);
}

#[test]
fn scripts_can_be_run() {
    assert_eq!(scripts::wrong_modes(&files(), scripts::can_run), NONE);
}

#[test]
fn targets_are_few_and_the_ones_that_pages_name() {
    assert_eq!(makefile::wrong_targets(&read("Makefile"), &files()), NONE);
}

#[test]
fn reject_codes_and_their_pages_are_the_same() {
    let codes: Vec<&str> = schemas::RejectCode::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(pages::unpaired(&codes, &files()), NONE);
}

#[test]
fn links_between_pages_lead_somewhere() {
    assert_eq!(pages::dead_links(&files()), NONE);
}

#[test]
fn what_soaks_came_to_has_one_shape() {
    assert_eq!(soak::misshapen(&files()), NONE);
}

#[test]
fn every_promise_names_tests_that_are_run() {
    assert_eq!(promises::unheld(&read("docs/guarantees.md"), &files()), NONE);
}

#[test]
fn every_planted_error_names_tests_that_are_run() {
    assert_eq!(promises::unheld(&read("tests/goldens/sabotages.md"), &files()), NONE);
}
