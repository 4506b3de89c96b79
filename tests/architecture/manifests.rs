//! What `cargo metadata` cannot tell: that versions and features are settled in the workspace's manifest alone.

use crate::source::Source;
use std::collections::BTreeSet;

/// Lines of members that settle a version by themselves, and dependencies of the workspace that no member has.
pub(crate) fn wrong_places(workspace: &str, members: &[Source]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut used = BTreeSet::new();
    for member in members {
        for (name, rest) in dependencies(&member.text, |section| section.ends_with("dependencies")) {
            used.insert(name);
            if !rest.contains("workspace = true") {
                problems.push(format!("{}: {name} has to say `workspace = true`", member.path));
            }
        }
    }
    let offered: BTreeSet<&str> =
        dependencies(workspace, |section| section == "workspace.dependencies").map(|(name, _)| name).collect();
    problems.extend(offered.difference(&used).map(|name| format!("Cargo.toml: nobody has {name}: take it out")));
    problems
}

/// Names and the rest of their lines in the sections that are asked for.
fn dependencies(manifest: &str, is_asked: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
    let mut is_in = false;
    manifest.lines().filter_map(move |line| {
        if let Some(section) = line.strip_prefix('[') {
            is_in = is_asked(section.trim_end_matches(']'));
            return None;
        }
        let end = line.find([' ', '.', '='])?;
        (is_in && !line.starts_with('#')).then(|| line.split_at(end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str =
        "[workspace.dependencies]\nbytes = \"1\"\n\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";

    fn wrong(member: &str) -> Vec<String> {
        wrong_places(WORKSPACE, &[Source::new("a/Cargo.toml", member)])
    }

    #[test]
    fn a_member_takes_its_dependencies_from_the_workspace() {
        assert_eq!(wrong("[package]\nname = \"a\"\n\n[dependencies]\nbytes.workspace = true\n"), Vec::<String>::new());
        assert_eq!(
            wrong("[dev-dependencies]\nbytes = { workspace = true, features = [\"x\"] }\n"),
            Vec::<String>::new()
        );
        for own in [
            "[dependencies]\nbytes = \"1\"\n",
            "[dev-dependencies]\nbytes = { version = \"1\" }\n",
            "[target.'cfg(unix)'.dependencies]\nbytes = { path = \"../bytes\" }\n",
        ] {
            assert_eq!(wrong(own), ["a/Cargo.toml: bytes has to say `workspace = true`"]);
        }
    }

    #[test]
    fn a_dependency_that_nobody_has_is_named() {
        assert_eq!(wrong("[dependencies]\n"), ["Cargo.toml: nobody has bytes: take it out"]);
    }
}
