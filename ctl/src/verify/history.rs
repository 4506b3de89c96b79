//! Every change that was asked for, and what became of it.

use super::claim::Claim;
use super::expected::Rows;
use super::findings::Findings;
use super::place::Places;
use runtime::record::{Record, Timestamp};
use schemas::pinned::Brought;
use schemas::{Change, Codec, Lane, Origin, Version, headers, topics};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Filled in the order `raw`, `pinned`, `enriched`, `dead`, each from its first record on.
pub(super) struct History {
    codec: Codec,
    places: Places,
    floor_micros: i64,
    entries: BTreeMap<Origin, Entry>,
    findings: Findings,
}

/// One change. Only `pinned` can ask for one again.
struct Entry {
    partition: i32,
    attempts: Vec<Attempt>,
    /// Different ones only if an edit made them so.
    accepted: Vec<Change>,
    /// The letters of `validate` and `enrich`.
    rejected: Vec<Letter>,
    /// The letters of `sink`: what they hold is in `enriched`, and not in the table.
    refused: Vec<Refused>,
}

/// One record that asks for a change.
struct Attempt {
    /// `None` if a pinned record brings none that is one.
    version: Option<i64>,
    /// Of key and value.
    digest: u64,
    claim: Option<Claim>,
    is_settled: bool,
}

#[derive(PartialEq, Eq)]
struct Letter {
    stage: String,
    code: String,
}

struct Refused {
    letter: Letter,
    /// `None` if its value was not kept.
    change: Option<Change>,
}

/// What the log comes to.
pub(super) struct Outcomes {
    /// Changes that were asked for, each once.
    pub(super) changes: u64,
    /// Of them dead, by code.
    pub(super) by_code: BTreeMap<String, u64>,
    pub(super) findings: Findings,
}

impl History {
    pub(super) fn new(codec: Codec, floor_micros: i64) -> Self {
        let (places, findings) = (Places::new(floor_micros), Findings::default());
        Self { codec, places, floor_micros, entries: BTreeMap::new(), findings }
    }

    pub(super) fn raw(&mut self, record: &Record) {
        let Some(origin) = Origin::new(topics::RAW, record.place.partition, record.offset.0) else { return };
        let Timestamp::LogAppend(append_ms) = record.timestamp else {
            return self.findings.wrong(origin, "it carries no append time, so it has no place in history");
        };
        let version = Some(self.places.next(record.place.partition, append_ms));
        let attempt = Attempt::of(record, version, Claim::of(&self.codec, record));
        self.entries.insert(origin, Entry::new(record.place.partition, attempt));
    }

    /// Asks for a change that is known already, if it brings an origin, else for one of its own.
    pub(super) fn pinned(&mut self, record: &Record) {
        let brought = Brought::read(|name| record.headers.last(name).map(|text| &text[..]));
        let own = Origin::new(topics::PINNED, record.place.partition, record.offset.0);
        let Some(origin) = brought.known_origin().cloned().or(own) else { return };
        let mut claim = Claim::of(&self.codec, record);
        if let Some(claim) = &mut claim {
            claim.id = brought.known_id().or(claim.id);
        }
        let in_value = claim.as_ref().and_then(|claim| claim.version);
        let attempt = Attempt::of(record, brought.known_version(in_value).map(Version::get), claim);
        match self.entries.get_mut(&origin) {
            Some(entry) => entry.attempts.push(attempt),
            None => drop(self.entries.insert(origin, Entry::new(record.place.partition, attempt))),
        }
    }

    pub(super) fn enriched(&mut self, record: &Record) {
        let stands = format!("{}/{}/{}", topics::ENRICHED, record.place.partition, record.offset);
        let origin = record.headers.last(headers::ORIGIN);
        let Ok(change) = self.codec.decode_own(record.value.as_deref(), origin.map(|text| &text[..])) else {
            return self.findings.wrong(stands, "it is no change");
        };
        let Some(entry) = self.entries.get_mut(&change.origin) else {
            return self.findings.wrong(stands, "there is no record that it came from");
        };
        if entry.accepted.contains(&change) {
            return;
        }
        if entry.accepted.len() >= entry.attempts.len() {
            return self.findings.wrong(&change.origin, "two copies of it in enriched are not the same");
        }
        if entry.accepted.iter().any(|other| other.version != change.version) {
            self.findings.wrong(&change.origin, "it has two places in history");
        }
        if change.version.lane() == Lane::Backfill && change.version.place() >= self.floor_micros & !7 {
            self.findings.wrong(&change.origin, "it is backfill and not below the floor");
        }
        let partition = entry.partition;
        let profile = self.codec.profile();
        let wrong = settle(&mut entry.attempts, |attempt| {
            let mut wrong = carriage(record, partition, attempt);
            if Some(change.version.get()) != attempt.version {
                wrong.push("version");
            }
            if record.key.as_deref() != Some(change.user_id.as_str().as_bytes()) {
                wrong.push("key");
            }
            match &attempt.claim {
                Some(claim) => wrong.extend(claim.differences(&change, profile)),
                None => wrong.push("whether it is a change at all"),
            }
            wrong
        });
        if !wrong.is_empty() {
            self.findings
                .wrong(&change.origin, &format!("what was asked for and enriched differ in {}", wrong.join(", ")));
        }
        entry.accepted.push(change);
    }

    pub(super) fn dead(&mut self, record: &Record) {
        let stands = format!("{}/{}/{}", topics::DEAD, record.place.partition, record.offset);
        let text = |name: &str| record.headers.last(name).and_then(|text| std::str::from_utf8(text).ok());
        let origin = text(headers::ORIGIN).and_then(|origin| origin.parse::<Origin>().ok());
        let found = origin.and_then(|origin| self.entries.get_mut(&origin).map(|entry| (origin, entry)));
        let Some((origin, entry)) = found else {
            return self.findings.wrong(stands, "there is no record that it came from");
        };
        let (Some(stage), Some(code)) = (text(headers::STAGE), text(headers::CODE)) else {
            return self.findings.wrong(stands, "it does not say which stage refused it, or why");
        };
        // Behind validate a letter holds the change as we wrote it, not as it came.
        let is_whole = record.headers.last(headers::DROPPED_BYTES).is_none();
        let digest = (stage == "validate" && is_whole).then(|| digest_of(record));
        let partition = entry.partition;
        let wrong = settle(&mut entry.attempts, |attempt| {
            let mut wrong = carriage(record, partition, attempt);
            if digest.is_some_and(|digest| digest != attempt.digest) {
                wrong.push("key or value");
            }
            wrong
        });
        if !wrong.is_empty() {
            self.findings
                .wrong(&origin, &format!("what was asked for and its dead letter differ in {}", wrong.join(", ")));
        }
        let letter = Letter { stage: stage.to_owned(), code: code.to_owned() };
        if stage == "sink" {
            let value = record.value.as_deref().filter(|_| is_whole);
            let change = value.and_then(|value| self.codec.decode(value, origin.clone()).ok());
            entry.refused.push(Refused { letter, change });
        } else if !entry.rejected.contains(&letter) {
            if entry.rejected.len() >= entry.attempts.len() {
                self.findings.wrong(origin, "two dead letters of it are not the same");
            }
            entry.rejected.push(letter);
        }
    }

    /// Judges what became of each change, and gives `rows` what was accepted.
    pub(super) fn close(self, rows: &mut Rows<'_>) -> Outcomes {
        let mut findings = self.findings;
        let mut by_code = BTreeMap::new();
        let changes = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        for (origin, entry) in self.entries {
            entry.judge(&origin, &mut findings);
            let Entry { accepted, rejected, refused, .. } = entry;
            let is_refused = |change: &Change| {
                refused.iter().any(|refused| refused.change.as_ref().is_none_or(|refused| refused == change))
            };
            let (dead, alive): (Vec<_>, Vec<_>) = accepted.into_iter().partition(is_refused);
            if alive.is_empty() || !dead.is_empty() {
                let letters = rejected.into_iter().chain(refused.into_iter().map(|refused| refused.letter));
                if let Some(letter) = letters.last() {
                    *by_code.entry(letter.code).or_default() += 1;
                }
            }
            alive.into_iter().for_each(|change| rows.apply(change));
        }
        Outcomes { changes, by_code, findings }
    }
}

impl Attempt {
    fn of(record: &Record, version: Option<i64>, claim: Option<Claim>) -> Self {
        Self { version, digest: digest_of(record), claim, is_settled: false }
    }
}

impl Entry {
    fn new(partition: i32, attempt: Attempt) -> Self {
        let (accepted, rejected, refused) = (Vec::new(), Vec::new(), Vec::new());
        Self { partition, attempts: vec![attempt], accepted, rejected, refused }
    }

    fn judge(&self, origin: &Origin, findings: &mut Findings) {
        let is_once = self.attempts.len() == 1;
        match (self.accepted.is_empty(), self.rejected.is_empty(), self.refused.is_empty()) {
            (true, true, true) => findings.lost(origin, "it is neither in enriched nor in dead"),
            (false, false, _) if is_once => {
                findings.wrong(origin, "it is in enriched, and a dead letter of an earlier stage");
            }
            (true, _, false) => findings.wrong(origin, "sink refused it, and it is not in enriched"),
            _ if !is_once && self.attempts.iter().any(|attempt| !attempt.is_settled) => {
                findings.lost(origin, "a pinned record that asks for it again is neither in enriched nor in dead");
            }
            _ => {}
        }
    }
}

/// Finds what a record is the outcome of; in what it differs from the attempt that is most like it.
fn settle(attempts: &mut [Attempt], differences: impl Fn(&Attempt) -> Vec<&'static str>) -> Vec<&'static str> {
    let mut least: Option<Vec<&'static str>> = None;
    for attempt in attempts {
        let wrong = differences(attempt);
        attempt.is_settled |= wrong.is_empty();
        if least.as_ref().is_none_or(|least| wrong.len() < least.len()) {
            least = Some(wrong);
        }
    }
    least.unwrap_or_default()
}

/// In what the carrying record contradicts the one that asked, whatever it carries.
fn carriage(record: &Record, partition: i32, attempt: &Attempt) -> Vec<&'static str> {
    let version = record.headers.last(headers::VERSION).and_then(|text| std::str::from_utf8(text).ok());
    let checks = [
        ("partition", record.place.partition == partition),
        ("tw-version", version.and_then(|text| text.parse().ok()) == attempt.version),
    ];
    checks.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

fn digest_of(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.key.hash(&mut hasher);
    record.value.hash(&mut hasher);
    hasher.finish()
}
