//! Random pairs of a schema that writes and a profile that reads, as years of changes to a profile would leave them.

use crate::Profile;
use crate::profile::{CHANGE, ChangeSchema, Problems};
use apache_avro::Schema;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::ReadPlan;

/// What our fields can be, and for each what a writer may have had in its place.
pub(super) fn kinds(name: &str) -> Vec<(Value, Vec<Value>)> {
    let symbols = |symbols: &[&str]| json!({"type": "enum", "name": format!("Of_{name}"), "symbols": symbols});
    let date = json!({"type": "int", "logicalType": "date"});
    let timestamp = json!({"type": "long", "logicalType": "timestamp-micros"});
    let uuid = json!({"type": "string", "logicalType": "uuid"});
    vec![
        (json!("boolean"), vec![json!("boolean")]),
        (json!("int"), vec![json!("int")]),
        (json!("long"), vec![json!("long"), json!("int")]),
        (json!("float"), vec![json!("float"), json!("int"), json!("long")]),
        (json!("double"), vec![json!("double"), json!("float"), json!("int"), json!("long")]),
        (json!("string"), vec![json!("string"), json!("bytes")]),
        (json!("bytes"), vec![json!("bytes"), json!("string")]),
        (date.clone(), vec![date, json!("int")]),
        (timestamp.clone(), vec![timestamp, json!("long")]),
        (uuid.clone(), vec![uuid, json!("string")]),
        (symbols(&["a", "b", "c"]), vec![symbols(&["a", "b", "c"]), symbols(&["c", "a"]), symbols(&["b", "z", "a"])]),
    ]
}

/// One profile field of ours and what became of it at the writer's.
#[derive(Clone, Debug)]
pub(super) struct FieldCase {
    kind: usize,
    writer: usize,
    branches: usize,
    name: Name,
    order: u16,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Name {
    Same,
    Former,
    Missing,
}

/// One part of the change at the writer's: whether it is there, how it is null, where it stands.
#[derive(Clone, Debug)]
pub(super) struct PartCase {
    missing: bool,
    branches: usize,
    plain: bool,
    order: u16,
}

#[derive(Debug)]
pub(super) struct Pair {
    pub(super) profile: Profile,
    pub(super) writer: Schema,
    pub(super) plan: ReadPlan,
    /// Our schema for `apache-avro`, which knows no former names: there the fields have the writer's.
    pub(super) oracle: Schema,
    /// Every name that may stand in `unset`.
    pub(super) names: Vec<String>,
}

pub(super) fn pair() -> impl Strategy<Value = Pair> {
    let name = prop_oneof![3 => Just(Name::Same), 1 => Just(Name::Former), 1 => Just(Name::Missing)];
    let field = (any::<usize>(), any::<usize>(), 0..3_usize, name, any::<u16>())
        .prop_map(|(kind, writer, branches, name, order)| FieldCase { kind, writer, branches, name, order });
    let part = (prop::bool::weighted(0.2), 0..3_usize, any::<bool>(), any::<u16>())
        .prop_map(|(missing, branches, plain, order)| PartCase { missing, branches, plain, order });
    (prop::collection::vec(field, 2..10), prop::collection::vec(part, 9))
        .prop_map(|(fields, parts)| Pair::new(&fields, &parts))
}

impl Pair {
    pub(super) fn new(fields: &[FieldCase], parts: &[PartCase]) -> Self {
        let (mut ours, mut oracle, mut theirs, mut names) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (i, case) in fields.iter().enumerate() {
            let (name, former) = (format!("f{i}"), format!("g{i}"));
            let kinds = kinds(&name);
            let (kind, writers) = &kinds[case.kind % kinds.len()];
            let nullable = json!(["null", kind]);
            ours.push(json!({"name": name, "aliases": [former], "type": nullable, "default": null}));
            let written = if case.name == Name::Former { former.clone() } else { name.clone() };
            oracle.push(json!({"name": written, "type": nullable, "default": null}));
            names.extend([name, former]);
            if case.name != Name::Missing {
                let schema = branches(&writers[case.writer % writers.len()], case.branches);
                theirs.push((case.order, json!({"name": written, "type": schema})));
            }
        }
        let record =
            |fields| json!({"type": "record", "name": "Profile", "namespace": "tidewater.v1", "fields": fields});
        let text = record(ours).to_string();
        let kept = ChangeSchema::splice(CHANGE, &text).unwrap();
        let profile = Profile::load(CHANGE, &text, [(&*kept.fingerprint.to_string(), &*kept.text)]).unwrap();
        let oracle = ChangeSchema::splice(CHANGE, &record(oracle).to_string()).unwrap();
        let writer = Schema::parse(&change(&record(in_order(theirs)), parts)).unwrap();
        let mut problems = Problems::default();
        let plan = ReadPlan::new(&writer, profile.fields(), "writer", &mut problems);
        problems.none_or(()).unwrap();
        let plan = plan.unwrap();
        Self { profile, writer, plan, oracle: Schema::parse_str(&oracle.text).unwrap(), names }
    }
}

/// A writer's change schema around its profile.
fn change(profile: &Value, cases: &[PartCase]) -> Value {
    let uuid = json!({"type": "string", "logicalType": "uuid"});
    let timestamp = json!({"type": "long", "logicalType": "timestamp-micros"});
    let op = json!({"type": "enum", "name": "Op", "symbols": ["delete", "upsert", "patch"]});
    let unset = json!({"type": "array", "items": "string"});
    let (string, long) = (json!("string"), json!("long"));
    let parts = [
        ("user_id", &string, &string, false),
        ("op", &op, &op, false),
        ("tenant", &string, &string, false),
        ("unset", &unset, &unset, false),
        ("id", &uuid, &string, true),
        ("set", profile, profile, true),
        ("occurred_at", &timestamp, &long, true),
        ("source", &string, &string, true),
        ("version", &long, &long, true),
    ];
    let mut fields = Vec::new();
    for ((name, schema, plain, nullable), case) in parts.into_iter().zip(cases) {
        if case.missing && !matches!(name, "user_id" | "op") {
            continue;
        }
        let schema = if case.plain { plain } else { schema };
        let schema = if nullable { branches(schema, case.branches) } else { schema.clone() };
        fields.push((case.order, json!({"name": name, "type": schema})));
    }
    json!({"type": "record", "name": "Change", "namespace": "tidewater.v1", "fields": in_order(fields)})
}

fn branches(schema: &Value, branches: usize) -> Value {
    match branches {
        0 => schema.clone(),
        1 => json!(["null", schema]),
        _ => json!([schema, "null"]),
    }
}

fn in_order(mut fields: Vec<(u16, Value)>) -> Vec<Value> {
    fields.sort_by_key(|(order, _)| *order);
    fields.into_iter().map(|(_, field)| field).collect()
}
