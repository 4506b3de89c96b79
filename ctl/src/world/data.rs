//! A data directory: asked of the process that has it, or opened here.

use crate::Error;
use embedded::control::Access;
use runtime::fault::Fault;
use runtime::record::Outgoing;
use runtime::stage::{Refused, too_large};
use schemas::topics::Topic;
use schemas::{Tenant, UserId};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use store::cql::VersionedRow;

#[derive(Clone, Debug)]
pub(crate) struct Log {
    dir: PathBuf,
    access: Access,
}

#[derive(Debug)]
pub(crate) struct Writer {
    access: Access,
    topic: &'static str,
    record_bytes_max: usize,
}

pub(crate) struct Scan<'a> {
    access: &'a Access,
    page: VecDeque<(Tenant, UserId, VersionedRow)>,
    last: Option<(Tenant, UserId)>,
    is_over: bool,
}

impl Log {
    pub(super) fn new(dir: &Path, access: Access) -> Self {
        Self { dir: dir.to_owned(), access }
    }

    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    pub(super) fn refuse_if_busy(&self, group: &str) -> Result<(), Error> {
        if !self.access.is_at_work() {
            return Ok(());
        }
        Err(Error::Usage(format!(
            "{group} is at work in {}: end the process that has it (it is named in {}/lock), then try again",
            self.dir.display(),
            self.dir.display()
        )))
    }

    pub(super) fn writer(&self, topic: &'static str) -> Writer {
        let max = Topic::named(topic).map_or(u32::MAX, |topic| topic.message_bytes_max);
        Writer { access: self.access.clone(), topic, record_bytes_max: usize::try_from(max).unwrap_or(usize::MAX) }
    }
}

impl Writer {
    pub(super) async fn write(&self, batch: &[Outgoing]) -> Result<Refused, Fault> {
        let fits = |item: &Outgoing| item.bytes() <= self.record_bytes_max;
        let refused: Refused =
            batch.iter().enumerate().filter(|(_, item)| !fits(item)).map(|(at, item)| (at, too_large(item))).collect();
        let fit: Vec<Outgoing> = batch.iter().filter(|item| fits(item)).cloned().collect();
        let appended = self.access.append(self.topic, &fit).await;
        appended.map_err(|error| Fault::transient(error.to_string()))?;
        Ok(refused)
    }
}

impl<'a> Scan<'a> {
    pub(super) fn new(access: &'a Access) -> Self {
        Self { access, page: VecDeque::new(), last: None, is_over: false }
    }

    pub(super) async fn next(&mut self) -> Result<Option<(Tenant, UserId, VersionedRow)>, Error> {
        if self.page.is_empty() && !self.is_over {
            self.page = self.access.rows(self.last.as_ref()).await?.into();
            self.last = self.page.back().map(|(tenant, user_id, _)| (tenant.clone(), user_id.clone()));
            self.is_over = self.page.is_empty();
        }
        Ok(self.page.pop_front())
    }
}
