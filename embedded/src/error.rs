//! What can go wrong with a directory, each with the file and the way out.

use runtime::fault::{Cause, Exit, Fault};
use std::io;
use std::path::{Path, PathBuf};

/// Never holds a key or a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system did not do what was asked.
    #[error("{path} cannot be {did}", path = path.display())]
    Io { path: PathBuf, did: &'static str, source: io::Error },
    /// Nothing is left on the disk; what was to be written is not, and nothing else is harmed.
    #[error("the disk under {path} is full: make room, it goes on by itself", path = path.display())]
    Full { path: PathBuf },
    /// Another process has it.
    #[error("{dir} is in use by process {pid}: ask that one, or end it", dir = dir.display())]
    InUse { dir: PathBuf, pid: String },
    /// Something else lies there.
    #[error("{dir} is no data directory and not empty: name another with --data", dir = dir.display())]
    Foreign { dir: PathBuf },
    /// There is nothing.
    #[error("{dir} is no data directory: `tidewater standalone --data {dir}` makes one", dir = dir.display())]
    Missing { dir: PathBuf },
    /// It was made by a release after this one.
    #[error("{file} says layout {found}, and this release knows {known}: start the release that made it", file = file.display())]
    Newer { file: PathBuf, found: u64, known: u64 },
    /// It was set up in another way than it is asked for now.
    #[error("{file} was set up with {what} {is}, not {wanted}: this cannot be changed; make a new directory and import into it",
        file = file.display())]
    Differs { file: PathBuf, what: &'static str, is: String, wanted: String },
    /// A byte is not what was written, in front of what was safe on disk: cutting it off would lose records in silence.
    #[error("{file} is damaged at byte {at} and good behind it: restore it from a copy; {hint}", file = file.display())]
    Damaged { file: PathBuf, at: u64, hint: &'static str },
    /// The store of profiles and commits does not open or answer.
    #[error("{path} does not work: move it away, and it is built again from the log as far back as that goes", path = path.display())]
    Table { path: PathBuf, source: fjall::Error },
    /// It did not take a write, and takes no more.
    #[error("the store in {path} takes no more: see to the disk (room, errors) and start again; nothing acknowledged is lost", path = path.display())]
    TableBroken { path: PathBuf, source: fjall::Error },
    /// What it has under a key is not what this release writes.
    #[error("the store in {path} holds what no release wrote: move it away, and it is built again from the log as far back as that goes", path = path.display())]
    TableForeign { path: PathBuf },
    /// A field changed its type, or the file of columns is not ours.
    #[error("the profiles in {path} do not fit the profile of this release: {what}", path = path.display())]
    Drift { path: PathBuf, what: String },
    /// A write failed in a way after which nobody knows what the disk holds.
    #[error("writing {path} failed and nobody knows what of it is on disk: start again, what was acknowledged is there", path = path.display())]
    Broken { path: PathBuf },
    /// A record is for a partition that the topic does not have.
    #[error("{path} has partitions 0 to {last}, not {partition}: leave it to the key", path = path.display(), last = partitions - 1)]
    Partition { path: PathBuf, partition: i32, partitions: i32 },
    /// The part that writes has ended, because the process does.
    #[error("the log is being closed")]
    Closed,
}

impl Error {
    pub(crate) fn io(path: &Path, did: &'static str, source: io::Error) -> Self {
        let path = path.to_owned();
        if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
            return Self::Full { path };
        }
        Self::Io { path, did, source }
    }

    /// What a worker makes of it: only a full disk is waited for.
    #[must_use]
    pub fn into_fault(self) -> Fault {
        let (text, is_full, is_setup) = (self.to_string(), matches!(self, Self::Full { .. }), self.is_setup());
        let cause = Cause::with(text, self);
        if is_full {
            return Fault::Transient(cause);
        }
        Fault::Fatal { exit: if is_setup { Exit::Config } else { Exit::Component }, cause }
    }

    /// Whether a person has to ask for something else, or to set something else up.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        self.is_setup() || matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied)
    }

    /// Whether the directory is not one that can be used as it was asked for.
    fn is_setup(&self) -> bool {
        match self {
            Self::InUse { .. }
            | Self::Foreign { .. }
            | Self::Missing { .. }
            | Self::Newer { .. }
            | Self::Differs { .. }
            | Self::Drift { .. } => true,
            Self::Io { .. }
            | Self::Full { .. }
            | Self::Damaged { .. }
            | Self::Table { .. }
            | Self::TableBroken { .. }
            | Self::TableForeign { .. }
            | Self::Broken { .. }
            | Self::Partition { .. }
            | Self::Closed => false,
        }
    }
}
