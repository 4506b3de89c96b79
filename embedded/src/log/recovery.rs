//! What a start does with the files it finds: a torn end heals, damage does not.
//!
//! A crash leaves a half-written frame at the end, and the loss of power may leave anything behind what was safe on disk.
//! Both are cut off: nobody was told that it is there to stay. A frame that is bad in front of what a later mark says was on
//! disk is damage, and to cut there would lose records in silence; so is anything bad in a file that has a successor.

use super::segment::{Header, Segment, sync_dir};
use crate::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::warn;
use uuid::Uuid;

/// Bytes of closed files that a start goes through before it lets anybody in; the rest is gone through beside the work.
const VERIFIED_BYTES: u64 = 1 << 30;

/// Said of a damaged file.
const HINT: &str = "or move the directory away and begin a new one from an export";

/// The files of a topic, oldest first, the last one to be written on; never empty.
pub(super) struct Found {
    pub(super) segments: Vec<Arc<Segment>>,
    /// Where the last one ends.
    pub(super) len: u64,
    /// Offsets that come next.
    pub(super) next: Box<[i64]>,
}

/// Opens or makes the files of a topic in `dir`.
pub(super) fn recover(dir: &Path, partitions: u16) -> Result<Found, Error> {
    if !dir.is_dir() {
        fs::create_dir_all(dir).map_err(|error| Error::io(dir, "made", error))?;
    }
    let partitions = usize::from(partitions);
    let mut segments = open_all(dir, partitions)?;
    let Some(last) = segments.last() else {
        let first = Segment::create(dir, Header { salt: salt(), number: 0, bases: vec![0; partitions].into() })?;
        let (len, next) = (first.header_len(), first.header.bases.clone());
        return Ok(Found { segments: vec![Arc::new(first)], len, next });
    };
    let walk = last.walk()?;
    if walk.good_len < walk.file_len {
        let (path, at) = (last.path.clone(), walk.good_len);
        if last.synced_behind(&walk)? > at {
            return Err(Error::Damaged { file: path, at, hint: HINT });
        }
        warn!(file = %path.display(), bytes = walk.file_len - at, "the end of a file was never whole and is cut off");
        let cut = last.file.set_len(at).and_then(|()| last.file.sync_all());
        cut.map_err(|error| Error::io(&path, "cut", error))?;
    }
    // What a killed process left with the system is shown from now on.
    last.file.sync_data().map_err(|error| Error::io(&last.path, "synced", error))?;
    last.learn(&walk);
    check_joints(&segments)?;
    verify_newest(&mut segments)?;
    Ok(Found { len: walk.good_len, next: walk.next, segments: segments.into_iter().map(Arc::new).collect() })
}

/// Random, so that no record can hold what reads as a frame of this file.
pub(super) fn salt() -> u32 {
    let [a, b, c, d, ..] = Uuid::new_v4().into_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// Compares every sum of a closed file, and that it ends where the next one begins.
pub(super) fn verify(segment: &Segment, next: &[i64]) -> Result<(), Error> {
    let walk = segment.walk()?;
    if walk.good_len < walk.file_len || *walk.next != *next {
        return Err(Error::Damaged { file: segment.path.clone(), at: walk.good_len, hint: HINT });
    }
    segment.learn(&walk);
    Ok(())
}

fn open_all(dir: &Path, partitions: usize) -> Result<Vec<Segment>, Error> {
    let entries = fs::read_dir(dir).map_err(|error| Error::io(dir, "listed", error))?;
    let mut paths = Vec::<PathBuf>::new();
    for entry in entries {
        paths.push(entry.map_err(|error| Error::io(dir, "listed", error))?.path());
    }
    let mut numbers: Vec<u64> = paths.iter().filter_map(|path| Segment::number_of(path)).collect();
    numbers.sort_unstable();
    let mut segments = Vec::with_capacity(numbers.len());
    for (at, number) in numbers.iter().enumerate() {
        match Segment::open(dir, *number, partitions)? {
            Some(segment) => segments.push(segment),
            // A crash while it was made: nothing was ever written behind its header.
            None if at + 1 == numbers.len() && is_unborn(dir, *number, partitions)? => {
                let path = Segment::path_of(dir, *number);
                warn!(file = %path.display(), "a file was never whole and is removed");
                fs::remove_file(&path).map_err(|error| Error::io(&path, "removed", error))?;
                sync_dir(dir)?;
            }
            None => return Err(Error::Damaged { file: Segment::path_of(dir, *number), at: 0, hint: HINT }),
        }
    }
    Ok(segments)
}

/// Whether a file without a good header is too short to hold anything.
fn is_unborn(dir: &Path, number: u64, partitions: usize) -> Result<bool, Error> {
    let path = Segment::path_of(dir, number);
    let found = fs::metadata(&path).map_err(|error| Error::io(&path, "read", error))?;
    Ok(found.len() <= Header::len(partitions) as u64)
}

/// Files follow each other without a gap: one that was taken out of the middle is missed.
fn check_joints(segments: &[Segment]) -> Result<(), Error> {
    for pair in segments.windows(2) {
        let [earlier, later] = pair else { continue };
        if earlier.header.number + 1 != later.header.number {
            let missing = later.path.with_file_name(format!("{:020}.seg", earlier.header.number + 1));
            return Err(Error::Damaged { file: missing, at: 0, hint: HINT });
        }
    }
    Ok(())
}

/// The newest first: they are what is read next.
fn verify_newest(segments: &mut [Segment]) -> Result<(), Error> {
    let mut left = VERIFIED_BYTES;
    for pair in segments.windows(2).rev() {
        let [earlier, later] = pair else { continue };
        let len = earlier.len()?;
        if len > left {
            return Ok(());
        }
        left -= len;
        verify(earlier, &later.header.bases)?;
    }
    Ok(())
}
