//! Configurations: a TOML file and variables of the environment, for each service.
//!
//! An input is the file; lines behind the first that is `---` are variables.

use crate::engine::Target;
use runtime::config::{self, Given, Section, Settings};
use std::ffi::OsString;
use tests::history::Random;

/// Of all services, one after the other.
pub(crate) struct Configurations;

/// A service's own options and those of every process.
struct Whole<C>(std::marker::PhantomData<C>);

impl<C: Settings> Settings for Whole<C> {
    fn read(section: &mut Section<'_>) -> Self {
        let _log: runtime::logs::Config = section.section("log");
        let _shutdown: runtime::lifecycle::Config = section.section("shutdown");
        let _telemetry: runtime::telemetry::Config = section.section("telemetry");
        C::read(section);
        Self(std::marker::PhantomData)
    }
}

/// Whatever else is printed, this is not.
const SECRET: &str = "hunter2-canary";

/// Variables that hold it, behind those of the input.
const SECRETS: [&str; 3] =
    ["TIDEWATER__CASSANDRA__PASSWORD", "TIDEWATER__REDIS__PASSWORD", "TIDEWATER__KAFKA__EXTRA__SASL_PASSWORD"];

const LINES: &str = "\
kafka.brokers = \"127.0.0.1:9092\"
kafka.partitions = 12
kafka.topic_prefix = \"tidewater.\"
kafka.group_prefix = \"\"
kafka.extra.\"sasl.password\" = \"x\"
kafka.extra.\"security.protocol\" = \"ssl\"
kafka.extra.\"ssl.key.pem_file\" = \"/nowhere\"
version.floor = 2024-01-01T00:00:00Z
enrich.tables = \"schemas/reference\"
cassandra.nodes = [\"127.0.0.1:9042\"]
cassandra.keyspace = \"tidewater\"
cassandra.user = \"ada\"
cassandra.password_file = \"/nowhere\"
redis.host = \"127.0.0.1\"
redis.port = 6379
redis.user = \"ada\"
redis.cache = \"off\"
log.filter = \"info,runtime=debug\"
log.format = \"text\"
limits.drain = \"3s\"
limits.in_flight = \"32MiB\"
limits.lanes = 16
shutdown.grace = \"25s\"
telemetry.otlp_endpoint = \"http://127.0.0.1:4318\"
telemetry.sample_ratio = 0.5
---
TIDEWATER__KAFKA__BROKERS=b:1,c:2
TIDEWATER__CASSANDRA__NODES=a:1,,b:2
TIDEWATER__CASSANDRA__PASSWORD=x
TIDEWATER__REDIS__PASSWORD=x
TIDEWATER__KAFKA__EXTRA__SASL_PASSWORD=x
TIDEWATER__LIMITS__COMMIT_EVERY=1h
TIDEWATER__VERSION__FLOOR=1969-12-31T23:59:59Z
";

impl Configurations {
    fn load<C: Settings>(text: &str, env: &[(OsString, OsString)]) -> String {
        let given = |text: &str, env: &[(OsString, OsString)]| Given::new(None, text, env.iter().cloned());
        let loaded = given(text, env).and_then(config::load::<Whole<C>>);
        let error = match loaded {
            Ok(loaded) => {
                let printed = loaded.to_toml();
                assert!(!printed.contains(SECRET), "a secret is printed: {printed}");
                let again = given(&printed, &secrets()).and_then(config::load::<Whole<C>>);
                let again =
                    again.unwrap_or_else(|error| panic!("what is printed is no configuration: {error}\n{printed}"));
                assert_eq!(bare(&again.to_toml()), bare(&printed), "what is printed says something else");
                return "used".to_owned();
            }
            Err(error) => error,
        };
        let said = error.to_string();
        assert!(!said.contains(SECRET), "a secret is told: {said}");
        let problems = error.problems();
        assert!(!problems.is_empty(), "refused for no reason");
        assert!(problems.iter().all(|problem| !problem.text.contains('\n')), "one line each: {said}");
        let mut paths: Vec<String> = problems.iter().map(|problem| problem.path.to_string()).collect();
        // Sections of ours, not what the input calls its own.
        paths.iter_mut().for_each(|path| *path = path.split('.').next().unwrap_or_default().to_owned());
        paths.retain(|path| LINES.contains(&format!("{path}.")) && path.len() > 2);
        paths.dedup();
        format!("{} of {}", problems.len().min(4), paths.join(" "))
    }
}

fn secrets() -> Vec<(OsString, OsString)> {
    SECRETS.map(|name| (name.into(), SECRET.into())).into()
}

/// Without the comments, which say where a value came from, and in the order of the alphabet: in the client's own section
/// what the environment brings stands behind what the file has, and before it once it is printed.
fn bare(printed: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = printed.lines().map(|line| line.split("  # ").next().unwrap_or_default()).collect();
    lines.sort_unstable();
    lines
}

impl Target for Configurations {
    const NAME: &'static str = "config";
    const MEMORY: (u64, u64) = (1 << 20, 512);

    fn fresh(&self, random: &mut Random) -> Vec<u8> {
        let skipped = random.below(4);
        let lines: Vec<&str> = LINES.lines().filter(|line| *line == "---" || random.below(8) >= skipped).collect();
        lines.join("\n").into_bytes()
    }

    fn words(&self) -> Vec<&[u8]> {
        let words = [
            "[kafka]\n",
            "[kafka.extra]\n",
            "[[limits]]\n",
            "\n",
            "= ",
            "\"\"",
            "''",
            "\"\"\"",
            "true",
            "-1",
            "0",
            "1e9",
            "inf",
            "nan",
            "9223372036854775808",
            "\"1h\"",
            "\"1000000000000h\"",
            "\"18446744073709551615GiB\"",
            "\"1.5s\"",
            "[]",
            "{}",
            "{a = 1}",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:60Z",
            "\u{e9}",
            "\u{0}",
            "TIDEWATER__",
            "TIDEWATER____",
            "TIDEWATER__A__B__C=",
            "__",
            "=",
            "\n---\n",
            "# ",
            "_file",
            ".",
        ];
        words.iter().map(|word| word.as_bytes()).chain(LINES.lines().map(str::as_bytes)).collect()
    }

    fn run(&self, input: &[u8]) -> String {
        let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
        let (file, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
        let pairs = variables.lines().filter_map(|line| line.split_once('='));
        let env: Vec<_> = pairs.map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        let env = [env, secrets()].concat();
        // Files are opened at most where they are named so; nothing of this machine is to be read.
        if text.contains(SECRET)
            || file.contains("/dev")
            || file.contains("/proc")
            || variables.contains("/dev")
            || variables.contains("/proc")
        {
            return "not tried".to_owned();
        }
        let validate = Self::load::<processors::validate::Config>(file, &env);
        let enrich = Self::load::<processors::enrich::Config>(file, &env);
        let sink = Self::load::<sinks::Config>(file, &env);
        format!("{validate}; {enrich}; {sink}")
    }
}
