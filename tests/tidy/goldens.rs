//! What outsiders rely on, written down as the code has it, so that no change of it goes unseen: `make docs` writes these
//! files, and each has a test that compares. The list of metrics is compared where metrics are made, in `runtime`.

use crate::source::root;
use ctl::standalone;
use processors::{enrich, validate};
use runtime::boot::declarations;
use runtime::config::reference;
use schemas::{Profile, RejectCode};
use std::fmt::Write as _;
use std::fs;
use store::cql::{Keyspace, Plan, Replication};

/// Set when the files are to be written instead of compared.
const UPDATE: &str = "UPDATE_GOLDENS";

/// Compares the file at `path` with what the code says, or writes it.
fn hold(path: &str, said: &str) {
    let place = root().join(path);
    let kept = fs::read_to_string(&place).unwrap_or_default();
    #[allow(clippy::disallowed_methods, reason = "how `make docs` asks for it")]
    let writes = std::env::var(UPDATE).is_ok();
    if !writes {
        assert_eq!(difference(path, &kept, said), None);
    } else if kept != said {
        fs::write(&place, said).unwrap();
    }
}

/// Where `kept` is not what the code has `said`, and what to do about it.
fn difference(path: &str, kept: &str, said: &str) -> Option<String> {
    if kept == said {
        return None;
    }
    let same = kept.lines().zip(said.lines()).take_while(|(kept, said)| kept == said).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("<end>").to_owned();
    Some(format!(
        "{path}:{} is not what the code says: run `make docs` and look at the difference\n- {}\n+ {}",
        same + 1,
        line(kept),
        line(said)
    ))
}

#[test]
fn the_configuration_reference_is_what_the_services_read() {
    let page = reference(&[
        ("ingest", declarations::<ingest::Config>(&ingest::SERVICE)),
        ("validate", declarations::<validate::Config>(&validate::SERVICE)),
        ("enrich", declarations::<enrich::Config>(&enrich::SERVICE)),
        ("sink", declarations::<sinks::Config>(&sinks::SERVICE)),
        ("standalone", declarations::<standalone::Config>(&standalone::SERVICE)),
    ]);
    assert!(page.contains("| `brokers` |") && page.contains("## `[cassandra]`"), "{page}");
    hold("docs/config.md", &page);
}

#[test]
fn what_clients_are_told_of_the_doors_is_what_the_doors_do() {
    let profile = Profile::embedded().unwrap();
    let text = |value: serde_json::Value| serde_json::to_string_pretty(&value).unwrap() + "\n";
    hold("docs/api/ingest.openapi.json", &text(ingest::openapi(&profile)));
    let mut change = schemas::describe::change(&profile);
    change["$schema"] = schemas::describe::DIALECT.into();
    hold("docs/api/change.schema.json", &text(change));
}

#[test]
fn a_reject_code_is_never_renamed_or_used_again() {
    let list = RejectCode::ALL.iter().fold(String::new(), |mut list, code| {
        writeln!(list, "{code}: {}", code.reason()).unwrap();
        list
    });
    hold("tests/goldens/reject-codes.txt", &list);
}

#[test]
fn a_change_of_the_table_is_seen() {
    let profile = Profile::embedded().unwrap();
    let plan = Plan::from_nothing(&Keyspace::default(), &profile, &Replication::within("datacenter1", 3));
    let statements = plan.statements().iter().fold(String::new(), |mut text, statement| {
        // A column a line.
        let (columns, rest) = statement.split_once(", PRIMARY KEY").unwrap_or((statement, ""));
        text.push_str(&columns.replace("\" (\"", "\" (\n    \"").replace(", \"", ",\n    \""));
        if !rest.is_empty() {
            write!(text, ",\n    PRIMARY KEY{rest}").unwrap();
        }
        text + ";\n"
    });
    hold("tests/goldens/profiles.cql", &statements);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_differs_is_shown() {
        assert_eq!(difference("a.md", "one\ntwo\n", "one\ntwo\n"), None);
        let seen = |kept, said| difference("a.md", kept, said).unwrap();
        assert!(seen("one\ntwo\n", "one\n2\n").ends_with("\n- two\n+ 2"));
        assert!(
            seen("one\n", "one\ntwo\n").starts_with("a.md:2 is not")
                && seen("one\n", "one\ntwo\n").contains("make docs")
        );
        assert!(seen("one\ntwo", "one").ends_with("\n- two\n+ <end>"));
        assert!(seen("one", "one\n").starts_with("a.md:2"));
    }
}
