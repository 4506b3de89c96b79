//! Promises and the tests that hold them: `docs/guarantees.md` names tests, and the sources have them.

use crate::source::{Part, Source, is_word};
use std::collections::BTreeMap;

/// A row of a table whose last column is `tests`.
#[derive(Debug)]
struct Promise<'p> {
    /// Counted from 1.
    line: usize,
    tests: Vec<&'p str>,
}

/// Promises that name no test, one that nobody has, or one that is not run.
pub(crate) fn unheld(page: &str, files: &[Source]) -> Vec<String> {
    let promises = promises(page);
    if promises.is_empty() {
        return vec!["no row of a table whose last column is `tests`".to_owned()];
    }
    let tests: BTreeMap<String, bool> = files.iter().filter(|file| file.is_rust()).flat_map(tests_in).collect();
    let mut problems = Vec::new();
    for Promise { line, tests: named } in promises {
        if named.is_empty() {
            problems.push(format!("line {line} names no test"));
        }
        for name in named {
            match tests.get(name) {
                None => problems.push(format!("line {line}: there is no test {name}{}", near(name, &tests))),
                Some(true) => problems.push(format!("line {line}: {name} is ignored, it holds nothing")),
                Some(false) => {}
            }
        }
    }
    problems
}

/// Where a test of that name stands, if anywhere.
fn near(name: &str, tests: &BTreeMap<String, bool>) -> String {
    let last = |path: &str| path.rsplit("::").next().map(str::to_owned);
    let found = tests.keys().find(|path| last(path) == last(name));
    found.map_or_else(String::new, |path| format!(" (is it {path}?)"))
}

fn promises(page: &str) -> Vec<Promise<'_>> {
    let mut is_in = false;
    let mut promises = Vec::new();
    for (at, text) in page.lines().enumerate() {
        let Some(row) = text.trim().strip_prefix('|').and_then(|row| row.strip_suffix('|')) else {
            is_in = false;
            continue;
        };
        let last = row.rsplit('|').next().unwrap_or_default().trim();
        if last == "tests" {
            is_in = true;
        } else if is_in && (last.is_empty() || !last.trim_matches([':', '-']).is_empty()) {
            let tests = last.split('`').skip(1).step_by(2).collect();
            promises.push(Promise { line: at + 1, tests });
        }
    }
    promises
}

/// Every test of a file: its path, and whether it is ignored.
fn tests_in(file: &Source) -> Vec<(String, bool)> {
    let code = file.only(Part::Code);
    let mut modules = vec![(module_of(&file.path), 0)];
    let (mut depth, mut is_test, mut is_ignored) = (0_usize, false, false);
    let mut found = Vec::new();
    let mut rest = code.as_str();
    while let Some(first) = rest.chars().next() {
        let word = &rest[..rest.find(|c| !is_word(c)).unwrap_or(rest.len())];
        let after = &rest[word.len().max(first.len_utf8())..];
        match (word, first) {
            ("mod", _) if name_after(after).1.starts_with('{') => {
                modules.push((format!("{}::{}", modules[modules.len() - 1].0, name_after(after).0), depth));
            }
            ("fn", _) => {
                if std::mem::take(&mut is_test) {
                    found.push((format!("{}::{}", modules[modules.len() - 1].0, name_after(after).0), is_ignored));
                }
                is_ignored = false;
            }
            ("", '#') if after.starts_with('[') => {
                let attribute = &after[1..after.find(']').unwrap_or(after.len())];
                let path = attribute.split('(').next().unwrap_or_default().trim();
                is_test |= path == "test" || path.ends_with("::test");
                is_ignored |= attribute.split(|c| !is_word(c)).any(|word| word == "ignore");
            }
            ("", '{') => depth += 1,
            ("", '}') => {
                depth = depth.saturating_sub(1);
                if modules.len() > 1 && modules[modules.len() - 1].1 == depth {
                    modules.pop();
                }
            }
            _ => {}
        }
        rest = after;
    }
    found
}

/// The name that `text` begins with, and what follows it.
fn name_after(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let (name, after) = text.split_at(text.find(|c| !is_word(c)).unwrap_or(text.len()));
    (name, after.trim_start())
}

/// `package::module` of a file: the path below `src`, or below the folder of the test targets.
fn module_of(path: &str) -> String {
    let (package, inner) = path.split_once('/').unwrap_or((path, ""));
    let inner = inner.strip_prefix("src/").or_else(|| inner.strip_prefix("tests/")).unwrap_or(inner);
    let mut parts = vec![package];
    parts.extend(inner.trim_end_matches(".rs").split('/').filter(|part| *part != "bin"));
    if parts.last().is_some_and(|last| ["lib", "main", "mod"].contains(last)) {
        parts.pop();
    }
    parts.join("::")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEDGER: &str = "
        #[test] fn outside() {}
        fn no_test() {}
        #[cfg(test)] mod tests {
            mod deep { #[tokio::test(start_paused = true)] async fn a_gap_holds_the_frontier() { if x { } } }
            proptest! {
                #[test]
                #[ignore = \"slow\"]
                fn slept_through(x: u8) {}
            }
            // #[test] fn only_said() {}
        }
        #[test]
        #[should_panic]
        pub fn after() {}";

    fn names(path: &str) -> Vec<String> {
        tests_in(&Source::new(path, LEDGER)).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn tests_are_found_under_the_path_that_cargo_gives_them() {
        let all = ["outside", "tests::deep::a_gap_holds_the_frontier", "tests::slept_through", "after"];
        assert_eq!(names("runtime/src/ledger.rs"), all.map(|name| format!("runtime::ledger::{name}")));
        for (path, module) in [
            ("runtime/src/lib.rs", "runtime"),
            ("runtime/src/config/mod.rs", "runtime::config"),
            ("runtime/src/kafka/sink/tests.rs", "runtime::kafka::sink::tests"),
            ("runtime/tests/boot.rs", "runtime::boot"),
            ("sinks/src/bin/sink.rs", "sinks::sink"),
            ("tests/simulation.rs", "tests::simulation"),
            ("tests/it/main.rs", "tests::it"),
            ("tests/it/store/redis.rs", "tests::it::store::redis"),
            ("tests/src/stack.rs", "tests::stack"),
        ] {
            assert_eq!(module_of(path), module);
        }
    }

    fn problems(rows: &str) -> Vec<String> {
        let page = format!("# Page\n\n| | promise | tests |\n|---|---|---|\n{rows}\n");
        unheld(&page, &[Source::new("runtime/src/ledger.rs", LEDGER)])
    }

    #[test]
    fn a_promise_with_tests_that_exist_is_held() {
        assert_eq!(
            problems("| I7 | `x` holds | `runtime::ledger::outside` `runtime::ledger::after` |"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_promise_is_not_held_by_what_is_not_there_or_not_run() {
        assert_eq!(problems("| I7 | x | |"), ["line 5 names no test"]);
        assert_eq!(problems("| I7 | `runtime::ledger::outside` | later |"), ["line 5 names no test"]);
        assert_eq!(
            problems("| I7 | x | `runtime::ledger::only_said` |"),
            ["line 5: there is no test runtime::ledger::only_said"]
        );
        assert_eq!(
            problems("| I7 | x | `runtime::after` |"),
            ["line 5: there is no test runtime::after (is it runtime::ledger::after?)"]
        );
        assert_eq!(
            problems("| I7 | x | `runtime::ledger::tests::slept_through` |"),
            ["line 5: runtime::ledger::tests::slept_through is ignored, it holds nothing"]
        );
    }

    #[test]
    fn a_page_without_promises_is_not_held() {
        assert_eq!(problems("").len(), 1);
        assert_eq!(unheld("| a | b |\n|---|---|\n| I7 | `x` |\n", &[]).len(), 1);
    }
}
