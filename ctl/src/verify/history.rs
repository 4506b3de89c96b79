//! Every raw record, and what became of it.

use super::claim::Claim;
use super::expected::Rows;
use super::findings::Findings;
use super::place::Places;
use runtime::record::{Record, Timestamp};
use schemas::{Change, Codec, Origin, headers, topics};
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Where a record of `raw` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", topics::RAW, self.partition, self.offset)
    }
}

/// Filled in the order `raw`, `enriched`, `dead`, each from its first record on.
pub(super) struct History {
    codec: Codec,
    places: Places,
    entries: BTreeMap<Place, Entry>,
    findings: Findings,
}

/// One raw record.
struct Entry {
    version: i64,
    /// Of key and value.
    digest: u64,
    claim: Option<Claim>,
    accepted: Option<Change>,
    /// The letter of `validate` or `enrich`.
    rejected: Option<Letter>,
    /// The letter of `sink`: the change is in `enriched`, and not in the table.
    refused: Option<Letter>,
}

#[derive(PartialEq, Eq)]
struct Letter {
    stage: String,
    code: String,
}

/// What the log comes to.
pub(super) struct Outcomes {
    /// Records of `raw`.
    pub(super) changes: u64,
    /// Of them dead, by code.
    pub(super) by_code: BTreeMap<String, u64>,
    pub(super) findings: Findings,
}

impl History {
    pub(super) fn new(codec: Codec, floor_micros: i64) -> Self {
        Self { codec, places: Places::new(floor_micros), entries: BTreeMap::new(), findings: Findings::default() }
    }

    pub(super) fn raw(&mut self, record: &Record) {
        let place = Place { partition: record.place.partition, offset: record.offset.0 };
        let Timestamp::LogAppend(append_ms) = record.timestamp else {
            return self.findings.wrong(place, "it carries no append time, so it has no place in history");
        };
        let entry = Entry {
            version: self.places.next(place.partition, append_ms),
            digest: digest_of(record),
            claim: Claim::of(&self.codec, record),
            accepted: None,
            rejected: None,
            refused: None,
        };
        self.entries.insert(place, entry);
    }

    pub(super) fn enriched(&mut self, record: &Record) {
        let stands = format!("{}/{}/{}", topics::ENRICHED, record.place.partition, record.offset);
        let origin = record.headers.last(headers::ORIGIN);
        let Ok(change) = self.codec.decode_own(record.value.as_deref(), origin.map(|text| &text[..])) else {
            return self.findings.wrong(stands, "it is no change");
        };
        let Some((place, entry)) = find(&mut self.entries, &change.origin) else {
            return self.findings.wrong(stands, "there is no raw record that it came from");
        };
        if let Some(first) = &entry.accepted {
            if *first != change {
                self.findings.wrong(place, "two copies of it in enriched are not the same");
            }
            return;
        }
        let mut wrong = carriage(record, place, entry);
        if change.version.get() != entry.version {
            wrong.push("version");
        }
        if record.key.as_deref() != Some(change.user_id.as_str().as_bytes()) {
            wrong.push("key");
        }
        match &entry.claim {
            Some(claim) => wrong.extend(claim.differences(&change, self.codec.profile())),
            None => wrong.push("whether it is a change at all"),
        }
        entry.accepted = Some(change);
        if !wrong.is_empty() {
            self.findings.wrong(place, &format!("raw and enriched differ in {}", wrong.join(", ")));
        }
    }

    pub(super) fn dead(&mut self, record: &Record) {
        let stands = format!("{}/{}/{}", topics::DEAD, record.place.partition, record.offset);
        let text = |name: &str| record.headers.last(name).and_then(|text| std::str::from_utf8(text).ok());
        let origin = text(headers::ORIGIN).and_then(|origin| origin.parse::<Origin>().ok());
        let Some((place, entry)) = origin.and_then(|origin| find(&mut self.entries, &origin)) else {
            return self.findings.wrong(stands, "there is no raw record that it came from");
        };
        let (Some(stage), Some(code)) = (text(headers::STAGE), text(headers::CODE)) else {
            return self.findings.wrong(stands, "it does not say which stage refused it, or why");
        };
        let mut wrong = carriage(record, place, entry);
        // Behind validate a letter holds the change as we wrote it, not as it came.
        let is_whole = record.headers.last(headers::DROPPED_BYTES).is_none();
        if stage == "validate" && is_whole && digest_of(record) != entry.digest {
            wrong.push("key or value");
        }
        if !wrong.is_empty() {
            self.findings.wrong(place, &format!("raw and its dead letter differ in {}", wrong.join(", ")));
        }
        let letter = Letter { stage: stage.to_owned(), code: code.to_owned() };
        let known = if stage == "sink" { &mut entry.refused } else { &mut entry.rejected };
        match known {
            Some(first) if *first != letter => self.findings.wrong(place, "two dead letters of it are not the same"),
            Some(_) => {}
            None => *known = Some(letter),
        }
    }

    /// Judges each record's outcome, and gives `rows` what was accepted.
    pub(super) fn close(self, rows: &mut Rows<'_>) -> Outcomes {
        let mut findings = self.findings;
        let mut by_code = BTreeMap::new();
        let changes = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        for (place, entry) in self.entries {
            match (&entry.accepted, &entry.rejected, &entry.refused) {
                (None, None, None) => findings.lost(place, "it is neither in enriched nor in dead"),
                (Some(_), Some(_), _) => {
                    findings.wrong(place, "it is in enriched, and a dead letter of an earlier stage")
                }
                (None, _, Some(_)) => findings.wrong(place, "sink refused it, and it is not in enriched"),
                (Some(_), None, _) | (None, Some(_), None) => {}
            }
            let is_refused = entry.refused.is_some();
            if let Some(letter) = entry.rejected.or(entry.refused) {
                *by_code.entry(letter.code).or_default() += 1;
            }
            if let Some(change) = entry.accepted.filter(|_| !is_refused) {
                rows.apply(change, entry.version, place);
            }
        }
        Outcomes { changes, by_code, findings }
    }
}

fn find<'e>(entries: &'e mut BTreeMap<Place, Entry>, origin: &Origin) -> Option<(Place, &'e mut Entry)> {
    let (partition, offset) = origin.raw()?;
    let place = Place { partition, offset };
    entries.get_mut(&place).map(|entry| (place, entry))
}

/// In what the carrying record contradicts its raw one, whatever it carries.
fn carriage(record: &Record, place: Place, entry: &Entry) -> Vec<&'static str> {
    let version = record.headers.last(headers::VERSION).and_then(|text| std::str::from_utf8(text).ok());
    let checks = [
        ("partition", record.place.partition == place.partition),
        ("tw-version", version.and_then(|text| text.parse().ok()) == Some(entry.version)),
    ];
    checks.into_iter().filter(|(_, is_same)| !is_same).map(|(name, _)| name).collect()
}

fn digest_of(record: &Record) -> u64 {
    let mut hasher = DefaultHasher::new();
    record.key.hash(&mut hasher);
    record.value.hash(&mut hasher);
    hasher.finish()
}
