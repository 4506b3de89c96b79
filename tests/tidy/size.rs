//! How long files may be, tests apart, and that clippy is told how long functions may be.

use crate::source::{Part, Source, only};
use std::ops::Range;

const FILE_LINES_MAX: usize = 400;
/// Longer ones move next door, to `<file>/tests.rs`.
const INLINE_TESTS_LINES_MAX: usize = 100;
/// `main.rs` reads like a checklist.
const MAIN_LINES_MAX: usize = 40;

/// Files that are too long.
pub(crate) fn too_long(files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.is_rust() && !is_tests(&file.path)) {
        let lines = file.text.lines().count();
        let tests: usize = inline_tests(&file.text).iter().map(|tests| tests.len()).sum();
        let own_max = if is_main(&file.path) { MAIN_LINES_MAX } else { FILE_LINES_MAX };
        if lines - tests > own_max {
            problems.push(format!("{} has {} lines without its tests, more than {own_max}", file.path, lines - tests));
        }
        if tests > INLINE_TESTS_LINES_MAX {
            let next_door = format!("{}/tests.rs", file.path.trim_end_matches(".rs"));
            problems.push(format!("{} has {tests} lines of tests: move them to {next_door}", file.path));
        }
    }
    problems
}

fn is_main(path: &str) -> bool {
    path.ends_with("src/main.rs") || path.contains("src/bin/")
}

/// Whether the file is made of tests and what only they need.
pub(crate) fn is_tests(path: &str) -> bool {
    let is_of_product = path.starts_with("tests/src/");
    !is_of_product && (path.ends_with("/tests.rs") || path.split('/').rev().skip(1).any(|folder| folder == "tests"))
}

/// The lines, counted from 0, of modules that are only there for tests, attribute included.
fn inline_tests(text: &str) -> Vec<Range<usize>> {
    const ATTRIBUTE: &str = "#[cfg(test)]";
    let code = only(text, Part::Code);
    let line_of = |at: usize| code[..at].matches('\n').count();
    let modules = code.match_indices(ATTRIBUTE).filter_map(|(start, _)| {
        let after = code[start + ATTRIBUTE.len()..].trim_start();
        let is_inline = after.starts_with("mod ") && after.find('{')? < after.find(';').unwrap_or(after.len());
        let mut depth = 0_usize;
        let open = code.len() - after.len();
        let end = after.char_indices().find_map(|(at, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => return None,
            }
            (depth == 0).then_some(open + at)
        });
        is_inline.then(|| line_of(start)..line_of(end.unwrap_or(code.len())) + 1)
    });
    modules.collect()
}

/// What is missing for clippy to hold functions to 70 lines and five parameters: in the manifests of workspace and
/// `members`, in `clippy`'s configuration and in the sources.
pub(crate) fn lints_that_sleep(workspace: &str, clippy: &str, members: &[Source], files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    let has = |text: &str, line: &str| text.lines().any(|found| found.trim() == line);
    for lint in ["too_many_lines = \"warn\"", "too_many_arguments = \"warn\""] {
        if !has(workspace, lint) {
            problems.push(format!("Cargo.toml: [workspace.lints.clippy] has to say {lint}"));
        }
    }
    for threshold in ["too-many-lines-threshold = 70", "too-many-arguments-threshold = 5"] {
        if !has(clippy, threshold) {
            problems.push(format!("clippy.toml has to say {threshold}"));
        }
    }
    let unheld = members.iter().filter(|member| !member.text.contains("[lints]\nworkspace = true\n"));
    problems.extend(unheld.map(|member| format!("{} has to say [lints] workspace = true", member.path)));
    for file in files.iter().filter(|file| file.is_rust()) {
        let code = file.only(Part::Code);
        let excused = ["too_many_lines", "too_many_arguments"].into_iter();
        let excused = excused.filter(|lint| code.contains(&format!("clippy::{lint}")));
        problems.extend(excused.map(|lint| format!("{} excuses itself from {lint}", file.path)));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> String {
        "x();\n".repeat(count)
    }

    fn problems(path: &str, text: String) -> usize {
        too_long(&[Source::new(path, text)]).len()
    }

    #[test]
    fn a_file_may_have_400_lines_beside_its_tests() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(90));
        assert_eq!(problems("a/src/b.rs", lines(400)), 0);
        assert_eq!(problems("a/src/b.rs", lines(400) + &tests), 0);
        assert_eq!(problems("a/src/b.rs", lines(401)), 1);
        assert_eq!(problems("a/src/b.rs", lines(200) + &tests + &lines(201)), 1);
        assert_eq!(problems("a/src/b/tests.rs", lines(401)), 0);
        assert_eq!(problems("a/tests/b.rs", lines(401)), 0);
        assert_eq!(problems("tests/src/b.rs", lines(401)), 1);
    }

    #[test]
    fn what_only_looks_like_tests_counts() {
        assert_eq!(problems("a/src/b.rs", lines(399) + "#[cfg(test)]\nmod tests;\n"), 1);
        assert_eq!(problems("a/src/b.rs", format!("/*#[cfg(test)] mod tests {{\n{}}}*/", lines(400))), 1);
        assert_eq!(problems("a/src/b.rs", format!("#[cfg(test)]\nuse x;\nmod b {{\n{}}}", lines(400))), 1);
    }

    #[test]
    fn tests_past_100_lines_move_next_door() {
        let tests = |count| format!("#[cfg(test)]\nmod tests {{\n{}}}\n", lines(count));
        assert_eq!(problems("a/src/b.rs", tests(97)), 0);
        let problems = too_long(&[Source::new("a/src/b.rs", tests(98))]);
        assert_eq!(problems, ["a/src/b.rs has 101 lines of tests: move them to a/src/b/tests.rs"]);
    }

    #[test]
    fn a_main_may_have_40_lines() {
        for path in ["ctl/src/main.rs", "sinks/src/bin/sink.rs"] {
            assert_eq!((problems(path, lines(40)), problems(path, lines(41))), (0, 1), "{path}");
        }
    }

    #[test]
    fn a_lint_that_sleeps_is_named() {
        let workspace = "[workspace.lints.clippy]\ntoo_many_lines = \"warn\"\ntoo_many_arguments = \"warn\"\n";
        let clippy = "too-many-lines-threshold = 70\ntoo-many-arguments-threshold = 5\n";
        let member = |text: &str| [Source::new("a/Cargo.toml", text)];
        let good = member("[lints]\nworkspace = true\n");
        let excuse = [Source::new("a/src/b.rs", "#[allow(clippy::too_many_lines, reason = \"it is\")]")];
        assert_eq!(lints_that_sleep(workspace, clippy, &good, &[]), Vec::<String>::new());
        assert_eq!(lints_that_sleep("", clippy, &good, &[]).len(), 2);
        assert_eq!(lints_that_sleep(workspace, "too-many-lines-threshold = 90", &good, &[]).len(), 2);
        assert_eq!(lints_that_sleep(workspace, clippy, &member("[package]\n"), &[]).len(), 1);
        assert_eq!(
            lints_that_sleep(workspace, clippy, &good, &excuse),
            ["a/src/b.rs excuses itself from too_many_lines"]
        );
    }
}
