//! Loading a profile: two schema texts and the kept ones in, a checked [`Profile`] or every problem out.

use super::problem::{LoadError, Problems};
use super::record::{self, Positions};
use super::{Field, Fingerprint, Profile};
use crate::avro::{ReadPlan, check_schema};
use apache_avro::Schema;
use apache_avro::rabin::Rabin;
use std::collections::HashMap;

/// Where `change.avsc` names the profile, and `profile.avsc` is put in.
const PLACE: &str = "\"tidewater.v1.Profile\"";

/// The change schema of this release, without the profile.
pub const CHANGE: &str = include_str!("../../avro/change.avsc");

/// The profile of this release.
pub const PROFILE: &str = include_str!("../../avro/profile.avsc");

/// File name and text of every change schema ever shipped, this release's included.
pub const HISTORY: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/history.rs"));

/// The self-contained schema of a change: what is registered, fingerprinted and kept.
#[derive(Debug)]
pub struct ChangeSchema {
    /// What `history/<fingerprint>.avsc` holds.
    pub text: Box<str>,
    /// Of the text's canonical form.
    pub fingerprint: Fingerprint,
    parsed: Schema,
}

impl ChangeSchema {
    /// Puts `profile` in its place in `change`. Both are texts of Avro schemas.
    ///
    /// One text, because a schema that refers to another has another fingerprint than one that contains it.
    pub fn splice(change: &str, profile: &str) -> Result<Self, LoadError> {
        let mut problems = Problems::default();
        let spliced = Self::splice_into(change, profile, &mut problems);
        spliced.ok_or_else(|| problems.into_error())
    }

    /// `None`, and `problems` not empty, if there is no such schema.
    fn splice_into(change: &str, profile: &str, problems: &mut Problems) -> Option<Self> {
        if change.matches(PLACE).count() != 1 {
            problems.add("change.avsc", format!("must name {PLACE} exactly once"));
            return None;
        }
        let indented = profile.trim_end().replace('\n', "\n      ");
        let text = change.trim_end().replacen(PLACE, &indented, 1) + "\n";
        match parse(&text) {
            Ok((fingerprint, parsed)) => Some(Self { text: text.into(), fingerprint, parsed }),
            Err(error) => {
                // Of what was found already, this would be an echo.
                if problems.is_empty() {
                    problems.add("profile.avsc", format!("is no Avro schema within change.avsc: {error}"));
                }
                None
            }
        }
    }
}

impl Profile {
    /// The profile and the history of this release.
    pub fn embedded() -> Result<Self, LoadError> {
        Self::load(CHANGE, PROFILE, HISTORY.iter().copied())
    }

    /// Checks `profile` (the text of a `profile.avsc`) within `change`, and makes the plans to read every schema in
    /// `history` (file name and text) by it.
    ///
    /// Reports every problem at once. The profile's own schema must be in `history`: what is written and not kept
    /// could not be read any more after the next change of the profile.
    pub fn load<'a>(
        change: &str,
        profile: &str,
        history: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, LoadError> {
        let mut problems = Problems::default();
        let (fields, positions) = fields(profile, &mut problems);
        let schema = ChangeSchema::splice_into(change, profile, &mut problems);
        let Some(schema) = schema.filter(|_| problems.is_empty()) else { return Err(problems.into_error()) };
        check_schema(&schema.parsed, &mut problems);
        let plans = plans(history, &fields, &mut problems);
        let ChangeSchema { text: change_schema, fingerprint, .. } = schema;
        if !plans.contains_key(&fingerprint) {
            problems.add(
                format!("history/{fingerprint}.avsc"),
                "is missing: a schema must be kept before anything is written with it (for the profile of this release, \
                 `cargo run -p schemas --example keep_schema` writes the file)",
            );
        }
        problems.none_or(Self { fields, positions, change_schema, fingerprint, plans })
    }
}

fn fields(profile: &str, problems: &mut Problems) -> (Vec<Field>, Positions) {
    match serde_json::from_str(profile) {
        Ok(json) => record::fields(&json, problems),
        Err(error) => {
            problems.add("profile.avsc", format!("is no JSON: {error}"));
            (Vec::new(), Positions::default())
        }
    }
}

fn plans<'a>(
    history: impl IntoIterator<Item = (&'a str, &'a str)>,
    fields: &[Field],
    problems: &mut Problems,
) -> HashMap<Fingerprint, ReadPlan> {
    let mut plans = HashMap::new();
    for (name, text) in history {
        let at = format!("history/{name}");
        match parse(text) {
            Err(error) => problems.add(at, format!("is no Avro schema: {error}")),
            Ok((fingerprint, schema)) => {
                if name.strip_suffix(".avsc").unwrap_or(name) != fingerprint.to_string() {
                    problems.add(&at, format!("holds the schema {fingerprint}: a kept schema never changes"));
                }
                plans.extend(ReadPlan::new(&schema, fields, &at, problems).map(|plan| (fingerprint, plan)));
            }
        }
    }
    plans
}

pub(super) fn parse(text: &str) -> Result<(Fingerprint, Schema), apache_avro::Error> {
    let schema = Schema::parse_str(text)?;
    // Its canonical form once more: at first it leaves {"type":"long"} where a logical type stood, not "long", and the
    // fingerprint is not that of Java and Python, whose producers would be refused (avro-rs issue 61).
    let digest = Schema::parse_str(&schema.canonical_form())?.fingerprint::<Rabin>();
    let mut fingerprint = [0; 8];
    // The digest has 8 bytes by definition; copying by zip needs no assertion of it.
    for (to, from) in fingerprint.iter_mut().zip(digest.bytes) {
        *to = from;
    }
    Ok((Fingerprint::from_bytes(fingerprint), schema))
}
