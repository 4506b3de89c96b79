//! Which room may lean on which, and through which door each outside client comes in (`docs/architecture.md`).

use std::collections::{BTreeMap, BTreeSet};

/// Every room, and the rooms it may lean on, tests of its own included.
pub(crate) const ROOMS: &[(&str, &[&str])] = &[
    ("schemas", &[]),
    ("runtime", &[]),
    ("store", &["schemas"]),
    ("embedded", &["schemas", "runtime", "store"]),
    ("ingest", &["schemas", "runtime", "store"]),
    ("processors", &["schemas", "runtime"]),
    ("sinks", &["schemas", "runtime", "store"]),
    ("query", &["schemas", "runtime", "store"]),
    ("ctl", &["schemas", "runtime", "store", "embedded", "ingest", "processors", "sinks", "query"]),
    ("tests", &["schemas", "runtime", "store", "embedded", "ingest", "processors", "sinks", "query", "ctl"]),
    ("bench", &["schemas", "runtime", "store", "embedded", "ctl", "tests"]),
];

/// Comes in by every door: what it measures the pipeline against is the bare client.
const MEASURES: &str = "bench";

/// Outside clients and all that speaks for them: the only rooms that may have each.
pub(crate) const DOORS: &[(&str, &[&str])] = &[
    ("rdkafka", &["runtime"]),
    ("scylla", &["store"]),
    ("redis", &["store"]),
    ("apache-avro", &["schemas"]),
    ("fjall", &["embedded"]),
    ("moka", &["embedded"]),
    ("backoff", &["runtime"]),
    // Who answers over HTTP has routes of its own, and tests ask as a client does.
    ("axum", &["runtime", "ingest", "query", "tests"]),
    ("hyper", &["runtime"]),
    ("hyper-rustls", &["runtime"]),
    ("hyper-util", &["runtime"]),
    ("jsonwebtoken", &["runtime"]),
    ("ring", &["runtime"]),
    ("rustls", &["runtime"]),
    ("tower", &["runtime", "ingest", "tests"]),
    ("tower-http", &["runtime"]),
    ("prometheus", &["runtime"]),
    ("opentelemetry", &["runtime"]),
    ("opentelemetry_sdk", &["runtime"]),
    ("opentelemetry-otlp", &["runtime"]),
    ("opentelemetry-prometheus", &["runtime"]),
];

/// Dependencies whose default features are wanted, and why.
pub(crate) const DEFAULTS: &[(&[&str], &str)] = &[
    (
        &["bytes", "crossbeam-channel", "foldhash", "http", "serde", "serde_json", "thiserror", "url", "uuid"],
        "only `std`",
    ),
    (
        &[
            "cargo_metadata",
            "http-body",
            "http-body-util",
            "iso_currency",
            "rust_iso3166",
            "serde_norway",
            "strsim",
            "tokio",
            "tokio-util",
        ],
        "there are none",
    ),
    (&["icu_normalizer"], "the tables of Unicode, compiled in"),
    (&["rlibphonenumber"], "the numbering plans, compiled in"),
    (&["toml"], "configurations are read, typed and printed"),
    (&["tracing"], "`std`, and the attributes that other clients turn on anyway"),
    (&["keshvar"], "a country is a feature, and a test compares all of them"),
];

/// A dependency as a package declares it.
#[derive(Clone, Debug)]
pub(crate) struct Lean {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) takes_defaults: bool,
}

/// What is wrong with how `rooms` lean on each other.
pub(crate) fn wrong_directions(rooms: &BTreeSet<String>, leans: &[Lean]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ROOMS.iter().copied().collect();
    let mut problems: Vec<String> = rooms
        .iter()
        .filter(|room| !allowed.contains_key(room.as_str()))
        .map(|room| format!("{room} is no room of the house: give it a place in ROOMS, or none at all"))
        .collect();
    let gone = allowed.keys().filter(|room| !rooms.contains(**room));
    problems.extend(gone.map(|room| format!("there is no {room}: take it out of ROOMS")));
    for Lean { from, to, .. } in leans.iter().filter(|lean| rooms.contains(&lean.to)) {
        if allowed.get(from.as_str()).is_some_and(|allowed| !allowed.contains(&to.as_str())) {
            problems.push(format!("{from} must not lean on {to}"));
        }
    }
    problems
}

/// Clients that came in through another room than theirs.
pub(crate) fn wrong_doors(leans: &[Lean]) -> Vec<String> {
    let wrong = leans.iter().filter_map(|Lean { from, to, .. }| {
        let (_, rooms) = DOORS.iter().find(|(client, _)| client == to)?;
        let is_wrong = !rooms.contains(&from.as_str()) && from != MEASURES;
        is_wrong.then(|| format!("{from} has {to}, whose only door is {}", rooms.join(" and ")))
    });
    // A new part of OpenTelemetry has its door before anybody lists it.
    let unlisted = leans.iter().filter(|lean| lean.to.starts_with("opentelemetry") && lean.from != "runtime");
    let unlisted = unlisted.map(|Lean { from, to, .. }| format!("{from} has {to}, whose only door is runtime"));
    wrong.chain(unlisted).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Default features that nobody has a reason for, and reasons that nobody needs.
pub(crate) fn wrong_defaults(rooms: &BTreeSet<String>, leans: &[Lean]) -> Vec<String> {
    let stated: BTreeSet<&str> = DEFAULTS.iter().flat_map(|(names, _)| names.iter().copied()).collect();
    let outside = leans.iter().filter(|lean| lean.takes_defaults && !rooms.contains(&lean.to));
    let taken: BTreeSet<&str> = outside.map(|lean| lean.to.as_str()).collect();
    let unstated = taken.difference(&stated).map(|name| {
        format!("{name} comes with its default features: turn them off in Cargo.toml, or say in DEFAULTS why not")
    });
    let unneeded = stated.difference(&taken).map(|name| format!("{name} needs no line in DEFAULTS any more"));
    unstated.chain(unneeded).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lean(from: &str, to: &str) -> Lean {
        Lean { from: from.to_owned(), to: to.to_owned(), takes_defaults: false }
    }

    fn rooms() -> BTreeSet<String> {
        ROOMS.iter().map(|(room, _)| (*room).to_owned()).collect()
    }

    #[test]
    fn a_room_that_leans_the_wrong_way_is_named() {
        assert_eq!(wrong_directions(&rooms(), &[lean("sinks", "store"), lean("sinks", "bytes")]), Vec::<String>::new());
        for (from, to) in [
            ("schemas", "runtime"),
            ("runtime", "schemas"),
            ("store", "runtime"),
            ("embedded", "sinks"),
            ("sinks", "embedded"),
            ("processors", "store"),
            ("processors", "sinks"),
            ("sinks", "processors"),
            ("query", "sinks"),
            ("query", "embedded"),
            ("ctl", "tests"),
            ("tests", "bench"),
            ("schemas", "tests"),
        ] {
            assert_eq!(wrong_directions(&rooms(), &[lean(from, to)]), [format!("{from} must not lean on {to}")]);
        }
    }

    #[test]
    fn a_room_without_a_place_is_named_and_so_is_a_place_without_a_room() {
        let mut rooms = rooms();
        rooms.insert("common".to_owned());
        rooms.remove("ctl");
        let problems = wrong_directions(&rooms, &[]);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("common is no room") && problems[1].starts_with("there is no ctl"));
    }

    #[test]
    fn a_client_in_another_room_is_named() {
        let right =
            [lean("runtime", "rdkafka"), lean("store", "redis"), lean("runtime", "axum"), lean("query", "axum")];
        assert_eq!(wrong_doors(&right), Vec::<String>::new());
        for (from, to) in [
            ("sinks", "rdkafka"),
            ("runtime", "scylla"),
            ("sinks", "redis"),
            ("store", "apache-avro"),
            ("store", "backoff"),
            ("processors", "axum"),
            ("ctl", "prometheus"),
            ("store", "opentelemetry-otlp"),
            ("store", "opentelemetry-http"),
        ] {
            let problems = wrong_doors(&[lean(from, to)]);
            assert!(problems.len() == 1 && problems[0].starts_with(&format!("{from} has {to}")), "{problems:?}");
        }
    }

    #[test]
    fn default_features_need_a_reason_and_a_reason_needs_them() {
        let stated = || DEFAULTS.iter().flat_map(|(names, _)| names.iter().copied());
        let mut leans: Vec<Lean> =
            stated().map(|name| Lean { takes_defaults: true, ..lean("runtime", name) }).collect();
        assert_eq!(wrong_defaults(&rooms(), &leans), Vec::<String>::new());
        leans.push(Lean { takes_defaults: true, ..lean("store", "scylla") });
        leans.push(Lean { takes_defaults: true, ..lean("store", "schemas") });
        leans.remove(0);
        let problems = wrong_defaults(&rooms(), &leans);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(problems[0].starts_with("scylla comes with") && problems[1].starts_with("bytes needs no line"));
    }
}
