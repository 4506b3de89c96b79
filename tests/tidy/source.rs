//! The files of the project, and Rust text taken apart far enough to tell code, comments and literals from each other.

use std::fs;
use std::path::{Path, PathBuf};

/// A file of the project; its path is from the root, with `/`.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    /// Empty if it is not text.
    pub(crate) text: String,
}

impl Source {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }

    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The text with everything but `kind` blanked out; lines and places stay.
    pub(crate) fn only(&self, kind: Part) -> String {
        only(&self.text, kind)
    }
}

/// Where the project begins.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file of the project that git would keep, sorted by path.
pub(crate) fn files() -> Vec<Source> {
    let ignored = fs::read_to_string(root().join(".gitignore")).unwrap();
    let mut ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    ignored.push(".git");
    let mut found = Vec::new();
    walk(&root(), "", &ignored, &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn walk(folder: &Path, path: &str, ignored: &[&str], found: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
        let kind = entry.file_type().unwrap();
        if ignored.contains(&name.as_str()) {
            continue;
        }
        if kind.is_dir() {
            walk(&entry.path(), &path, ignored, found);
        } else if kind.is_file() {
            // A file may go between being listed and being read.
            let bytes = fs::read(entry.path()).unwrap_or_default();
            found.push(Source::new(path, String::from_utf8(bytes).unwrap_or_default()));
        }
    }
}

/// What a stretch of Rust text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Code,
    Comment,
    /// Of a string or a character, quotes included.
    Literal,
}

/// `text` with everything but `kind` turned into spaces.
pub(crate) fn only(text: &str, kind: Part) -> String {
    let mut rest = text;
    let mut previous = ' ';
    let mut kept = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let (part, len) = next_part(rest, previous);
        let (stretch, after) = rest.split_at(len.max(first.len_utf8()).min(rest.len()));
        previous = stretch.chars().next_back().unwrap_or(first);
        if part == kind {
            kept.push_str(stretch);
        } else {
            kept.extend(stretch.chars().flat_map(|c| {
                let blanks = if c == '\n' { 1 } else { c.len_utf8() };
                std::iter::repeat_n(if c == '\n' { '\n' } else { ' ' }, blanks)
            }));
        }
        rest = after;
    }
    kept
}

/// The kind and length in bytes of what `rest` begins with; a single character of code if it is nothing special.
fn next_part(rest: &str, previous: char) -> (Part, usize) {
    if rest.starts_with("//") {
        return (Part::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Part::Comment, block_comment_len(rest));
    }
    // `r`, `b`, `c` open a literal only where a word begins.
    let prefix = if is_word(previous) { 0 } else { rest.bytes().take_while(|b| b"bcr".contains(b)).count().min(2) };
    let (letters, quoted) = rest.split_at(prefix);
    let hashes = quoted.bytes().take_while(|b| *b == b'#').count();
    if letters.ends_with('r') && quoted[hashes..].starts_with('"') {
        let close = format!("\"{}", "#".repeat(hashes));
        let inner = &quoted[hashes + 1..];
        let len = inner.find(&close).map_or(inner.len(), |at| at + close.len());
        return (Part::Literal, prefix + hashes + 1 + len);
    }
    if !letters.ends_with('r') && quoted.starts_with('"') {
        return (Part::Literal, prefix + 1 + closed_len(&quoted[1..], '"'));
    }
    if let Some(inner) = rest.strip_prefix('\'') {
        // Anything else behind an apostrophe is a lifetime.
        if inner.starts_with('\\') || inner.chars().nth(1) == Some('\'') {
            return (Part::Literal, 1 + closed_len(inner, '\''));
        }
    }
    (Part::Code, rest.chars().next().map_or(0, char::len_utf8))
}

/// Bytes up to and including the first `quote` that no backslash escapes.
fn closed_len(inner: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in inner.char_indices() {
        if c == quote && !is_escaped {
            return at + c.len_utf8();
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    inner.len()
}

fn block_comment_len(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// Whether `c` can stand in a name.
pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_comments_and_literals_are_told_apart() {
        let text = r##"let a = "x // y \" {"; // z "q"
/* b /* c */ ' */ fn f<'a>(c: char) -> bool { c == '"' || c == '\'' || x == br#"{"# }"##;
        assert_eq!(
            only(text, Part::Code),
            "let a =              ;         \n                  fn f<'a>(c: char) -> bool { c ==     || c ==      || x ==         }"
        );
        assert_eq!(
            only(text, Part::Comment).split_whitespace().collect::<Vec<_>>(),
            ["//", "z", "\"q\"", "/*", "b", "/*", "c", "*/", "'", "*/"]
        );
        assert!(only(text, Part::Literal).contains("x // y \\\" {"));
        assert_eq!(only("car\"b\" r1 é", Part::Code).len(), "car\"b\" r1 é".len());
    }

    #[test]
    fn text_that_ends_too_early_is_read_to_its_end() {
        for text in ["\"abc", "/* abc", "r#\"abc\"", "'\\", "'", "b"] {
            assert_eq!(only(text, Part::Code).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn the_files_of_the_project_are_found_and_what_git_ignores_is_not() {
        let files = files();
        for path in ["Cargo.toml", ".ci/run", "tests/tidy/source.rs", "docs/guarantees.md"] {
            assert!(files.iter().any(|file| file.path == path), "{path}");
        }
        assert!(files.iter().all(|file| !file.path.starts_with("target/") && !file.path.starts_with(".git/")));
    }
}
