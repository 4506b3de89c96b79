//! Every example of a change, through everything that happens to a record before it is written.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "this file is tests: a panic is how they fail")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use schemas::accept::{self, OUTPUT_BYTES_MAX, Place, RECORD_BYTES_MAX};
use schemas::json::Fields;
use schemas::pinned::{Bounds, Brought};
use schemas::reference::{Table, Tables};
use schemas::topics::partition_for;
use schemas::{Change, Codec, Draft, FieldSet, Op, Origin, Profile, RejectCode, Rejection, Version};
use schemas::{enrich, origin, rules, topics};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const PARTITIONS: i32 = 12;
const OFFSET: i64 = 1024;

/// 2026-06-01T00:00:00Z on the live lane.
const VERSION: i64 = 1_780_272_000_000_004;

/// As a pinned record finds it: a floor of 2024-01-01, and now.
const BOUNDS: Bounds = Bounds { floor_micros: 1_704_067_200_000_000, latest_ms: VERSION / 1000 };

/// Codes that other stages give, or that no field of the shipped profile can give.
const NOT_HERE: [RejectCode; 3] = [RejectCode::PatternMismatch, RejectCode::ChangeTooOld, RejectCode::StoreRefused];

struct Example {
    file: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    partition: i32,
    /// `None` on the raw topic.
    headers: Option<Map<String, Value>>,
    expect: Value,
}

impl Example {
    fn read(path: &Path, is_pinned: bool) -> Self {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let parsed: Map<String, Value> = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let known =
            ["name", "key", "key_base64", "value", "value_text", "value_base64", "pad_to", "partition", "expect"];
        let is_known = |key: &str| known.contains(&key) || is_pinned && key == "headers";
        assert!(parsed.keys().all(|key| is_known(key)), "{file} has a key that its README does not");
        assert!(parsed["name"].is_string(), "{file} says what it shows");
        let bytes = |name: &str| parsed.get(name).map(|text| STANDARD.decode(text.as_str().unwrap()).unwrap());
        let text = |name: &str| parsed.get(name).and_then(Value::as_str).map(|text| text.as_bytes().to_vec());
        let key = bytes("key_base64").or_else(|| text("key"));
        let object = parsed.get("value").filter(|value| !value.is_null()).map(|value| value.to_string().into_bytes());
        let mut value = object.or_else(|| text("value_text")).or_else(|| bytes("value_base64"));
        if let (Some(size), Some(value)) = (parsed.get("pad_to").and_then(Value::as_u64), &mut value) {
            value.resize(usize::try_from(size).unwrap() - key.as_ref().map_or(0, Vec::len), b' ');
        }
        let home = key.as_ref().map_or(0, |key| partition_for(key, PARTITIONS));
        let partition = parsed.get("partition").map_or(home, |number| number.as_i64().unwrap().try_into().unwrap());
        let given = parsed.get("headers").and_then(Value::as_object).cloned().unwrap_or_default();
        let headers = is_pinned.then_some(given);
        Self { file, key, value, partition, headers, expect: parsed["expect"].clone() }
    }

    fn all() -> Vec<Self> {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        let mut all = Vec::new();
        for (folder, is_pinned) in [("change", false), ("pinned", true)] {
            let entries = fs::read_dir(examples.join(folder)).unwrap();
            let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            let files = paths.iter().filter(|path| path.extension().is_some_and(|end| end == "json"));
            all.extend(files.map(|path| Self::read(path, is_pinned)));
        }
        all
    }

    /// What `validate` makes of the record.
    fn validated(&self, codec: &Codec) -> Result<Change, Rejection> {
        let (key, value) = (self.key.as_deref(), self.value.as_deref());
        let place = Place {
            key,
            origin: Origin::new(origin::RAW, self.partition, OFFSET).unwrap(),
            version: Version::new(VERSION).unwrap(),
        };
        accept::check_size(key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len), RECORD_BYTES_MAX)?;
        accept::check_partition(key, self.partition, PARTITIONS)?;
        let Some(given) = &self.headers else {
            return self.accepted(codec, value.map(|value| accept::read(codec, value)).transpose()?, place);
        };
        let header = |name: &str| given.get(name).and_then(Value::as_str).map(str::as_bytes);
        let brought = Brought::read(header);
        let mut draft = value.map(|value| accept::read(codec, value)).transpose()?;
        let in_value = draft.as_mut().and_then(|draft| draft.version.take());
        let own = Origin::new(topics::PINNED, self.partition, OFFSET).unwrap();
        let version = brought.version(in_value, BOUNDS)?;
        let place = Place { origin: brought.origin(&own)?, version, ..place };
        let id = brought.id()?;
        let change = self.accepted(codec, draft, place)?;
        Ok(Change { id: id.unwrap_or(change.id), ..change })
    }

    fn accepted(&self, codec: &Codec, draft: Option<Draft>, place: Place<'_>) -> Result<Change, Rejection> {
        let change = match draft {
            Some(draft) => accept::accept(codec.profile(), draft, place)?,
            None => accept::accept_null(place)?,
        };
        rules::check(codec.profile(), change)
    }
}

fn codec() -> Codec {
    Codec::new(Arc::new(Profile::embedded().unwrap()))
}

fn tables() -> Tables {
    let mut tables = Tables::default();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("reference")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
        assert!(tables.insert(&name, Table::parse(&fs::read_to_string(&path).unwrap()).unwrap()));
    }
    tables
}

fn names(profile: &Profile, fields: FieldSet) -> Value {
    fields.iter().map(|position| &*profile.fields()[position].name).collect()
}

/// The change as an example has it; of the optional keys only those that `expected` has.
fn shown(profile: &Profile, change: &Change, expected: &Value) -> Value {
    let all = json!({
        "id": change.id.to_string(),
        "tenant": change.tenant.as_str(),
        "user_id": change.user_id.as_str(),
        "op": match change.op { Op::Upsert => "upsert", Op::Patch => "patch", Op::Delete => "delete" },
        "set": Fields { profile, row: &change.set },
        "unset": names(profile, change.unset),
        "occurred_at": change.occurred_at.map(|micros| schemas::calendar::time_of(micros).unwrap()),
        "source": change.source,
        "version": change.version.get(),
        "origin": change.origin.to_string(),
    });
    let Value::Object(all) = all else { unreachable!("an object") };
    let always = ["op", "set", "unset"];
    all.into_iter().filter(|(key, _)| always.contains(&&**key) || expected.get(key).is_some()).collect()
}

#[test]
fn every_example_becomes_what_it_says() {
    let (codec, tables) = (codec(), tables());
    let profile = codec.profile();
    let examples = Example::all();
    assert!(examples.len() > 100, "the examples are there");
    for example in examples {
        let file = &example.file;
        match example.validated(&codec) {
            Err(rejection) => {
                let mut told = json!({"code": rejection.code.as_str()});
                if let Some(field) = rejection.field {
                    told["field"] = json!(field);
                }
                assert_eq!(json!({"reject": told}), example.expect, "{file}");
            }
            Ok(change) => {
                let expected = &example.expect["change"];
                assert_eq!(&shown(profile, &change, expected), expected, "{file}");
                assert_eq!(rules::check(profile, change.clone()).as_ref(), Ok(&change), "{file} is normalised once");
                let named = (change.set.named(), change.unset);
                let enriched = enrich::enrich(profile, &tables, change);
                let mut set = json!(Fields { profile, row: &enriched.set });
                set.as_object_mut().unwrap().retain(|name, _| !named.0.contains(profile.position(name).unwrap()));
                let derived = json!({"set": set, "unset": names(profile, enriched.unset.minus(named.1))});
                let nothing = json!({"set": {}, "unset": []});
                assert_eq!(&derived, example.expect.get("enriched").unwrap_or(&nothing), "{file}");
            }
        }
    }
}

#[test]
fn every_accepted_example_travels_on_as_avro_and_stays_what_it_is() {
    let (codec, tables) = (codec(), tables());
    for example in Example::all() {
        let Ok(change) = example.validated(&codec) else { continue };
        let change = enrich::enrich(codec.profile(), &tables, change);
        let mut bytes = Vec::new();
        codec.encode(&change, &mut bytes).unwrap();
        assert!(bytes.len() < OUTPUT_BYTES_MAX, "{}", example.file);
        assert_eq!(codec.decode(&bytes, change.origin.clone()), Ok(change), "{}", example.file);
    }
}

#[test]
fn every_code_that_validate_can_give_has_an_example() {
    let codec = codec();
    let given: BTreeSet<&str> = Example::all()
        .iter()
        .filter_map(|example| example.validated(&codec).err())
        .map(|rejection| rejection.code.as_str())
        .collect();
    for code in RejectCode::ALL {
        assert_eq!(given.contains(code.as_str()), !NOT_HERE.contains(code), "{code}");
    }
}

#[test]
fn a_rejected_example_tells_no_value() {
    let codec = codec();
    for example in Example::all() {
        let Err(rejection) = example.validated(&codec) else { continue };
        let field = rejection.field.unwrap_or_default();
        let unknown = rejection.code == RejectCode::FieldUnknown;
        let own = |step: &str| {
            let number = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
            let envelope = ["id", "tenant", "user_id", "op", "set", "unset", "occurred_at", "source", "version"];
            let ours = schemas::headers::is_ours(step);
            number || ours || envelope.contains(&step) || codec.profile().position(step).is_some()
        };
        assert!(field.is_empty() || unknown || field.split('.').all(own), "{} tells {field}", example.file);
        assert!(field.bytes().all(|byte| byte.is_ascii_graphic()), "{}", example.file);
        assert!(field.len() <= 128, "{}", example.file);
    }
}

/// What the schema of a change can say of a record that is JSON.
const SAID_BY_SCHEMA: [&str; 5] = ["field-unknown", "field-missing", "field-type", "too-deep", "derived-field"];

#[test]
fn the_json_schema_takes_every_change_that_is_accepted_and_refuses_what_it_can_see() {
    let profile = Profile::embedded().unwrap();
    let schema = jsonschema::options().with_draft(jsonschema::Draft::Draft202012);
    let schema = schema.build(&schemas::describe::change(&profile)).unwrap();
    let codec = codec();
    let (mut taken, mut refused) = (0, 0);
    for example in Example::all().into_iter().filter(|example| example.headers.is_none()) {
        let Some(Ok(value)) = example.value.as_deref().map(serde_json::from_slice::<Value>) else { continue };
        match example.validated(&codec) {
            Ok(_) => {
                let errors: Vec<String> = schema.iter_errors(&value).map(|error| error.to_string()).collect();
                assert!(errors.is_empty(), "{}: {errors:?}", example.file);
                taken += 1;
            }
            Err(rejection) if SAID_BY_SCHEMA.contains(&rejection.code.as_str()) => {
                assert!(!schema.is_valid(&value), "{}: {rejection:?}", example.file);
                refused += 1;
            }
            Err(_) => {}
        }
    }
    assert!(taken > 30 && refused > 10, "{taken} taken, {refused} refused");
}
