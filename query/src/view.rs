//! What of a profile a reader is shown, and how.

use crate::Reader;
use crate::error::Problem;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::{FieldSet, Profile, Version};
use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use store::through::{Seen, Source};

/// Of the newest change in the answer.
const VERSION: HeaderName = HeaderName::from_static("tidewater-version");
/// Whether the cache or the store answered.
const SOURCE: HeaderName = HeaderName::from_static("tidewater-source");
/// Fields that were asked for and are not shown to this reader, whether there is a value or not.
const REDACTED: HeaderName = HeaderName::from_static("tidewater-redacted");

/// Fields that are asked for, by position; `None` for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Asked(Option<FieldSet>);

impl Asked {
    /// Reads `fields=name,email`, which may be left out.
    pub(crate) fn parse(query: Option<&str>, profile: &Profile) -> Result<Self, Problem> {
        let mut asked = None;
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            if name != "fields" || asked.is_some() {
                return Err(Problem::QueryInvalid);
            }
            let positions = value.split(',').map(|name| profile.position(name).ok_or(Problem::QueryInvalid));
            asked = Some(positions.collect::<Result<FieldSet, _>>()?);
        }
        Ok(Self(asked))
    }
}

/// A profile as one reader sees it.
#[derive(Debug)]
pub(crate) struct View {
    version: Option<Version>,
    source: Source,
    payload: Payload,
    redacted: Option<HeaderValue>,
}

/// JSON, as it was made or with some of it left out.
enum Payload {
    Whole(Arc<str>),
    Part(String),
}

impl View {
    /// Takes out of `seen` what is not asked for or not for this reader.
    pub(crate) fn of(seen: Seen, asked: Asked, reader: &Reader, profile: &Profile) -> Result<Self, Problem> {
        let Seen { version, payload, source, .. } = seen;
        let Some(payload) = payload else { return Err(Problem::UserUnknown { version, by: source }) };
        let all: FieldSet = (0..profile.fields().len()).collect();
        let asked_set = asked.0.unwrap_or(all);
        let withheld: FieldSet = asked_set.iter().filter(|position| !reader.may_see(*position, profile)).collect();
        let is_whole = asked.0.is_none() && withheld.is_empty();
        let payload = match is_whole {
            true => Payload::Whole(payload),
            false => Payload::Part(part_of(&payload, profile, asked_set.minus(withheld)).ok_or(Problem::StoreBroken)?),
        };
        let names = withheld.iter().filter_map(|position| profile.fields().get(position)).map(|field| &*field.name);
        let names = names.collect::<Vec<_>>().join(",");
        let redacted = if names.is_empty() { None } else { HeaderValue::try_from(names).ok() };
        Ok(Self { version, source, payload, redacted })
    }

    /// The whole answer, or that it is known already.
    pub(crate) fn answer(self, known: &[HeaderValue]) -> Response {
        let tag = tag_of(self.version, self.payload.as_str());
        let is_known = known.iter().any(|known| names(known, &tag));
        let mut response = match is_known {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => Response::new(self.payload.into_body()),
        };
        let headers = response.headers_mut();
        if !is_known {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        headers.insert(header::VARY, HeaderValue::from_static("authorization"));
        headers.extend(HeaderValue::try_from(tag).ok().map(|tag| (header::ETAG, tag)));
        headers.extend(self.redacted.map(|redacted| (REDACTED, redacted)));
        mark(headers, self.version, self.source);
        response
    }
}

impl Payload {
    fn as_str(&self) -> &str {
        match self {
            Self::Whole(payload) => payload,
            Self::Part(payload) => payload,
        }
    }

    fn into_body(self) -> Body {
        match self {
            Self::Whole(payload) => Body::from(payload.to_string()),
            Self::Part(payload) => Body::from(payload),
        }
    }
}

/// Says what it is, never what is in it.
impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole(_) => "Whole(..)",
            Self::Part(_) => "Part(..)",
        })
    }
}

/// Says in `headers` how new an answer is, and where it is from.
pub(crate) fn mark(headers: &mut HeaderMap, version: Option<Version>, source: Source) {
    headers.extend(version.map(|version| (VERSION, version.get().into())));
    let source = match source {
        Source::Cache => "cache",
        Source::Store => "store",
    };
    headers.insert(SOURCE, HeaderValue::from_static(source));
}

/// `"<version>-<sum of the body>"`. The version alone does not do: a dead letter that is replayed into its old place changes
/// the profile and leaves the newest version as it was, and readers who may see more have another body.
fn tag_of(version: Option<Version>, payload: &str) -> String {
    // FNV-1a: the same in every process of every release, and cheap.
    let sum = payload
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    format!("\"{}-{sum:016x}\"", version.map_or(0, Version::get))
}

/// Whether an `If-None-Match` names a tag; weak ones are as good.
fn names(known: &HeaderValue, tag: &str) -> bool {
    let Ok(known) = known.to_str() else { return false };
    known.split(',').map(str::trim).any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

/// The fields of `keep` out of a payload, each value as it stands. `None` if it is no JSON object.
fn part_of(payload: &str, profile: &Profile, keep: FieldSet) -> Option<String> {
    let mut part = Vec::with_capacity(payload.len());
    let mut json = serde_json::Serializer::new(&mut part);
    let map = json.serialize_map(None).ok()?;
    let mut from = serde_json::Deserializer::from_str(payload);
    let map = from.deserialize_map(Filter { map, profile, keep }).ok()?;
    from.end().ok()?;
    map.end().ok()?;
    String::from_utf8(part).ok()
}

struct Filter<'p, M> {
    map: M,
    profile: &'p Profile,
    keep: FieldSet,
}

impl<'de, M: SerializeMap> Visitor<'de> for Filter<'_, M> {
    type Value = M;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the fields of a profile")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<M, A::Error> {
        while let Some((name, value)) = fields.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            // One that this release does not know may be anything.
            if self.profile.position(&name).is_some_and(|position| self.keep.contains(position)) {
                self.map.serialize_entry(&name, value).map_err(serde::de::Error::custom)?;
            }
        }
        Ok(self.map)
    }
}

#[cfg(test)]
mod tests;
