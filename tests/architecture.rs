//! The house stands as `docs/architecture.md` draws it: directions, doors, and where versions are settled. Each rule is a
//! function of what it looks at, and is tried on a house that breaks it.
#![cfg(test)]
#![allow(clippy::string_slice, reason = "places come from the very text that they cut; a slip fails the test")]

#[path = "architecture/doors.rs"]
mod doors;
#[path = "architecture/manifests.rs"]
mod manifests;
#[path = "architecture/rooms.rs"]
mod rooms;
#[path = "tidy/source.rs"]
mod source;

use cargo_metadata::{Metadata, MetadataCommand};
use rooms::Lean;
use std::collections::BTreeSet;
use std::fs;

const NONE: [String; 0] = [];

/// The workspace as cargo sees it. What its packages declare is enough, and needs no network.
fn house() -> Metadata {
    MetadataCommand::new().manifest_path(source::root().join("Cargo.toml")).no_deps().exec().unwrap()
}

fn rooms_and_leans() -> (BTreeSet<String>, Vec<Lean>) {
    let house = house();
    let rooms = house.packages.iter().map(|package| package.name.to_string()).collect();
    let leans = house.packages.iter().flat_map(|package| {
        package.dependencies.iter().map(|dependency| Lean {
            from: package.name.to_string(),
            to: dependency.name.clone(),
            takes_defaults: dependency.uses_default_features,
        })
    });
    let leans: Vec<Lean> = leans.collect();
    assert!(leans.len() > 50, "cargo tells of all dependencies: {}", leans.len());
    (rooms, leans)
}

#[test]
fn rooms_lean_only_where_the_design_says() {
    let (rooms, leans) = rooms_and_leans();
    assert_eq!(rooms::wrong_directions(&rooms, &leans), NONE);
}

#[test]
fn each_outside_client_has_one_door() {
    let (_, leans) = rooms_and_leans();
    assert_eq!(rooms::wrong_doors(&leans), NONE);
}

#[test]
fn within_its_room_a_client_has_one_place() {
    assert_eq!(doors::wrong_files(&source::files()), NONE);
}

#[test]
fn default_features_are_taken_only_for_a_reason() {
    let (rooms, leans) = rooms_and_leans();
    assert_eq!(rooms::wrong_defaults(&rooms, &leans), NONE);
}

#[test]
fn versions_are_settled_in_one_place() {
    let read = |path: &str| source::Source::new(path, fs::read_to_string(source::root().join(path)).unwrap());
    let members: Vec<_> =
        house().packages.iter().map(|package| read(&format!("{}/Cargo.toml", package.name))).collect();
    assert_eq!(manifests::wrong_places(&read("Cargo.toml").text, &members), NONE);
}
