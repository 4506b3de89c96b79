use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Protocol {
    #[default]
    Classic,
    Consumer,
}

impl Choice for Protocol {
    const WORDS: &'static [(&'static str, Self)] = &[("classic", Self::Classic), ("consumer", Self::Consumer)];
}

#[derive(Clone, Debug, PartialEq)]
struct Kafka {
    brokers: String,
    session_timeout: Duration,
    heartbeat: Duration,
    fetch: ByteSize,
    partitions: i32,
    protocol: Protocol,
    is_static: bool,
    password: Option<Secret>,
    extra: Table,
}

impl Settings for Kafka {
    fn read(section: &mut Section<'_>) -> Self {
        let config = Self {
            brokers: section.text("brokers", "Brokers to ask first.").required("no broker can be guessed"),
            session_timeout: section
                .duration("session_timeout", "How long a silent member keeps its partitions.")
                .between(Duration::from_secs(1), Duration::from_secs(300))
                .default(Duration::from_secs(6)),
            heartbeat: section.duration("heartbeat", "Between two signs of life.").default(Duration::from_secs(2)),
            fetch: section.size("fetch", "Bytes of one fetch.").default(ByteSize::mib(1)),
            partitions: section.count("partitions", "Partitions of each topic.").at_least(1).default(12),
            protocol: section.choice("protocol", "How the group shares.").default(Protocol::Classic),
            is_static: section.flag("is_static", "Whether a restart keeps its partitions.").default(false),
            password: section.secret("password", "For SASL.").optional(),
            extra: section
                .table("extra", "Anything else for the client.")
                .refusing(&[("acks", "every acknowledged record must be on all in-sync replicas")])
                .read(),
        };
        if config.heartbeat >= config.session_timeout {
            section
                .problem(&["heartbeat", "session_timeout"], "must be shorter than session_timeout; a third is usual");
        }
        config
    }
}

#[derive(Clone, Debug, PartialEq)]
struct Root {
    profile: Option<String>,
    floor: jiff::Timestamp,
    nodes: Vec<String>,
    kafka: Kafka,
}

impl Settings for Root {
    fn read(section: &mut Section<'_>) -> Self {
        Self {
            profile: section.text("profile", "What kind of installation this is.").optional(),
            floor: section.within("version", |section| {
                section.instant("floor", "The start of operation.").required("it is the start of your history")
            }),
            nodes: section.within("cassandra", |section| {
                section.texts("nodes", "Nodes to ask first.").default(vec!["127.0.0.1".to_owned()])
            }),
            kafka: section.section("kafka"),
        }
    }
}

const MINIMAL: &str = "version.floor = 2026-01-01T00:00:00Z\n[kafka]\nbrokers = \"localhost:9092\"\n";

fn given(text: &str, env: &[(&str, &str)]) -> Given {
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Given::new(Some(Path::new("sink.toml")), text, env).unwrap()
}

fn read(text: &str, env: &[(&str, &str)]) -> Root {
    load::<Root>(given(text, env)).unwrap().config
}

fn problems(text: &str, env: &[(&str, &str)]) -> Vec<String> {
    load::<Root>(given(text, env)).unwrap_err().problems().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = read(MINIMAL, &[]);
    assert_eq!(config.kafka.session_timeout, Duration::from_secs(6));
    assert_eq!(config.kafka.partitions, 12);
    assert_eq!(config.profile, None);
    assert!(config.kafka.extra.is_empty());
}

#[test]
fn the_environment_wins_over_the_file() {
    let text = format!("{MINIMAL}partitions = 3\n");
    let config = read(&text, &[("TIDEWATER__KAFKA__PARTITIONS", "24"), ("PATH", "/bin"), ("TIDEWATER_HOME", "x")]);
    assert_eq!(config.kafka.partitions, 24);
}

#[test]
fn the_environment_alone_is_enough() {
    let env = [
        ("TIDEWATER__KAFKA__BROKERS", "b:9092"),
        ("TIDEWATER__VERSION__FLOOR", "2026-01-01T00:00:00Z"),
        ("TIDEWATER__CASSANDRA__NODES", "a, b"),
        ("TIDEWATER__KAFKA__IS_STATIC", "true"),
    ];
    let config = read("", &env);
    assert_eq!(config.nodes, ["a", "b"]);
    assert!(config.kafka.is_static);
}

#[test]
fn all_problems_are_told_at_once_with_their_places() {
    let text =
        "[kafka]\nsession_timeout = 6\nsesion_timout = \"6s\"\npartitions = 0\nprotocol = \"eager\"\n[kafak]\nx = 1\n";
    let found = problems(text, &[("TIDEWATER__KAFKA__FETCH", "1MB")]);
    let expected = [
        "line 6: kafak: no such key; did you mean kafka?",
        "kafka.brokers: missing, and no broker can be guessed; set it in the file or as TIDEWATER__KAFKA__BROKERS",
        "TIDEWATER__KAFKA__FETCH: is \"1MB\"; must be a size, a whole number and one of the units B, KiB, MiB, GiB: \
         \"16MiB\"",
        "line 4: kafka.partitions: is 0; must be a whole number, at least 1",
        "line 5: kafka.protocol: is \"eager\"; must be one of \"classic\", \"consumer\"",
        "line 3: kafka.sesion_timout: no such key; did you mean kafka.session_timeout?",
        "line 2: kafka.session_timeout: is 6; must be a duration, a whole number and one of the units us, ms, s, m, h, \
         d: \"250ms\", from \"1s\" to \"5m\"",
        "version.floor: missing, and it is the start of your history; set it in the file or as \
         TIDEWATER__VERSION__FLOOR",
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_error_names_its_file_and_counts() {
    let error = load::<Root>(given("", &[])).unwrap_err().to_string();
    assert!(error.starts_with("sink.toml: 2 problems\n  kafka.brokers: missing"), "{error}");
}

#[test]
fn values_that_contradict_each_other_are_told() {
    let found = problems(&format!("{MINIMAL}heartbeat = \"6s\"\n"), &[]);
    assert_eq!(found, ["line 4: kafka.heartbeat: must be shorter than session_timeout; a third is usual"]);
}

#[test]
fn a_rule_is_not_held_against_a_stand_in() {
    let found = problems(&format!("{MINIMAL}session_timeout = \"soon\"\nheartbeat = \"9s\"\n"), &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("session_timeout: is \"soon\""), "{found:?}");
}

#[test]
fn a_key_in_the_wrong_section_is_sent_to_the_right_one() {
    let found = problems(&format!("brokers = \"x\"\n{MINIMAL}"), &[("TIDEWATER__KAFKA__BROKERZ", "x")]);
    assert_eq!(
        found,
        [
            "line 1: brokers: no such key; did you mean kafka.brokers?",
            "TIDEWATER__KAFKA__BROKERZ: no such key; did you mean kafka.brokers?",
        ]
    );
}

#[test]
fn a_misspelled_section_is_told_also_of_a_variable() {
    let found = problems(MINIMAL, &[("TIDEWATER__KAFAK__BROKERS", "x")]);
    assert_eq!(found, ["TIDEWATER__KAFAK__BROKERS: no such key; did you mean kafka.brokers?"]);
}

#[test]
fn a_value_where_a_section_belongs_is_told() {
    let found = problems("kafka = 3\nversion.floor = 2026-01-01T00:00:00Z\n", &[]);
    assert_eq!(found[0], "line 1: kafka: must be a section; write its keys under [kafka]");
}

#[test]
fn a_broken_file_is_told_by_its_line_and_not_quoted() {
    let error = Given::new(None, "a = 1\npassword = hunter2 x\n", []).unwrap_err().to_string();
    assert!(error.contains("line 2: not TOML"), "{error}");
    assert!(!error.contains("hunter2"), "{error}");
}

#[test]
fn a_missing_file_is_told() {
    let error = Given::from_process(Some(Path::new("/nonexistent/sink.toml"))).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/sink.toml: 1 problem\n  cannot be opened"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_variable_that_is_not_text_is_told() {
    use std::os::unix::ffi::OsStringExt as _;
    let env = [("TIDEWATER__KAFKA__BROKERS".into(), OsString::from_vec(vec![0xff]))];
    let error = load::<Root>(Given::new(None, MINIMAL, env).unwrap()).unwrap_err();
    assert_eq!(error.problems()[0].to_string(), "TIDEWATER__KAFKA__BROKERS: is not UTF-8; write it as UTF-8");
}

/// A file with this content that is removed with the value.
struct SecretFile(PathBuf);

impl SecretFile {
    fn new(name: &str, content: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tidewater-config-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Self(path)
    }
}

impl Drop for SecretFile {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).unwrap();
    }
}

#[test]
fn a_secret_comes_from_its_file_without_the_last_line_end() {
    let file = SecretFile::new("plain", "hunter2\n");
    let loaded = load::<Root>(given(&format!("{MINIMAL}password_file = {:?}\n", file.0), &[])).unwrap();
    assert_eq!(loaded.config.kafka.password.as_ref().map(Secret::reveal), Some("hunter2"));
    assert!(loaded.to_toml().contains(&format!("password_file = {:?}", file.0)));
}

#[test]
fn a_secret_from_the_environment_wins_and_is_never_printed() {
    let env = [("TIDEWATER__KAFKA__PASSWORD", "hunter2"), ("TIDEWATER__KAFKA__EXTRA__SASL_PASSWORD", "hunter3")];
    let loaded = load::<Root>(given(MINIMAL, &env)).unwrap();
    assert_eq!(loaded.config.kafka.password.as_ref().map(Secret::reveal), Some("hunter2"));
    assert_eq!(loaded.config.kafka.extra.get("sasl.password"), Some("hunter3"));
    let shown = format!("{}{:?}", loaded.to_toml(), loaded);
    assert!(!shown.contains("hunter"), "{shown}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_quoted() {
    let found =
        problems(&format!("{MINIMAL}password = \"hunter2\"\n[kafka.extra]\nsasl.password = \"hunter3\"\n"), &[]);
    assert_eq!(
        found,
        [
            "line 6: kafka.extra.sasl.password: a secret does not stand in the file; name a file of its own in \
             sasl.password_file",
            "line 4: kafka.password: a secret does not stand in the file; name a file of its own in \
             kafka.password_file",
        ]
    );
}

#[test]
fn a_secret_file_that_cannot_be_read_is_told() {
    let found = problems(&format!("{MINIMAL}password_file = \"/nonexistent\"\n"), &[]);
    assert!(found[0].starts_with("line 4: kafka.password_file: its file cannot be read"), "{found:?}");
}

#[test]
fn a_free_table_takes_quoted_and_dotted_keys_and_the_environment() {
    let text = format!("{MINIMAL}[kafka.extra]\n\"security.protocol\" = \"SSL\"\nsocket.nagle.disable = true\n");
    let config = read(&text, &[("TIDEWATER__KAFKA__EXTRA__SECURITY_PROTOCOL", "PLAINTEXT")]);
    let expected = [("security.protocol", "PLAINTEXT"), ("socket.nagle.disable", "true")];
    assert_eq!(config.kafka.extra.iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_key_that_is_not_the_operators_is_refused_with_the_reason() {
    let reason = "acks is not yours to set: every acknowledged record must be on all in-sync replicas";
    let found = problems(&format!("{MINIMAL}[kafka.extra]\nacks = 1\n"), &[]);
    assert_eq!(found, [format!("line 5: kafka.extra.acks: {reason}")]);
    let found = problems(MINIMAL, &[("TIDEWATER__KAFKA__EXTRA__ACKS", "1")]);
    assert_eq!(found, [format!("TIDEWATER__KAFKA__EXTRA__ACKS: {reason}")]);
}

#[test]
fn one_key_spelled_two_ways_is_told() {
    let found = problems(&format!("{MINIMAL}[kafka.extra]\n\"a.b\" = \"1\"\na.b = \"2\"\n"), &[]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("a.b is set twice"), "{found:?}");
}

#[test]
fn an_option_that_two_modules_read_is_one_option() {
    struct Twice;
    impl Settings for Twice {
        fn read(section: &mut Section<'_>) -> Self {
            let _twice: (Kafka, Kafka) = (section.section("kafka"), section.section("kafka"));
            Self
        }
    }
    let error = load::<Twice>(given("", &[])).err().unwrap();
    assert_eq!(error.problems().len(), 1);
    let page = reference(&[("sink", declarations::<Twice>())]);
    assert_eq!(page.matches("| `brokers` |").count(), 1);
}

#[test]
fn a_section_of_other_processes_is_let_stand_and_not_shown() {
    struct Guest;
    impl Settings for Guest {
        fn read(section: &mut Section<'_>) -> Self {
            section.foreign("redis");
            Self
        }
    }
    let loaded = load::<Guest>(given("[redis]\nhost = \"r\"\n", &[])).unwrap();
    assert_eq!(loaded.to_toml(), "");
    assert!(!reference(&[("validate", declarations::<Guest>())]).contains("redis"));
}

#[derive(Debug)]
struct Named(Vec<(String, u16)>);

impl Settings for Named {
    fn read(section: &mut Section<'_>) -> Self {
        let port = |section: &mut Section<'_>| section.count("port", "Its port.").required("it has one");
        Self(section.each("shops", |name, section| (name.to_owned(), port(section))))
    }
}

#[test]
fn sections_that_the_operator_names_are_read_from_the_file_and_the_environment() {
    let env = [("TIDEWATER__SHOPS__WEST__PORT", "3"), ("TIDEWATER__SHOPS__EAST__PORT", "1")];
    let Named(shops) = load(given("[shops.west]\nport = 2\n[shops.\"a.b\"]\nport = 4", &env)).unwrap().config;
    let shops: Vec<(&str, u16)> = shops.iter().map(|(name, port)| (name.as_str(), *port)).collect();
    assert_eq!(shops, [("a.b", 4), ("east", 1), ("west", 3)]);
    let Named(none) = load(given("", &[])).unwrap().config;
    assert!(none.is_empty(), "{none:?}");
}

#[test]
fn what_is_wrong_with_a_named_section_is_told_by_its_name() {
    let text = "[shops.west]\nport = \"x\"\n[shops.east]\n[shops.north]\nport = 1\ncolour = 2";
    let error = load::<Named>(given(text, &[("TIDEWATER__SHOPS__SOUTH", "1")])).unwrap_err().to_string();
    for expected in ["shops.west.port: is", "shops.east.port: missing", "shops.north.colour: no such", "SOUTH: no such"]
    {
        assert!(error.contains(expected), "{expected}\n{error}");
    }
}

#[test]
fn the_reference_has_an_example_of_a_named_section() {
    let page = reference(&[("shop", declarations::<Named>())]);
    assert!(page.contains("`[shops.NAME]`") && page.contains("Its port."), "{page}");
    let text = template(&[("shop", declarations::<Named>())]);
    assert!(text.contains("# [shops.NAME]"), "{text}");
    assert!(load::<Named>(given(&text, &[])).unwrap().config.0.is_empty(), "the example is no section");
}

#[test]
fn the_reference_lists_every_option_with_its_unit_default_and_reason() {
    let page = reference(&[("validate", declarations::<Root>()), ("sink", declarations::<Root>())]);
    for line in [
        "## `[kafka]`\n\nRead by validate, sink.\n",
        "| `brokers` | text that is not empty | required: no broker can be guessed | Brokers to ask first. |",
        "| `protocol` | one of \"classic\", \"consumer\" | `\"classic\"` | How the group shares. |",
        "## `[kafka.extra]`",
        "## Above the first section",
    ] {
        assert!(page.contains(line), "no {line} in\n{page}");
    }
}

fn written() -> impl Strategy<Value = toml::Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(toml::Value::from),
        any::<i64>().prop_map(toml::Value::from),
        any::<f64>().prop_map(toml::Value::from),
        ".{0,12}".prop_map(toml::Value::from),
        "[0-9]{1,4}(us|ms|s|m|h|d|B|KiB|MiB|GiB)".prop_map(toml::Value::from),
        prop_oneof![Just("classic"), Just("consumer"), Just("2026-01-01T00:00:00Z")].prop_map(toml::Value::from),
    ];
    let key = prop_oneof![
        4 => prop_oneof![
            Just("brokers"), Just("session_timeout"), Just("heartbeat"), Just("fetch"), Just("partitions"),
            Just("protocol"), Just("is_static"), Just("password"), Just("password_file"), Just("extra"),
            Just("floor"), Just("nodes"), Just("profile"), Just("kafka"), Just("version"), Just("cassandra"),
        ].prop_map(str::to_owned),
        1 => ".{0,6}",
    ];
    leaf.prop_recursive(4, 48, 10, move |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(toml::Value::from),
            6 => prop::collection::btree_map(key.clone(), inner, 0..10)
                .prop_map(|table| toml::Value::Table(table.into_iter().collect())),
        ]
    })
}

/// A configuration that is right except where it is not: right values, some replaced by anything.
fn nearly_right() -> impl Strategy<Value = toml::Table> {
    let damage = prop::collection::vec((0_usize..12, written()), 0..3);
    let secs = (1_u64..=300, 0_u64..=1_000_000, 1_i32..100, any::<bool>(), "[a-z]{1,8}");
    (damage, secs).prop_map(|(damage, (timeout, fetch, partitions, is_static, text))| {
        let mut kafka: BTreeMap<&str, toml::Value> = BTreeMap::from([
            ("brokers", text.as_str().into()),
            ("session_timeout", format!("{timeout}s").into()),
            ("heartbeat", format!("{}ms", timeout * 300).into()),
            ("fetch", format!("{fetch}B").into()),
            ("partitions", i64::from(partitions).into()),
            ("is_static", is_static.into()),
            ("extra", toml::Value::Table(toml::Table::from_iter([(format!("a.{text}"), text.as_str().into())]))),
        ]);
        let mut root: BTreeMap<&str, toml::Value> = BTreeMap::from([
            ("profile", text.as_str().into()),
            (
                "version",
                toml::Value::Table(toml::Table::from_iter([("floor".to_owned(), "2026-01-01T00:00:00Z".into())])),
            ),
        ]);
        for (place, value) in damage {
            match place {
                0 => root.insert("kafka", value),
                1 => root.insert("version", value),
                2 => root.insert("unheard_of", value),
                3 => kafka.insert("protocol", value),
                4 => kafka.insert("extra", value),
                5 => kafka.insert("brokers", value),
                6 => kafka.insert("heartbeat", value),
                7 => kafka.insert("password", value),
                8 => kafka.insert("partitions", value),
                9 => root.insert("cassandra", value),
                10 => kafka.insert("session_timeout", value),
                _ => root.insert("profile", value),
            };
        }
        let table = |map: BTreeMap<&str, toml::Value>| map.into_iter().map(|(k, v)| (k.to_owned(), v)).collect();
        root.entry("kafka").or_insert_with(|| toml::Value::Table(table(kafka)));
        table(root)
    })
}

fn exists(path: &KeyPath, given: &Given) -> bool {
    let is_declared = declarations::<Root>().iter().any(|known| path.beneath(&known.path).is_some());
    is_declared || given.find(path).is_some()
}

proptest! {
    #[test]
    fn any_table_reads_or_is_refused_with_paths_that_exist(table in prop_oneof![
        nearly_right(),
        written().prop_map(|value| value.as_table().cloned().unwrap_or_default()),
    ]) {
        let given = Given::new(None, &table.to_string(), []).unwrap();
        if let Err(error) = load::<Root>(given.clone()) {
            prop_assert!(!error.problems().is_empty());
            for problem in error.problems() {
                prop_assert!(exists(&problem.path, &given), "{} of\n{}", problem, table);
            }
        }
    }

    #[test]
    fn a_printed_configuration_reads_as_the_same(table in nearly_right()) {
        let given = Given::new(None, &table.to_string(), []).unwrap();
        if let Ok(loaded) = load::<Root>(given) {
            let printed = loaded.to_toml();
            let again = Given::new(None, &printed, []).map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
            let again = load::<Root>(again).map_err(|error| TestCaseError::fail(format!("{error}\n{printed}")))?;
            prop_assert_eq!(again.config, loaded.config);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,200}", value in ".{0,40}") {
        let env = [("TIDEWATER__KAFKA__EXTRA__X".into(), OsString::from(value))];
        if let Ok(given) = Given::new(None, &text, env) {
            let _refused: Option<Error> = load::<Root>(given).err();
        }
    }
}
