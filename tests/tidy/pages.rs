//! Pages of the documentation and what they speak of.

use crate::source::Source;
use std::collections::BTreeSet;

/// Codes without a page under `docs/rejects/`, and pages of codes that are not given.
pub(crate) fn unpaired(codes: &[&str], files: &[Source]) -> Vec<String> {
    let pages: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix("docs/rejects/")?.strip_suffix(".md"))
        .filter(|page| *page != "README")
        .collect();
    let codes: BTreeSet<&str> = codes.iter().copied().collect();
    let missing = codes.difference(&pages).map(|code| format!("docs/rejects/{code}.md is missing"));
    let stray = pages.difference(&codes).map(|page| format!("docs/rejects/{page}.md is of a code that nobody gives"));
    missing.chain(stray).collect()
}

/// Links between the project's own pages that lead nowhere.
pub(crate) fn dead_links(files: &[Source]) -> Vec<String> {
    let mut places: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let folders = files.iter().flat_map(|file| file.path.match_indices('/').map(|(at, _)| &file.path[..at]));
    places.extend(folders);
    let mut problems = Vec::new();
    for file in files.iter().filter(|file| file.path.ends_with(".md")) {
        for (at, line) in file.text.lines().enumerate() {
            for link in line.split("](").skip(1).filter_map(|after| after.split_once(')').map(|(link, _)| link)) {
                let target = link.split('#').next().unwrap_or_default();
                let is_ours = !target.is_empty() && !target.contains(':');
                if is_ours && !resolve(&file.path, target).is_some_and(|target| places.contains(target.as_str())) {
                    problems.push(format!("{}:{}: {link} leads nowhere", file.path, at + 1));
                }
            }
        }
    }
    problems
}

/// The path from the root of what the page at `path` calls `target`; `None` if that is outside.
fn resolve(path: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    for part in target.split('/').filter(|part| !part.is_empty() && *part != ".") {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_without_a_page_is_named_and_so_is_a_page_without_a_code() {
        let files = ["docs/rejects/README.md", "docs/rejects/shape.md", "docs/rejects/old.md", "docs/other.md"];
        let files = files.map(|path| Source::new(path, ""));
        assert_eq!(
            unpaired(&["shape", "too-deep"], &files),
            ["docs/rejects/too-deep.md is missing", "docs/rejects/old.md is of a code that nobody gives"]
        );
        assert_eq!(unpaired(&["shape", "old"], &files), Vec::<String>::new());
    }

    #[test]
    fn a_link_that_leads_nowhere_is_named() {
        let page = |text: &str| [Source::new("docs/a.md", text), Source::new("docs/rejects/shape.md", "")];
        let good = "[a](rejects/shape.md#cure) [b](../docs/a.md) [c](#here) [d](https://example.org/x) [e](./rejects/)";
        assert_eq!(dead_links(&page(good)), Vec::<String>::new());
        for dead in ["shape.md", "../rejects/shape.md", "../../docs/a.md", "/docs/b.md"] {
            assert_eq!(dead_links(&page(&format!("\n[x]({dead})"))), [format!("docs/a.md:2: {dead} leads nowhere")]);
        }
    }
}
