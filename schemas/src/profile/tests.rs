use super::*;
use serde_json::{Value, json};

fn field(name: &str, kind: &Value, annotation: Value) -> Value {
    json!({"name": name, "type": ["null", kind], "default": null, "tidewater": annotation})
}

fn profile(fields: &[Value]) -> String {
    json!({"type": "record", "name": "Profile", "namespace": "tidewater.v1", "fields": fields}).to_string()
}

/// Loads a profile as if its schema had been kept.
fn load(profile: &str) -> Result<Profile, LoadError> {
    let kept = ChangeSchema::splice(CHANGE, profile);
    let kept = kept.map(|kept| (kept.fingerprint.to_string(), kept.text)).unwrap_or_default();
    let history = Some(&kept).filter(|(name, _)| !name.is_empty());
    Profile::load(CHANGE, profile, history.map(|(name, text)| (name.as_str(), &**text)))
}

/// The paths of everything wrong with one field that stands behind two sound ones.
fn wrong(field: Value) -> Vec<String> {
    let sound = |name| json!({"name": name, "type": ["null", "string"], "default": null});
    paths(load(&profile(&[sound("one"), sound("two"), field])))
}

fn paths(loaded: Result<Profile, LoadError>) -> Vec<String> {
    let problems = loaded.map_or_else(|error| error.problems, |_| Vec::new());
    problems.into_iter().map(|problem| problem.path).collect()
}

#[test]
fn the_profile_of_this_release_has_its_fields_and_sources() {
    let profile = Profile::embedded().unwrap();
    let field = |name| profile.position(name).map(|position| &profile.fields()[position]).unwrap();
    let position = |name| profile.position(name).unwrap();
    assert_eq!(field("email").format, Some(Format::Email));
    assert!(field("email").index && field("email").pii && !field("country").pii);
    assert_eq!(field("birth_date").kind, Kind::Date);
    assert_eq!(field("last_seen_at").kind, Kind::TimestampMicros);
    assert_eq!(field("plan").kind, Kind::Enum(["free", "pro", "team", "enterprise"].map(Into::into).into()));
    assert_eq!(field("bio").max_length, Some(4000));
    let domain = Derived::Derive { function: Derivation::Domain, from: position("email") };
    assert_eq!(field("email_domain").derived, Some(domain));
    let lookup = Derived::Lookup { table: "countries".into(), column: "region".into(), from: position("country") };
    assert_eq!(field("region").derived, Some(lookup));
    assert_eq!(profile.position("nobody"), None);
}

#[test]
fn a_schema_is_named_as_java_and_python_name_it() {
    // By avro 1.12.0 for Java and fastavro 1.x. A logical type, a doc, a default or an alias makes no difference.
    let text = r#"{"type": "record", "name": "Change", "namespace": "tidewater.v1", "doc": "stripped", "fields": [
        {"name": "id", "type": ["null", {"type": "string", "logicalType": "uuid"}], "default": null},
        {"name": "user_id", "type": {"type": "string"}, "aliases": ["user"]},
        {"name": "op", "type": {"type": "enum", "name": "Op", "symbols": ["upsert", "patch", "delete"]}},
        {"name": "occurred_at", "type": ["null", {"type": "long", "logicalType": "timestamp-micros"}], "default": null}
    ]}"#;
    assert_eq!(load::parse(text).unwrap().0.to_string(), "9d4172998a9d9603");
    assert_eq!(load::parse(r#""int""#).unwrap().0.to_string(), "8f5c393f1ad57572");
}

#[test]
fn a_rule_may_change_without_a_new_schema_on_the_wire() {
    let fingerprint = |annotation| {
        let fields = [field("a", &json!("string"), annotation), field("b", &json!("long"), json!({}))];
        load(&profile(&fields)).unwrap().fingerprint()
    };
    assert_eq!(fingerprint(json!({})), fingerprint(json!({"format": "email", "max_length": 9, "pii": true})));
}

#[test]
fn a_profile_whose_schema_is_not_kept_does_not_load_and_says_which_file_to_add() {
    let present = ChangeSchema::splice(CHANGE, PROFILE).unwrap();
    let error = Profile::load(CHANGE, PROFILE, []).unwrap_err();
    assert_eq!(error.problems.len(), 1);
    assert_eq!(error.problems[0].path, format!("history/{}.avsc", present.fingerprint));
    assert!(error.to_string().contains("cargo run -p schemas --example keep_schema"));
}

#[test]
fn a_kept_schema_is_the_one_its_name_says() {
    let (name, text) = HISTORY[0];
    let renamed = text.replace("\"occurred_at\"", "\"happened_at\"");
    assert!(paths(Profile::load(CHANGE, PROFILE, [(name, renamed.as_str())])).contains(&format!("history/{name}")));
    assert_eq!(
        paths(Profile::load(CHANGE, PROFILE, HISTORY.iter().copied().chain([("x.avsc", "{")]))),
        ["history/x.avsc"]
    );
}

#[test]
fn a_field_does_not_change_its_type_under_a_kept_schema() {
    let profile = |kind| profile(&[field("a", &json!(kind), json!({})), field("b", &json!("string"), json!({}))]);
    let kept = ["string", "int", "long"].map(|kind| ChangeSchema::splice(CHANGE, &profile(kind)).unwrap());
    let history = kept.each_ref().map(|kept| (kept.fingerprint.to_string(), &*kept.text));
    let load = |kind| Profile::load(CHANGE, &profile(kind), history.iter().map(|(name, text)| (name.as_str(), *text)));
    assert_eq!(paths(load("long")), [format!("history/{} set.a", kept[0].fingerprint)], "an int is read as a long");
    assert_eq!(paths(load("string")).len(), 2);
}

#[test]
fn every_problem_is_told_at_once() {
    let fields = [
        json!({"name": "Name", "type": ["null", "string"], "default": null}),
        json!({"name": "tw_mine", "type": "string", "tidewater": {"format": "mail"}}),
        json!({"name": "user_id", "type": ["null", "int"], "default": null, "tidewater": {"max_length": 0, "min": 5, "max": 1}}),
        json!({"name": "fine", "type": ["null", "string"], "default": null, "tidewater": {"pattern": "(", "colour": 1}}),
        json!({"name": "fine", "type": ["null", {"type": "map", "values": "int"}], "default": null}),
    ];
    let error = load(&profile(&fields)).unwrap_err();
    let mut paths: Vec<_> = error.problems.iter().map(|problem| problem.path.as_str()).collect();
    paths.sort_unstable();
    assert_eq!(
        paths,
        [
            "fields[0].name",
            "fields[1].name",
            "fields[1].type",
            "fields[2].name",
            "fields[2].tidewater",
            "fields[2].tidewater.max_length",
            "fields[3].tidewater.colour",
            "fields[3].tidewater.pattern",
            "fields[4]",
            "fields[4].type[1]",
        ]
    );
    assert!(error.to_string().contains("\n  fields[3].tidewater.colour: no such annotation; there are format, "));
}

#[test]
fn a_profile_has_two_to_sixty_four_fields() {
    let profile = |count: usize| {
        let fields: Vec<_> = (0..count).map(|i| field(&format!("f{i}"), &json!("string"), json!({}))).collect();
        paths(load(&profile(&fields)))
    };
    assert_eq!(profile(1), ["fields"]);
    assert_eq!(profile(65), ["fields"]);
    assert!(profile(2).is_empty() && profile(64).is_empty());
}

#[test]
fn names_are_columns_and_keys() {
    let named = |name: &str| wrong(field(name, &json!("string"), json!({})));
    assert!(named(&"x".repeat(48)).is_empty() && named("a_1").is_empty());
    for name in ["", "_a", "1a", "Aa", "a-b", "é", "tw_a", "tenant", "user_id", &"x".repeat(49)] {
        assert!(named(name).contains(&"fields[2].name".to_owned()), "{name}");
    }
    assert_eq!(named("one"), ["fields[2]"]);
    let former = |aliases| wrong(json!({"name": "x", "aliases": aliases, "type": ["null", "int"], "default": null}));
    assert!(former(json!(["y"])).is_empty());
    assert_eq!(former(json!(["one"])), ["fields[2]"]);
    assert_eq!(former(json!(["tw_x", 1])), ["fields[2].aliases[0]", "fields[2].aliases[1]"]);
    assert_eq!(former(json!("y")), ["fields[2].aliases"]);
}

#[test]
fn a_field_is_a_nullable_scalar() {
    let typed = |kind| wrong(json!({"name": "x", "type": kind, "default": null}));
    for kind in ["boolean", "int", "long", "float", "double", "string", "bytes"] {
        assert!(typed(json!(["null", kind])).is_empty(), "{kind}");
    }
    for (kind, logical) in [("int", "date"), ("long", "timestamp-micros"), ("string", "uuid")] {
        assert!(typed(json!(["null", {"type": kind, "logicalType": logical}])).is_empty(), "{logical}");
    }
    for kind in [json!("string"), json!(["string", "null"]), json!(["null"]), json!(["null", "int", "string"])] {
        assert!(typed(kind.clone()).contains(&"fields[2].type".to_owned()), "{kind}");
    }
    for kind in [
        json!("null"),
        json!("tidewater.v1.Op"),
        json!({"type": "array", "items": "string"}),
        json!({"type": "map", "values": "string"}),
        json!({"type": "fixed", "name": "F", "size": 16}),
        json!({"type": "bytes", "logicalType": "decimal", "precision": 4}),
        json!({"type": "long", "logicalType": "timestamp-millis"}),
        json!({"type": "int", "logicalType": "uuid"}),
        json!({"type": "record", "name": "R", "fields": []}),
    ] {
        assert!(typed(json!(["null", kind])).contains(&"fields[2].type[1]".to_owned()), "{kind}");
    }
    assert_eq!(wrong(json!({"name": "x", "type": ["null", "int"]})), ["fields[2].type"], "the default is null");
    assert_eq!(wrong(json!({"name": "x", "type": ["null", "int"], "default": 0})).first().unwrap(), "fields[2].type");
}

#[test]
fn an_enum_says_all_it_can_be() {
    let symbols = |symbols: Value, default: Value| {
        let mut kind = json!({"type": "enum", "name": "E", "symbols": symbols});
        if !default.is_null() {
            kind["default"] = default;
        }
        wrong(field("x", &kind, json!({})))
    };
    assert!(symbols(json!(["a", "b"]), Value::Null).is_empty());
    assert_eq!(symbols(json!(["a", "b"]), json!("a")), ["fields[2].type[1].default"]);
    assert!(symbols(json!([]), Value::Null).contains(&"fields[2].type[1].symbols".to_owned()));
    assert_eq!(symbols(json!(["a", "a"]), Value::Null), ["profile.avsc"]);
}

#[test]
fn annotations_fit_the_type_they_stand_on() {
    let on = |kind: &str, annotation| wrong(field("x", &json!(kind), annotation));
    let (string, number) = (json!({"format": "email", "max_length": 9, "pattern": "a+"}), json!({"min": -1, "max": 1}));
    assert!(on("string", string.clone()).is_empty());
    assert!(on("bytes", json!({"max_length": 9})).is_empty());
    assert_eq!(on("long", string).len(), 3);
    for kind in ["int", "long", "float", "double"] {
        assert!(on(kind, number.clone()).is_empty(), "{kind}");
    }
    assert_eq!(on("string", number.clone()), ["fields[2].tidewater.max", "fields[2].tidewater.min"]);
    assert_eq!(on("boolean", number).len(), 2);
    assert_eq!(on("long", json!({"min": 0.5})), ["fields[2].tidewater.min"]);
    assert!(on("double", json!({"min": 0.5, "max": 0.5})).is_empty());
    assert_eq!(on("string", json!({"pii": "yes"})), ["fields[2].tidewater.pii"]);
    assert_eq!(on("string", json!({"index": 1})), ["fields[2].tidewater.index"]);
    assert_eq!(on("string", json!({"max_length": -1})), ["fields[2].tidewater.max_length"]);
    assert_eq!(on("string", json!(["pii"])), ["fields[2].tidewater"]);
    let misplaced = json!({"type": "string", "tidewater": {"pii": true}});
    assert_eq!(wrong(field("x", &misplaced, json!({}))), ["fields[2].type[1].tidewater"]);
    let misspelt = json!({"name": "x", "type": ["null", "int"], "default": null, "tidewatr": {}});
    assert_eq!(wrong(misspelt), ["fields[2].tidewatr"]);
}

#[test]
fn a_pattern_matches_the_whole_text() {
    let fields = [field("a", &json!("string"), json!({"pattern": "x|yz"})), field("b", &json!("int"), json!({}))];
    let profile = load(&profile(&fields)).unwrap();
    let pattern = profile.fields()[0].pattern.as_ref().unwrap();
    assert!(pattern.is_match("x") && pattern.is_match("yz"));
    assert!(!pattern.is_match("xz") && !pattern.is_match("x\n") && !pattern.is_match("ayz"));
    let escaping = wrong(field("x", &json!("string"), json!({"pattern": "a)|(b"})));
    assert_eq!(escaping, ["fields[2].tidewater.pattern"], "an anchor is not left by a parenthesis");
}

#[test]
fn a_derived_field_has_one_source_that_producers_set() {
    let email = field("email", &json!("string"), json!({"format": "email"}));
    let derived = |annotation| {
        let other = field("domain", &json!("string"), json!({"derive": {"function": "domain", "from": "email"}}));
        paths(load(&profile(&[email.clone(), other, field("x", &json!("string"), annotation)])))
    };
    let at = |end: &str| vec![format!("fields[2].tidewater{end}")];
    let derive = |function: &str, from: &str| json!({"derive": {"function": function, "from": from}});
    let lookup = |table: &str, from: &str| json!({"lookup": {"table": table, "column": "c", "from": from}});
    assert!(derived(derive("domain", "email")).is_empty());
    assert!(derived(lookup("countries", "email")).is_empty());
    assert_eq!(derived(derive("domain", "nobody")), at(".derive.from"));
    assert_eq!(derived(lookup("countries", "domain")), at(".lookup.from"));
    assert_eq!(derived(lookup("countries", "x")), at(".lookup.from"));
    assert_eq!(derived(derive("reverse", "email")), at(".derive.function"));
    assert_eq!(derived(lookup("../secrets", "email")), at(".lookup.table"));
    assert_eq!(
        derived(json!({"lookup": {"table": "t", "from": "email", "to": "x"}})),
        ["fields[2].tidewater.lookup.to", "fields[2].tidewater.lookup.column",]
    );
    assert_eq!(derived(json!({"derive": "email"})), at(".derive"));
    let mut formatted = derive("domain", "email");
    formatted["format"] = json!("url");
    assert_eq!(derived(formatted), at(""));
    let mut both = derive("domain", "email");
    both["lookup"] = lookup("countries", "email")["lookup"].clone();
    assert_eq!(derived(both), at(""));
    let number = field("x", &json!("int"), derive("domain", "email"));
    assert_eq!(paths(load(&profile(&[email.clone(), number]))), ["fields[1].tidewater"]);
    let unformatted = [field("a", &json!("string"), json!({})), field("x", &json!("string"), derive("domain", "a"))];
    assert_eq!(paths(load(&profile(&unformatted))), ["fields[1].tidewater.derive.from"]);
}

#[test]
fn the_change_schema_is_the_one_this_release_writes() {
    let with = |from: &str, to: &str| paths(Profile::load(&CHANGE.replace(from, to), PROFILE, HISTORY.iter().copied()));
    let nowhere = with("\"tidewater.v1.Profile\"", "\"string\"");
    assert_eq!(nowhere, ["change.avsc"], "the profile has no place in it");
    assert!(with("\"source\"", "\"sender\"").contains(&"change.avsc".to_owned()));
    assert!(with("[\"null\", \"long\"]", "[\"null\", \"string\"]").contains(&"change.avsc version".to_owned()));
    assert!(with("\"patch\", \"delete\"", "\"delete\", \"patch\"").contains(&"change.avsc op".to_owned()));
}

#[test]
fn texts_that_are_no_schema_are_problems_too() {
    for text in ["", "{", "[]", "\"string\"", "{\"type\": \"record\"}", "{\"type\": \"enum\", \"fields\": []}"] {
        assert!(paths(load(text)).contains(&"profile.avsc".to_owned()), "{text}");
    }
}
