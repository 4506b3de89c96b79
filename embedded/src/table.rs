//! Profiles and commits, in one store, with the entries of idempotency keys beside them.
//!
//! They share one tree of the store on purpose: it keeps its writes in order, so that whatever a crash or the loss of power
//! takes is taken from the end, and a commit is never there without the profiles that it speaks of. What is gone is read
//! again from the log.

mod kept;
mod row;
mod shape;

pub use shape::Shape;

use crate::Error;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use row::Cells;
use runtime::record::TopicPartition;
use schemas::{Change, Profile, Tenant, UserId};
use std::fmt;
use std::hash::BuildHasher as _;
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use store::cql::{GC_GRACE_MIN, Groups, VersionedRow, merge};

/// Of every key the first byte says what it is of; `kept` has two more.
const META: u8 = 0;
const COMMIT: u8 = 1;
const PROFILE: u8 = 2;

/// The store's own cache of blocks, its journals and what it has not sorted into files yet.
const CACHE_BYTES: u64 = 16 << 20;
const JOURNAL_BYTES: u64 = 64 << 20;
const MEMTABLE_BYTES: u64 = 8 << 20;

/// One user's row is read, merged and written by one thread at a time.
const STRIPES: usize = 64;

/// The store of one directory. Clones are the same store.
#[derive(Clone)]
pub struct Table(Arc<Shared>);

struct Shared {
    path: PathBuf,
    database: Database,
    tree: Keyspace,
    shape: Shape,
    stripes: [Mutex<()>; STRIPES],
}

/// What a group has committed of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    pub metadata: String,
}

/// A row as it is stored, under its key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) key: Vec<u8>,
    pub(crate) row: Vec<u8>,
}

/// Where a page of the table ends: the next one begins behind it. User data.
#[derive(Clone, PartialEq, Eq)]
pub struct Bookmark(pub(crate) Vec<u8>);

impl Table {
    /// Opens or makes the store in `dir` for `profile`.
    ///
    /// # Errors
    /// If it does not open, or if a field has another type there.
    pub fn open(dir: &Path, profile: &Arc<Profile>) -> Result<Self, Error> {
        let failed = |source| Error::Table { path: dir.to_owned(), source };
        let database = Database::builder(dir)
            .cache_size(CACHE_BYTES)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .worker_threads(1)
            .open()
            .map_err(failed)?;
        let options =
            || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES).manual_journal_persist(true);
        let tree = database.keyspace("table", options).map_err(failed)?;
        let key = [META, b'c'];
        let known = tree.get(key).map_err(failed)?;
        let (shape, text) = Shape::reconcile(dir, profile, known.as_deref())?;
        if let Some(text) = text {
            tree.insert(key, text).map_err(failed)?;
            database.persist(PersistMode::SyncAll).map_err(failed)?;
        }
        let stripes = [(); STRIPES].map(|()| Mutex::default());
        Ok(Self(Arc::new(Shared { path: dir.to_owned(), database, tree, shape, stripes })))
    }

    /// How its rows are read.
    #[must_use]
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// Writes changes of any users in any order, merged, all or nothing; blocks. Twice is once, late is nothing.
    ///
    /// Safe as far as [`Self::commit`] makes it.
    ///
    /// # Errors
    /// If the store does not take it; nothing of it is there then.
    pub fn write(&self, changes: &[Change], now_ms: i64) -> Result<(), Error> {
        let now = u32::try_from(now_ms / 1_000).unwrap_or(0);
        let purged = now.saturating_sub(u32::try_from(GC_GRACE_MIN.as_secs()).unwrap_or(u32::MAX));
        let mut groups = Groups::default();
        let groups = groups.of(changes);
        let mut users = Vec::with_capacity(groups.len());
        for group in groups {
            let of_user: Vec<&Change> = group.positions().iter().filter_map(|at| changes.get(*at)).collect();
            let Some(first) = of_user.first() else { continue };
            users.push((key_of(&first.tenant, &first.user_id), of_user));
        }
        let _mine = self.hold(users.iter().map(|(key, _)| key.as_slice()));
        let mut batch = self.0.database.batch().durability(None);
        for (key, of_user) in users {
            let known = self.0.tree.get(&key).map_err(|source| self.failed(source))?;
            let mut row = match &known {
                None => Cells::default(),
                Some(bytes) => Cells::decode(bytes).ok_or_else(|| self.foreign())?,
            };
            for statement in merge(&of_user) {
                self.0.shape.apply(&mut row, &statement, now).ok_or_else(|| self.foreign())?;
            }
            row.purge(purged);
            batch.insert(&self.0.tree, key, row.encode());
        }
        batch.commit().map_err(|source| self.failed(source))
    }

    /// The row of a user, if anything was ever written of him.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn read(&self, tenant: &Tenant, user_id: &UserId) -> Result<Option<VersionedRow>, Error> {
        let found = self.read_raw(&key_of(tenant, user_id))?;
        found.map(|bytes| self.0.shape.decode(&bytes).ok_or_else(|| self.foreign())).transpose()
    }

    pub(crate) fn read_raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let found = self.0.tree.get(key).map_err(|source| self.failed(source))?;
        Ok(found.map(|bytes| bytes.to_vec()))
    }

    /// Some rows behind `after`, in the order of their keys, as they are stored, up to about so many bytes; empty at the end.
    ///
    /// # Errors
    /// If the store does not answer.
    pub(crate) fn page(&self, after: Option<&Bookmark>, bytes: usize) -> Result<Vec<Stored>, Error> {
        let first = after.map_or_else(|| vec![PROFILE], |mark| [&mark.0[..], &[0]].concat());
        let mut page = Vec::new();
        let mut sum = 0;
        for found in self.0.tree.range(first..vec![PROFILE + 1]) {
            let (key, row) = found.into_inner().map_err(|source| self.failed(source))?;
            sum += key.len() + row.len();
            page.push(Stored { key: key.to_vec(), row: row.to_vec() });
            if sum >= bytes {
                break;
            }
        }
        Ok(page)
    }

    /// What a group has committed of a partition: offset and text.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn committed(&self, group: &str, place: &TopicPartition) -> Result<Option<(i64, String)>, Error> {
        let key = commit_key(group, &place.topic, place.partition);
        let Some(found) = self.0.tree.get(key).map_err(|source| self.failed(source))? else { return Ok(None) };
        let read = || {
            let (offset, text) = found.split_first_chunk()?;
            Some((i64::from_le_bytes(*offset), std::str::from_utf8(text).ok()?.to_owned()))
        };
        read().map(Some).ok_or_else(|| self.foreign())
    }

    /// Commits, all or nothing, and hands everything written so far to the system; blocks.
    ///
    /// # Errors
    /// If the store does not take it.
    pub fn commit(&self, group: &str, places: &[Place]) -> Result<(), Error> {
        let mut batch = self.0.database.batch().durability(Some(PersistMode::Buffer));
        for Place { topic, partition, offset, metadata } in places {
            let value = [&offset.to_le_bytes()[..], metadata.as_bytes()].concat();
            batch.insert(&self.0.tree, commit_key(group, topic, *partition), value);
        }
        batch.commit().map_err(|source| self.failed(source))
    }

    /// Puts everything on disk; blocks.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub fn sync(&self) -> Result<(), Error> {
        self.0.database.persist(PersistMode::SyncAll).map_err(|source| self.failed(source))
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.database.disk_space().unwrap_or(0)
    }

    /// The stripes of these keys, in one order for everybody.
    fn hold<'k>(&self, keys: impl Iterator<Item = &'k [u8]>) -> Vec<MutexGuard<'_, ()>> {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let mut stripes: Vec<usize> =
            keys.map(|key| usize::try_from(hasher.hash_one(key) % STRIPES as u64).unwrap_or(0)).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let locks = stripes.into_iter().filter_map(|at| self.0.stripes.get(at));
        locks.map(|lock| lock.lock().unwrap_or_else(PoisonError::into_inner)).collect()
    }

    fn failed(&self, source: fjall::Error) -> Error {
        Error::TableBroken { path: self.0.path.clone(), source }
    }

    fn foreign(&self) -> Error {
        Error::TableForeign { path: self.0.path.clone() }
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table").field("path", &self.0.path).finish_non_exhaustive()
    }
}

/// Never the key: it is a user's id.
impl fmt::Debug for Bookmark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bookmark(..)")
    }
}

/// `<tenant>/<user_id>`: a tenant has no `/`, so no two users share one.
pub(crate) fn key_of(tenant: &Tenant, user_id: &UserId) -> Vec<u8> {
    let (tenant, user_id) = (tenant.as_str().as_bytes(), user_id.as_str().as_bytes());
    let mut key = Vec::with_capacity(2 + tenant.len() + user_id.len());
    key.push(PROFILE);
    key.extend_from_slice(tenant);
    key.push(b'/');
    key.extend_from_slice(user_id);
    key
}

/// Whose row is under a key of [`key_of`].
pub(crate) fn user_of(key: &[u8]) -> Option<(Tenant, UserId)> {
    let text = std::str::from_utf8(key.strip_prefix(&[PROFILE])?).ok()?;
    let (tenant, user_id) = text.split_once('/')?;
    Some((Tenant::new(tenant)?, UserId::new(user_id)?))
}

/// Neither groups nor topics have a zero byte.
fn commit_key(group: &str, topic: &str, partition: i32) -> Vec<u8> {
    let mut key = vec![COMMIT];
    key.extend_from_slice(group.as_bytes());
    key.push(0);
    key.extend_from_slice(topic.as_bytes());
    key.push(0);
    key.extend_from_slice(&partition.to_be_bytes());
    key
}

#[cfg(test)]
mod tests;
