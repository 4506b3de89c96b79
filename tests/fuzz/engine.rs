//! How anything is fuzzed: inputs are made from a seed and from kept inputs that are bent, and one that comes out in a
//! new way is kept and bent further. What comes out is the only feedback; there is no coverage on a stable compiler.
//!
//! An input that breaks a promise (a panic, an oracle that does not hold, memory out of proportion, a standstill) is made
//! shorter as long as it still does, written into the corpus, and told with the seed.

use crate::corpus::Corpus;
use ::tests::history::Random;
use allocation_counter::measure;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::time::Instant;

/// Something that reads what outsiders write.
pub(crate) trait Target {
    /// Also the name of its corpus.
    const NAME: &'static str;
    /// Bytes that reading may hold at one time whatever the input, and for each byte of it.
    const MEMORY: (u64, u64);

    /// An input that is nearly well formed.
    fn fresh(&self, random: &mut Random) -> Vec<u8>;

    /// What has a meaning here, to be put into inputs.
    fn words(&self) -> Vec<&[u8]>;

    /// Reads `input` and holds what came out against its oracles. Returns the way it came out, in few words and none of
    /// the input's; panics if an oracle does not hold.
    fn run(&self, input: &[u8]) -> String;
}

/// How much is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) seed: u64,
    pub(crate) time: Duration,
}

/// What trying came to.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) inputs: u64,
    pub(crate) corpus: Corpus,
    pub(crate) broken: Option<Broken>,
}

/// A promise that an input broke.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) input: Vec<u8>,
    pub(crate) why: String,
}

/// Longer ones teach nothing that a short one does not, and take the time of many.
const INPUT_LEN_MAX: usize = 4096;
/// One input out of so many is made anew; the others are kept ones, bent.
const FRESH_ONE_IN: usize = 4;
/// So many changes are made to an input at most.
const BENDS_MAX: usize = 6;
/// Nothing takes longer unless it stands still, also on a busy machine.
const STANDSTILL: Duration = Duration::from_secs(10);
/// Tries to make a broken input shorter.
const SHRINKS: usize = 400;

/// Tries every kept input, then new ones until the time is over or one breaks a promise.
pub(crate) fn fuzz<T: Target>(target: &T, mut corpus: Corpus, effort: Effort) -> Report {
    let since = Instant::now();
    let mut random = Random::new(effort.seed);
    let mut inputs = 0;
    for input in corpus.inputs() {
        inputs += 1;
        match outcome(target, &input) {
            Ok(class) => corpus.keep(&class, &input),
            Err(why) => return report(target, inputs, corpus, Broken { input, why }),
        }
    }
    let words: Vec<Vec<u8>> = target.words().into_iter().map(<[u8]>::to_vec).collect();
    while since.elapsed() < effort.time {
        inputs += 1;
        let mut input = match corpus.any(&mut random) {
            Some(kept) if random.below(FRESH_ONE_IN) > 0 => kept.to_vec(),
            _ => target.fresh(&mut random),
        };
        // Also fresh ones are mostly bent: well formed is what tests elsewhere are about.
        for _ in 0..random.below(BENDS_MAX + 1) {
            bend(&mut input, &words, &corpus, &mut random);
        }
        input.truncate(INPUT_LEN_MAX);
        match outcome(target, &input) {
            Ok(class) => corpus.keep(&class, &input),
            Err(why) => return report(target, inputs, corpus, Broken { input, why }),
        }
    }
    Report { inputs, corpus, broken: None }
}

fn report<T: Target>(target: &T, inputs: u64, corpus: Corpus, broken: Broken) -> Report {
    Report { inputs, corpus, broken: Some(shrunk(target, broken)) }
}

/// The way an input came out, or which promise it broke.
fn outcome<T: Target>(target: &T, input: &[u8]) -> Result<String, String> {
    let since = Instant::now();
    let (class, held) = run(target, input)?;
    let (fixed, per_byte) = T::MEMORY;
    let bound = fixed + per_byte * input.len() as u64;
    // The second time, what is made once for the whole process is there.
    if held > bound && run(target, input)?.1 > bound {
        return Err(format!("held {held} bytes at once for {} of input, and may {bound}", input.len()));
    }
    if since.elapsed() > STANDSTILL {
        return Err(format!("took {} s", since.elapsed().as_secs()));
    }
    Ok(class)
}

/// The way an input came out, and the bytes that were held at once meanwhile.
fn run<T: Target>(target: &T, input: &[u8]) -> Result<(String, u64), String> {
    let mut ended = None;
    let memory = measure(|| ended = Some(catch_unwind(AssertUnwindSafe(|| target.run(input)))));
    match ended {
        Some(Ok(class)) => Ok((class, memory.bytes_max)),
        Some(Err(panic)) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(format!("panicked: {}", text.unwrap_or("(no text)")))
        }
        None => Err("never ran".to_owned()),
    }
}

/// The same promise broken by less.
fn shrunk<T: Target>(target: &T, mut broken: Broken) -> Broken {
    let mut tries = 0;
    let mut len = broken.input.len() / 2;
    while len > 0 && tries < SHRINKS {
        let mut at = 0;
        while at < broken.input.len() && tries < SHRINKS {
            tries += 1;
            let mut shorter = broken.input.clone();
            shorter.drain(at..(at + len).min(broken.input.len()));
            match outcome(target, &shorter) {
                Err(why) => broken = Broken { input: shorter, why },
                Ok(_) => at += len,
            }
        }
        len /= 2;
    }
    broken
}

/// Changes one thing about `input`.
fn bend(input: &mut Vec<u8>, words: &[Vec<u8>], corpus: &Corpus, random: &mut Random) {
    let len = input.len();
    let at = random.below(len + 1);
    let span = at..(at + 1 + random.below(16)).min(len).max(at);
    match random.below(10) {
        0 if at < len => input[at] ^= 1 << random.below(8),
        1 if at < len => input[at] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'{', b'9', b'-'][random.below(10)],
        2 => drop(input.drain(span)),
        3 => {
            let copy = input[span].to_vec();
            (0..=random.below(3)).for_each(|_| drop(input.splice(at..at, copy.iter().copied())));
        }
        4 => input.truncate(at),
        5 => {
            let noise: Vec<u8> = (0..random.below(9)).map(|_| random.number().to_le_bytes()[3]).collect();
            input.splice(at..at, noise);
        }
        6 => {
            // The front of this one, the back of another.
            if let Some(other) = corpus.any(random) {
                let from = random.below(other.len() + 1);
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
        // In the place of something, or between.
        7 | 8 if !words.is_empty() => drop(input.splice(span, words[random.below(words.len())].iter().copied())),
        _ if !words.is_empty() => drop(input.splice(at..at, words[random.below(words.len())].iter().copied())),
        _ => input.push(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;

    /// Three bugs, each behind a door that only somebody finds who remembers how far he came.
    struct House {
        bug: Bug,
    }

    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Bug {
        None,
        Panic,
        Greed,
    }

    const DOORS: &[u8] = b"boom";

    impl Target for House {
        const NAME: &'static str = "house";
        const MEMORY: (u64, u64) = (1 << 12, 4);

        fn fresh(&self, random: &mut Random) -> Vec<u8> {
            random.number().to_le_bytes().to_vec()
        }

        fn words(&self) -> Vec<&[u8]> {
            vec![b"b", b"o", b"m"]
        }

        fn run(&self, input: &[u8]) -> String {
            let opened = input.iter().zip(DOORS).take_while(|(byte, door)| byte == door).count();
            match self.bug {
                Bug::Panic => assert!(opened < DOORS.len(), "the house fell down"),
                Bug::Greed if opened == DOORS.len() => drop(black_box(Vec::<u8>::with_capacity(1 << 20))),
                Bug::Greed | Bug::None => {}
            }
            format!("{opened} doors")
        }
    }

    fn tried(bug: Bug, time: Duration) -> Report {
        fuzz(&House { bug }, Corpus::default(), Effort { seed: 1, time })
    }

    #[test]
    fn a_bug_behind_several_doors_is_found_and_told_by_its_shortest_input() {
        for (bug, why) in [(Bug::Panic, "the house fell down"), (Bug::Greed, "held 1048576 bytes")] {
            let broken = tried(bug, Duration::from_secs(60)).broken.expect("it is found");
            assert!(broken.why.contains(why), "{}", broken.why);
            assert_eq!(broken.input, DOORS);
        }
    }

    #[test]
    fn where_nothing_is_wrong_nothing_is_found_and_a_kept_input_is_tried_first() {
        let report = tried(Bug::None, Duration::from_millis(200));
        assert!(report.broken.is_none() && report.inputs > 0);
        let mut kept = Corpus::default();
        kept.keep("4 doors", DOORS);
        let broken = fuzz(&House { bug: Bug::Panic }, kept, Effort { seed: 1, time: Duration::ZERO }).broken;
        assert_eq!(broken.expect("it was kept").input, DOORS);
    }
}
