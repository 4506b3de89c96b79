//! What can go wrong between us and a broker, and what the person reading it can do.

use super::plan::Obstacles;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::time::Duration;

/// A failed administrative call. Nothing in it is user data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client does not know a setting, or not this value of it; the value is left out, for it may be a secret.
    #[error("the kafka client refuses the setting {key} ({reason}); correct it in [kafka] or [kafka.extra]")]
    Setting { key: String, reason: String },
    #[error("the kafka client cannot be made ({reason}); check [kafka] brokers and [kafka.extra]")]
    Client { reason: String },
    #[error(
        "kafka at {brokers} gave no answer within {} s when asked to {asked}{heard}; check that a broker runs there \
         and that [kafka] brokers names it",
        waited.as_secs()
    )]
    NoAnswer {
        brokers: String,
        asked: String,
        waited: Duration,
        /// The client's last complaint, as ` (…)`, or nothing.
        heard: String,
    },
    #[error("kafka refused to {asked}{hint}")]
    Refused {
        asked: String,
        /// What to do, as ` (…)`, or nothing.
        hint: &'static str,
        #[source]
        source: KafkaError,
    },
    #[error("topic {topic} does not exist; create it first")]
    TopicMissing { topic: String },
    #[error(transparent)]
    Obstacles(#[from] Obstacles),
    #[error(
        "group {group} has members{}, and only they may move its offsets; stop every one of them, wait until the \
         group is empty (a killed member stays for its session timeout), then try again",
        listed(members)
    )]
    GroupBusy { group: String, members: Vec<String> },
    #[error(
        "the broker took the commit of group {group} for {topic}/{partition}, but answers another one; \
         something else moves this group's offsets: stop it and try again"
    )]
    CommitLost { group: String, topic: String, partition: i32 },
    #[error("{topic} no longer has the offset that was to be read next; retention took it meanwhile: try again")]
    RangeGone { topic: String },
    #[error(
        "{topic}/{partition} gives nothing from offset {next} on for {} s, and is to be read up to {to}; its leader lags \
         behind or has lost records: look at the brokers, then try again",
        waited.as_secs()
    )]
    Stalled { topic: String, partition: i32, next: i64, to: i64, waited: Duration },
    #[error("a thread that spoke to kafka ended early; this is a bug")]
    ThreadEnded,
}

fn listed(members: &[String]) -> String {
    if members.is_empty() { String::new() } else { format!(" ({})", members.join(", ")) }
}

impl Error {
    /// Of a client that could not be made.
    pub(super) fn of_creation(error: KafkaError) -> Self {
        if let KafkaError::ClientConfig(_, reason, key, _) = error {
            return Self::Setting { key, reason };
        }
        Self::Client { reason: error.to_string() }
    }

    /// Whether the person who called can cure it by changing what was asked for or configured; else the world failed.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Setting { .. }
            | Self::Client { .. }
            | Self::TopicMissing { .. }
            | Self::Obstacles(_)
            | Self::GroupBusy { .. } => true,
            Self::NoAnswer { .. }
            | Self::Refused { .. }
            | Self::CommitLost { .. }
            | Self::RangeGone { .. }
            | Self::Stalled { .. }
            | Self::ThreadEnded => false,
        }
    }
}

/// Also of an administrative operation, which the library leaves out.
fn code_of(error: &KafkaError) -> Option<RDKafkaErrorCode> {
    if let KafkaError::AdminOp(code) = error { Some(*code) } else { error.rdkafka_error_code() }
}

/// Whether `error` says that no broker could be asked, rather than that one refused.
pub(super) fn is_silence(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    if matches!(error, KafkaError::Canceled | KafkaError::NoMessageReceived) {
        return true;
    }
    matches!(
        code_of(error),
        Some(
            Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::MessageTimedOut
                | Code::TimedOutQueue
                | Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::NodeUpdate
                | Code::WaitingForCoordinator
                | Code::CoordinatorNotAvailable
                | Code::CoordinatorLoadInProgress
                | Code::NotCoordinator
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition,
        )
    )
}

/// What to do about a refusal, where the code says it.
pub(super) fn hint(error: &KafkaError) -> &'static str {
    use RDKafkaErrorCode as Code;
    match code_of(error) {
        Some(Code::InvalidReplicationFactor) => " (fewer brokers run than replicas are asked for)",
        Some(Code::TopicAlreadyExists) => " (somebody else made it at the same time: try again)",
        Some(Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed | Code::ClusterAuthorizationFailed) => {
            " (grant this client the right in the brokers' ACL)"
        }
        Some(Code::PolicyViolation | Code::InvalidConfig) => {
            " (the broker's own limits or policy forbid these settings)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::types::RDKafkaConfRes;

    #[test]
    fn a_refused_setting_names_the_key_and_never_the_value() {
        let error = Error::of_creation(KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "Invalid value".into(),
            "sasl.password".into(),
            "hunter2".into(),
        ));
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("sasl.password"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_busy_group_names_its_members() {
        let error = Error::GroupBusy { group: "validate".into(), members: vec!["v-1 at /127.0.0.1".into()] };
        assert!(error.to_string().contains("(v-1 at /127.0.0.1)"), "{error}");
        let unnamed = Error::GroupBusy { group: "validate".into(), members: Vec::new() };
        assert!(unnamed.to_string().contains("has members, and only"), "{unnamed}");
    }

    #[test]
    fn a_broker_that_is_away_is_silence_and_one_that_says_no_is_not() {
        assert!(is_silence(&KafkaError::MetadataFetch(RDKafkaErrorCode::BrokerTransportFailure)));
        assert!(!is_silence(&KafkaError::AdminOp(RDKafkaErrorCode::InvalidReplicationFactor)));
    }
}
