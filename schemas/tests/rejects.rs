//! The catalogue of reject codes and its pages say the same.

#![allow(clippy::unwrap_used, reason = "this file is tests: a panic is how they fail")]

use schemas::RejectCode;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/rejects")
}

#[test]
fn every_code_has_a_page_with_its_reason_cause_and_cure() {
    for code in RejectCode::ALL {
        let page = fs::read_to_string(folder().join(format!("{code}.md"))).unwrap_or_default();
        assert!(page.starts_with(&format!("# {code}\n")), "{code} has a page");
        let flat = page.replace('\n', " ").to_lowercase();
        for part in [&*code.reason().to_lowercase(), "**cause.**", "**example.**", "**cure.**", "**who acts.**"] {
            assert!(flat.contains(part), "the page of {code} has {part}");
        }
    }
}

#[test]
fn every_page_is_of_a_code_and_in_the_index() {
    let index = fs::read_to_string(folder().join("README.md")).unwrap();
    let codes: BTreeSet<String> = RejectCode::ALL.iter().map(|code| format!("{code}.md")).collect();
    let pages = fs::read_dir(folder()).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<String> = pages.filter(|page| page != "README.md").collect();
    assert_eq!(pages, codes);
    for code in RejectCode::ALL {
        assert!(index.contains(&format!("| [{code}]({code}.md) | {} |", code.reason())), "{code} is in the index");
    }
}
