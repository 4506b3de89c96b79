//! Inputs that are kept, one for each way something can come out: `fuzz/corpus/<target>.txt`, a line each, first the way
//! (for people), then the input in hexadecimal. An input that broke a promise stays there for good.

use ::tests::history::Random;
use ::tests::stack::root;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// More ways than this are told apart by something that the input chooses.
const LEN_MAX: usize = 4096;

/// Inputs by the way they come out, the shortest of each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Corpus {
    kept: BTreeMap<String, Vec<u8>>,
    classes: Vec<String>,
}

impl Corpus {
    /// What is kept for a target.
    pub(crate) fn load(target: &str) -> Self {
        Self::parse(&fs::read_to_string(place(target)).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut corpus = Self::default();
        for line in text.lines() {
            let (class, input) = line.split_once('\t').expect("a way and an input, with a tab between");
            corpus.keep(class, &bytes(input));
        }
        corpus
    }

    /// Writes what is kept now.
    pub(crate) fn save(&self, target: &str) {
        fs::write(place(target), self.text()).unwrap();
    }

    fn text(&self) -> String {
        self.kept.iter().fold(String::new(), |mut text, (class, input)| {
            writeln!(text, "{class}\t{}", hex(input)).unwrap();
            text
        })
    }

    /// Keeps `input` if nothing came out this way before, or only something longer did.
    pub(crate) fn keep(&mut self, class: &str, input: &[u8]) {
        match self.kept.get_mut(class) {
            Some(kept) if kept.len() > input.len() => *kept = input.to_vec(),
            Some(_) => {}
            None => {
                assert!(self.kept.len() < LEN_MAX, "every input comes out in a way of its own: {class}");
                self.kept.insert(class.to_owned(), input.to_vec());
                self.classes.push(class.to_owned());
            }
        }
    }

    /// Every input, in a fixed order.
    pub(crate) fn inputs(&self) -> Vec<Vec<u8>> {
        self.kept.values().cloned().collect()
    }

    pub(crate) fn any(&self, random: &mut Random) -> Option<&[u8]> {
        if self.classes.is_empty() {
            return None;
        }
        // Every other time one of the last ones: there is most to find.
        let recent = self.classes.len().min(16);
        let at = if random.below(2) == 0 {
            random.below(self.classes.len())
        } else {
            self.classes.len() - 1 - random.below(recent)
        };
        self.kept.get(&self.classes[at]).map(Vec::as_slice)
    }

    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }
}

fn place(target: &str) -> PathBuf {
    root().join(format!("tests/fuzz/corpus/{target}.txt"))
}

pub(crate) fn hex(input: &[u8]) -> String {
    input.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corpus_comes_back_from_its_text_with_the_shortest_input_of_each_way() {
        let mut corpus = Corpus::default();
        for (class, input) in [("b", &b"\x00\xff\n"[..]), ("a c", b""), ("b", b"\xff"), ("b", b"xyz")] {
            corpus.keep(class, input);
        }
        assert_eq!(corpus.text(), "a c\t\nb\tff\n");
        assert_eq!(Corpus::parse(&corpus.text()).inputs(), corpus.inputs());
        assert_eq!(corpus.len(), 2);
    }
}
