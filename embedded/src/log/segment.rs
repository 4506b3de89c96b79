//! One file of a topic: which offsets are in it, and whether what is in it is what was written.
//!
//! ```text
//! segment = "TWSEG1\0\0" | salt u32 | partitions u16 | number u64 | base offset i64 of each partition | crc u32 | frames
//! ```

use super::frame::{self, Body, MAGIC, Peek, Sums};
use crate::Error;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Read at once when a whole file is gone through.
const CHUNK_LEN: usize = 1 << 20;

/// A place in the file is remembered every so many bytes, so that an offset is found without reading all before it.
const PLACE_EVERY: u64 = 1 << 20;

const HEADER_MAGIC: [u8; 8] = *b"TWSEG1\0\0";

/// Bytes of a header without its base offsets.
const HEADER_FIXED: usize = 8 + 4 + 2 + 8 + 4;

/// What a file begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) salt: u32,
    pub(crate) number: u64,
    /// The first offset of each partition that can be in it.
    pub(crate) bases: Box<[i64]>,
}

/// A file and what is known of it.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    pub(crate) file: Arc<File>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// The newest append time in it, milliseconds since 1970-01-01.
    newest_ms: i64,
    places: Vec<Place>,
    /// Whether every sum in it was compared.
    is_verified: bool,
}

/// A frame starts at `position`, and `next` are the offsets that come next there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) position: u64,
    pub(crate) next: Box<[i64]>,
}

/// What a walk through a whole file found.
#[derive(Debug)]
pub(crate) struct Walk {
    /// Behind the last frame that is good.
    pub(crate) good_len: u64,
    pub(crate) file_len: u64,
    /// Offsets that come next there.
    pub(crate) next: Box<[i64]>,
    pub(crate) newest_ms: i64,
    /// What the last mark said was on disk.
    pub(crate) synced: u64,
    places: Vec<Place>,
}

impl Header {
    pub(crate) fn len(partitions: usize) -> usize {
        HEADER_FIXED + 8 * partitions
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::len(self.bases.len()));
        bytes.extend_from_slice(&HEADER_MAGIC);
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(self.bases.len()).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        for base in &self.bases {
            bytes.extend_from_slice(&base.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (front, sum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(front) != u32::from_le_bytes(*sum) {
            return None;
        }
        let (magic, rest) = front.split_first_chunk::<8>()?;
        let (salt, rest) = rest.split_first_chunk::<4>()?;
        let (count, rest) = rest.split_first_chunk::<2>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let (bases, left) = rest.as_chunks::<8>();
        if *magic != HEADER_MAGIC || bases.len() != usize::from(u16::from_le_bytes(*count)) || !left.is_empty() {
            return None;
        }
        let bases = bases.iter().map(|base| i64::from_le_bytes(*base)).collect();
        Some(Self { salt: u32::from_le_bytes(*salt), number: u64::from_le_bytes(*number), bases })
    }
}

impl Segment {
    /// `<dir>/00000000000000000007.seg`
    pub(crate) fn path_of(dir: &Path, number: u64) -> PathBuf {
        dir.join(format!("{number:020}.seg"))
    }

    /// The number in a file's name, if it is one of ours.
    pub(crate) fn number_of(path: &Path) -> Option<u64> {
        path.file_name()?.to_str()?.strip_suffix(".seg")?.parse().ok()
    }

    /// Makes a file, with its header on disk.
    pub(crate) fn create(dir: &Path, header: Header) -> Result<Self, Error> {
        let path = Self::path_of(dir, header.number);
        let opened = OpenOptions::new().read(true).write(true).create_new(true).open(&path);
        let file = opened.map_err(|error| Error::io(&path, "created", error))?;
        let written = file.write_all_at(&header.encode(), 0).and_then(|()| file.sync_all());
        let written = written.map_err(|error| Error::io(&path, "written", error)).and_then(|()| sync_dir(dir));
        if let Err(error) = written {
            // It holds nothing that anybody was told of, and would stand in the way of the next try.
            std::fs::remove_file(&path).ok();
            return Err(error);
        }
        Ok(Self { path, header, file: Arc::new(file), known: Mutex::default() })
    }

    /// Opens the file of a number; `None` if its header never came to be whole.
    pub(crate) fn open(dir: &Path, number: u64, partitions: usize) -> Result<Option<Self>, Error> {
        let path = Self::path_of(dir, number);
        let opened = OpenOptions::new().read(true).write(true).open(&path);
        let file = opened.map_err(|error| Error::io(&path, "opened", error))?;
        let mut bytes = vec![0; Header::len(partitions)];
        let read = read_at(&file, &mut bytes, 0).map_err(|error| Error::io(&path, "read", error))?;
        bytes.truncate(read);
        let header = Header::decode(&bytes).filter(|header| header.number == number);
        Ok(header.map(|header| Self { path, header, file: Arc::new(file), known: Mutex::default() }))
    }

    pub(crate) fn header_len(&self) -> u64 {
        Header::len(self.header.bases.len()) as u64
    }

    pub(crate) fn len(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(|error| Error::io(&self.path, "read", error))?.len())
    }

    /// Goes through the file, frame by frame, and compares every sum.
    pub(crate) fn walk(&self) -> Result<Walk, Error> {
        let file_len = self.len()?;
        let mut walk = Walk {
            good_len: self.header_len(),
            file_len,
            next: self.header.bases.clone(),
            newest_ms: 0,
            synced: 0,
            places: Vec::new(),
        };
        let mut buffer = Vec::new();
        let mut wanted = CHUNK_LEN;
        while walk.good_len < file_len {
            buffer.resize(wanted, 0);
            let read = read_at(&self.file, &mut buffer, walk.good_len);
            let read = read.map_err(|error| Error::io(&self.path, "read", error))?;
            let chunk = buffer.get(..read).unwrap_or_default();
            match walk.take(chunk, self.header.salt) {
                // It goes on behind what was read; at the end of the file it does not.
                Peek::Short(needed) if read == wanted => wanted = needed.max(CHUNK_LEN),
                Peek::Frame(_) => wanted = CHUNK_LEN,
                Peek::Short(_) | Peek::Bad => break,
            }
        }
        Ok(walk)
    }

    /// What the marks behind a bad frame say was on disk: more than the frame's own place if it was damaged later.
    pub(crate) fn synced_behind(&self, walk: &Walk) -> Result<u64, Error> {
        let len = usize::try_from(walk.file_len.saturating_sub(walk.good_len)).unwrap_or(0);
        let mut rest = vec![0; len];
        let read = read_at(&self.file, &mut rest, walk.good_len);
        let read = read.map_err(|error| Error::io(&self.path, "read", error))?;
        rest.truncate(read);
        let starts = rest.windows(MAGIC.len()).enumerate().filter(|(_, bytes)| *bytes == MAGIC).map(|(at, _)| at);
        let marks = starts.filter_map(|at| match frame::peek(rest.get(at..)?, Sums::Compared(self.header.salt)) {
            Peek::Frame(frame) => match frame.body {
                Body::Mark(synced) => Some(synced),
                Body::Record(_) => None,
            },
            Peek::Short(_) | Peek::Bad => None,
        });
        Ok(marks.max().unwrap_or(0).max(walk.synced))
    }

    /// Notes what a walk through all of it has found.
    pub(crate) fn learn(&self, walk: &Walk) {
        let mut known = self.known();
        known.newest_ms = known.newest_ms.max(walk.newest_ms);
        known.places.clone_from(&walk.places);
        known.is_verified = true;
    }

    pub(crate) fn is_verified(&self) -> bool {
        self.known().is_verified
    }

    /// Notes that records were appended at `position`.
    pub(crate) fn note(&self, position: u64, next: &[i64], at_ms: i64) {
        let mut known = self.known();
        known.newest_ms = known.newest_ms.max(at_ms);
        let last = known.places.last().map_or_else(|| self.header_len(), |place| place.position);
        if position >= last + PLACE_EVERY {
            known.places.push(Place { position, next: next.into() });
        }
    }

    /// Nothing in it is newer than this, milliseconds since 1970-01-01; without a walk through it the file's own time.
    pub(crate) fn newest_ms(&self) -> i64 {
        let known = self.known().newest_ms;
        if known > 0 {
            return known;
        }
        let modified = self.file.metadata().and_then(|found| found.modified()).ok();
        let since = modified.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or(i64::MAX, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    /// The last place known in front of `offset` of a partition, or the first frame.
    pub(crate) fn place_before(&self, partition: usize, offset: i64) -> u64 {
        let known = self.known();
        let is_before = |place: &Place| place.next.get(partition).is_some_and(|next| *next <= offset);
        let at = known.places.partition_point(is_before);
        let place = at.checked_sub(1).and_then(|at| known.places.get(at));
        place.map_or_else(|| self.header_len(), |place| place.position)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Walk {
    /// Takes the good frames at the start of `chunk`; what stopped it. [`Peek::Frame`]: nothing is left.
    fn take<'c>(&mut self, chunk: &'c [u8], salt: u32) -> Peek<'c> {
        let mut rest = chunk;
        let mut last = Peek::Short(1);
        while !rest.is_empty() {
            let peeked = frame::peek(rest, Sums::Compared(salt));
            let Peek::Frame(frame) = peeked else { return peeked };
            if !self.is_next(&frame.body) {
                return Peek::Bad;
            }
            self.good_len += frame.len as u64;
            rest = rest.get(frame.len..).unwrap_or_default();
            last = peeked;
        }
        last
    }

    /// Whether this is what must come next; if so, the walk is behind it.
    fn is_next(&mut self, body: &Body<'_>) -> bool {
        let parts = match body {
            Body::Mark(synced) => {
                self.synced = self.synced.max(*synced);
                return true;
            }
            Body::Record(parts) => parts,
        };
        let last = self.places.last().map_or(0, |place| place.position);
        if self.good_len >= last + PLACE_EVERY {
            self.places.push(Place { position: self.good_len, next: self.next.clone() });
        }
        match self.next.get_mut(usize::from(parts.partition)) {
            Some(next) if *next == parts.offset => {
                *next += 1;
                self.newest_ms = self.newest_ms.max(parts.at_ms);
                true
            }
            Some(_) | None => false,
        }
    }
}

/// Fills `buffer` from `position` on, as far as the file goes.
pub(crate) fn read_at(file: &File, buffer: &mut [u8], position: u64) -> std::io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, position + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Makes new and removed names of a directory survive.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), Error> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|error| Error::io(dir, "synced", error))
}
