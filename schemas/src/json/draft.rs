//! A draft as JSON, in the form that [`super::decode`] reads.

use super::Fields;
use crate::profile::Profile;
use crate::{Draft, Op, calendar};
use serde::ser::{Error, Serialize, SerializeMap, Serializer};

/// A draft with the names of its profile's fields. What is absent is left out; keys come in one order, so that equal
/// drafts are equal bytes.
///
/// A time or date out of reach of its form (after the year 9999), which a checked change never has, is an error.
#[derive(Clone, Copy, Debug)]
pub struct Written<'a> {
    pub profile: &'a Profile,
    pub draft: &'a Draft,
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, json: S) -> Result<S::Ok, S::Error> {
        let Self { profile, draft } = *self;
        let mut object = json.serialize_map(None)?;
        if let Some(id) = draft.id {
            object.serialize_entry("id", &id.hyphenated().to_string())?;
        }
        if let Some(tenant) = &draft.tenant {
            object.serialize_entry("tenant", tenant)?;
        }
        object.serialize_entry("user_id", &draft.user_id)?;
        object.serialize_entry("op", name_of(draft.op))?;
        if let Some(row) = &draft.set {
            object.serialize_entry("set", &Fields { profile, row })?;
        }
        if !draft.unset.is_empty() {
            let fields = profile.fields();
            let names: Vec<&str> =
                draft.unset.iter().filter_map(|at| fields.get(at)).map(|field| &*field.name).collect();
            object.serialize_entry("unset", &names)?;
        }
        if let Some(micros) = draft.occurred_at {
            let time = calendar::time_of(micros).ok_or_else(|| S::Error::custom("the time has no JSON form"))?;
            object.serialize_entry("occurred_at", &time)?;
        }
        if let Some(source) = &draft.source {
            object.serialize_entry("source", source)?;
        }
        if let Some(version) = draft.version {
            object.serialize_entry("version", &version)?;
        }
        object.end()
    }
}

fn name_of(op: Op) -> &'static str {
    match op {
        Op::Upsert => "upsert",
        Op::Patch => "patch",
        Op::Delete => "delete",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::decode;

    #[test]
    fn a_draft_comes_back_as_it_went_and_twice_in_the_same_bytes() {
        let profile = Profile::embedded().unwrap();
        let texts = [
            r#"{"id":"6ba7b810-9dad-11d1-80b4-00c04fd430c8","tenant":"acme","user_id":"ada","op":"upsert","set":{"name":"Ada \"L\"","birth_date":"1815-12-10","marketing_opt_in":true,"last_seen_at":"2026-05-04T03:02:01.000001Z"},"occurred_at":"2026-05-04T03:02:01Z","source":"crm","version":8}"#,
            r#"{"user_id":"\"ada\u0301\"","op":"patch","set":{},"unset":["bio","plan"]}"#,
            r#"{"user_id":"ada","op":"delete"}"#,
        ];
        for text in texts {
            let draft = decode(&profile, text.as_bytes()).unwrap();
            let written = serde_json::to_string(&Written { profile: &profile, draft: &draft }).unwrap();
            assert_eq!(decode(&profile, written.as_bytes()), Ok(draft));
            assert_eq!(written, text.replace(r"\u0301", "\u{301}"), "keys in one order, nothing that is absent");
        }
    }
}
