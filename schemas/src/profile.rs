//! The profile: which fields a user has, read at run time from `profile.avsc`, and the rules each field carries.
//!
//! A field is added by editing that one file. Everything that depends on the fields (validation, enrichment, columns,
//! the wire) takes them from here, by position.

mod annotation;
mod load;
mod problem;
mod record;

pub use load::{CHANGE, ChangeSchema, HISTORY, PROFILE};
pub use problem::{LoadError, Problem};

pub(crate) use problem::Problems;

use crate::avro::ReadPlan;
use record::Positions;
use regex::Regex;
use std::collections::HashMap;
use std::fmt;

/// The fields of `profile.avsc`, checked, with the schema of the change that carries them.
#[derive(Debug)]
pub struct Profile {
    fields: Vec<Field>,
    positions: Positions,
    change_schema: Box<str>,
    fingerprint: Fingerprint,
    plans: HashMap<Fingerprint, ReadPlan>,
}

impl Profile {
    /// Every field; position `i` is position `i` of a [`crate::Row`]. At least 2, at most 64.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field called `name`, now or formerly (an alias).
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.positions.get(name).copied()
    }

    /// Of the change schema: what stands before every record of ours on the wire.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The self-contained Avro schema of a change, this profile within it: the text to register or hand to producers.
    #[must_use]
    pub fn change_schema(&self) -> &str {
        &self.change_schema
    }

    /// How to read what was written with a kept schema.
    pub(crate) fn read_plan(&self, writer: Fingerprint) -> Option<&ReadPlan> {
        self.plans.get(&writer)
    }
}

/// One field of the profile and its annotations.
#[derive(Clone, Debug)]
pub struct Field {
    /// `[a-z][a-z0-9_]{0,47}`; also the JSON key and the column.
    pub name: Box<str>,
    /// Former names, still read.
    pub aliases: Vec<Box<str>>,
    pub kind: Kind,
    /// Only on [`Kind::String`].
    pub format: Option<Format>,
    /// Longest value, in characters of a string or bytes of bytes.
    pub max_length: Option<usize>,
    /// Least value; only on numbers.
    pub min: Option<Limit>,
    /// Largest value; only on numbers.
    pub max: Option<Limit>,
    /// Anchored at both ends: the whole text matches. Only on [`Kind::String`].
    pub pattern: Option<Regex>,
    /// Whether the values tell who somebody is.
    pub pii: bool,
    /// Whether users are looked up by this field.
    pub index: bool,
    /// Set by `enrich` from another field; producers may not name it.
    pub derived: Option<Derived>,
}

/// The type of a field. Every field is nullable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Boolean,
    Int,
    Long,
    Float,
    Double,
    String,
    /// The symbols, in the order of the schema.
    Enum(Vec<Box<str>>),
    Bytes,
    /// Days since 1970-01-01, an `int` on the wire.
    Date,
    /// Microseconds since 1970-01-01, a `long` on the wire.
    TimestampMicros,
    /// Hyphenated lower-case text, a `string` on the wire.
    Uuid,
}

/// What a text must be, and is normalised to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Email,
    Phone,
    Country,
    Locale,
    TimeZone,
    Currency,
    Url,
    Date,
    Uuid,
}

/// A bound of a number: `Integer` on int and long, `Real` on float and double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    Integer(i64),
    Real(f64),
}

/// Where a derived field comes from. `from` is the position of its one source, which is not derived itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Derived {
    /// A function of the source's value.
    Derive { function: Derivation, from: usize },
    /// `column` of the row of reference table `table` whose key is the source's value.
    Lookup { table: Box<str>, column: Box<str>, from: usize },
}

/// The functions a field can be derived by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Derivation {
    /// What follows the last `@` of an e-mail address.
    Domain,
}

/// Rabin fingerprint (CRC-64-AVRO) of a schema, which names it on the wire and in `schemas/avro/history/`.
///
/// Printed as 16 hex digits in the order of the bytes on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 8]);

impl Fingerprint {
    /// From the order on the wire.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// In the order on the wire: the least significant byte of the CRC first.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests;
