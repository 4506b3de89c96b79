//! How a record lies in a segment, byte for byte.
//!
//! ```text
//! frame   = magic u32 | len u32 | crc u32 of salt, len and body | body of len bytes
//! body    = 1 | partition u16 | stamp u8 | offset i64 | at ms i64 | text key | text value | count u16 | count × (text name | text)
//!         | 2 | synced u64                       all of the file up to there is on disk
//! text    = len u32, of which the largest is null | bytes
//! ```
//!
//! Little-endian. The magic is there to be looked for: what lies behind a damaged frame tells damage from a torn end. The
//! salt is the segment's own and random, so that nobody can write a frame into the value of a record.

use bytes::Bytes;
use runtime::record::{Headers, Names, Offset, Outgoing, Record, Timestamp, TopicPartition};
use std::sync::Arc;

/// First bytes of every frame.
pub(super) const MAGIC: [u8; 4] = *b"TWF1";

/// Bytes of a frame in front of its body.
pub(crate) const HEAD_LEN: usize = 12;

/// No body is larger: the largest record of a topic has twice 2 MiB with all that goes with it.
const BODY_LEN_MAX: usize = 160 << 20;

const RECORD: u8 = 1;
const MARK: u8 = 2;
const NULL: u32 = u32::MAX;

/// Where the writer puts what it alone knows, counted from the start of the body.
const OFFSET_AT: usize = 4;
const TIME_AT: usize = 12;
const STAMP_AT: usize = 3;

/// What stands at the start of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peek<'b> {
    /// Fewer bytes than a frame takes; with so many it could be told.
    Short(usize),
    /// No frame.
    Bad,
    Frame(Frame<'b>),
}

/// One frame of which the sum is right, or was not asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'b> {
    /// All of its bytes.
    pub(crate) len: usize,
    pub(crate) body: Body<'b>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Body<'b> {
    Record(Parts<'b>),
    /// All of the file up to this position was on disk when this was written.
    Mark(u64),
}

/// A record that was not taken apart any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parts<'b> {
    pub(crate) partition: u16,
    pub(crate) offset: i64,
    pub(crate) at_ms: i64,
    is_append_time: bool,
    /// Key, value and headers.
    rest: &'b [u8],
}

/// Whether sums are compared, and with which salt: whoever only looks for a place leaves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sums {
    Compared(u32),
    Believed,
}

/// The frame at the start of `bytes`.
pub(crate) fn peek(bytes: &[u8], sums: Sums) -> Peek<'_> {
    let Some((head, rest)) = bytes.split_at_checked(HEAD_LEN) else {
        let known = bytes.len().min(MAGIC.len());
        return if bytes.get(..known) == MAGIC.get(..known) { Peek::Short(HEAD_LEN) } else { Peek::Bad };
    };
    let mut head = Cursor(head);
    let (magic, len, crc) = (head.take::<4>(), head.u32(), head.u32());
    let (Some(MAGIC), Some(len), Some(crc)) = (magic, len, crc) else { return Peek::Bad };
    let Some(body_len) = usize::try_from(len).ok().filter(|len| *len <= BODY_LEN_MAX) else { return Peek::Bad };
    let Some(body) = rest.get(..body_len) else { return Peek::Short(HEAD_LEN + body_len) };
    if let Sums::Compared(salt) = sums
        && sum(salt, len, body) != crc
    {
        return Peek::Bad;
    }
    match Body::read(body) {
        Some(body) => Peek::Frame(Frame { len: HEAD_LEN + body_len, body }),
        None => Peek::Bad,
    }
}

impl<'b> Body<'b> {
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let mut cursor = Cursor(bytes);
        match cursor.take::<1>()? {
            [RECORD] => {
                let partition = u16::from_le_bytes(cursor.take()?);
                let [stamp] = cursor.take::<1>()?;
                let (offset, at_ms) = (cursor.i64()?, cursor.i64()?);
                Some(Self::Record(Parts { partition, offset, at_ms, is_append_time: stamp == 0, rest: cursor.0 }))
            }
            [MARK] => Some(Self::Mark(cursor.i64()?.cast_unsigned())),
            _ => None,
        }
    }
}

impl Parts<'_> {
    /// The whole record, in memory of its own: one buffer. `None` if it is not what [`Batch::push`] makes.
    pub(crate) fn record(&self, place: TopicPartition, names: &mut Names) -> Option<Record> {
        let buffer = Bytes::copy_from_slice(self.rest);
        let mut cursor = Slices { buffer: &buffer, at: 0 };
        let (key, value) = (cursor.text()?, cursor.text()?);
        let count = u16::from_le_bytes(cursor.fixed()?);
        let mut headers = Headers::with_capacity(count.into());
        for _ in 0..count {
            let name = cursor.text()??;
            headers.push(names.of(std::str::from_utf8(&name).ok()?), cursor.text()?);
        }
        let timestamp =
            if self.is_append_time { Timestamp::LogAppend(self.at_ms) } else { Timestamp::Create(self.at_ms) };
        Some(Record { place, offset: Offset(self.offset), timestamp, key, value, headers, is_damaged: false })
    }
}

/// When records are appended, and whether that is their time or their producer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Milliseconds since 1970-01-01.
    pub(crate) at_ms: i64,
    pub(crate) is_append_time: bool,
}

/// Frames that are complete but for offsets and times, which the writer knows.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    bytes: Vec<u8>,
    /// Of each record, where its frame starts and which partition it goes to.
    starts: Vec<(usize, u16)>,
}

impl Batch {
    pub(crate) fn with_capacity(bytes: usize, records: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), starts: Vec::with_capacity(records) }
    }

    /// Adds a record for `partition`, which is that of `item`.
    pub(crate) fn push(&mut self, partition: u16, item: &Outgoing) {
        self.starts.push((self.bytes.len(), partition));
        self.bytes.extend_from_slice(&MAGIC);
        // Length and sum.
        self.bytes.extend_from_slice(&[0; 8]);
        self.bytes.push(RECORD);
        self.bytes.extend_from_slice(&partition.to_le_bytes());
        // Stamp, offset and time.
        self.bytes.extend_from_slice(&[0; 17]);
        self.text(item.key.as_deref());
        self.text(item.value.as_deref());
        // No client sends so many headers that they would not fit; the record's size is bounded far below.
        let count = u16::try_from(item.headers.len()).unwrap_or(u16::MAX);
        self.bytes.extend_from_slice(&count.to_le_bytes());
        for (name, value) in item.headers.iter().take(count.into()) {
            self.text(Some(name.as_bytes()));
            self.text(value.map(|value| &value[..]));
        }
    }

    /// Adds a record that has its offset and time already; without a sum, for a reader that believes.
    pub(crate) fn keep(&mut self, record: &Record) {
        let Record { place, offset, timestamp, key, value, headers, .. } = record;
        let item =
            Outgoing { partition: place.partition, key: key.clone(), value: value.clone(), headers: headers.clone() };
        let start = self.bytes.len();
        self.push(u16::try_from(place.partition).unwrap_or(0), &item);
        let Some(frame) = self.bytes.get_mut(start..) else { return };
        let len = u32::try_from(frame.len() - HEAD_LEN).unwrap_or(u32::MAX);
        put(frame, 4, &len.to_le_bytes());
        put(frame, HEAD_LEN + STAMP_AT, &[u8::from(!matches!(timestamp, Timestamp::LogAppend(_)))]);
        put(frame, HEAD_LEN + OFFSET_AT, &offset.0.to_le_bytes());
        put(frame, HEAD_LEN + TIME_AT, &timestamp.millis().unwrap_or(0).to_le_bytes());
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len()
    }

    pub(crate) fn bytes_len(&self) -> usize {
        self.bytes.len()
    }

    /// Gives each record its offset, by partition from `next` on, which moves on; returns the offsets in order.
    pub(crate) fn seal(&mut self, salt: u32, next: &mut [i64], stamp: Stamp) -> Vec<Offset> {
        let mut offsets = Vec::with_capacity(self.starts.len());
        let ends = self.starts.iter().skip(1).map(|(start, _)| *start).chain([self.bytes.len()]).collect::<Vec<_>>();
        for ((start, partition), end) in self.starts.iter().zip(ends) {
            let Some(offset) = next.get_mut(usize::from(*partition)) else { continue };
            let Some(frame) = self.bytes.get_mut(*start..end) else { continue };
            let Some((head, body)) = frame.split_at_mut_checked(HEAD_LEN) else { continue };
            put(body, STAMP_AT, &[u8::from(!stamp.is_append_time)]);
            put(body, OFFSET_AT, &offset.to_le_bytes());
            put(body, TIME_AT, &stamp.at_ms.to_le_bytes());
            let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
            put(head, 4, &len.to_le_bytes());
            put(head, 8, &sum(salt, len, body).to_le_bytes());
            offsets.push(Offset(*offset));
            *offset += 1;
        }
        offsets
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn text(&mut self, text: Option<&[u8]>) {
        let len = text.map_or(NULL, |text| u32::try_from(text.len()).unwrap_or(NULL));
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(text.unwrap_or_default());
    }
}

/// The records of bytes that [`Batch::keep`] made, of one topic; `None` if it did not.
pub(crate) fn records(topic: &Arc<str>, bytes: &[u8]) -> Option<Vec<Record>> {
    let (mut records, mut names, mut rest) = (Vec::new(), Names::default(), bytes);
    while !rest.is_empty() {
        let Peek::Frame(Frame { len, body: Body::Record(parts) }) = peek(rest, Sums::Believed) else { return None };
        let place = TopicPartition { topic: topic.clone(), partition: parts.partition.into() };
        records.push(parts.record(place, &mut names)?);
        rest = rest.get(len..)?;
    }
    Some(records)
}

/// A frame that says up to where the file is on disk.
pub(super) fn mark(salt: u32, synced: u64) -> Vec<u8> {
    let mut body = vec![MARK];
    body.extend_from_slice(&synced.to_le_bytes());
    let len = u32::try_from(body.len()).unwrap_or(0);
    let mut frame = Vec::with_capacity(HEAD_LEN + body.len());
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&len.to_le_bytes());
    frame.extend_from_slice(&sum(salt, len, &body).to_le_bytes());
    frame.extend_from_slice(&body);
    frame
}

fn sum(salt: u32, len: u32, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&salt.to_le_bytes());
    hasher.update(&len.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

fn put(bytes: &mut [u8], at: usize, what: &[u8]) {
    if let Some(there) = bytes.get_mut(at..at + what.len()) {
        there.copy_from_slice(what);
    }
}

/// Takes numbers off the front of bytes.
struct Cursor<'b>(&'b [u8]);

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn i64(&mut self) -> Option<i64> {
        self.take().map(i64::from_le_bytes)
    }
}

/// Takes slices off a shared buffer.
struct Slices<'b> {
    buffer: &'b Bytes,
    at: usize,
}

impl Slices<'_> {
    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let taken = self.buffer.get(self.at..)?.first_chunk()?;
        self.at += N;
        Some(*taken)
    }

    /// Outer `None`: there is no text.
    #[allow(clippy::option_option, reason = "a text that may be null, or none at all")]
    fn text(&mut self) -> Option<Option<Bytes>> {
        let len = u32::from_le_bytes(self.fixed()?);
        if len == NULL {
            return Some(None);
        }
        let end = self.at.checked_add(usize::try_from(len).ok()?)?;
        let text = (end <= self.buffer.len()).then(|| self.buffer.slice(self.at..end))?;
        self.at = end;
        Some(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SALT: u32 = 0x5eed;

    fn texts() -> impl Strategy<Value = Option<Bytes>> {
        proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from))
    }

    fn item() -> impl Strategy<Value = Outgoing> {
        let headers = proptest::collection::vec(("[a-z-]{0,8}", texts()), 0..4);
        (0..3, texts(), texts(), headers).prop_map(|(partition, key, value, named)| {
            let mut headers = Headers::default();
            for (name, value) in named {
                headers.push(name, value);
            }
            Outgoing { partition, key, value, headers }
        })
    }

    fn batch(items: &[Outgoing]) -> Batch {
        let mut batch = Batch::default();
        for item in items {
            batch.push(u16::try_from(item.partition).unwrap(), item);
        }
        batch
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was(items in proptest::collection::vec(item(), 0..8), at_ms in any::<i64>()) {
            let (mut batch, mut next) = (batch(&items), [5, 0, 70]);
            let offsets = batch.seal(SALT, &mut next, Stamp { at_ms, is_append_time: true });
            prop_assert_eq!(offsets.len(), items.len());
            let (mut rest, mut names) = (batch.as_bytes(), Names::default());
            for (item, offset) in items.iter().zip(offsets) {
                let Peek::Frame(Frame { len, body: Body::Record(parts) }) = peek(rest, Sums::Compared(SALT)) else { panic!("no record") };
                let place = TopicPartition::new("t", item.partition);
                let record = parts.record(place, &mut names).unwrap();
                prop_assert_eq!((&record.key, &record.value, &record.headers), (&item.key, &item.value, &item.headers));
                prop_assert_eq!((record.offset, record.timestamp), (offset, Timestamp::LogAppend(at_ms)));
                rest = &rest[len..];
            }
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn no_bit_can_change_unseen(item in item(), bit in any::<prop::sample::Index>()) {
            let mut batch = batch(std::slice::from_ref(&item));
            batch.seal(SALT, &mut [0; 3], Stamp { at_ms: 7, is_append_time: false });
            let mut bad = batch.as_bytes().to_vec();
            let bit = bit.index(bad.len() * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(!matches!(peek(&bad, Sums::Compared(SALT)), Peek::Frame(_)));
        }

        #[test]
        fn what_is_cut_off_asks_for_more_and_never_reads_as_a_frame(item in item(), cut in any::<prop::sample::Index>()) {
            let mut batch = batch(std::slice::from_ref(&item));
            batch.seal(SALT, &mut [0; 3], Stamp { at_ms: 7, is_append_time: false });
            let short = &batch.as_bytes()[..cut.index(batch.bytes_len())];
            prop_assert!(matches!(peek(short, Sums::Compared(SALT)), Peek::Short(needed) if needed > short.len()));
        }

        #[test]
        fn garbage_is_no_frame_and_harms_nobody(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!matches!(peek(&bytes, Sums::Compared(SALT)), Peek::Frame(_)));
            let framed = [&MAGIC[..], &bytes].concat();
            if let Peek::Frame(Frame { body: Body::Record(parts), .. }) = peek(&framed, Sums::Believed) {
                let _any = parts.record(TopicPartition::new("t", 0), &mut Names::default());
            }
        }
    }

    #[test]
    fn a_mark_says_up_to_where_all_is_on_disk() {
        let mark = mark(SALT, 1 << 40);
        let len = mark.len();
        assert_eq!(peek(&mark, Sums::Compared(SALT)), Peek::Frame(Frame { len, body: Body::Mark(1 << 40) }));
        assert_eq!(peek(&mark, Sums::Compared(SALT + 1)), Peek::Bad, "another file's");
    }
}
