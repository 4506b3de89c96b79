//! What stands between the topics that are there and the topics that should be.
//!
//! Pure: [`Plan::between`] compares, [`super::Admin`] reads the one side and carries the plan out.

use std::collections::BTreeMap;
use std::fmt;

/// Says how time was put on the records that a topic already holds; altering it leaves those as they are.
const TIMESTAMP_TYPE: &str = "message.timestamp.type";

/// A topic as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSpec {
    pub name: String,
    pub partitions: i32,
    /// Copies of each partition. A topic that has more is left alone.
    pub replication: i32,
    /// The settings that matter; others are left as they are.
    pub configs: BTreeMap<String, String>,
}

/// A topic as a broker describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    pub partitions: i32,
    /// Copies of the partition that has fewest.
    pub replication: i32,
    pub configs: BTreeMap<String, Setting>,
}

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub value: String,
    /// Set on the topic itself, rather than a default of the broker.
    pub is_own: bool,
}

/// The steps that make the topics what they should be, in the order of the specifications.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    steps: Vec<Step>,
}

/// What one topic needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    Create(TopicSpec),
    Alter {
        topic: String,
        differences: Vec<Difference>,
        /// Every setting the topic will have of its own. The broker's call replaces all of them at once, so those
        /// that nobody asked to change are in it too.
        configs: BTreeMap<String, String>,
    },
    Keep {
        topic: String,
    },
}

/// One setting that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub key: String,
    /// `None` if the broker does not know the setting.
    pub is: Option<String>,
    pub wanted: String,
}

/// A difference that no call can mend without harm to the records already there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("topic {topic} has {is} partitions, not {wanted}")]
    Partitions { topic: String, is: i32, wanted: i32 },
    #[error("topic {topic} keeps {is} copies of each partition, not {wanted}")]
    Replication { topic: String, is: i32, wanted: i32 },
    #[error("topic {topic} has {TIMESTAMP_TYPE}={is}, not {wanted}")]
    TimestampType { topic: String, is: String, wanted: String },
}

impl Obstacle {
    /// Why it is one, and what to do.
    fn cure(&self) -> &'static str {
        match self {
            Self::Partitions { .. } => {
                "the count is fixed for the life of a topic, since another one would put the records of one key into \
                 two partitions: ask for the count that is there, or for topics of another name"
            }
            Self::Replication { .. } => {
                "give each partition more copies with kafka-reassign-partitions, then try again"
            }
            Self::TimestampType { .. } => {
                "altering it would leave the records already there with their old time: delete the topic if nothing \
                 in it is needed, or ask for topics of another name"
            }
        }
    }
}

/// Every obstacle found; prints one a line, then what to do about each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Obstacles(pub Vec<Obstacle>);

impl fmt::Display for Obstacles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cures = Vec::new();
        for (index, obstacle) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{obstacle}")?;
            if !cures.contains(&obstacle.cure()) {
                cures.push(obstacle.cure());
            }
        }
        cures.into_iter().try_for_each(|cure| write!(f, "\n{cure}"))
    }
}

impl std::error::Error for Obstacles {}

impl Plan {
    /// Compares `specs` with what was `found`, by name; a topic not found is to be created.
    ///
    /// # Errors
    /// All obstacles of all topics at once.
    pub fn between(specs: &[TopicSpec], found: &BTreeMap<String, TopicState>) -> Result<Self, Obstacles> {
        let mut steps = Vec::with_capacity(specs.len());
        let mut obstacles = Vec::new();
        for spec in specs {
            let Some(state) = found.get(&spec.name) else {
                steps.push(Step::Create(spec.clone()));
                continue;
            };
            obstacles.extend(obstacles_of(spec, state));
            steps.push(step_of(spec, state));
        }
        if obstacles.is_empty() { Ok(Self { steps }) } else { Err(Obstacles(obstacles)) }
    }

    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Keep { .. }))
    }
}

fn obstacles_of(spec: &TopicSpec, state: &TopicState) -> Vec<Obstacle> {
    let topic = || spec.name.clone();
    let mut obstacles = Vec::new();
    if state.partitions != spec.partitions {
        obstacles.push(Obstacle::Partitions { topic: topic(), is: state.partitions, wanted: spec.partitions });
    }
    if state.replication < spec.replication {
        obstacles.push(Obstacle::Replication { topic: topic(), is: state.replication, wanted: spec.replication });
    }
    if let (Some(wanted), Some(is)) = (spec.configs.get(TIMESTAMP_TYPE), state.configs.get(TIMESTAMP_TYPE))
        && is.value != *wanted
    {
        obstacles.push(Obstacle::TimestampType { topic: topic(), is: is.value.clone(), wanted: wanted.clone() });
    }
    obstacles
}

fn step_of(spec: &TopicSpec, state: &TopicState) -> Step {
    let mut differences = Vec::new();
    for (key, wanted) in &spec.configs {
        let is = state.configs.get(key).map(|setting| setting.value.clone());
        if is.as_ref() != Some(wanted) {
            differences.push(Difference { key: key.clone(), is, wanted: wanted.clone() });
        }
    }
    if differences.is_empty() {
        return Step::Keep { topic: spec.name.clone() };
    }
    let mut configs = BTreeMap::new();
    for (key, setting) in &state.configs {
        if setting.is_own {
            configs.insert(key.clone(), setting.value.clone());
        }
    }
    configs.extend(spec.configs.clone());
    Step::Alter { topic: spec.name.clone(), differences, configs }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(configs: &[(&str, &str)]) -> TopicSpec {
        let configs = configs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        TopicSpec { name: "t".into(), partitions: 12, replication: 3, configs }
    }

    fn found(partitions: i32, replication: i32, configs: &[(&str, &str, bool)]) -> BTreeMap<String, TopicState> {
        let configs = configs
            .iter()
            .map(|(key, value, is_own)| ((*key).to_owned(), Setting { value: (*value).to_owned(), is_own: *is_own }))
            .collect();
        BTreeMap::from([("t".to_owned(), TopicState { partitions, replication, configs })])
    }

    #[test]
    fn a_topic_that_is_not_there_is_created_as_asked() {
        let wanted = spec(&[("retention.ms", "1")]);
        let plan = Plan::between(std::slice::from_ref(&wanted), &BTreeMap::new()).unwrap();
        assert_eq!(plan.steps(), [Step::Create(wanted)]);
        assert!(!plan.is_done());
    }

    #[test]
    fn a_topic_as_it_should_be_is_left_alone_whoever_set_it() {
        let is = found(12, 3, &[("retention.ms", "1", false), ("segment.bytes", "7", true)]);
        let plan = Plan::between(&[spec(&[("retention.ms", "1")])], &is).unwrap();
        assert!(plan.is_done());
    }

    #[test]
    fn an_altered_topic_keeps_its_own_settings_that_nobody_asked_about() {
        let is = found(12, 3, &[("retention.ms", "9", false), ("segment.bytes", "7", true), ("flush.ms", "5", false)]);
        let plan = Plan::between(&[spec(&[("retention.ms", "1")])], &is).unwrap();
        let difference = Difference { key: "retention.ms".into(), is: Some("9".into()), wanted: "1".into() };
        let configs = [("retention.ms", "1"), ("segment.bytes", "7")];
        let expected = Step::Alter {
            topic: "t".into(),
            differences: vec![difference],
            configs: configs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        };
        assert_eq!(plan.steps(), [expected]);
    }

    #[test]
    fn every_obstacle_is_told_at_once() {
        let is = found(6, 1, &[("message.timestamp.type", "CreateTime", false)]);
        let refused = Plan::between(&[spec(&[("message.timestamp.type", "LogAppendTime")])], &is).unwrap_err();
        let Obstacles(obstacles) = &refused;
        assert_eq!(
            obstacles,
            &[
                Obstacle::Partitions { topic: "t".into(), is: 6, wanted: 12 },
                Obstacle::Replication { topic: "t".into(), is: 1, wanted: 3 },
                Obstacle::TimestampType { topic: "t".into(), is: "CreateTime".into(), wanted: "LogAppendTime".into() },
            ]
        );
        assert_eq!(refused.to_string().lines().count(), 6);
    }

    #[test]
    fn more_copies_than_asked_for_are_no_obstacle() {
        assert!(Plan::between(&[spec(&[])], &found(12, 5, &[])).unwrap().is_done());
    }
}
