//! One directory: its layout, its lock, and everything in it.
//!
//! ```text
//! DIR/tidewater.json   layout, partitions, floor: what can never change
//! DIR/lock             held by the one process that has it
//! DIR/control.sock     where that process answers others
//! DIR/log/<topic>/     segment files
//! DIR/table/           profiles, commits, idempotency keys
//! DIR/reference/       tables for look-ups
//! ```

use crate::cache::Cache;
use crate::error::Error;
use crate::keys::TableKeys;
use crate::log::{Durability, Log, Terms};
use crate::table::Table;
use runtime::Clock;
use runtime::record::TopicPartition;
use schemas::Profile;
use serde::{Deserialize, Serialize};
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use store::through::{self, Through};
use tracing::{debug, info};

/// The layout that this release writes and reads.
const LAYOUT: u64 = 1;

/// Between two looks at whether the log still takes records.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two looks for files that are old enough to go.
const TEND_EVERY: Duration = Duration::from_secs(60);

/// What can never change in the life of a directory.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Layout {
    pub partitions: u16,
    /// Start of operation, microseconds since 1970-01-01.
    pub floor_micros: i64,
}

/// What of it every release reads.
#[derive(Deserialize)]
struct Kept {
    layout: u64,
}

/// A layout as it is kept.
#[derive(Serialize)]
struct Keeping {
    layout: u64,
    #[serde(flatten)]
    rest: Layout,
}

/// How a directory is set up if there is none; `None` takes what is there, or the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Founding {
    pub partitions: Option<u16>,
    /// Microseconds since 1970-01-01; the moment of founding unless given.
    pub floor_micros: Option<i64>,
}

/// Partitions of a new directory: lanes of work, of which one process has no use for more.
pub const PARTITIONS_DEFAULT: u16 = 12;

/// How a directory is opened.
#[derive(Clone, Debug)]
pub struct Options {
    pub profile: Arc<Profile>,
    pub durability: Durability,
    pub clock: Clock,
    /// A file of the log is closed when it is larger.
    pub segment_len: u64,
}

impl Options {
    #[must_use]
    pub fn new(profile: Arc<Profile>, durability: Durability) -> Self {
        Self { profile, durability, clock: Clock::system(), segment_len: Terms::SEGMENT_LEN }
    }
}

/// An open directory, which nobody else has. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Home {
    dir: Arc<Path>,
    pub layout: Layout,
    pub durability: Durability,
    pub log: Log,
    pub table: Table,
    pub cache: Cache,
    /// The table behind the cache: how profiles are read.
    pub profiles: Arc<Through<Cache, Table>>,
    pub keys: TableKeys,
    pub clock: Clock,
    /// Given up when the last clone is dropped.
    _lock: Arc<File>,
}

impl Home {
    /// Opens the directory, or makes it if there is `founding`.
    ///
    /// # Errors
    /// If it is another's, newer, damaged, or was founded otherwise; the error says what to do.
    pub fn open(dir: &Path, founding: Option<Founding>, options: &Options) -> Result<Self, Error> {
        let lock = lock(dir, founding.is_some())?;
        let layout = layout(dir, founding, &options.clock)?;
        let terms = Terms {
            partitions: layout.partitions,
            durability: options.durability,
            clock: options.clock.clone(),
            segment_len: options.segment_len,
            reserve: Terms::RESERVE,
        };
        let log = Log::open(&dir.join("log"), &terms)?;
        let table = Table::open(&dir.join("table"), &options.profile)?;
        let cache = Cache::new(options.clock.clone());
        let through =
            Through::new(Some(cache.clone()), table.clone(), options.profile.clone(), through::Limits::default());
        let keys = TableKeys::new(table.clone(), options.clock.clone(), options.durability);
        Ok(Self {
            dir: dir.into(),
            layout,
            durability: options.durability,
            log,
            table,
            cache,
            profiles: Arc::new(through),
            keys,
            clock: options.clock.clone(),
            _lock: Arc::new(lock),
        })
    }

    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the process that has a directory answers others.
    #[must_use]
    pub fn control_of(dir: &Path) -> PathBuf {
        dir.join("control.sock")
    }

    /// Ends what writes, with everything on disk.
    ///
    /// # Errors
    /// If the disk does not take it.
    pub async fn close(&self) -> Result<(), Error> {
        self.log.close().await;
        self.table.sync()
    }

    /// Goes through the files that the start has not, then removes what is older than its topic keeps it and was read by all
    /// of `readers`, pairs of group and topic, and idempotency keys that are over; for ever.
    ///
    /// # Errors
    /// If a file is damaged or cannot be removed.
    pub async fn tend(&self, readers: &[(&str, &str)]) -> Result<(), Error> {
        for file in self.log.unverified() {
            let path = file.path();
            let outcome = tokio::task::spawn_blocking(move || file.verify()).await;
            match outcome {
                // Removed meanwhile, being old.
                Ok(Err(Error::Io { .. })) | Err(_) if !path.exists() => {}
                Ok(outcome) => outcome?,
                Err(_) => return Err(Error::Closed),
            }
            debug!(file = %path.display(), "an earlier file was gone through");
        }
        let mut waited = Duration::ZERO;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            // Of a topic that no worker writes to nobody else would hear it.
            self.log.check()?;
            waited += LOOK_EVERY;
            if waited >= TEND_EVERY {
                waited = Duration::ZERO;
                self.retain(readers)?;
                let keys = self.keys.clone();
                let swept = tokio::task::spawn_blocking(move || keys.sweep()).await;
                let swept = swept.map_err(|_| Error::Closed)??;
                debug!(keys = swept, "idempotency keys were over and are removed");
            }
        }
    }

    /// Removes what is old enough and was read by all of `readers`, pairs of group and topic. Returns how many files.
    ///
    /// # Errors
    /// If a file cannot be removed.
    pub fn retain(&self, readers: &[(&str, &str)]) -> Result<usize, Error> {
        // A commit that allows it must not be lost later.
        self.table.sync()?;
        let unread = |place: &TopicPartition| {
            let of_topic = readers.iter().filter(|(_, topic)| *topic == &*place.topic);
            let next = of_topic.map(|(group, _)| match self.table.committed(group, place) {
                Ok(Some((offset, _))) => offset,
                Ok(None) | Err(_) => 0,
            });
            next.min()
        };
        let removed = self.log.retain(self.clock.now_ms(), unread)?;
        if removed > 0 {
            info!(files = removed, "files of the log were old enough and are removed");
        }
        Ok(removed)
    }
}

/// Bytes of the blocks that all files beneath a directory have; what cannot be read counts nothing.
#[must_use]
pub fn disk_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_bytes(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// Takes the directory for this process.
fn lock(dir: &Path, may_make: bool) -> Result<File, Error> {
    if !dir.exists() {
        if !may_make {
            return Err(Error::Missing { dir: dir.to_owned() });
        }
        // What lies in it is people's: for nobody else to read.
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| Error::io(dir, "made", error))?;
    }
    let is_ours = dir.join("tidewater.json").exists() || dir.join("lock").exists();
    if !is_ours {
        let mut entries = fs::read_dir(dir).map_err(|error| Error::io(dir, "listed", error))?;
        if entries.next().is_some() {
            return Err(Error::Foreign { dir: dir.to_owned() });
        }
        if !may_make {
            return Err(Error::Missing { dir: dir.to_owned() });
        }
    }
    let path = dir.join("lock");
    let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(|error| Error::io(&path, "opened", error))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            // Who has it, says so at once; if not, its number is not worth an error of its own.
            file.read_to_string(&mut pid).ok();
            return Err(Error::InUse { dir: dir.to_owned(), pid: pid.trim().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(Error::io(&path, "locked", error)),
    }
    let said = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
    said.map_err(|error| Error::io(&path, "written", error))?;
    Ok(file)
}

fn layout(dir: &Path, founding: Option<Founding>, clock: &Clock) -> Result<Layout, Error> {
    let file = dir.join("tidewater.json");
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let Some(founding) = founding else { return Err(Error::Missing { dir: dir.to_owned() }) };
            return found(dir, &file, founding, clock);
        }
        Err(error) => return Err(Error::io(&file, "read", error)),
    };
    let damaged = |_| Error::Damaged { file: file.clone(), at: 0, hint: "it is a line of JSON" };
    let Kept { layout: found } = serde_json::from_str(&text).map_err(damaged)?;
    if found > LAYOUT {
        return Err(Error::Newer { file, found, known: LAYOUT });
    }
    let layout: Layout = serde_json::from_str(&text).map_err(damaged)?;
    let differs = |what, is: String, wanted: String| Error::Differs { file: file.clone(), what, is, wanted };
    match founding {
        Some(Founding { partitions: Some(wanted), .. }) if wanted != layout.partitions => {
            Err(differs("partitions", layout.partitions.to_string(), wanted.to_string()))
        }
        Some(Founding { floor_micros: Some(wanted), .. }) if wanted != layout.floor_micros => {
            Err(differs("the floor", layout.floor_micros.to_string(), wanted.to_string()))
        }
        Some(_) | None => Ok(layout),
    }
}

/// Writes the file that makes a directory ours, whole or not at all.
fn found(dir: &Path, file: &Path, founding: Founding, clock: &Clock) -> Result<Layout, Error> {
    let layout = Layout {
        partitions: founding.partitions.unwrap_or(PARTITIONS_DEFAULT).max(1),
        floor_micros: founding.floor_micros.unwrap_or_else(|| clock.now_ms().saturating_mul(1_000)),
    };
    let beside = dir.join("tidewater.json.part");
    let written = File::create(&beside).and_then(|mut part| {
        serde_json::to_writer(&mut part, &Keeping { layout: LAYOUT, rest: layout })?;
        writeln!(part)?;
        part.sync_all()
    });
    written.map_err(|error| Error::io(&beside, "written", error))?;
    fs::rename(&beside, file).map_err(|error| Error::io(file, "written", error))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| Error::io(dir, "synced", error))?;
    Ok(layout)
}
