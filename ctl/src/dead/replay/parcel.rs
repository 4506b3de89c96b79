//! From a dead letter to the record that is sent in its stead.

use super::editor::Editor;
use super::tally::Left;
use crate::Error;
use bytes::Bytes;
use runtime::record::{Headers, Outgoing, Record};
use schemas::json::Fields;
use schemas::topics::partition_for;
use schemas::{Codec, Draft, FieldSet, Op, Origin, Profile, RejectCode, Version, accept, calendar, headers};
use serde_json::{Map, Value, json};

/// What is sent.
pub(super) struct Parcel {
    pub(super) outgoing: Outgoing,
    /// Its place in history; `None` as a change of now.
    pub(super) version: Option<Version>,
}

/// Makes parcels of letters.
pub(super) struct Packer {
    pub(super) codec: Codec,
    pub(super) editor: Option<Editor>,
    pub(super) as_new: bool,
    pub(super) partitions: i32,
}

/// The place in history that a letter has kept.
struct Place {
    version: Version,
    origin: Origin,
}

type Content = Option<Bytes>;

impl Packer {
    /// # Errors
    /// Outer: no letter can be packed so. Inner: this one cannot be sent.
    pub(super) async fn pack(&self, record: &Record) -> Result<Result<Parcel, Left>, Error> {
        let unpacked = self.check(record).and_then(|place| Ok((place, self.content(record)?)));
        let (place, content) = match unpacked {
            Ok(unpacked) => unpacked,
            Err(left) => return Ok(Err(left)),
        };
        let Some(editor) = &self.editor else {
            return Ok(self.finish(record, record.key.clone(), content, place));
        };
        let change = self.text_of(content.as_deref());
        let edited = match editor.run(&change).await? {
            Ok(edited) => edited,
            Err(left) => return Ok(Err(left)),
        };
        // A command that finds nothing to write often writes null. It may not make a deletion of what was none.
        if edited.value.is_none() && content.is_some() {
            return Ok(Err(Left::EditFailed));
        }
        let key = edited.user_id.map(Bytes::from).or_else(|| record.key.clone());
        Ok(self.finish(record, key, edited.value, place))
    }

    /// The letter's place in history, `None` if it is to have a new one.
    fn check(&self, record: &Record) -> Result<Option<Place>, Left> {
        if record.headers.last(headers::DROPPED_BYTES).is_some() {
            return Err(Left::Dropped);
        }
        if self.as_new {
            return Ok(None);
        }
        let code = record.headers.last(headers::CODE).map(|code| &code[..]).unwrap_or_default();
        for (only_as_new, left) in [
            (RejectCode::Misplaced, Left::Misplaced),
            (RejectCode::ChangeTooOld, Left::TooOld),
            (RejectCode::VersionInvalid, Left::NoPlace),
        ] {
            if code == only_as_new.as_str().as_bytes() {
                return Err(left);
            }
        }
        let text = |name| record.headers.last(name).map(|text| &text[..]);
        let version = text(headers::VERSION).and_then(headers::integer).and_then(Version::new);
        let origin = text(headers::ORIGIN).and_then(schemas::facts::origin_of);
        match version.zip(origin) {
            Some((version, origin)) => Ok(Some(Place { version, origin })),
            None => Err(Left::NoPlace),
        }
    }

    /// The value as an outsider would write it.
    fn content(&self, record: &Record) -> Result<Content, Left> {
        let is_as_it_came = record.headers.last(headers::STAGE).is_none_or(|stage| &stage[..] == b"validate");
        let Some(value) = &record.value else {
            return if is_as_it_came { Ok(None) } else { Err(Left::Unreadable) };
        };
        let profile = self.codec.profile();
        if is_as_it_came {
            // A record of pinned may bring its version in its value, which a raw one must not.
            return match accept::read(&self.codec, value) {
                Ok(draft) if self.as_new && draft.version.is_some() => to_json(profile, &draft).map(Some),
                _ => Ok(Some(value.clone())),
            };
        }
        let mut draft = accept::read(&self.codec, value).map_err(|_| Left::Unreadable)?;
        strip_derived(profile, &mut draft);
        let origin = record.headers.last(headers::ORIGIN).and_then(|text| schemas::facts::origin_of(text));
        if self.as_new && draft.id == origin.as_ref().map(accept::id_of) {
            draft.id = None;
        }
        to_json(profile, &draft).map(Some)
    }

    /// What the --edit command reads: JSON, unless the value is none and cannot be made any.
    fn text_of(&self, content: Option<&[u8]>) -> Vec<u8> {
        let Some(value) = content else { return b"null".to_vec() };
        if value.first() == Some(&b'{') {
            return value.to_vec();
        }
        let draft = accept::read(&self.codec, value).ok();
        let json = draft.and_then(|draft| to_json(self.codec.profile(), &draft).ok());
        json.map_or_else(|| value.to_vec(), |json| json.to_vec())
    }

    fn finish(
        &self,
        record: &Record,
        key: Option<Bytes>,
        value: Content,
        place: Option<Place>,
    ) -> Result<Parcel, Left> {
        let mut kept = Headers::with_capacity(record.headers.len());
        for (name, value) in record.headers.iter().filter(|(name, _)| !headers::is_ours(name)) {
            kept.push(name.clone(), value.cloned());
        }
        let partition = key.as_deref().map_or(record.place.partition, |key| partition_for(key, self.partitions));
        // A receipt is an offset of the partition that orders the user: an origin of another one is none.
        let is_foreign = |place: &Place| place.origin.raw().is_some_and(|(ordered_by, _)| ordered_by != partition);
        if place.as_ref().is_some_and(is_foreign) {
            return Err(Left::Misplaced);
        }
        let mut outgoing = Outgoing { partition, key, value, headers: kept };
        if outgoing.bytes() > accept::RECORD_BYTES_MAX {
            return Err(Left::TooLarge);
        }
        let version = place.as_ref().map(|place| place.version);
        if let Some(Place { version, origin }) = place {
            outgoing.headers.push_text(headers::VERSION, version.to_string());
            outgoing.headers.push_text(headers::ORIGIN, origin.to_string());
            if let Some(id) = record.headers.last(headers::ID) {
                outgoing.headers.push(headers::ID, Some(id.clone()));
            }
        }
        Ok(Parcel { outgoing, version })
    }
}

/// Producers may not name what the pipeline derives.
fn strip_derived(profile: &Profile, draft: &mut Draft) {
    for (position, field) in profile.fields().iter().enumerate() {
        if field.derived.is_some() {
            draft.set.as_mut().map(|set| set.take(position));
            draft.unset.remove(position);
        }
    }
}

/// The change as JSON, without its version.
fn to_json(profile: &Profile, draft: &Draft) -> Result<Bytes, Left> {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
    if let Some(id) = draft.id {
        put("id", json!(id.to_string()));
    }
    if let Some(tenant) = &draft.tenant {
        put("tenant", json!(tenant));
    }
    put("user_id", json!(draft.user_id));
    put(
        "op",
        json!(match draft.op {
            Op::Upsert => "upsert",
            Op::Patch => "patch",
            Op::Delete => "delete",
        }),
    );
    if let Some(row) = &draft.set {
        put("set", serde_json::to_value(Fields { profile, row }).map_err(|_| Left::Unreadable)?);
    }
    if !draft.unset.is_empty() {
        put("unset", names_of(profile, draft.unset));
    }
    if let Some(micros) = draft.occurred_at {
        put("occurred_at", json!(calendar::time_of(micros).ok_or(Left::Unreadable)?));
    }
    if let Some(source) = &draft.source {
        put("source", json!(source));
    }
    Ok(Bytes::from(Value::Object(object).to_string()))
}

fn names_of(profile: &Profile, fields: FieldSet) -> Value {
    fields.iter().filter_map(|position| profile.fields().get(position)).map(|field| json!(&*field.name)).collect()
}

#[cfg(test)]
mod tests;
