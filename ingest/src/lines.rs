//! A body cut into lines as it comes, in bounded memory.

/// Collects bytes, and gives lines. One that is longer than `line_len_max` is given as such, and only its end is looked for.
#[derive(Debug)]
pub(crate) struct Lines {
    /// What has come and was not given yet, from `start` on.
    held: Vec<u8>,
    start: usize,
    line_len_max: usize,
    /// The rest of a line that was told to be too long.
    is_skipping: bool,
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    Whole(Vec<u8>),
    TooLong,
}

impl Lines {
    pub(crate) fn new(line_len_max: usize) -> Self {
        Self { held: Vec::new(), start: 0, line_len_max, is_skipping: false }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.start);
        self.start = 0;
        self.held.extend_from_slice(bytes);
    }

    /// The next line that has come whole, blank ones left out.
    pub(crate) fn next(&mut self) -> Option<Line> {
        loop {
            let rest = self.held.get(self.start..)?;
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else { return self.overlong() };
            let line = rest.get(..end)?.trim_ascii();
            self.start += end + 1;
            if std::mem::take(&mut self.is_skipping) || line.is_empty() {
                continue;
            }
            return Some(if line.len() > self.line_len_max { Line::TooLong } else { Line::Whole(line.to_vec()) });
        }
    }

    /// What stands behind the last end of a line, once nothing more comes.
    pub(crate) fn last(mut self) -> Option<Line> {
        self.push(b"\n");
        self.next()
    }

    /// Gives up a line that has not ended and is too long already.
    fn overlong(&mut self) -> Option<Line> {
        if self.held.len() - self.start <= self.line_len_max {
            return None;
        }
        self.held.clear();
        self.start = 0;
        (!std::mem::replace(&mut self.is_skipping, true)).then_some(Line::TooLong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]]) -> Vec<Line> {
        let mut lines = Lines::new(4);
        let mut found = Vec::new();
        for piece in pieces {
            lines.push(piece);
            while let Some(line) = lines.next() {
                found.push(line);
            }
        }
        found.extend(lines.last());
        found
    }

    fn whole(text: &str) -> Line {
        Line::Whole(text.into())
    }

    #[test]
    fn a_line_is_whole_wherever_the_body_was_cut() {
        for pieces in [&[&b"ab\ncd\n"[..]][..], &[b"a", b"b", b"\n", b"cd", b"\n"], &[b"ab\r\n\n \ncd"]] {
            assert_eq!(all(pieces), [whole("ab"), whole("cd")], "{pieces:?}");
        }
        assert_eq!(all(&[]), []);
    }

    #[test]
    fn a_line_that_is_too_long_is_told_once_and_the_next_is_read() {
        for pieces in
            [&[&b"abcde\nfg\n"[..]][..], &[b"abc", b"def", b"ghijkl", b"mno\n", b"fg"], &[b"abcdefgh", b"\nfg"]]
        {
            assert_eq!(all(pieces), [Line::TooLong, whole("fg")], "{pieces:?}");
        }
        assert_eq!(all(&[b"abcdefgh", b"ij"]), [Line::TooLong]);
    }

    proptest! {
        #[test]
        fn how_a_body_is_cut_changes_nothing(body in "[ab\n]{0,40}", cuts in prop::collection::vec(1..9_usize, 40)) {
            let (mut rest, mut pieces) = (body.as_bytes(), Vec::new());
            for cut in cuts {
                let (piece, behind) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = behind;
            }
            pieces.push(rest);
            prop_assert_eq!(all(&pieces), all(&[body.as_bytes()]));
        }
    }
}
