//! What soaks have come to: `tests/soak/<date>.json`, each of one shape.

use crate::source::Source;
use serde_json::Value;

/// What every one of them says, as a number that is not negative.
const COUNTS: [&str; 6] = ["runs", "changes", "lost", "wrong", "stale", "seconds"];

/// Records of soaks that lack something, or are not named by their date.
pub(crate) fn misshapen(files: &[Source]) -> Vec<String> {
    let records = files.iter().filter(|file| file.path.starts_with("tests/soak/"));
    records.flat_map(|file| problems(file).into_iter().map(|problem| format!("{}: {problem}", file.path))).collect()
}

fn problems(file: &Source) -> Vec<String> {
    let Ok(Value::Object(record)) = serde_json::from_str(&file.text) else {
        return vec!["is no JSON object".to_owned()];
    };
    let mut problems = Vec::new();
    let name = file.path.trim_start_matches("tests/soak/");
    let is_date = |name: &str| name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    if !name.strip_suffix(".json").is_some_and(is_date) {
        problems.push("is not named <date>.json".to_owned());
    }
    let lacks = |count: &&&str| !record.get(**count).is_some_and(Value::is_u64);
    problems.extend(COUNTS.iter().filter(lacks).map(|count| format!("{count} is no count")));
    let faults = record.get("faults").and_then(Value::as_object);
    if !faults.is_some_and(|faults| faults.values().all(Value::is_u64)) {
        problems.push("faults are not counts by kind".to_owned());
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str =
        r#"{"runs": 1, "faults": {"cut": 3}, "changes": 9, "lost": 0, "wrong": 0, "stale": 0, "seconds": 60}"#;

    fn of(path: &str, text: &str) -> usize {
        misshapen(&[Source::new(path, text)]).len()
    }

    #[test]
    fn a_record_has_its_counts_its_faults_and_its_date() {
        assert_eq!(of("tests/soak/2026-01-31.json", GOOD), 0);
        assert_eq!(of("tests/soak/last.json", GOOD), 1);
        assert_eq!(of("tests/soak/2026-01-31.json", "[]"), 1);
        assert_eq!(of("tests/soak/2026-01-31.json", "{}"), 7);
        assert_eq!(of("tests/soak/2026-01-31.json", &GOOD.replace("9", "-9")), 1);
        assert_eq!(of("tests/soak/2026-01-31.json", &GOOD.replace("3", "\"many\"")), 1);
        assert_eq!(of("tests/goldens/other.json", "{}"), 0);
    }
}
