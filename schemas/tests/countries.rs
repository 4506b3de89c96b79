//! The shipped `countries` table: made here from the data of the crate `keshvar`, and held to it.
//!
//! Regions and subregions are those of the UN's M49 as that crate has them; Antarctica, Bouvet Island, Heard and
//! McDonald Islands have none there, so they are a miss. Kosovo, which no UN list has, is put where Unicode's CLDR
//! puts it.

#![allow(clippy::unwrap_used, reason = "this file is tests: a panic is how they fail")]

use keshvar::CountryIterator;
use schemas::Version;
use schemas::reference::{Table, TableName, Tables};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The newest file. When the crate's data changes, that is a new file with a new instant; old ones stay.
const NEWEST: &str = "countries@20260101T000000Z.csv";

fn made() -> String {
    let mut rows: BTreeMap<String, (String, String)> = CountryIterator::new()
        .map(|country| {
            let region = country.maybe_region().map(|region| format!("{region:?}"));
            let subregion = country.maybe_subregion().map(|subregion| spaced(&format!("{subregion:?}")));
            (format!("{:?}", country.alpha2()), (region.unwrap_or_default(), subregion.unwrap_or_default()))
        })
        .collect();
    rows.insert("XK".into(), ("Europe".into(), "Southern Europe".into()));
    let rows = rows.iter().map(|(country, (region, subregion))| format!("{country},{region},{subregion}\n"));
    "country,region,subregion\n".to_owned() + &rows.collect::<String>()
}

/// `SouthEasternAsia` as people write it.
fn spaced(name: &str) -> String {
    let mut spaced = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !spaced.is_empty() {
            spaced.push(' ');
        }
        spaced.push(letter);
    }
    spaced.replace(" And ", " and ").replace("South Eastern", "South-Eastern")
}

fn shipped() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(NEWEST)).unwrap_or_default()
}

#[test]
fn the_newest_countries_table_is_the_crates_data() {
    let made = made();
    if shipped() != made {
        let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("countries.csv");
        fs::write(&to, made).unwrap();
        panic!(
            "the country data changed: copy {} to schemas/reference/ under a new instant and name it here in NEWEST",
            to.display()
        );
    }
}

#[test]
fn every_country_that_a_profile_can_hold_has_a_row() {
    let table = Table::parse(&shipped()).unwrap();
    let regionless = ["AQ", "BV", "HM"];
    for country in rust_iso3166::ALL_ALPHA2.iter().chain(["XK"].iter()) {
        assert_eq!(table.get(country, "region").is_some(), !regionless.contains(country), "{country}");
    }
    assert_eq!(table.len(), rust_iso3166::ALL_ALPHA2.len() + 1);
}

#[test]
fn a_lookup_by_country_finds_its_region() {
    let name: TableName = NEWEST.parse().unwrap();
    let mut tables = Tables::default();
    assert!(tables.insert(&name, Table::parse(&shipped()).unwrap()));
    let version = Version::new(name.micros()).unwrap();
    assert_eq!(tables.lookup("countries", "region", "DE", version), Some("Europe"));
    assert_eq!(tables.lookup("countries", "subregion", "SG", version), Some("South-Eastern Asia"));
    assert_eq!(tables.lookup("countries", "region", "XX", version), None);
}
