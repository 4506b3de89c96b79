//! Topics as a broker knows them: what is there, what range of offsets it holds, and making it what it should be.

use super::client::{Client, Listener, PATIENCE};
use super::config::Config;
use super::error::Error;
use super::plan::{Plan, Setting, Step, TopicSpec, TopicState};
use crate::offsets::Watermarks;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigResource, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Between two looks at whether a new topic has arrived everywhere.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Asks brokers about topics and changes them.
pub struct Admin {
    client: Client,
    admin: AdminClient<Listener>,
}

impl Admin {
    /// Makes the clients; brokers are asked only by the calls below.
    ///
    /// # Errors
    /// [`Error::Setting`] or [`Error::Client`] if the configuration is wrong.
    pub fn new(config: &Config) -> Result<Self, Error> {
        let client = Client::new(config, |_| ())?;
        let admin = config.client_config().create_with_context(Listener::default()).map_err(Error::of_creation)?;
        Ok(Self { client, admin })
    }

    /// Those of `topics` that exist.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] or [`Error::Refused`].
    pub async fn describe(&self, topics: &[String]) -> Result<BTreeMap<String, TopicState>, Error> {
        let mut found = self.counts(topics).await?;
        let resources = found.keys().map(|name| ResourceSpecifier::Topic(name)).collect::<Vec<_>>();
        if resources.is_empty() {
            return Ok(found);
        }
        const ASKED: &str = "describe the settings of topics";
        let answers = self.admin.describe_configs(&resources, &options()).await;
        let mut configs = BTreeMap::new();
        for (resource, answer) in resources.iter().zip(answers.map_err(|error| self.client.failed(ASKED, error))?) {
            let answer = answer.map_err(|code| self.client.failed(ASKED, KafkaError::AdminOp(code)))?;
            if let ResourceSpecifier::Topic(name) = resource {
                configs.insert((*name).to_owned(), settings_of(answer));
            }
        }
        for (name, state) in &mut found {
            state.configs = configs.remove(name).unwrap_or_default();
        }
        Ok(found)
    }

    /// Settings of a broker, those of `keys` that it has.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] or [`Error::Refused`].
    pub async fn broker_settings(&self, keys: &[&str]) -> Result<BTreeMap<String, String>, Error> {
        const ASKED: &str = "describe its settings";
        let read = self.client.ask("list the brokers", |consumer| {
            Ok(consumer.fetch_metadata(None, PATIENCE)?.brokers().first().map(|broker| broker.id()))
        });
        let Some(broker) = read.await? else { return Ok(BTreeMap::new()) };
        let answers = self.admin.describe_configs(&[ResourceSpecifier::Broker(broker)], &options()).await;
        let mut found = BTreeMap::new();
        for answer in answers.map_err(|error| self.client.failed(ASKED, error))? {
            let answer = answer.map_err(|code| self.client.failed(ASKED, KafkaError::AdminOp(code)))?;
            let wanted = answer.entries.into_iter().filter(|entry| keys.contains(&&*entry.name));
            found.extend(wanted.filter_map(|entry| Some((entry.name, entry.value?))));
        }
        Ok(found)
    }

    /// Does what `plan` says, and returns once every created topic can be used.
    ///
    /// # Errors
    /// [`Error::NoAnswer`] or [`Error::Refused`]; the steps before the one that failed are done, and a plan made anew
    /// holds what is left.
    pub async fn apply(&self, plan: &Plan) -> Result<(), Error> {
        let mut created = Vec::new();
        for step in plan.steps() {
            match step {
                Step::Create(spec) => {
                    self.create(spec).await?;
                    created.push(spec.name.clone());
                }
                Step::Alter { topic, configs, .. } => self.alter(topic, configs).await?,
                Step::Keep { .. } => {}
            }
        }
        self.wait_for(&created).await
    }

    /// How many partitions `topic` has.
    ///
    /// # Errors
    /// [`Error::TopicMissing`], [`Error::NoAnswer`] or [`Error::Refused`].
    pub async fn partitions(&self, topic: &str) -> Result<i32, Error> {
        let found = self.counts(&[topic.to_owned()]).await?;
        let state = found.get(topic).ok_or_else(|| Error::TopicMissing { topic: topic.to_owned() })?;
        Ok(state.partitions)
    }

    /// The offsets that each partition of `topic` holds, by partition.
    ///
    /// # Errors
    /// [`Error::TopicMissing`], [`Error::NoAnswer`] or [`Error::Refused`].
    pub async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, Error> {
        let partitions = self.partitions(topic).await?;
        let name = topic.to_owned();
        let read = self.client.ask(format!("tell the offsets of {topic}"), move |consumer| {
            let mut held = Vec::new();
            for partition in 0..partitions {
                let (low, high) = consumer.fetch_watermarks(&name, partition, PATIENCE)?;
                held.push(Watermarks { partition, low, high });
            }
            Ok(held)
        });
        read.await
    }

    /// The first offset of each partition, by partition, whose record carries a time at or after `since_ms`
    /// (milliseconds since 1970-01-01); the high watermark where there is none.
    ///
    /// # Errors
    /// [`Error::TopicMissing`], [`Error::NoAnswer`] or [`Error::Refused`].
    pub async fn offsets_since(&self, topic: &str, since_ms: i64) -> Result<Vec<i64>, Error> {
        let watermarks = self.watermarks(topic).await?;
        let name = topic.to_owned();
        let read = self.client.ask(format!("find a time in {topic}"), move |consumer| {
            let mut times = TopicPartitionList::with_capacity(watermarks.len());
            for held in &watermarks {
                times.add_partition_offset(&name, held.partition, Offset::Offset(since_ms))?;
            }
            let found = consumer.offsets_for_times(times, PATIENCE)?;
            let mut offsets = Vec::with_capacity(watermarks.len());
            for held in &watermarks {
                let element = found.find_partition(&name, held.partition);
                let offset = match element {
                    Some(element) => element.error().map(|()| element.offset())?,
                    None => Offset::End,
                };
                offsets.push(if let Offset::Offset(offset) = offset { offset } else { held.high });
            }
            Ok(offsets)
        });
        read.await
    }

    /// Partitions and copies of those of `topics` that exist, without their settings.
    ///
    /// Every topic is asked for, because asking for one by name makes a broker that creates topics on demand do so.
    async fn counts(&self, topics: &[String]) -> Result<BTreeMap<String, TopicState>, Error> {
        let topics = topics.to_vec();
        let read = self.client.ask("list its topics", move |consumer| {
            let metadata = consumer.fetch_metadata(None, PATIENCE)?;
            counts_of(&metadata, &topics)
        });
        read.await
    }

    async fn create(&self, spec: &TopicSpec) -> Result<(), Error> {
        let asked = || format!("create topic {} with {} copies", spec.name, spec.replication);
        let mut topic = NewTopic::new(&spec.name, spec.partitions, TopicReplication::Fixed(spec.replication));
        for (key, value) in &spec.configs {
            topic = topic.set(key, value);
        }
        let answers = self.admin.create_topics([&topic], &options()).await;
        for answer in answers.map_err(|error| self.client.failed(asked(), error))? {
            answer.map_err(|(_, code)| self.client.failed(asked(), KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }

    async fn alter(&self, topic: &str, configs: &BTreeMap<String, String>) -> Result<(), Error> {
        let asked = || format!("alter the settings of topic {topic}");
        let mut whole = AlterConfig::new(ResourceSpecifier::Topic(topic));
        for (key, value) in configs {
            whole = whole.set(key, value);
        }
        let answers = self.admin.alter_configs([&whole], &options()).await;
        for answer in answers.map_err(|error| self.client.failed(asked(), error))? {
            answer.map_err(|(_, code)| self.client.failed(asked(), KafkaError::AdminOp(code)))?;
        }
        Ok(())
    }

    /// Returns once every partition of `topics` has a leader.
    async fn wait_for(&self, topics: &[String]) -> Result<(), Error> {
        let mut waited = Duration::ZERO;
        while !self.are_led(topics).await? {
            if waited >= PATIENCE {
                return Err(self.client.silent("show the topics it just created"));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            waited += LOOK_AGAIN;
        }
        Ok(())
    }

    async fn are_led(&self, topics: &[String]) -> Result<bool, Error> {
        let topics = topics.to_vec();
        let read = self.client.ask("list its topics", move |consumer| {
            let metadata = consumer.fetch_metadata(None, PATIENCE)?;
            let is_led = |name: &String| {
                let topic = metadata.topics().iter().find(|topic| topic.name() == name);
                topic.is_some_and(|topic| topic.partitions().iter().all(|partition| partition.leader() >= 0))
            };
            Ok(topics.iter().all(is_led))
        });
        read.await
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE))
}

fn counts_of(metadata: &Metadata, topics: &[String]) -> Result<BTreeMap<String, TopicState>, KafkaError> {
    let mut found = BTreeMap::new();
    for topic in metadata.topics().iter().filter(|topic| topics.iter().any(|name| name == topic.name())) {
        if let Some(code) = topic.error() {
            return Err(KafkaError::MetadataFetch(code.into()));
        }
        let copies = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
        let state = TopicState {
            partitions: i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX),
            replication: i32::try_from(copies.unwrap_or_default()).unwrap_or(i32::MAX),
            configs: BTreeMap::new(),
        };
        found.insert(topic.name().to_owned(), state);
    }
    Ok(found)
}

fn settings_of(resource: ConfigResource) -> BTreeMap<String, Setting> {
    let mut settings = BTreeMap::new();
    for entry in resource.entries {
        let is_own = matches!(entry.source, ConfigSource::DynamicTopic);
        if let Some(value) = entry.value {
            settings.insert(entry.name, Setting { value, is_own });
        }
    }
    settings
}
