//! How a demo ended: one line for machines, some for people.

use super::screen::{Screen, grouped};
use crate::verify::Verdict;
use serde_json::Value;
use std::fmt;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Report {
    /// What the changes were made from.
    pub(super) source: String,
    pub(super) verdict: Verdict,
    /// Changes that were acknowledged.
    pub(super) fed: u64,
    /// From the first change sent until the last was settled everywhere.
    pub(super) seconds: Duration,
}

/// The JSON object that ends standard output.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { changes, profiles, dead, by_code, lost, wrong, .. } = &self.verdict;
        let by_code = by_code.iter().map(|(code, count)| (code.clone(), Value::from(*count))).collect();
        let (source, by_code) = (Value::from(self.source.as_str()), Value::Object(by_code));
        write!(f, "{{\"source\":{source},\"changes\":{changes},\"profiles\":{profiles},\"dead\":{dead},")?;
        write!(f, "\"by_code\":{by_code},\"lost\":{lost},\"wrong\":{wrong},")?;
        write!(f, "\"seconds\":{:.3},\"changes_per_second\":{:.1}}}", self.seconds.as_secs_f64(), self.rate())
    }
}

impl Report {
    fn rate(&self) -> f64 {
        let changes = u32::try_from(self.verdict.changes).unwrap_or(u32::MAX);
        f64::from(changes) / self.seconds.as_secs_f64().max(0.001)
    }

    /// Why the command fails, if the verdict does not hold.
    pub(super) fn failure(&self) -> String {
        let Verdict { lost, wrong, .. } = &self.verdict;
        format!(
            "{lost} lost and {wrong} wrong: the state is not what follows from the log; the first of it stands above"
        )
    }

    /// Says what came out.
    pub(super) fn explain(&self, screen: &mut Screen) {
        let Verdict { changes, profiles, dead, by_code, lost, wrong, examples } = &self.verdict;
        let codes = by_code.iter().map(|(code, count)| format!("{code} {count}")).collect::<Vec<_>>();
        let codes = if codes.is_empty() { String::new() } else { format!(" ({})", codes.join(", ")) };
        let seconds = self.seconds.as_secs_f64();
        screen.say(&format!(
            "{} changes became {} profiles and {} dead letters{codes} in {seconds:.1} s, {:.0} a second",
            grouped(*changes),
            grouped(*profiles),
            grouped(*dead),
            self.rate()
        ));
        for example in examples {
            screen.say(example);
        }
        screen.say(&format!(
            "lost {lost}, wrong {wrong}: order and merge recomputed from changes.raw.v1 alone, every outcome and every \
             row compared"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_last_line_is_the_result_as_json() {
        let by_code = BTreeMap::from([("shape".to_owned(), 2), ("undecodable".to_owned(), 1)]);
        let verdict = Verdict { changes: 10, profiles: 4, dead: 3, by_code, ..Verdict::default() };
        let report = Report { source: "git-log".into(), verdict, fed: 10, seconds: Duration::from_millis(2_500) };
        let line = concat!(
            r#"{"source":"git-log","changes":10,"profiles":4,"dead":3,"by_code":{"shape":2,"undecodable":1},"#,
            r#""lost":0,"wrong":0,"seconds":2.500,"changes_per_second":4.0}"#
        );
        assert_eq!(report.to_string(), line);
        assert!(serde_json::from_str::<Value>(line).is_ok());
    }
}
