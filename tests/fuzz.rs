//! Everything that reads what outsiders write, fed with what nobody would write: it never panics, takes memory in
//! proportion, and ends in a verdict or one clear error; and what it accepts is what was meant.
//!
//! `FUZZ_SECONDS=3600` tries that long per target, `FUZZ_SEED=7` from another seed, `FUZZ_KEEP=1` writes new ways of
//! coming out into `fuzz/corpus/`.
#![cfg(test)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "this file is tests: a panic is how they fail"
)]

#[path = "fuzz/cache.rs"]
mod cache;
#[path = "fuzz/changes.rs"]
mod changes;
#[path = "fuzz/commits.rs"]
mod commits;
#[path = "fuzz/config.rs"]
mod config;
#[path = "fuzz/corpus.rs"]
mod corpus;
#[path = "fuzz/engine.rs"]
mod engine;
#[path = "fuzz/profile.rs"]
mod profile;
#[path = "fuzz/records.rs"]
mod records;

use corpus::{Corpus, hex};
use engine::{Effort, Target, fuzz};
use std::time::Duration;

/// In `make test`, each.
const SECONDS: u64 = 5;
/// Fixed, so that a run finds what the last one found; a soak takes another.
const SEED: u64 = 20_261_122;

fn asked(name: &str) -> Option<u64> {
    #[allow(clippy::disallowed_methods, reason = "how somebody asks for more")]
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} must be a number")))
}

/// Tries a target; what breaks a promise is written into its corpus.
fn hold<T: Target>(target: &T) {
    let effort = Effort {
        seed: asked("FUZZ_SEED").unwrap_or(SEED),
        time: Duration::from_secs(asked("FUZZ_SECONDS").unwrap_or(SECONDS)),
    };
    let mut report = fuzz(target, Corpus::load(T::NAME), effort);
    if let Some(broken) = report.broken {
        let name = hex(&broken.input[..broken.input.len().min(8)]);
        report.corpus.keep(&format!("broken {name} {}", broken.input.len()), &broken.input);
        report.corpus.save(T::NAME);
        panic!(
            "{}: {}\nseed {}, {} inputs; the input, now in tests/fuzz/corpus/{}.txt:\n{}\n{:?}",
            T::NAME,
            broken.why,
            effort.seed,
            report.inputs,
            T::NAME,
            hex(&broken.input),
            String::from_utf8_lossy(&broken.input)
        );
    }
    if asked("FUZZ_KEEP").is_some() {
        report.corpus.save(T::NAME);
    }
    println!("{}: {} inputs came out in {} ways", T::NAME, report.inputs, report.corpus.len());
    assert!(report.inputs > 100, "{}: {} inputs are no test", T::NAME, report.inputs);
}

#[test]
fn a_change_in_json_is_a_verdict() {
    hold(&changes::Json::new());
}

#[test]
fn a_change_in_avro_is_a_verdict() {
    hold(&changes::Avro::new());
}

#[test]
fn a_record_with_any_headers_is_a_verdict() {
    hold(&records::Records::new());
}

#[test]
fn the_text_of_a_commit_or_header_is_read_as_what_it_says_or_refused() {
    hold(&commits::Commits::new());
}

#[test]
fn a_cache_entry_is_a_value_or_no_answer() {
    hold(&cache::Cache);
}

#[test]
fn a_configuration_is_used_or_told_all_its_problems() {
    hold(&config::Configurations);
}

#[test]
fn a_profile_schema_is_used_or_told_all_its_problems() {
    hold(&profile::Profiles);
}
