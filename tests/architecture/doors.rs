//! Within its room, too, a client is spoken to in one place: what the rest of the room sees are our words.

use crate::source::{Part, Source, is_word};

/// A client's name in code, its room, and the files that may use it, without `.rs`: the file and the folder of that name.
pub(crate) const DOORS: &[(&str, &str, &[&str])] = &[
    ("rdkafka", "runtime", &["src/kafka"]),
    ("backoff", "runtime", &["src/backoff"]),
    ("axum", "runtime", &["src/http", "src/auth/layer"]),
    ("hyper", "runtime", &["src/http"]),
    ("hyper_util", "runtime", &["src/http", "src/auth/fetch"]),
    ("hyper_rustls", "runtime", &["src/auth/fetch"]),
    ("rustls", "runtime", &["src/auth/fetch"]),
    ("jsonwebtoken", "runtime", &["src/auth"]),
    ("ring", "runtime", &["src/auth"]),
    ("tower", "runtime", &["src/http", "src/auth/layer"]),
    ("opentelemetry", "runtime", &["src/telemetry"]),
    ("opentelemetry_sdk", "runtime", &["src/telemetry"]),
    ("opentelemetry_otlp", "runtime", &["src/telemetry"]),
    ("opentelemetry_prometheus", "runtime", &["src/telemetry"]),
    ("prometheus", "runtime", &["src/telemetry"]),
    ("clap", "runtime", &["src/boot"]),
    ("scylla", "store", &["src/cql"]),
    ("redis", "store", &["src/cache", "src/keys"]),
    ("fjall", "embedded", &["src/table", "src/error"]),
    ("moka", "embedded", &["src/cache"]),
    // The profile's fingerprint is that of its parsed schema.
    ("apache_avro", "schemas", &["src/avro", "src/profile/load"]),
];

/// Files that use a client past its door.
pub(crate) fn wrong_files(files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        let Some((room, path)) = file.path.split_once('/') else { continue };
        let mut doors = DOORS.iter().filter(|(_, of, places)| *of == room && !is_within(path, places)).peekable();
        if doors.peek().is_none() {
            continue;
        }
        let code = file.only(Part::Code);
        let used = doors.filter(|(client, ..)| uses(&code, client));
        problems.extend(used.map(|(client, _, places)| {
            format!("{} uses {client}, which belongs in {}", file.path, places.join(" and "))
        }));
    }
    problems
}

fn is_within(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.strip_prefix(place).is_some_and(|rest| rest == ".rs" || rest.starts_with('/')))
}

/// Whether `code` has a path that begins with `name`.
fn uses(code: &str, name: &str) -> bool {
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let begins = !before.ends_with(is_word) && !is_inner(before);
        begins
            && (after.trim_start().starts_with("::")
                || (before.trim_end().ends_with("use") && after.starts_with([';', ' '])))
    })
}

/// Whether what comes next is inside a path that something else begins: `crate::` before it, but not a bare `::`.
fn is_inner(before: &str) -> bool {
    let before = before.trim_end();
    before.strip_suffix("::").is_some_and(|outer| outer.trim_end().ends_with(|c| is_word(c) || c == '>'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(path: &str, text: &str) -> usize {
        wrong_files(&[Source::new(path, text)]).len()
    }

    #[test]
    fn a_client_past_its_door_is_named() {
        assert_eq!(wrong("runtime/src/worker.rs", "use rdkafka::Offset;"), 1);
        assert_eq!(wrong("runtime/src/lane.rs", "let s = ::backoff::ExponentialBackoff::default();"), 1);
        assert_eq!(wrong("runtime/src/lane.rs", "fn f(s: backoff ::ExponentialBackoff) {}"), 1);
        assert_eq!(wrong("runtime/src/health.rs", "use axum as web;"), 1);
        assert_eq!(wrong("store/src/cql/writer.rs", "use redis::Client;"), 1);
        assert_eq!(wrong("store/src/cache.rs", "fn f(session: &scylla::client::session::Session) {}"), 1);
        assert_eq!(wrong("schemas/src/json.rs", "use {apache_avro::Schema, std::fmt};"), 1);
        assert_eq!(wrong("runtime/examples/idle.rs", "use prometheus::Registry;"), 1);
        assert_eq!(wrong("runtime/src/kafkaesque.rs", "use rdkafka::Offset;"), 1);
    }

    #[test]
    fn a_client_at_its_door_is_fine_and_so_are_modules_and_words_of_its_name() {
        assert_eq!(wrong("runtime/src/kafka.rs", "use rdkafka::Offset;"), 0);
        assert_eq!(wrong("runtime/src/kafka/sink.rs", "use rdkafka::Offset;"), 0);
        assert_eq!(wrong("runtime/src/lane.rs", "use crate::backoff::Schedule; let backoff = 1; // backoff::X"), 0);
        assert_eq!(wrong("runtime/src/lane.rs", "const A: &str = \"rdkafka::x\";"), 0);
        assert_eq!(wrong("sinks/src/service.rs", "use redis::Config;"), 0);
    }
}
