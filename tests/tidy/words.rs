//! What must not stand in any file, and how files must not be called.

use crate::size::is_tests;
use crate::source::{Source, is_word};

/// Names that say nothing of what is in a file or folder.
const EMPTY_NAMES: [&str; 9] = ["utils", "util", "common", "helpers", "helper", "misc", "manager", "types", "core"];

/// Files and folders whose name says nothing.
pub(crate) fn empty_names(files: &[Source]) -> Vec<String> {
    let is_empty = |path: &str| {
        let mut parts = path.split('/').map(|part| part.split_once('.').map_or(part, |(stem, _)| stem));
        parts.any(|stem| EMPTY_NAMES.contains(&stem.to_lowercase().as_str()))
    };
    let found = files.iter().filter(|file| is_empty(&file.path));
    found.map(|file| format!("{}: a name that does not say what it is", file.path)).collect()
}

/// Rust files that do not say first what they are for.
pub(crate) fn without_purpose(files: &[Source]) -> Vec<String> {
    let rust = files.iter().filter(|file| file.is_rust() && !file.path.ends_with("/tests.rs"));
    let found = rust.filter(|file| !file.text.starts_with("//! "));
    found.map(|file| format!("{} has to begin with `//!` and what it is for", file.path)).collect()
}

/// Work left over without the number of its issue, as in `TODO(#12)`.
pub(crate) fn unnumbered_todos(files: &[Source]) -> Vec<String> {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME")];
    in_lines(files, |line| {
        words.iter().any(|word| {
            line.match_indices(word).any(|(at, _)| {
                let (before, after) = (&line[..at], &line[at + word.len()..]);
                let is_whole = !before.ends_with(is_word) && !after.starts_with(is_word);
                let number = after.strip_prefix("(#").and_then(|after| after.split_once(')'));
                is_whole && number.is_none_or(|(number, _)| number.parse::<u32>().is_err())
            })
        })
    })
    .map(|place| format!("{place}: work left over needs the number of its issue"))
    .collect()
}

/// Paths that only one machine has.
pub(crate) fn absolute_paths(files: &[Source]) -> Vec<String> {
    let folders = ["work", "root", "home", "Users"].map(|folder| format!("/{folder}/"));
    in_lines(files, |line| {
        folders.iter().any(|folder| {
            let mut found = line.match_indices(folder.as_str());
            found.any(|(at, _)| !line[..at].ends_with(|c| is_word(c) || "-.~}*".contains(c)))
        })
    })
    .map(|place| format!("{place}: a path that only one machine has"))
    .collect()
}

/// Registries of packages, which clients know without us. `Cargo.lock` is cargo's own.
pub(crate) fn registries(files: &[Source]) -> Vec<String> {
    let hosts = ["crates", "npmjs", "pypi", "repo.maven", "repo1.maven", "proxy.golang", "rubygems"];
    let ends = ["io", "org", "com"];
    let hosts: Vec<String> = hosts.iter().flat_map(|host| ends.map(|end| format!("{host}.{end}"))).collect();
    let apache = ["repo.maven", "repo1.maven"].map(|host| format!("{host}."));
    in_lines(files, |line| hosts.iter().chain(&apache).any(|host| line.to_lowercase().contains(host)))
        .filter(|place| !place.starts_with("Cargo.lock:"))
        .map(|place| format!("{place}: a registry of packages"))
        .collect()
}

/// E-mail addresses that could be somebody's. Tests apart, addresses are of domains that are reserved for examples.
pub(crate) fn addresses(files: &[Source]) -> Vec<String> {
    let product: Vec<Source> = files.iter().filter(|file| !is_tests(&file.path)).cloned().collect();
    in_lines(&product, |line| line.match_indices('@').any(|(at, _)| is_address(&line[..at], &line[at + 1..])))
        .map(|place| format!("{place}: an address that could be somebody's; take one of example.org"))
        .collect()
}

fn is_address(before: &str, after: &str) -> bool {
    let domain = after.split(|c: char| !(c.is_ascii_alphanumeric() || ".-".contains(c))).next().unwrap_or_default();
    let domain = domain.trim_end_matches(['.', '-']).to_lowercase();
    let Some((rest, top)) = domain.rsplit_once('.') else { return false };
    let is_name = top.len() >= 2 && top.bytes().all(|b| b.is_ascii_alphabetic()) && top != "csv";
    let is_reserved = ["example", "test", "invalid", "localhost"].contains(&top)
        || rest.split('.').next_back() == Some("example") && ["com", "org", "net"].contains(&top);
    before.ends_with(|c: char| c.is_ascii_alphanumeric() || "._%+-".contains(c)) && is_name && !is_reserved
}

/// `path:line` of every line of text that `is_found`.
fn in_lines(files: &[Source], is_found: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
    files.iter().flat_map(move |file| {
        let found = file.text.lines().enumerate().filter(|(_, line)| is_found(line));
        found.map(|(at, _)| format!("{}:{}", file.path, at + 1)).collect::<Vec<_>>()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_text(rule: fn(&[Source]) -> Vec<String>, text: &str) -> usize {
        rule(&[Source::new("a/b.md", text)]).len()
    }

    #[test]
    fn a_name_says_what_it_is() {
        for path in ["a/src/utils.rs", "a/src/common/b.rs", "deploy/Helpers.sh", "core/Cargo.toml", "a/misc"] {
            assert_eq!(empty_names(&[Source::new(path, "")]).len(), 1, "{path}");
        }
        for path in ["a/src/kafka.rs", "docs/commons.md", "a/src/typesetting.rs"] {
            assert_eq!(empty_names(&[Source::new(path, "")]), Vec::<String>::new());
        }
    }

    #[test]
    fn a_file_begins_with_what_it_is_for() {
        let rust = |path: &str, text: &str| without_purpose(&[Source::new(path, text)]).len();
        assert_eq!(rust("a/src/b.rs", "//! The b of a.\n"), 0);
        assert_eq!(rust("a/src/b/tests.rs", "use super::*;\n"), 0);
        assert_eq!(rust("a/src/b.rs", "// The b of a.\n"), 1);
        assert_eq!(rust("a/src/b.rs", ""), 1);
    }

    #[test]
    fn work_left_over_has_a_number() {
        for word in [["TO", "DO"].concat(), ["FIX", "ME"].concat()] {
            assert_eq!(in_text(unnumbered_todos, &format!("// {word}: later")), 1);
            assert_eq!(in_text(unnumbered_todos, &format!("// {word}(#x): later")), 1);
            assert_eq!(in_text(unnumbered_todos, &format!("// {word}(#12): later\n{word}S a{word}")), 0);
        }
    }

    #[test]
    fn a_path_is_one_that_every_machine_has() {
        for folder in ["work", "root", "home"] {
            assert_eq!(in_text(absolute_paths, &format!("see /{folder}/ada")), 1, "{folder}");
            assert_eq!(in_text(absolute_paths, &format!("x='/{folder}/ada'")), 1, "{folder}");
            assert_eq!(
                in_text(absolute_paths, &format!("a/{folder}/b ${{HOME}}/{folder}/b ./{folder}/b")),
                0,
                "{folder}"
            );
        }
    }

    #[test]
    fn registries_are_not_named() {
        for host in
            [["crates", "io"].join("."), ["registry", "npmjs", "org"].join("."), ["repo", "maven", "apache"].join(".")]
        {
            assert_eq!(in_text(registries, &format!("https://{host}/x")), 1, "{host}");
            assert_eq!(registries(&[Source::new("Cargo.lock", host)]), Vec::<String>::new());
        }
        assert_eq!(in_text(registries, "all crates. io"), 0);
    }

    #[test]
    fn addresses_are_of_example_domains() {
        let address = |domain: &str| in_text(addresses, &format!("x <ada{}{domain}> y", '@'));
        for domain in ["debian.org", "gmail.com", "example.com.evil.org", "myexample.com", "EXAMPLE.de"] {
            assert_eq!(address(domain), 1, "{domain}");
        }
        for domain in ["example.org", "Mail.EXAMPLE.com", "nobody.invalid", "localhost", "20260101T000000Z.csv", "2.0"]
        {
            assert_eq!(address(domain), 0, "{domain}");
        }
        let of_a_test = Source::new("a/tests/b.rs", format!("a{}b.co", '@'));
        assert_eq!(addresses(&[of_a_test]), Vec::<String>::new());
    }
}
