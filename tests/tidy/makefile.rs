//! The ways to run the project: few, thin, and the ones that the pages speak of.

use crate::source::Source;
use std::collections::BTreeSet;

const TARGETS_MAX: usize = 12;

/// Where the Makefile is more than a list of names, and pages that name a target which is not there.
pub(crate) fn wrong_targets(makefile: &str, files: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut targets = BTreeSet::new();
    for (at, line) in makefile.lines().enumerate() {
        let is_remark = line.is_empty() || line.starts_with(['#', '.']);
        match line.split_once(": ; ") {
            _ if is_remark => {}
            Some((target, _)) => {
                targets.insert(target);
            }
            None => problems.push(format!("Makefile:{}: a target is one line, `name: ; command`", at + 1)),
        }
    }
    if targets.len() > TARGETS_MAX {
        problems.push(format!("Makefile: {} targets, more than {TARGETS_MAX}", targets.len()));
    }
    let named = |text: &str| -> BTreeSet<String> {
        let after = text.split("`make ").skip(1).filter_map(|after| after.split(['`', ' ', '\n']).next());
        after.filter(|name| name.starts_with(|c: char| c.is_ascii_lowercase())).map(str::to_owned).collect()
    };
    for page in files.iter().filter(|file| file.path.ends_with(".md")) {
        let unknown = named(&page.text).into_iter().filter(|name| !targets.contains(name.as_str()));
        problems.extend(unknown.map(|name| format!("{}: there is no `make {name}`", page.path)));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# What there is to do.\n.PHONY: test\n\ntest: ; @deploy/local/test-run\n";

    #[test]
    fn a_target_is_one_thin_line() {
        assert_eq!(wrong_targets(GOOD, &[]), Vec::<String>::new());
        let long = wrong_targets("test: lint\n\tcargo test\n", &[]);
        assert!(long.len() == 2 && long[1].starts_with("Makefile:2:"), "{long:?}");
        let many: String = (0..13).map(|number| format!("t{number}: ; @true\n")).collect();
        assert_eq!(wrong_targets(&many, &[]), ["Makefile: 13 targets, more than 12"]);
    }

    #[test]
    fn a_target_that_a_page_names_is_there() {
        let page = [Source::new("a.md", "`make test` and `make bench SIZE=1`, never `make X`")];
        assert_eq!(wrong_targets(GOOD, &page), ["a.md: there is no `make bench`"]);
    }
}
