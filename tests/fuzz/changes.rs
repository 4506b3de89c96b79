//! Changes as producers write them, in JSON and in Avro. What is accepted is accepted again as itself, in both.

use crate::engine::Target;
use schemas::accept::{self, Place};
use schemas::avro::Unreadable;
use schemas::json::{self, Fields};
use schemas::{Change, Codec, Draft, Kind, Op, Origin, Profile, Rejection, Version, calendar, headers, rules};
use serde_json::{Map, Value};
use std::sync::Arc;
use tests::history::Random;

/// Texts that formats, normalisation and limits have an opinion on.
const TEXTS: [&str; 40] = [
    "",
    "ada",
    "main",
    "billing",
    "Ada Lovelace",
    "e\u{301}",
    "\u{fb2c}",
    "\u{1d160}",
    "\u{0}",
    "\u{7f}",
    "\u{85}",
    "\u{feff}x",
    "\u{202e}abc",
    "\u{d7ff}\u{e000}\u{10ffff}",
    "ada@EXAMPLE.org",
    "ada@b\u{fc}cher.example",
    "\"a b\"@example.org",
    "+49 30 901820",
    "+1 (212) 555-0100;ext=7",
    "+999999999999999999",
    "de",
    "XK",
    "EUR",
    "de_DE",
    "zh-hant-tw-u-co-pinyin",
    "x-private",
    "Europe/berlin",
    "Etc/GMT+5",
    "http://EXAMPLE.org:80/a/../b?c#d",
    "https://[::1]/",
    "http://b\u{fc}cher.example/\u{e9}",
    "javascript:alert(1)",
    "1815-12-10",
    "0000-01-01",
    "9999-12-31",
    "2026-11-22T10:00:00.1234567+05:30",
    "9999-12-31T23:59:60Z",
    "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    "{6BA7B8109DAD11D180B400C04FD430C8}",
    "AAECAwQ=",
];

/// Numbers at the ends of types, as JSON has them.
const NUMBERS: [&str; 14] = [
    "0",
    "-0",
    "-1",
    "2147483648",
    "-2147483649",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775809",
    "1e2",
    "1.0",
    "1e400",
    "-1e-400",
    "0.1",
    "3.4028236e38",
];

/// Raw JSON.
pub(crate) struct Json {
    read: Reading,
}

/// Avro, with single-object framing.
pub(crate) struct Avro {
    read: Reading,
}

/// What `validate` makes of a value, and back.
struct Reading {
    codec: Codec,
    names: Vec<String>,
}

impl Reading {
    fn new() -> Self {
        let codec = Codec::new(Arc::new(Profile::embedded().unwrap()));
        let names = codec.profile().fields().iter().map(|field| field.name.to_string()).collect();
        Self { codec, names }
    }

    fn profile(&self) -> &Profile {
        self.codec.profile()
    }

    /// The verdict on a draft, in a word; with the field only if it is one of ours.
    fn verdict(&self, draft: Result<Draft, Rejection>) -> String {
        let op = draft.as_ref().map(|draft| draft.op).ok();
        match draft.and_then(|draft| self.accepted(draft)) {
            Ok(change) => {
                self.assert_is_itself(&change);
                let (set, unset) = (change.set.named().len(), change.unset.len());
                format!("{:?} {set} {unset} {}", change.op, change.source.is_some())
            }
            Err(rejection) => self.class(&rejection, op),
        }
    }

    fn class(&self, rejection: &Rejection, op: Option<Op>) -> String {
        let field = rejection.field.as_deref().unwrap_or_default();
        assert!(field.len() <= headers::TEXT_LEN_MAX && field.is_ascii(), "a field for a header: {field:?}");
        let parts = ["", "id", "tenant", "user_id", "op", "set", "unset", "occurred_at", "source", "version"];
        let is_ours = parts.contains(&field)
            || field
                .split_once('.')
                .is_some_and(|(part, name)| parts.contains(&part) && self.names.iter().any(|n| n == name));
        format!("{} {} {op:?}", rejection.code, if is_ours { field } else { "(another)" })
    }

    fn accepted(&self, mut draft: Draft) -> Result<Change, Rejection> {
        let user = draft.user_id.clone();
        // As on the pinned topic, which is where a version may be brought.
        let brought = draft.version.take().and_then(Version::new);
        let place = Place {
            key: Some(user.as_bytes()),
            origin: Origin::new(schemas::origin::RAW, 3, 1024).unwrap(),
            version: brought.unwrap_or(Version::FIRST),
        };
        rules::check(self.profile(), accept::accept(self.profile(), draft, place)?)
    }

    /// Written in either form and read again, an accepted change is the same one.
    fn assert_is_itself(&self, change: &Change) {
        let mut record = Vec::new();
        self.codec.encode(change, &mut record).unwrap();
        let origin = change.origin.to_string();
        let own = self.codec.decode_own(Some(&record), Some(origin.as_bytes())).unwrap();
        assert!(own == *change, "our own record is another change");
        for (form, draft) in [
            ("avro", accept::read(&self.codec, &record)),
            ("json", accept::read(&self.codec, self.text(change).as_bytes())),
        ] {
            let again = draft.and_then(|draft| self.accepted(draft));
            let again = again.unwrap_or_else(|wrong| panic!("{form}: an accepted change is refused: {wrong:?}"));
            assert!(again == *change, "{form}: a change accepted again is another: {again:?} for {change:?}");
        }
    }

    fn text(&self, change: &Change) -> String {
        let mut text = Map::new();
        let mut put = |key: &str, value: Value| drop(text.insert(key.to_owned(), value));
        put("id", change.id.to_string().into());
        put("tenant", change.tenant.as_str().into());
        put("user_id", change.user_id.as_str().into());
        put("op", format!("{:?}", change.op).to_lowercase().into());
        if change.op != Op::Delete {
            put("set", serde_json::to_value(Fields { profile: self.profile(), row: &change.set }).unwrap());
        }
        let unset: Vec<&str> = change.unset.iter().map(|at| &*self.names[at]).collect();
        put("unset", unset.into());
        if let Some(micros) = change.occurred_at {
            put("occurred_at", calendar::time_of(micros).unwrap().into());
        }
        if let Some(source) = &change.source {
            put("source", source.as_str().into());
        }
        put("version", change.version.get().into());
        Value::Object(text).to_string()
    }

    /// A change in JSON, most of it right.
    fn change(&self, random: &mut Random) -> String {
        let ops = ["upsert", "patch", "patch", "delete", "none"];
        let op = ops[random.below(ops.len())];
        let mut parts = vec![format!(r#""user_id": {}"#, text(random)), format!(r#""op": "{op}""#)];
        let sets = (0..random.below(4)).map(|_| self.field(random)).collect::<Vec<_>>().join(", ");
        if op != "delete" || random.below(8) == 0 {
            parts.push(format!(r#""set": {{{sets}}}"#));
        }
        if op == "patch" && random.below(2) == 0 {
            let names: Vec<String> = (0..random.below(3)).map(|_| format!("{:?}", self.name(random))).collect();
            parts.push(format!(r#""unset": [{}]"#, names.join(", ")));
        }
        for key in ["id", "tenant", "source", "occurred_at", "version"] {
            if random.below(5) == 0 {
                parts.push(format!("\"{key}\": {}", value(random)));
            }
        }
        let at = random.below(parts.len());
        parts.swap(0, at);
        format!("{{{}}}", parts.join(", "))
    }

    fn field(&self, random: &mut Random) -> String {
        let at = random.below(self.names.len());
        let fit = match &self.profile().fields()[at].kind {
            Kind::Boolean => "true".to_owned(),
            Kind::Enum(symbols) => format!("{:?}", symbols[random.below(symbols.len())]),
            Kind::Int | Kind::Long | Kind::Float | Kind::Double => NUMBERS[random.below(NUMBERS.len())].to_owned(),
            Kind::String | Kind::Bytes | Kind::Date | Kind::TimestampMicros | Kind::Uuid => text(random),
        };
        let value = if random.below(8) == 0 { value(random) } else { fit };
        format!("\"{}\": {value}", self.names[at])
    }

    fn name(&self, random: &mut Random) -> &str {
        &self.names[random.below(self.names.len())]
    }
}

fn text(random: &mut Random) -> String {
    let mut text = TEXTS[random.below(TEXTS.len())].to_owned();
    if random.below(6) == 0 {
        text = text.repeat(random.below(40));
    }
    Value::from(text).to_string()
}

fn value(random: &mut Random) -> String {
    match random.below(8) {
        0 => "null".to_owned(),
        1 => "true".to_owned(),
        2 => format!("[{}]", text(random)),
        3 => format!("{{{}: 1}}", text(random)),
        4 => "[".repeat(random.below(300)),
        5 => NUMBERS[random.below(NUMBERS.len())].to_owned(),
        _ => text(random),
    }
}

impl Json {
    pub(crate) fn new() -> Self {
        Self { read: Reading::new() }
    }
}

impl Target for Json {
    const NAME: &'static str = "json";
    const MEMORY: (u64, u64) = (1 << 18, 64);

    fn fresh(&self, random: &mut Random) -> Vec<u8> {
        self.read.change(random).into_bytes()
    }

    fn words(&self) -> Vec<&[u8]> {
        let json = [
            "\"id\":",
            "\"tenant\":",
            "\"user_id\":",
            "\"op\":",
            "\"set\":",
            "\"unset\":",
            "\"occurred_at\":",
            "\"source\":",
            "\"version\":",
            "\"upsert\"",
            "\"patch\"",
            "\"delete\"",
            "null",
            "true",
            "{",
            "}",
            "[",
            "]",
            ",",
            "\"",
            "\\u0000",
            "\\ud800",
            "\\udc00",
            "\\n",
            "\u{feff}",
        ];
        let known = self.read.names.iter().map(String::as_bytes);
        known.chain(json.iter().chain(&TEXTS).chain(&NUMBERS).map(|word| word.as_bytes())).collect()
    }

    fn run(&self, input: &[u8]) -> String {
        let draft = json::decode(self.read.profile(), input);
        let read = accept::read(&self.read.codec, input);
        assert!(input.first() != Some(&b'{') || read == draft, "the value is read as JSON");
        self.read.verdict(draft)
    }
}

impl Avro {
    pub(crate) fn new() -> Self {
        Self { read: Reading::new() }
    }
}

impl Target for Avro {
    const NAME: &'static str = "avro";
    const MEMORY: (u64, u64) = (1 << 18, 64);

    fn fresh(&self, random: &mut Random) -> Vec<u8> {
        loop {
            let draft = json::decode(self.read.profile(), self.read.change(random).as_bytes());
            // Unchecked, so that values stand in it that no rule lets pass.
            let change = draft.and_then(|mut draft| {
                draft.version = None;
                let user = draft.user_id.clone();
                let origin = Origin::new(schemas::origin::RAW, 3, 1024).unwrap();
                let place = Place { key: Some(user.as_bytes()), origin, version: Version::FIRST };
                accept::accept(self.read.profile(), draft, place)
            });
            let mut record = Vec::new();
            if change.is_ok_and(|change| self.read.codec.encode(&change, &mut record).is_ok()) {
                return record;
            }
        }
    }

    fn words(&self) -> Vec<&[u8]> {
        // Lengths, counts and branches: 0, 1, -1, 2^28, 2^31, 2^40, 2^62, the ends of 64 bits, and one bit too many.
        let numbers: [&[u8]; 11] = [
            &[0],
            &[2],
            &[1],
            &[0x80, 0x80, 0x80, 0x80, 0x02],
            &[0x80, 0x80, 0x80, 0x80, 0x10],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x40],
            &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02],
            &[0xc3, 0x01],
        ];
        let known = self.read.names.iter().map(String::as_bytes);
        known.chain(numbers).chain(TEXTS.iter().map(|text| text.as_bytes())).collect()
    }

    fn run(&self, input: &[u8]) -> String {
        let own = self.read.codec.decode_own(Some(input), Some(b"changes.raw.v1/3/1024"));
        let read = self.read.codec.decode_draft(input);
        let own = match own {
            Ok(change) => {
                assert!(read.is_ok(), "what is ours an outsider could have written");
                let mut again = Vec::new();
                self.read.codec.encode(&change, &mut again).unwrap();
                assert_eq!(self.read.codec.decode(&again, change.origin.clone()).as_ref(), Ok(&change));
                "ours"
            }
            Err(Unreadable::Newer(_)) => "newer",
            Err(Unreadable::Wrong(_)) => "not ours",
        };
        format!("{own}: {}", self.read.verdict(read.map_err(|error| error.rejection())))
    }
}
