//! The committed offsets of a consumer group, read and moved from outside, without joining it.

use super::client::{Client, PATIENCE};
use super::config::Config;
use super::error::Error;
use crate::offsets::Committed;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::fmt;

/// One consumer group, seen from outside.
pub struct Group {
    name: String,
    client: Client,
}

/// A consumer that is in a group now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub client_id: String,
    pub host: String,
}

impl Group {
    /// Makes the client; the group's coordinator is asked only by the calls below.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Client`] if the configuration is wrong.
    pub fn new(config: &Config, name: &str) -> Result<Self, Error> {
        let client = Client::new(config, |settings| {
            settings.set("group.id", name);
        })?;
        Ok(Self { name: name.to_owned(), client })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Who is in the group; nobody, if it does not exist.
    ///
    /// Members of a group of the `consumer` protocol (KIP-848) do not show here; [`Group::commit`] sees them.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] or [`Error::Refused`].
    pub async fn members(&self) -> Result<Vec<Member>, Error> {
        let name = self.name.clone();
        let read = self.client.ask(format!("list the members of group {name}"), move |consumer| {
            let list = consumer.fetch_group_list(Some(&name), PATIENCE)?;
            let mut members = Vec::new();
            for member in list.groups().iter().flat_map(|group| group.members()) {
                members.push(Member { client_id: member.client_id().into(), host: member.client_host().into() });
            }
            Ok(members)
        });
        read.await
    }

    /// What the group has committed for partitions 0 to `partitions` of `topic`, by partition; `None` where nothing.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] or [`Error::Refused`].
    pub async fn committed(&self, topic: &str, partitions: i32) -> Result<Vec<Option<Committed>>, Error> {
        let name = topic.to_owned();
        let read = self.client.ask(format!("tell the offsets of group {}", self.name), move |consumer| {
            let mut asked = TopicPartitionList::new();
            for partition in 0..partitions {
                asked.add_partition(&name, partition);
            }
            let found = consumer.committed_offsets(asked, PATIENCE)?;
            let mut committed = Vec::new();
            for partition in 0..partitions {
                committed.push(committed_of(&found, &name, partition)?);
            }
            Ok(committed)
        });
        read.await
    }

    /// Moves the group to `targets` in `topic`, all or none of them known to have been kept.
    ///
    /// # Errors
    /// [`Error::GroupBusy`] while the group has members; [`Error::CommitLost`] if the broker answers another place
    /// than the one just committed; [`Error::NoAnswer`] or [`Error::Refused`].
    pub async fn commit(&self, topic: &str, targets: &[Committed]) -> Result<(), Error> {
        self.refuse_if_busy().await?;
        let name = topic.to_owned();
        let list = targets.to_vec();
        let commit = self.client.ask(format!("move the offsets of group {}", self.name), move |consumer| {
            let mut offsets = TopicPartitionList::with_capacity(list.len());
            for target in &list {
                let mut element = offsets.add_partition(&name, target.partition);
                element.set_offset(Offset::Offset(target.offset))?;
                element.set_metadata(&target.metadata);
            }
            // The broker refuses the commit of an outsider while the group has members, whatever the protocol, so a
            // member that joins after the look above is no danger.
            Ok(consumer.commit(&offsets, CommitMode::Sync))
        });
        match commit.await? {
            Ok(()) => self.check_kept(topic, targets).await,
            Err(error) if is_membership(&error) => {
                Err(Error::GroupBusy { group: self.name.clone(), members: Vec::new() })
            }
            Err(error) => Err(self.client.failed(format!("move the offsets of group {}", self.name), error)),
        }
    }

    /// # Errors
    /// [`Error::GroupBusy`], naming the members that show.
    pub async fn refuse_if_busy(&self) -> Result<(), Error> {
        let members = self.members().await?;
        if members.is_empty() {
            return Ok(());
        }
        let shown = members.iter().map(|member| format!("{} at {}", member.client_id, member.host)).collect();
        Err(Error::GroupBusy { group: self.name.clone(), members: shown })
    }

    /// A commit of several partitions succeeds as a whole if one of them does: only reading them again tells.
    async fn check_kept(&self, topic: &str, targets: &[Committed]) -> Result<(), Error> {
        let partitions = targets.iter().map(|target| target.partition + 1).max().unwrap_or_default();
        let kept = self.committed(topic, partitions).await?;
        for target in targets {
            if !kept.iter().flatten().any(|committed| committed == target) {
                let (group, topic) = (self.name.clone(), topic.to_owned());
                return Err(Error::CommitLost { group, topic, partition: target.partition });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Group").field("name", &self.name).finish_non_exhaustive()
    }
}

fn committed_of(found: &TopicPartitionList, topic: &str, partition: i32) -> Result<Option<Committed>, KafkaError> {
    let Some(element) = found.find_partition(topic, partition) else {
        return Ok(None);
    };
    element.error()?;
    let Offset::Offset(offset) = element.offset() else {
        return Ok(None);
    };
    Ok(Some(Committed { partition, offset, metadata: element.metadata().to_owned() }))
}

fn is_membership(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::StaleMemberEpoch
        )
    )
}
