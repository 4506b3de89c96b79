//! The `"tidewater"` annotation of a field: its format, its bounds, and where a derived field comes from.

use super::problem::Problems;
use super::{Derivation, Format, Kind, Limit};
use regex::Regex;
use serde_json::Value;

const KNOWN: &str = "format, max_length, min, max, pattern, pii, index, derive, lookup";

/// What one field's annotation says, checked against the field's type.
#[derive(Debug, Default)]
pub(super) struct Annotation {
    pub(super) format: Option<Format>,
    pub(super) max_length: Option<usize>,
    pub(super) min: Option<Limit>,
    pub(super) max: Option<Limit>,
    pub(super) pattern: Option<Regex>,
    pub(super) pii: bool,
    pub(super) index: bool,
    pub(super) recipe: Option<Recipe>,
}

/// `derive` or `lookup` with its source still a name.
#[derive(Debug)]
pub(super) enum Recipe {
    Derive { function: Derivation, from: Box<str> },
    Lookup { table: Box<str>, column: Box<str>, from: Box<str> },
}

impl Recipe {
    /// The annotation's key, as it stands in the file.
    pub(super) fn key(&self) -> &'static str {
        match self {
            Self::Derive { .. } => "derive",
            Self::Lookup { .. } => "lookup",
        }
    }

    pub(super) fn from(&self) -> &str {
        match self {
            Self::Derive { from, .. } | Self::Lookup { from, .. } => from,
        }
    }
}

impl Annotation {
    /// Reads the annotation at path `at` of a field of type `kind`. What is wrong is left out and reported.
    pub(super) fn read(at: &str, annotation: &Value, kind: &Kind, problems: &mut Problems) -> Self {
        let mut read = Self::default();
        let Some(members) = annotation.as_object() else {
            problems.add(at, "must be an object");
            return read;
        };
        for (key, value) in members {
            let at = format!("{at}.{key}");
            match key.as_str() {
                "derive" | "lookup" => read.read_recipe(&at, key, value, problems),
                _ => {
                    if let Err(message) = read.read_rule(key, value, kind) {
                        problems.add(at, message);
                    }
                }
            }
        }
        read.check(at, members.keys(), kind, problems);
        read
    }

    fn read_rule(&mut self, key: &str, value: &Value, kind: &Kind) -> Result<(), String> {
        match key {
            "format" => self.format = Some(format(value, kind)?),
            "max_length" => self.max_length = Some(max_length(value, kind)?),
            "min" => self.min = Some(limit(value, kind)?),
            "max" => self.max = Some(limit(value, kind)?),
            "pattern" => self.pattern = Some(pattern(value, kind)?),
            "pii" => self.pii = value.as_bool().ok_or("must be true or false")?,
            "index" => self.index = value.as_bool().ok_or("must be true or false")?,
            _ => return Err(format!("no such annotation; there are {KNOWN}")),
        }
        Ok(())
    }

    fn read_recipe(&mut self, at: &str, key: &str, value: &Value, problems: &mut Problems) {
        let recipe = if key == "derive" {
            texts(at, value, ["function", "from"], problems).and_then(|[function, from]| {
                if function != "domain" {
                    problems.add(format!("{at}.function"), "no such function; there is domain");
                    return None;
                }
                Some(Recipe::Derive { function: Derivation::Domain, from: from.into() })
            })
        } else {
            texts(at, value, ["table", "column", "from"], problems).and_then(|[table, column, from]| {
                if !is_table_name(table) {
                    problems.add(format!("{at}.table"), "must be [a-z][a-z0-9_-]{0,47}: it names a file");
                    return None;
                }
                Some(Recipe::Lookup { table: table.into(), column: column.into(), from: from.into() })
            })
        };
        if recipe.is_some() {
            self.recipe = recipe;
        }
    }

    /// The rules between annotations.
    fn check<'a>(&self, at: &str, keys: impl Iterator<Item = &'a String>, kind: &Kind, problems: &mut Problems) {
        let (mut recipes, mut rules) = (0, Vec::new());
        for key in keys {
            match key.as_str() {
                "derive" | "lookup" => recipes += 1,
                "format" | "max_length" | "min" | "max" | "pattern" => rules.push(key.as_str()),
                _ => {}
            }
        }
        if recipes == 2 {
            problems.add(at, "derive and lookup exclude each other");
        }
        if recipes > 0 && *kind != Kind::String {
            problems.add(at, "a derived field must be a string");
        }
        if recipes > 0 && !rules.is_empty() {
            problems.add(at, format!("a derived field is not checked: take out {}", rules.join(", ")));
        }
        if let (Some(min), Some(max)) = (self.min, self.max)
            && !min.is_at_most(max)
        {
            problems.add(at, "min is above max: no value would be allowed");
        }
    }
}

impl Format {
    /// The name in `profile.avsc`.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "email" => Self::Email,
            "phone" => Self::Phone,
            "country" => Self::Country,
            "locale" => Self::Locale,
            "time_zone" => Self::TimeZone,
            "currency" => Self::Currency,
            "url" => Self::Url,
            "date" => Self::Date,
            "uuid" => Self::Uuid,
            _ => return None,
        })
    }
}

impl Limit {
    /// Only numbers of one type compare.
    fn is_at_most(self, other: Self) -> bool {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a <= b,
            (Self::Real(a), Self::Real(b)) => a <= b,
            (Self::Integer(_), Self::Real(_)) | (Self::Real(_), Self::Integer(_)) => false,
        }
    }
}

fn format(value: &Value, kind: &Kind) -> Result<Format, String> {
    if *kind != Kind::String {
        return Err("only a string has a format".into());
    }
    value.as_str().and_then(Format::parse).ok_or_else(|| {
        "no such format; there are email, phone, country, locale, time_zone, currency, url, date, uuid".into()
    })
}

fn max_length(value: &Value, kind: &Kind) -> Result<usize, String> {
    if !matches!(kind, Kind::String | Kind::Bytes) {
        return Err("only string and bytes have a length".into());
    }
    let length = value.as_u64().and_then(|length| usize::try_from(length).ok());
    length.filter(|length| *length > 0).ok_or_else(|| "must be a whole number above 0".into())
}

fn limit(value: &Value, kind: &Kind) -> Result<Limit, String> {
    match kind {
        Kind::Int | Kind::Long => {
            value.as_i64().map(Limit::Integer).ok_or_else(|| "must be a whole number that fits 64 bits".into())
        }
        Kind::Float | Kind::Double => value.as_f64().map(Limit::Real).ok_or_else(|| "must be a number".into()),
        Kind::Boolean
        | Kind::String
        | Kind::Enum(_)
        | Kind::Bytes
        | Kind::Date
        | Kind::TimestampMicros
        | Kind::Uuid => Err("only int, long, float and double have bounds".into()),
    }
}

fn pattern(value: &Value, kind: &Kind) -> Result<Regex, String> {
    if *kind != Kind::String {
        return Err("only a string has a pattern".into());
    }
    let text = value.as_str().ok_or("must be text")?;
    // On its own first: a pattern must not become valid, or something else, by the anchors around it.
    let parsed = Regex::new(text).and_then(|_| Regex::new(&format!(r"\A(?:{text})\z")));
    parsed.map_err(|error| {
        let shown = error.to_string();
        let last = shown.lines().last().unwrap_or_default();
        format!("no regular expression: {}", last.trim_start_matches("error: "))
    })
}

/// The texts of exactly `keys`; anything missing, empty or else there is reported.
fn texts<'a, const N: usize>(
    at: &str,
    value: &'a Value,
    keys: [&str; N],
    problems: &mut Problems,
) -> Option<[&'a str; N]> {
    let Some(members) = value.as_object() else {
        problems.add(at, format!("must be an object of {}", keys.join(", ")));
        return None;
    };
    for key in members.keys().filter(|key| !keys.contains(&key.as_str())) {
        problems.add(format!("{at}.{key}"), format!("no such key; there are {}", keys.join(", ")));
    }
    let found = keys.map(|key| match members.get(key).and_then(Value::as_str) {
        Some(text) if !text.is_empty() => text,
        _ => {
            problems.add(format!("{at}.{key}"), "is missing or no text");
            ""
        }
    });
    found.iter().all(|text| !text.is_empty()).then_some(found)
}

fn is_table_name(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.len() <= 48
        && bytes.first().is_some_and(u8::is_ascii_lowercase)
        && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
}
