//! The profile's schema, as whoever adds a field writes it.

use crate::engine::Target;
use schemas::profile::{CHANGE, ChangeSchema, PROFILE};
use schemas::{Change, Codec, FieldSet, FieldValue, Kind, Op, Origin, Profile, Row, Tenant, UserId, Version, rules};
use std::sync::Arc;
use store::cql::{Keyspace, Plan, Replication};
use tests::history::Random;
use uuid::Uuid;

/// Texts of a `profile.avsc`.
pub(crate) struct Profiles;

const FIELDS: [&str; 12] = [
    r#"{"name": "name", "type": ["null", "string"], "default": null, "tidewater": {"max_length": 200, "pii": true}}"#,
    r#"{"name": "email", "type": ["null", "string"], "default": null, "tidewater": {"format": "email", "index": true}}"#,
    r#"{"name": "country", "type": ["null", "string"], "default": null, "tidewater": {"format": "country"}}"#,
    r#"{"name": "region", "type": ["null", "string"], "default": null, "tidewater": {"lookup": {"table": "regions", "key": "country", "column": "region"}}}"#,
    r#"{"name": "email_domain", "type": ["null", "string"], "default": null, "tidewater": {"derive": {"function": "domain", "from": "email"}}}"#,
    r#"{"name": "born", "type": ["null", {"type": "int", "logicalType": "date"}], "default": null}"#,
    r#"{"name": "seen", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": null}"#,
    r#"{"name": "plan", "type": ["null", {"type": "enum", "name": "Plan", "symbols": ["free", "pro"]}], "default": null}"#,
    r#"{"name": "key", "type": ["null", {"type": "string", "logicalType": "uuid"}], "default": null, "aliases": ["old_key"]}"#,
    r#"{"name": "photo", "type": ["null", "bytes"], "default": null, "tidewater": {"max_length": 1000}}"#,
    r#"{"name": "score", "type": ["null", "double"], "default": null, "tidewater": {"min": 0, "max": 1.5}}"#,
    r#"{"name": "zip", "type": ["null", "string"], "default": null, "tidewater": {"pattern": "[0-9]{5}"}}"#,
];

impl Profiles {
    fn text(fields: &[&str]) -> String {
        format!(
            r#"{{"type": "record", "name": "Profile", "namespace": "tidewater.v1", "fields": [{}]}}"#,
            fields.join(", ")
        )
    }
}

/// A value of the kind, not looked at by any rule.
fn value(kind: &Kind) -> FieldValue {
    match kind {
        Kind::Boolean => FieldValue::Bool(true),
        Kind::Int | Kind::Date => FieldValue::Int(1),
        Kind::Long | Kind::TimestampMicros => FieldValue::Long(1),
        Kind::Float => FieldValue::Float(0.5),
        Kind::Double => FieldValue::Double(0.5),
        Kind::String | Kind::Uuid => FieldValue::Text("6ba7b810-9dad-11d1-80b4-00c04fd430c8".to_owned()),
        Kind::Enum(symbols) => FieldValue::Text(symbols[0].to_string()),
        Kind::Bytes => FieldValue::Bytes(vec![0, 255]),
    }
}

/// Holds that a profile which loads can be worked with.
fn work_with(profile: Profile) -> String {
    let fields = profile.fields();
    assert!((1..=64).contains(&fields.len()), "{} fields", fields.len());
    let mut set = Row::default();
    for (at, field) in fields.iter().enumerate() {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        assert!(field.name.len() <= 48 && field.name.chars().all(fits) && !field.name.starts_with("tw_"));
        assert_eq!(profile.position(&field.name), Some(at));
        set.set(at, value(&field.kind));
    }
    let change = Change {
        id: Uuid::nil(),
        tenant: Tenant::default(),
        user_id: UserId::new("u-1").unwrap(),
        op: Op::Upsert,
        set,
        unset: FieldSet::EMPTY,
        occurred_at: None,
        source: None,
        version: Version::FIRST,
        origin: Origin::new(schemas::origin::RAW, 0, 0).unwrap(),
    };
    let plan = Plan::from_nothing(&Keyspace::default(), &profile, &Replication::within("datacenter1", 3));
    let columns = plan.statements().concat();
    assert!(fields.iter().all(|field| columns.contains(&format!("\"{}\" ", field.name))), "{columns}");
    let codec = Codec::new(Arc::new(profile));
    let mut record = Vec::new();
    codec.encode(&change, &mut record).unwrap();
    assert_eq!(codec.decode(&record, change.origin.clone()).as_ref(), Ok(&change), "a record comes back as it was");
    match rules::check(codec.profile(), change) {
        Ok(change) => {
            let again = rules::check(codec.profile(), change.clone());
            assert_eq!(again, Ok(change), "a normalised value stays what it is");
            format!("{} fields", codec.profile().fields().len().min(14))
        }
        Err(rejection) => format!("{} fields, {}", codec.profile().fields().len().min(14), rejection.code),
    }
}

impl Target for Profiles {
    const NAME: &'static str = "profile";
    /// A pattern may compile to the limit that the regex crate sets, of a few MiB.
    const MEMORY: (u64, u64) = (32 << 20, 4096);

    fn fresh(&self, random: &mut Random) -> Vec<u8> {
        if random.below(8) == 0 {
            return PROFILE.as_bytes().to_vec();
        }
        let count = 1 + random.below(8);
        let fields: Vec<&str> = (0..count).map(|_| FIELDS[random.below(FIELDS.len())]).collect();
        Self::text(&fields).into_bytes()
    }

    fn words(&self) -> Vec<&[u8]> {
        let words = [
            "\"fields\":",
            "\"name\":",
            "\"type\":",
            "\"default\":",
            "\"tidewater\":",
            "\"aliases\":",
            "\"logicalType\":",
            "\"symbols\":",
            "\"namespace\":",
            "\"null\"",
            "\"string\"",
            "\"record\"",
            "\"array\"",
            "\"map\"",
            "\"fixed\"",
            "\"long\"",
            "\"float\"",
            "\"decimal\"",
            "\"Profile\"",
            "\"tidewater.v1.Profile\"",
            "\"tidewater.v1.Change\"",
            "null",
            "[",
            "]",
            "{",
            "}",
            ",",
            "\"tw_live\"",
            "\"user_id\"",
            "\"tenant\"",
            "\"select\"",
            "\"a\"",
            "\"\"",
            "\"max_length\": 0",
            "\"max_length\": -1",
            "\"max_length\": 1e99",
            "\"min\": 9223372036854775808",
            "\"max\": \"x\"",
            "\"pattern\": \"(\"",
            "\"pattern\": \"(a{999}){999}\"",
            "\"pattern\": \"\\\\p{L}*\"",
            "\"derive\": 1",
            "\"lookup\": {}",
            "\"pii\": \"yes\"",
            "\"index\": true,",
        ];
        words.iter().chain(&FIELDS).map(|word| word.as_bytes()).collect()
    }

    fn run(&self, input: &[u8]) -> String {
        let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
        // Kept as it is, for a schema that is not kept is refused for that alone.
        let kept =
            ChangeSchema::splice(CHANGE, text).map(|schema| (format!("{}.avsc", schema.fingerprint), schema.text));
        let history = kept.as_ref().map(|(name, text)| (name.as_str(), &**text));
        match Profile::load(CHANGE, text, history) {
            Ok(profile) => work_with(profile),
            Err(error) => {
                assert!(!error.problems.is_empty(), "refused for no reason");
                assert!(
                    error.to_string().len() < 4096 + 64 * input.len(),
                    "{} bytes of error",
                    error.to_string().len()
                );
                let mut said: Vec<String> = error.problems.iter().map(|problem| said(&problem.message)).collect();
                said.sort();
                said.dedup();
                said.truncate(3);
                format!("refused: {}", said.join(" | "))
            }
        }
    }
}

/// The first words of a message, without what it quotes.
fn said(message: &str) -> String {
    let plain = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == ',');
    message.split(' ').take_while(plain).take(4).collect::<Vec<_>>().join(" ")
}
