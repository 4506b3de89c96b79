//! Random histories of users, each from one seed, and what they must come to.
//!
//! What a history comes to is said here from the meaning of the changes alone, in the order they were sent: no version,
//! no merge, nothing of the pipeline's.

use crate::feed::Feed;
use runtime::record::Outgoing;
use schemas::{Change, Codec, Op, Origin, Profile, Row, Tenant, UserId, Version, json};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::sync::Arc;
use uuid::Uuid;

/// A tenant and a user id.
pub type User = (String, String);

/// Random numbers that a seed gives again.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() >> 33).unwrap() % bound
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

/// What is known of one user.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    pub is_alive: bool,
    /// Whether there ever was such a user: then a patch creates none.
    is_known: bool,
    /// Without derived fields.
    pub row: Row,
}

/// Well-formed changes of some users, in all scripts and both encodings, and what they come to.
#[derive(Debug)]
pub struct History {
    random: Random,
    codec: Codec,
    /// Stands in every user id and text, so that it can be looked for.
    mark: String,
    users: usize,
    sent: u64,
    known: BTreeMap<User, Known>,
}

const TENANTS: [&str; 3] = ["main", "acme-eu", "x0"];
const NAMES: [&str; 5] = ["Ada", "José", "Юлия", "小明", "فاطمة"];
const COUNTRIES: [&str; 5] = ["DE", "BR", "JP", "KE", "AQ"];
const PLANS: [&str; 4] = ["free", "pro", "team", "enterprise"];
const FIELDS: [&str; 6] = ["name", "email", "country", "bio", "plan", "marketing_opt_in"];

impl History {
    /// Of `users` users; the same seed gives the same history.
    #[must_use]
    pub fn new(seed: u64, mark: &str, users: usize) -> Self {
        let codec = Codec::new(Arc::new(Profile::embedded().unwrap()));
        Self { random: Random::new(seed), codec, mark: mark.to_owned(), users, sent: 0, known: BTreeMap::new() }
    }

    /// What it has come to.
    #[must_use]
    pub fn known(&self) -> &BTreeMap<User, Known> {
        &self.known
    }

    /// The next `count` changes, as records of the raw topic.
    pub fn next(&mut self, count: usize, feed: &Feed) -> Vec<Outgoing> {
        (0..count).map(|_| self.step(feed)).collect()
    }

    fn step(&mut self, feed: &Feed) -> Outgoing {
        let user = format!("{}-{}", self.mark, self.random.below(self.users));
        // A user id may stand in several tenants; those share a partition, not a profile.
        let tenant = TENANTS[self.random.below(4) % 3];
        let change = self.change(tenant, &user);
        let text = Value::Object(change).to_string();
        let written = self.remember(&user, text.as_bytes());
        let value = if self.random.below(2) == 0 { text.into_bytes() } else { written };
        feed.record(Some(user.as_bytes()), Some(&value))
    }

    fn change(&mut self, tenant: &str, user: &str) -> Map<String, Value> {
        let mut change = Map::new();
        change.insert("id".into(), Uuid::from_u64_pair(self.random.number(), self.sent).to_string().into());
        change.insert("user_id".into(), user.into());
        change.insert("source".into(), format!("{}-source", self.mark).into());
        if tenant != "main" {
            change.insert("tenant".into(), tenant.into());
        }
        match self.random.below(10) {
            0 => drop(change.insert("op".into(), "delete".into())),
            1..=3 => {
                change.insert("op".into(), "upsert".into());
                change.insert("set".into(), self.fields().into());
            }
            _ => {
                change.insert("op".into(), "patch".into());
                let mut set = self.fields();
                let cleared = self.random.of(&FIELDS);
                if self.random.below(3) == 0 {
                    set.remove(cleared);
                    change.insert("unset".into(), vec![cleared].into());
                }
                change.insert("set".into(), set.into());
            }
        }
        change
    }

    /// Values in the form in which they are stored.
    fn fields(&mut self) -> Map<String, Value> {
        let (mark, sent) = (&self.mark, self.sent);
        let random = &mut self.random;
        let mut fields = Map::new();
        for field in FIELDS {
            if random.below(2) == 0 {
                continue;
            }
            let value = match field {
                "name" => format!("{} {mark} {sent}", random.of(&NAMES)).into(),
                "email" => format!("{mark}.{sent}@example.org").into(),
                "country" => random.of(&COUNTRIES).into(),
                "bio" => format!("{mark} says {sent}").into(),
                "plan" => random.of(&PLANS).into(),
                _ => (random.below(2) == 0).into(),
            };
            fields.insert(field.to_owned(), value);
        }
        fields
    }

    /// Takes the change into what is known; its bytes in Avro.
    fn remember(&mut self, user: &str, text: &[u8]) -> Vec<u8> {
        self.sent += 1;
        let draft = json::decode(self.codec.profile(), text).unwrap();
        let tenant = draft.tenant.clone().unwrap_or_else(|| "main".to_owned());
        let known = self.known.entry((tenant.clone(), user.to_owned())).or_default();
        let set = draft.set.clone().unwrap_or_default();
        match draft.op {
            Op::Upsert => (known.row, known.is_alive) = (set.clone(), true),
            Op::Delete => (known.row, known.is_alive) = (Row::default(), false),
            Op::Patch => {
                set.iter().for_each(|(field, value)| known.row.set(field, value.clone()));
                draft.unset.iter().for_each(|field| drop(known.row.take(field)));
                known.is_alive |= !known.is_known;
            }
        }
        known.is_known = true;
        raw_avro(
            &self.codec,
            &Change {
                id: draft.id.unwrap(),
                tenant: Tenant::new(&tenant).unwrap(),
                user_id: UserId::new(user).unwrap(),
                op: draft.op,
                set,
                unset: draft.unset,
                occurred_at: None,
                source: draft.source,
                version: Version::FIRST,
                origin: Origin::new(schemas::origin::RAW, 0, 0).unwrap(),
            },
        )
    }
}

/// A change as an outsider writes it: without its version, which is the last thing in the record.
fn raw_avro(codec: &Codec, change: &Change) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec.encode(change, &mut bytes).unwrap();
    // The union's branch and one byte of a small number.
    bytes.truncate(bytes.len() - 2);
    bytes.push(0);
    assert!(codec.decode_draft(&bytes).unwrap().version.is_none());
    bytes
}
