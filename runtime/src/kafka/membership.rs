//! How a worker is a member of its consumer group, and what it means when the group will not have it.

use crate::config::{Choice, Section, Settings};
use crate::fault::{Cause, Exit, Fault};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use std::time::Duration;

/// How a worker is a member of its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub protocol: Protocol,
    /// A name of this replica's own, by which the group knows it again after a restart; none if it comes as a stranger.
    pub instance_id: Option<String>,
}

/// Who shares the partitions out, and who says when a silent member has lost its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The members share out, cooperatively; a member that is silent for so long has lost its partitions.
    Classic { session_timeout: Duration },
    /// The brokers share out (KIP-848), and both times are theirs: `group.consumer.session.timeout.ms` and
    /// `group.consumer.heartbeat.interval.ms`.
    Consumer,
}

const SESSION_TIMEOUT: Duration = Duration::from_secs(6);

/// Behind the name of a replica's second member.
const BESIDE: &str = ".2";

/// What Kafka takes as the name of a member, and room for the second one's.
const INSTANCE_ID_LEN_MAX: usize = 249 - BESIDE.len();

impl Default for Membership {
    fn default() -> Self {
        Self { protocol: Protocol::Classic { session_timeout: SESSION_TIMEOUT }, instance_id: None }
    }
}

/// [`Protocol`] as it is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Word {
    #[default]
    Classic,
    Consumer,
}

impl Choice for Word {
    const WORDS: &'static [(&'static str, Self)] = &[("classic", Self::Classic), ("consumer", Self::Consumer)];
}

impl Settings for Membership {
    /// The part of `[kafka]` that is about groups.
    fn read(section: &mut Section<'_>) -> Self {
        let ms = Duration::from_millis;
        let protocol = "Who shares the partitions out: the members (classic), or the brokers (consumer, KIP-848).";
        let session = "A worker that is silent for so long has lost its partitions; 6s if unset. Only with classic: the \
             brokers' group.consumer.session.timeout.ms stands for it with consumer.";
        let instance = "A name of this replica's own, so that a restart within the session moves no partition: set it for \
             each replica, as TIDEWATER__KAFKA__INSTANCE_ID. Without it a replica joins as a stranger.";
        let word = section.choice("group_protocol", protocol).default(Word::Classic);
        let session_timeout = section.duration("session_timeout", session).between(ms(3_000), ms(300_000)).optional();
        let instance_id = section.text("instance_id", instance).optional();
        if word == Word::Consumer && session_timeout.is_some() {
            let text = "is not the worker's to set with group_protocol = \"consumer\": the brokers decide, by \
                 group.consumer.session.timeout.ms; leave it out, or use classic";
            section.problem(&["session_timeout", "group_protocol"], text);
        }
        if instance_id.as_deref().is_some_and(|id| !is_name(id)) {
            let text = format!("must be at most {INSTANCE_ID_LEN_MAX} of a-z, A-Z, 0-9, '.', '_' and '-'");
            section.problem(&["instance_id"], text);
        }
        let protocol = match word {
            Word::Classic => Protocol::Classic { session_timeout: session_timeout.unwrap_or(SESSION_TIMEOUT) },
            Word::Consumer => Protocol::Consumer,
        };
        Self { protocol, instance_id }
    }
}

fn is_name(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    id.len() <= INSTANCE_ID_LEN_MAX && id.bytes().all(is_plain)
}

impl Membership {
    /// That of a second member in the same process: a name is one member's.
    pub(super) fn beside(&self) -> Self {
        let instance_id = self.instance_id.as_ref().map(|id| format!("{id}{BESIDE}"));
        Self { protocol: self.protocol, instance_id }
    }

    /// How long a member that is gone keeps its place, as far as it is known here.
    pub(super) fn session(&self) -> Duration {
        match self.protocol {
            Protocol::Classic { session_timeout } => session_timeout,
            Protocol::Consumer => Duration::ZERO,
        }
    }

    /// Whether the client says of a member without partitions that it is in its group.
    pub(super) fn is_idle_told(&self) -> bool {
        matches!(self.protocol, Protocol::Classic { .. })
    }

    /// Sets what of it the client must know. What `consumer` leaves to the brokers must not even be named to the client.
    pub(super) fn apply(&self, client: &mut ClientConfig) {
        match self.protocol {
            Protocol::Classic { session_timeout } => {
                let session_ms = session_timeout.as_millis();
                client
                    .set("group.protocol", "classic")
                    .set("partition.assignment.strategy", "cooperative-sticky")
                    .set("session.timeout.ms", session_ms.to_string())
                    .set("heartbeat.interval.ms", (session_ms / 6).max(100).to_string());
            }
            Protocol::Consumer => {
                client.set("group.protocol", "consumer");
            }
        }
        if let Some(id) = &self.instance_id {
            client.set("group.instance.id", id);
        }
    }
}

/// One worker's place in one group.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    /// With the prefix.
    pub(super) group: String,
    pub(super) membership: Membership,
}

impl Seat {
    /// Why the client has given its membership up for good; `code` is what lies beneath its fatal `error`.
    pub(super) fn ended(&self, code: Option<Code>, error: KafkaError) -> Fault {
        let Self { group, membership } = self;
        let id = membership.instance_id.as_deref().unwrap_or_default();
        let config = |text: String, error| Fault::Fatal { exit: Exit::Config, cause: Cause::with(text, error) };
        match code {
            Some(Code::FencedInstanceId) => config(
                format!(
                    "another replica has joined group {group} with kafka.instance_id \"{id}\", and the brokers go on with \
                     that one; give every replica an instance_id of its own"
                ),
                error,
            ),
            Some(Code::UnreleasedInstanceId) => {
                let text = format!(
                    "group {group} still has a member with kafka.instance_id \"{id}\": one that was killed, and is \
                     forgotten with its session, or a running replica that has no instance_id of its own"
                );
                Fault::component(text, error)
            }
            Some(Code::UnsupportedVersion | Code::UnsupportedFeature | Code::UnsupportedAssignor) => {
                let text = "the brokers do not know this group protocol (consumer wants Kafka 4); set \
                     kafka.group_protocol = \"classic\"";
                config(text.to_owned(), error)
            }
            Some(Code::GroupMaxSizeReached) => {
                config(format!("group {group} has as many members as the brokers allow (group.max.size)"), error)
            }
            Some(Code::GroupAuthorizationFailed) => {
                config(format!("this client may not read as group {group}; grant it in the brokers' ACL"), error)
            }
            _ => Fault::component("the consumer met a fatal error", error),
        }
    }

    /// What a commit that the brokers refused means. Of a membership that is over nothing is wrong with the commit: the
    /// client hears of it on its next heartbeat and tells what is lost, and who owns the partition now reads on from the
    /// commit before.
    pub(super) fn refused_commit(&self, error: KafkaError) -> Fault {
        let text = match error.rdkafka_error_code() {
            code @ Some(Code::FencedInstanceId) => return self.ended(code, error),
            Some(Code::UnknownMemberId | Code::FencedMemberEpoch | Code::IllegalGeneration) => {
                "the group has gone on without this member, and takes no commit of it until it has joined again"
            }
            Some(Code::StaleMemberEpoch | Code::RebalanceInProgress) => {
                "the group shares its partitions out anew, and takes the commit behind that"
            }
            _ => "kafka refused a commit",
        };
        Fault::Transient(Cause::with(text, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Given, load};
    use std::path::Path;

    struct File(Membership);

    impl Settings for File {
        fn read(section: &mut Section<'_>) -> Self {
            Self(section.section("kafka"))
        }
    }

    fn read(lines: &str) -> Result<Membership, String> {
        let given = Given::new(Some(Path::new("t.toml")), &format!("[kafka]\n{lines}"), []).unwrap();
        load::<File>(given).map(|loaded| loaded.config.0).map_err(|error| error.to_string())
    }

    fn client(membership: &Membership) -> ClientConfig {
        let mut client = ClientConfig::new();
        membership.apply(&mut client);
        client
    }

    #[test]
    fn what_the_brokers_decide_is_neither_taken_from_the_operator_nor_told_to_the_client() {
        let told = read("group_protocol = \"consumer\"\nsession_timeout = \"6s\"").unwrap_err();
        assert!(told.contains("kafka.session_timeout: is not the worker's to set"), "{told}");
        let membership = read("group_protocol = \"consumer\"").unwrap();
        assert_eq!(membership, Membership { protocol: Protocol::Consumer, instance_id: None });
        let client = client(&membership);
        assert_eq!(client.get("group.protocol"), Some("consumer"));
        for theirs in ["session.timeout.ms", "heartbeat.interval.ms", "partition.assignment.strategy"] {
            assert_eq!(client.get(theirs), None, "{theirs}");
        }
    }

    #[test]
    fn the_members_share_out_themselves_unless_told_otherwise() {
        let membership = read("").unwrap();
        assert_eq!(membership, Membership::default());
        assert_eq!(client(&membership).get("session.timeout.ms"), Some("6000"));
        let session_timeout = Duration::from_secs(30);
        let asked = read("session_timeout = \"30s\"").unwrap();
        assert_eq!(asked.protocol, Protocol::Classic { session_timeout });
        assert_eq!(client(&asked).get("session.timeout.ms"), Some("30000"));
        assert_eq!(client(&asked).get("group.instance.id"), None);
    }

    #[test]
    fn the_name_of_a_replica_is_one_that_kafka_takes() {
        let membership = read("instance_id = \"sink-0.eu_1\"").unwrap();
        assert_eq!(client(&membership).get("group.instance.id"), Some("sink-0.eu_1"));
        for wrong in ["a b", "a/b", "ä", &"x".repeat(248)] {
            let told = read(&format!("instance_id = \"{wrong}\"")).unwrap_err();
            assert!(told.contains("kafka.instance_id: must be at most 247 of"), "{wrong}: {told}");
        }
    }

    #[test]
    fn a_commit_that_came_too_late_is_a_fault_that_passes_and_a_name_used_twice_is_not() {
        let membership = Membership { instance_id: Some("sink-0".into()), ..Membership::default() };
        let seat = Seat { group: "sink".into(), membership };
        let refused = |code| seat.refused_commit(KafkaError::ConsumerCommit(code));
        let passing = [
            (Code::UnknownMemberId, "gone on without"),
            (Code::FencedMemberEpoch, "gone on without"),
            (Code::IllegalGeneration, "gone on without"),
            (Code::StaleMemberEpoch, "shares its partitions out"),
            (Code::RebalanceInProgress, "shares its partitions out"),
            (Code::OperationTimedOut, "refused a commit"),
        ];
        for (code, words) in passing {
            let Fault::Transient(cause) = refused(code) else { panic!("{code}") };
            assert!(cause.to_string().contains(words), "{code}: {cause}");
        }
        let Fault::Fatal { exit: Exit::Config, cause } = refused(Code::FencedInstanceId) else { panic!("no end") };
        assert!(cause.to_string().contains("\"sink-0\"") && cause.to_string().contains("of its own"), "{cause}");
    }
}
