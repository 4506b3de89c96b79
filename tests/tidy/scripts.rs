//! Files that are run: they can be, and nothing else claims to be one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::source::{Source, root};

/// Files that begin with `#!` and cannot be run, and the other way round.
pub(crate) fn wrong_modes(files: &[Source], can_run: impl Fn(&str) -> bool) -> Vec<String> {
    let found = files.iter().filter_map(|file| match (file.text.starts_with("#!/"), can_run(&file.path)) {
        (true, false) => Some(format!("{} is a script and cannot be run: chmod +x", file.path)),
        (false, true) => Some(format!("{} can be run and is no script: chmod -x", file.path)),
        _ => None,
    });
    found.collect()
}

/// Whether the file's owner may run it.
pub(crate) fn can_run(path: &str) -> bool {
    fs::metadata(root().join(path)).is_ok_and(|metadata| metadata.permissions().mode() & 0o100 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_can_be_run_and_nothing_else() {
        let script = [Source::new("deploy/local/stack", "#!/usr/bin/env bash\n")];
        let page = [Source::new("README.md", "# It\n")];
        assert_eq!(wrong_modes(&script, |_| true), Vec::<String>::new());
        assert_eq!(wrong_modes(&page, |_| false), Vec::<String>::new());
        assert_eq!(wrong_modes(&script, |_| false).len(), 1);
        assert_eq!(wrong_modes(&page, |_| true).len(), 1);
        assert!(can_run("deploy/local/stack") && !can_run("Cargo.toml"));
    }
}
