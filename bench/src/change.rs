//! Made-up changes of about 400 bytes: the same seed gives the same ones.

use ::tests::history::Random;
use ::tests::zipf::Zipf;
use clap::ValueEnum;
use schemas::topics::partition_for;
use schemas::{Change, Codec, Origin, Profile, Tenant, UserId, Version, topics};
use std::fmt::Write as _;
use std::sync::Arc;

/// How changes are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    #[default]
    Json,
    /// Single-object encoding of the present schema
    Avro,
}

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
    /// Bytes of one that is neither of the short ones, as JSON.
    pub(crate) bytes: usize,
    pub(crate) format: Format,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            users: 100_000,
            skew: 0.99,
            seed: 1,
            patches: 300,
            deletes: 50,
            invalid: 2,
            bytes: 400,
            format: Format::Json,
        }
    }
}

/// One change as it goes to the log; the buffers are used again.
#[derive(Debug, Default)]
pub(crate) struct Made {
    pub(crate) user: String,
    pub(crate) value: Vec<u8>,
    pub(crate) partition: i32,
}

#[derive(Debug)]
pub(crate) struct Maker {
    spec: Spec,
    zipf: Zipf,
    random: Random,
    partitions: i32,
    made: Made,
    json: String,
    avro: Avro,
}

const COUNTRIES: [&str; 6] = ["DE", "FR", "IT", "US", "JP", "BR"];
const LOCALES: [&str; 6] = ["de-DE", "fr-FR", "it-IT", "en-US", "ja-JP", "pt-BR"];
const ZONES: [&str; 6] =
    ["Europe/Berlin", "Europe/Paris", "Europe/Rome", "America/New_York", "Asia/Tokyo", "America/Sao_Paulo"];
const WORDS: &str = "likes long walks, short mails, strong tea and the sea at night; writes about tides, maps and old harbours, \
                     and keeps a list of every lighthouse between here and there that still has somebody who lives in it; ";

impl Maker {
    pub(crate) fn new(spec: Spec, partitions: i32) -> crate::Outcome<Self> {
        let zipf = Zipf::new(spec.users, spec.skew);
        let (random, made, json) = (Random::new(spec.seed), Made::default(), String::new());
        Ok(Self { spec, zipf, random, partitions, made, json, avro: Avro::new()? })
    }

    /// The next one.
    pub(crate) fn next(&mut self) -> Outcome<'_> {
        let Self { spec, zipf, random, partitions, made, json, avro } = self;
        let user = zipf.draw(random);
        let kind = random.below(1_000);
        made.user.clear();
        made.value.clear();
        write!(made.user, "u{user:07}")?;
        made.partition = partition_for(made.user.as_bytes(), *partitions);
        json.clear();
        let number = random.number();
        let pick = usize::try_from(number % 6)?;
        let (country, locale, zone) = (COUNTRIES[pick], LOCALES[pick], ZONES[pick]);
        write!(json, r#"{{"user_id":"{}","#, made.user)?;
        let (invalid, deletes, patches) =
            (spec.invalid, spec.invalid + spec.deletes, spec.invalid + spec.deletes + spec.patches);
        if kind < invalid {
            write!(json, r#""op":"patch","set":{{"country":"nowhere at all"}}}}"#)?;
        } else if kind < deletes {
            json.push_str(r#""op":"delete"}"#);
        } else if kind < patches {
            write!(
                json,
                r#""op":"patch","set":{{"email":"m{:x}@example.org","marketing_opt_in":{},"bio":""#,
                number >> 32,
                number & 1 == 0
            )?;
            fill(json, spec.bytes);
        } else {
            write!(
                json,
                r#""op":"upsert","set":{{"name":"User {:x}","email":"m{:x}@example.org","phone":"+49151{:08}","country":"{country}","locale":"{locale}","time_zone":"{zone}","bio":""#,
                number & 0xffff,
                number >> 32,
                number % 100_000_000,
            )?;
            fill(json, spec.bytes);
        }
        match spec.format {
            Format::Json => made.value.extend_from_slice(json.as_bytes()),
            Format::Avro => avro.write(json.as_bytes(), &mut made.value)?,
        }
        Ok(&self.made)
    }
}

/// Writes as Avro what is there as JSON: by the product's own reader and writer, whose versions producers do not bring.
#[derive(Debug)]
struct Avro {
    codec: Codec,
    written: i64,
}

impl Avro {
    fn new() -> crate::Outcome<Self> {
        let codec = Codec::new(Arc::new(Profile::embedded()?));
        Ok(Self { codec, written: 0 })
    }

    fn write(&mut self, json: &[u8], out: &mut Vec<u8>) -> crate::Outcome<()> {
        let read = schemas::accept::read(&self.codec, json).map_err(|wrong| format!("{wrong:?}"))?;
        self.written += 1;
        let origin = Origin::new(topics::RAW, 0, self.written).ok_or("no origin")?;
        let change = Change {
            id: schemas::accept::id_of(&origin),
            tenant: Tenant::default(),
            user_id: UserId::of(read.user_id).ok_or("no user id")?,
            op: read.op,
            set: read.set.unwrap_or_default(),
            unset: read.unset,
            occurred_at: None,
            source: None,
            version: Version::FIRST,
            origin,
        };
        self.codec.encode(&change, out)?;
        // The version is written last: the branch of its union, and a small number.
        let len =
            out.len().checked_sub(2).filter(|len| out.get(*len) == Some(&VALUE)).ok_or("no version at the end")?;
        out.truncate(len);
        out.push(NULL);
        Ok(())
    }
}

/// Branches of `["null", X]` on the wire.
const NULL: u8 = 0;
const VALUE: u8 = 2;

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
    use schemas::{Lane, rules};

    /// One of a thousand in each share, and every other change passes all that `validate` asks, in either format.
    #[test]
    fn changes_are_of_the_size_and_kinds_that_were_asked_for() {
        let profile = Arc::new(Profile::embedded().unwrap());
        let codec = Codec::new(profile.clone());
        let pass = |format| {
            let mut maker = Maker::new(Spec { invalid: 100, format, ..Spec::default() }, 12).unwrap();
            let (mut refused, mut bytes, mut sets) = (Vec::new(), 0, Vec::new());
            for at in 0..2_000_i64 {
                let made = maker.next().unwrap();
                bytes += made.value.len();
                let origin = Origin::new(topics::RAW, made.partition, at).unwrap();
                let version = Version::at(1_704_067_200_000_000 + 8 * at, Lane::Live).unwrap();
                let place = Place { key: Some(made.user.as_bytes()), origin, version };
                let draft = accept::read(&codec, &made.value).unwrap();
                let change = accept::accept(&profile, draft, place).unwrap();
                sets.push((change.user_id.clone(), change.op, change.set.clone()));
                refused.extend(rules::check(&profile, change).err().map(|_| at));
            }
            (refused, bytes / 2_000, sets)
        };
        let (json, avro) = (pass(Format::Json), pass(Format::Avro));
        assert!((150..250).contains(&json.0.len()), "{} of 2,000 are refused", json.0.len());
        assert!((320..400).contains(&json.1) && (200..360).contains(&avro.1), "{} and {} bytes each", json.1, avro.1);
        assert!(json.0 == avro.0 && json.2 == avro.2, "both say the same");
    }

    #[test]
    fn a_seed_gives_the_same_changes_again() {
        let all = |seed| {
            let mut maker = Maker::new(Spec { seed, ..Spec::default() }, 12).unwrap();
            (0..100).map(|_| maker.next().unwrap().value.clone()).collect::<Vec<_>>()
        };
        assert_eq!(all(7), all(7));
        assert_ne!(all(7), all(8));
    }
}
