//! Made-up changes of about 400 bytes: the same seed gives the same ones.

use crate::zipf::Zipf;
use ::tests::history::Random;
use schemas::topics::partition_for;
use std::fmt::Write as _;

/// What is made up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spec {
    pub(crate) users: usize,
    pub(crate) skew: f64,
    pub(crate) seed: u64,
    /// Of a thousand: patches, deletes, and changes that `validate` has to reject; the rest are upserts.
    pub(crate) patches: usize,
    pub(crate) deletes: usize,
    pub(crate) invalid: usize,
    /// Bytes of one that is neither of the short ones.
    pub(crate) bytes: usize,
}

impl Default for Spec {
    fn default() -> Self {
        Self { users: 100_000, skew: 0.99, seed: 1, patches: 300, deletes: 50, invalid: 2, bytes: 400 }
    }
}

/// One change as it goes to the log; the buffers are used again.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) user: String,
    pub(crate) json: String,
    pub(crate) partition: i32,
}

#[derive(Debug)]
pub(crate) struct Maker {
    spec: Spec,
    zipf: Zipf,
    random: Random,
    partitions: i32,
    made: Made,
}

const COUNTRIES: [&str; 6] = ["DE", "FR", "IT", "US", "JP", "BR"];
const LOCALES: [&str; 6] = ["de-DE", "fr-FR", "it-IT", "en-US", "ja-JP", "pt-BR"];
const ZONES: [&str; 6] =
    ["Europe/Berlin", "Europe/Paris", "Europe/Rome", "America/New_York", "Asia/Tokyo", "America/Sao_Paulo"];
const WORDS: &str = "likes long walks, short mails, strong tea and the sea at night; writes about tides, maps and old harbours, \
                     and keeps a list of every lighthouse between here and there that still has somebody who lives in it; ";

impl Maker {
    pub(crate) fn new(spec: Spec, partitions: i32) -> Self {
        let zipf = Zipf::new(spec.users, spec.skew);
        Self { spec, zipf, random: Random::new(spec.seed), partitions, made: Made::default() }
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Outcome<'_> {
        let Self { spec, zipf, random, partitions, made } = self;
        let user = zipf.draw(random);
        let kind = random.below(1_000);
        made.user.clear();
        made.json.clear();
        write!(made.user, "u{user:07}")?;
        made.partition = partition_for(made.user.as_bytes(), *partitions);
        let number = random.number();
        let pick = usize::try_from(number % 6)?;
        let (country, locale, zone) = (COUNTRIES[pick], LOCALES[pick], ZONES[pick]);
        write!(made.json, r#"{{"user_id":"{}","#, made.user)?;
        let (invalid, deletes, patches) =
            (spec.invalid, spec.invalid + spec.deletes, spec.invalid + spec.deletes + spec.patches);
        if kind < invalid {
            write!(made.json, r#""op":"patch","set":{{"country":"nowhere at all"}}}}"#)?;
        } else if kind < deletes {
            made.json.push_str(r#""op":"delete"}"#);
        } else if kind < patches {
            write!(
                made.json,
                r#""op":"patch","set":{{"email":"m{:x}@example.org","marketing_opt_in":{},"bio":""#,
                number >> 32,
                number & 1 == 0
            )?;
            fill(&mut made.json, spec.bytes);
        } else {
            write!(
                made.json,
                r#""op":"upsert","set":{{"name":"User {:x}","email":"m{:x}@example.org","phone":"+49151{:08}","country":"{country}","locale":"{locale}","time_zone":"{zone}","bio":""#,
                number & 0xffff,
                number >> 32,
                number % 100_000_000,
            )?;
            fill(&mut made.json, spec.bytes);
        }
        Ok(&self.made)
    }
}

type Outcome<'a> = crate::Outcome<&'a Made>;

/// Ends a text field, the set and the change, at about so many bytes.
fn fill(json: &mut String, bytes: usize) {
    let mut left = bytes.saturating_sub(json.len() + 3);
    while left > 0 {
        let part = left.min(WORDS.len());
        json.push_str(WORDS.get(..part).unwrap_or(WORDS));
        left -= part;
    }
    json.push_str(r#""}}"#);
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemas::accept::{self, Place};
    use schemas::{Codec, Lane, Origin, Profile, Version, rules};
    use std::sync::Arc;

    /// One of a thousand in each share, and every other change passes all that `validate` asks.
    #[test]
    fn changes_are_of_the_size_and_kinds_that_were_asked_for() {
        let profile = Arc::new(Profile::embedded().unwrap());
        let codec = Codec::new(profile.clone());
        let spec = Spec { invalid: 100, ..Spec::default() };
        let mut maker = Maker::new(spec, 12);
        let (mut refused, mut bytes) = (0, 0);
        for at in 0..2_000_i64 {
            let made = maker.next().unwrap();
            bytes += made.json.len();
            let origin = Origin::new("changes.raw.v1", made.partition, at).unwrap();
            let version = Version::at(1_704_067_200_000_000 + 8 * at, Lane::Live).unwrap();
            let place = Place { key: Some(made.user.as_bytes()), origin, version };
            let draft = accept::read(&codec, made.json.as_bytes()).unwrap();
            let change = accept::accept(&profile, draft, place).unwrap();
            refused += i32::from(rules::check(&profile, change).is_err());
        }
        assert!((150..250).contains(&refused), "{refused} of 2,000 are refused");
        assert!((320..400).contains(&(bytes / 2_000)), "{} bytes each", bytes / 2_000);
    }

    #[test]
    fn a_seed_gives_the_same_changes_again() {
        let all = |seed| {
            let mut maker = Maker::new(Spec { seed, ..Spec::default() }, 12);
            (0..100).map(|_| maker.next().unwrap().json.clone()).collect::<Vec<_>>()
        };
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
    }
}
