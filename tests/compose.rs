//! `docker-compose.yml` against the compose specification, and against what `deploy/local` tells the same servers.
//!
//! The schema in `fixtures/compose-spec.json` is the specification's own (fixtures/README.md has its origin).
#![cfg(test)]

use runtime::config::{self, Given, Section, Settings};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

const WORKERS: [&str; 3] = ["validate", "enrich", "sink"];
const SERVERS: [&str; 3] = ["kafka", "cassandra", "redis"];

/// A file of the project, by its path from the root.
fn file(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The file as compose sees it: anchors resolved, merge keys (`<<`) applied.
fn compose() -> Value {
    let mut document: serde_norway::Value = serde_norway::from_str(&file("docker-compose.yml")).unwrap();
    // Once for each level: what a merge brings in may hold a merge of its own.
    for _ in 0..2 {
        document.apply_merge().unwrap();
    }
    serde_json::to_value(document).unwrap()
}

fn service(name: &str) -> Value {
    compose()["services"][name].clone()
}

fn texts(list: &Value) -> Vec<String> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn environment(service: &Value) -> Vec<(String, String)> {
    let variables = service["environment"].as_object().into_iter().flatten();
    variables.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
}

/// Names before `separator` of all lines that are settings.
fn setting_names(text: &str, separator: char) -> BTreeSet<&str> {
    let lines = text.lines().filter(|line| !line.starts_with(['#', ' ']));
    lines.filter_map(|line| Some(line.split_once(separator)?.0)).collect()
}

/// `<version>` of the artifact in a pom of deploy/local.
fn version_in_pom(module: &str, artifact: &str) -> String {
    let pom = file(&format!("deploy/local/jars/{module}/pom.xml"));
    let (_, after) = pom.split_once(&format!("<artifactId>{artifact}</artifactId>")).unwrap();
    let (_, version) = after.split_once("<version>").unwrap();
    version.split_once('<').unwrap().0.to_owned()
}

fn mounts(name: &str, conf: &str, target: &str) {
    let mount = format!("./deploy/local/conf/{conf}:{target}:ro");
    assert!(texts(&service(name)["volumes"]).contains(&mount), "{name} does not mount {mount}");
}

/// Cargo reads the manifests of all rooms, whichever it is to build.
#[test]
fn the_image_is_built_from_every_room() {
    let manifest = file("Cargo.toml");
    let (_, members) = manifest.split_once("members = [").unwrap();
    let (members, _) = members.split_once(']').unwrap();
    let ignored = file("deploy/docker/Dockerfile.dockerignore");
    for room in members.split(',').map(|name| name.trim().trim_matches('"')) {
        assert!(ignored.lines().any(|line| line == format!("!{room}")), "the builder does not get {room}");
    }
}

#[test]
fn the_file_keeps_to_the_compose_specification() {
    let schema = serde_json::from_str(&file("tests/fixtures/compose-spec.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> =
        validator.iter_errors(&compose()).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(problems, Vec::<String>::new());
    // The schema can say no: one wrong key, one wrong type.
    let mut misspelt = compose();
    misspelt["services"]["sink"]["comand"] = json!(["sink"]);
    assert!(!validator.is_valid(&misspelt));
    let mut mistyped = compose();
    mistyped["services"]["sink"]["deploy"]["replicas"] = json!(["two"]);
    assert!(!validator.is_valid(&mistyped));
}

#[test]
fn kafka_is_told_what_deploy_local_tells_it() {
    mounts("kafka", "kafka.properties", "/mnt/shared/config/server.properties");
    let kafka = service("kafka");
    let properties = file("deploy/local/conf/kafka.properties");
    let shared = setting_names(&properties, '=');
    assert!(shared.contains("message.max.bytes"), "{shared:?}");
    for (name, value) in environment(&kafka) {
        if name == "KAFKA_HEAP_OPTS" {
            assert!(file("deploy/local/lib/kafka.sh").contains(&value), "another heap than deploy/local: {value}");
        } else {
            // The image's own rule for the names of settings.
            let setting = name.trim_start_matches("KAFKA_").to_lowercase().replace('_', ".");
            assert!(!shared.contains(setting.as_str()), "{name} overrides the shared {setting}");
        }
    }
}

#[test]
fn cassandra_is_told_what_deploy_local_tells_it() {
    mounts("cassandra", "cassandra.yaml", "/etc/tidewater/cassandra.yaml");
    let options = service("cassandra")["environment"]["JVM_EXTRA_OPTS"].as_str().unwrap().to_owned();
    let local = file("deploy/local/lib/cassandra.sh");
    let mut is_read = false;
    for option in options.split_whitespace() {
        if option == "-Dcassandra.config=file:///etc/tidewater/cassandra.yaml" {
            is_read = true;
        } else {
            assert!(local.contains(option), "deploy/local does not start Cassandra with {option}");
        }
    }
    assert!(is_read, "the mounted file is not the one that is read");
    let heap = service("cassandra")["environment"]["MAX_HEAP_SIZE"].as_str().unwrap().to_lowercase();
    assert!(local.contains(&format!("-Xmx{heap} ")), "another heap than deploy/local: {heap}");
}

#[test]
fn redis_is_told_what_deploy_local_tells_it() {
    mounts("redis", "redis.conf", "/etc/tidewater/redis.conf");
    let command = texts(&service("redis")["command"]);
    assert_eq!(command[..2], ["redis-server", "/etc/tidewater/redis.conf"]);
    let conf = file("deploy/local/conf/redis.conf");
    let shared = setting_names(&conf, ' ');
    assert!(shared.contains("maxmemory"), "{shared:?}");
    for option in command.iter().filter_map(|word| word.strip_prefix("--")) {
        assert!(!shared.contains(option), "--{option} overrides the shared one");
    }
}

#[test]
fn servers_and_compiler_have_the_versions_of_the_rest_of_the_project() {
    let kafka = version_in_pom("kafka", "kafka_2.13");
    assert_eq!(service("kafka")["image"], format!("apache/kafka:{kafka}"));
    let cassandra = version_in_pom("cassandra", "cassandra-all");
    assert_eq!(service("cassandra")["image"], format!("cassandra:{cassandra}"));
    for name in SERVERS {
        let image = service(name)["image"].as_str().unwrap().to_owned();
        let (_, tag) = image.split_once(':').unwrap();
        assert_eq!(tag.split('.').count(), 3, "{image} is not pinned");
    }
    let toolchain = file("rust-toolchain.toml");
    let channel = toolchain.split_once("channel = \"").unwrap().1.split_once('"').unwrap().0;
    assert!(file("deploy/docker/Dockerfile").contains(&format!("FROM rust:{channel}-")), "not Rust {channel}");
}

#[test]
fn every_part_has_limits_and_a_check_and_nothing_is_open_to_the_network() {
    for (name, service) in compose()["services"].as_object().unwrap() {
        let limits = &service["deploy"]["resources"]["limits"];
        assert!(limits["cpus"].is_string() && limits["memory"].is_string(), "{name} has no limits");
        let is_job = service["restart"] == "on-failure:3";
        assert!(is_job || service["healthcheck"]["test"].is_array(), "{name} has no check");
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name} opens {port}");
        }
    }
}

#[test]
fn workers_start_behind_topics_and_tables_and_have_time_to_leave() {
    assert_eq!(service("topics")["depends_on"]["kafka"]["condition"], "service_healthy");
    assert_eq!(service("migrate")["depends_on"]["cassandra"]["condition"], "service_healthy");
    for name in WORKERS {
        let worker = service(name);
        assert_eq!(worker["command"], json!([name]));
        assert_eq!(worker["depends_on"]["topics"]["condition"], "service_completed_successfully", "{name}");
        let grace = worker["stop_grace_period"].as_str().and_then(|text| text.strip_suffix('s')?.parse().ok());
        // `shutdown.grace` is 25 s unless set.
        assert!(grace.is_some_and(|seconds: u64| seconds > 25), "{name}: {grace:?}");
    }
    let sink = service("sink");
    assert_eq!(sink["depends_on"]["migrate"]["condition"], "service_completed_successfully");
    assert_eq!(sink["depends_on"]["redis"]["condition"], "service_healthy");
    assert_eq!(sink["deploy"]["replicas"], 2);
    let floor = "TIDEWATER__VERSION__FLOOR";
    assert_eq!(sink["environment"][floor], service("validate")["environment"][floor]);
}

/// What a worker reads, beside what every process does.
struct Told<C>(C);

impl<C: Settings> Settings for Told<C> {
    fn read(section: &mut Section<'_>) -> Self {
        section.foreign("http");
        Self(C::read(section))
    }
}

/// What a worker makes of its environment.
fn told<C: Settings>(name: &str) -> C {
    let variables = environment(&service(name)).into_iter().map(|(name, value)| (name.into(), value.into()));
    let variables: Vec<(OsString, OsString)> = variables.collect();
    let loaded = config::load::<Told<C>>(Given::new(None, "", variables).unwrap());
    loaded.unwrap_or_else(|error| panic!("{name}: {error}")).config.0
}

#[test]
fn workers_and_jobs_are_told_what_they_read_and_where_the_servers_are() {
    let validate: processors::validate::Config = told("validate");
    let enrich: processors::enrich::Config = told("enrich");
    let sink: sinks::Config = told("sink");
    assert_eq!(validate.cluster.client.brokers, "kafka:9092");
    assert!(file("deploy/docker/Dockerfile").contains(enrich.tables.to_str().unwrap()), "{:?}", enrich.tables);
    assert_eq!(sink.cassandra.nodes, ["cassandra:9042"]);
    assert_eq!(sink.redis.unwrap().host, "redis");
    assert_eq!(sink.floor_micros, validate.floor_micros);
    // With three copies there is no quorum on a single node.
    for job in ["topics", "migrate"] {
        assert_eq!(texts(&service(job)["command"]).last().map(String::as_str), Some("local"), "{job}");
    }
}

#[test]
fn the_image_holds_every_command_that_is_run_and_runs_as_nobody() {
    let dockerfile = file("deploy/docker/Dockerfile");
    for (name, service) in compose()["services"].as_object().unwrap() {
        if service["image"] == "tidewater:local" {
            let command = service["command"][0].as_str().unwrap();
            assert!(dockerfile.contains(&format!("target/release/{command}")), "{name}: no {command} in the image");
            assert_eq!(service["build"]["dockerfile"], "deploy/docker/Dockerfile");
        }
    }
    let user = dockerfile.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert!(!user.starts_with('0') && user != "root", "{user}");
}
