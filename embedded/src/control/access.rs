//! A directory as others use it, whoever has it.

use super::Error;
use super::answer::{Standing, answer};
use super::request::{About, Commits, Done, Files, Held, Offsets, Outcome, Request, Row, Seen};
use super::wire::{Message, receive, send};
use crate::error::Error as HomeError;
use crate::home::{Home, Layout, Options};
use crate::log::frame::{self, Batch};
use crate::table::{Shape, user_of};
use runtime::offsets::{Committed, Span, Watermarks};
use runtime::record::{Headers, Offset, Outgoing, Record, Timestamp, TopicPartition};
use schemas::{Tenant, UserId, Version};
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::cql::VersionedRow;
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// Clones are the same access; questions are asked one at a time.
#[derive(Clone, Debug)]
pub struct Access {
    way: Arc<Way>,
    layout: Layout,
    shape: Shape,
    about: Arc<About>,
}

#[derive(Debug)]
enum Way {
    /// Nobody has it: it is ours until we leave.
    Own(Home),
    Asked {
        socket: PathBuf,
        /// Out while a question is: one whose asker went away takes its answer with it.
        stream: Mutex<Option<UnixStream>>,
    },
}

/// A profile as readers see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Of the newest change in it.
    pub version: Option<Version>,
    /// Place in the raw topic of the newest change that came from there.
    pub receipt: Option<(i32, i64)>,
    /// A JSON object of the fields that are set; `None` if there is no such user.
    pub payload: Option<String>,
    /// Whether the cache had it.
    pub is_cached: bool,
}

/// Records of some spans of a topic. Order holds within a partition, not between two.
#[derive(Debug)]
pub struct Records {
    access: Access,
    topic: Arc<str>,
    left: Vec<Span>,
    queue: VecDeque<Record>,
}

impl Access {
    /// Asks the process that has `dir`, if one has; else opens it.
    ///
    /// # Errors
    /// If there is no directory, or it does not open.
    pub async fn open(dir: &Path, options: &Options) -> Result<Self, Error> {
        let way = match Home::open(dir, None, options) {
            Ok(home) => Way::Own(home),
            Err(HomeError::InUse { dir, pid }) => {
                let socket = Home::control_of(&dir);
                match UnixStream::connect(&socket).await {
                    Ok(stream) => Way::Asked { socket, stream: Mutex::new(Some(stream)) },
                    // Starting, ending, or another command: it is in use in any case.
                    Err(_) => return Err(HomeError::InUse { dir, pid }.into()),
                }
            }
            Err(error) => return Err(error.into()),
        };
        let (about, _) = way.ask(Message::of(&Request::About)?).await?.read::<About>()?;
        let layout = Layout { partitions: about.partitions, floor_micros: about.floor_micros };
        let shape = Shape::told(&options.profile, &about.columns).ok_or(Error::Foreign)?;
        Ok(Self { way: Arc::new(way), layout, shape, about: Arc::new(about) })
    }

    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Whether a process works on it, which is the one that is asked.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        matches!(&*self.way, Way::Asked { .. })
    }

    /// What it says of itself: numbers and words for people.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Ends what was opened for this access alone, with everything on disk.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub async fn close(&self) -> Result<(), Error> {
        match &*self.way {
            Way::Own(home) => Ok(home.close().await?),
            Way::Asked { .. } => Ok(()),
        }
    }

    /// The offsets that each partition of a topic holds, by partition.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn watermarks(&self, topic: &str) -> Result<Vec<Watermarks>, Error> {
        let Held { held } = self.ask(&Request::Watermarks { topic: topic.to_owned() }).await?;
        let held = held.into_iter().zip(0..);
        Ok(held.map(|((low, high), partition)| Watermarks { partition, low, high }).collect())
    }

    /// The first offset of each partition, by partition, whose record was appended at or after `since_ms` (milliseconds since
    /// 1970-01-01); the high watermark where there is none.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn offsets_since(&self, topic: &str, since_ms: i64) -> Result<Vec<i64>, Error> {
        let Offsets { offsets } = self.ask(&Request::Since { topic: topic.to_owned(), ms: since_ms }).await?;
        Ok(offsets)
    }

    /// Returns when a topic has more than `seen`, the high watermarks by partition, or after some seconds.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn wait(&self, topic: &str, seen: &[i64]) -> Result<(), Error> {
        let Done {} = self.ask(&Request::Wait { topic: topic.to_owned(), seen: seen.to_vec() }).await?;
        Ok(())
    }

    /// The records of some spans, at most one a partition; empty ones are skipped.
    #[must_use]
    pub fn records(&self, topic: &str, spans: &[Span]) -> Records {
        let left = spans.iter().copied().filter(|span| span.from < span.to).collect();
        Records { access: self.clone(), topic: topic.into(), left, queue: VecDeque::new() }
    }

    /// What a group has committed on each partition of a topic, by partition; `None` where nothing.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn committed(&self, group: &str, topic: &str) -> Result<Vec<Option<Committed>>, Error> {
        let request = Request::Committed { group: group.to_owned(), topic: topic.to_owned() };
        let Commits { commits } = self.ask(&request).await?;
        let commits = commits.into_iter().zip(0..);
        Ok(commits
            .map(|(commit, partition)| commit.map(|(offset, metadata)| Committed { partition, offset, metadata }))
            .collect())
    }

    /// Moves a group. Refused while a process works on the directory.
    ///
    /// # Errors
    /// If it is refused or does not answer.
    pub async fn commit(&self, group: &str, topic: &str, places: &[Committed]) -> Result<(), Error> {
        let places = places.iter().map(|place| (place.partition, place.offset, place.metadata.clone()));
        let (group, topic) = (group.to_owned(), topic.to_owned());
        let Done {} = self.ask(&Request::Commit { group, topic, places: places.collect() }).await?;
        Ok(())
    }

    /// Appends records, all or none; returns their offsets in order.
    ///
    /// # Errors
    /// If one is too large, or the disk does not take them.
    pub async fn append(&self, topic: &str, items: &[Outgoing]) -> Result<Vec<Offset>, Error> {
        let name: Arc<str> = topic.into();
        let mut batch = Batch::default();
        for item in items {
            batch.keep(&Record {
                place: TopicPartition { topic: name.clone(), partition: item.partition },
                offset: Offset(0),
                timestamp: Timestamp::Missing,
                key: item.key.clone(),
                value: item.value.clone(),
                headers: Headers::clone(&item.headers),
                is_damaged: false,
            });
        }
        let request = Message::new(&Request::Append { topic: topic.to_owned() }, batch.into_bytes())?;
        let (Offsets { offsets }, _) = self.way.ask(request).await?.read()?;
        Ok(offsets.into_iter().map(Offset).collect())
    }

    /// The row of a user, if anything was ever written of him.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn row(&self, tenant: &Tenant, user_id: &UserId) -> Result<Option<VersionedRow>, Error> {
        let (tenant, user_id) = (tenant.as_str().to_owned(), user_id.as_str().to_owned());
        let request = Message::of(&Request::Row { tenant, user_id })?;
        let (Row { is_there }, row) = self.way.ask(request).await?.read()?;
        is_there.then(|| self.shape.decode(&row).ok_or(Error::Foreign)).transpose()
    }

    /// The rows behind `after`, in the order of their users; empty at the end.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn rows(&self, after: Option<&(Tenant, UserId)>) -> Result<Vec<(Tenant, UserId, VersionedRow)>, Error> {
        let body = after.map(|(tenant, user_id)| crate::table::key_of(tenant, user_id)).unwrap_or_default();
        let Message { body, .. } = self.way.ask(Message::new(&Request::Rows, body)?).await?;
        let mut rest = &body[..];
        let mut part = || {
            let (len, behind) = rest.split_first_chunk::<4>()?;
            let (part, behind) = behind.split_at_checked(usize::try_from(u32::from_le_bytes(*len)).ok()?)?;
            rest = behind;
            Some(part)
        };
        let mut rows = Vec::new();
        while let Some(key) = part() {
            let row = part().and_then(|bytes| self.shape.decode(bytes)).ok_or(Error::Foreign)?;
            let (tenant, user_id) = user_of(key).ok_or(Error::Foreign)?;
            rows.push((tenant, user_id, row));
        }
        Ok(rows)
    }

    /// Returns when all that was acknowledged is on disk, and shown to whoever reads.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub async fn sync(&self) -> Result<(), Error> {
        let Done {} = self.ask(&Request::Sync).await?;
        Ok(())
    }

    /// Goes through every file of the log and compares its sums; how many files there are.
    ///
    /// # Errors
    /// If one is damaged.
    pub async fn verify(&self) -> Result<usize, Error> {
        let Files { files } = self.ask(&Request::Verify).await?;
        Ok(files)
    }

    /// A profile as readers are served: from the cache, else from the row.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn get(&self, tenant: &Tenant, user_id: &UserId) -> Result<Profile, Error> {
        let (tenant, user_id) = (tenant.as_str().to_owned(), user_id.as_str().to_owned());
        let request = Message::of(&Request::Get { tenant, user_id })?;
        let (seen, payload) = self.way.ask(request).await?.read::<Seen>()?;
        let payload = String::from_utf8(payload).map_err(|_| Error::Foreign)?;
        Ok(Profile {
            version: seen.version.and_then(Version::new),
            receipt: seen.receipt,
            payload: (!payload.is_empty()).then_some(payload),
            is_cached: seen.is_cached,
        })
    }

    async fn ask<T: DeserializeOwned>(&self, request: &Request) -> Result<T, Error> {
        let (answer, _) = self.way.ask(Message::of(request)?).await?.read()?;
        Ok(answer)
    }
}

impl Way {
    async fn ask(&self, request: Message) -> Result<Message, Error> {
        let (socket, stream) = match self {
            Self::Own(home) => return answer(home, Standing::AtRest, request).await,
            Self::Asked { socket, stream } => (socket, stream),
        };
        let mut kept = stream.lock().await;
        let silent = |source| Error::Silent { socket: socket.clone(), source };
        let mut stream = match kept.take() {
            Some(stream) => stream,
            None => UnixStream::connect(socket).await.map_err(silent)?,
        };
        send(&mut stream, &request).await.map_err(silent)?;
        let answer = receive(&mut stream).await.map_err(silent)?;
        let answer = answer.ok_or_else(|| silent(std::io::ErrorKind::UnexpectedEof.into()))?;
        *kept = Some(stream);
        match answer.read::<Outcome>()? {
            (Outcome::Done(head), body) => Ok(Message { head, body }),
            (Outcome::Failed { text, is_usage }, _) => Err(Error::Refused { text, is_usage }),
        }
    }
}

impl Records {
    /// The next record; `None` once every span is read.
    ///
    /// # Errors
    /// If it does not answer, or a span goes beyond what the log has.
    pub async fn next(&mut self) -> Result<Option<Record>, Error> {
        if self.queue.is_empty() && !self.left.is_empty() {
            self.fill().await?;
        }
        Ok(self.queue.pop_front())
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let spans = self.left.iter().map(|Span { partition, from, to }| (*partition, *from, *to)).collect();
        let request = Message::of(&Request::Read { topic: self.topic.to_string(), spans })?;
        let Message { body, .. } = self.access.way.ask(request).await?;
        let records = frame::records(&self.topic, &body).ok_or(Error::Foreign)?;
        if records.is_empty() {
            let text = format!("{} does not have all of what was to be read", self.topic);
            return Err(Error::Refused { text, is_usage: false });
        }
        for record in &records {
            let of = self.left.iter_mut().find(|span| span.partition == record.place.partition);
            if let Some(span) = of {
                if record.offset.0 > span.from {
                    let text = format!(
                        "{} records of {} were removed, being old, before they were read: begin again",
                        record.offset.0 - span.from,
                        record.place
                    );
                    return Err(Error::Refused { text, is_usage: false });
                }
                span.from = record.offset.0 + 1;
            }
        }
        self.left.retain(|span| span.from < span.to);
        self.queue.extend(records);
        Ok(())
    }
}
