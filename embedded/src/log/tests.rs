use super::segment::Segment;
use super::*;
use bytes::Bytes;
use runtime::record::{Headers, Offset, Outgoing, Record, Timestamp};
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Removed when it is dropped.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("tidewater-log-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(name);
        fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    /// As a crash leaves it: what the system has, whoever still holds it open.
    fn after_a_crash(&self) -> Self {
        let copy = Self::new();
        for topic in Log::TOPICS {
            let (from, to) = (self.0.join(topic), copy.0.join(topic));
            fs::create_dir_all(&to).unwrap();
            for entry in fs::read_dir(from).unwrap() {
                let path = entry.unwrap().path();
                fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
        copy
    }

    /// The files of the raw topic, oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.0.join(topics::RAW)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn terms(durability: Durability) -> Terms {
    Terms { partitions: 3, durability, clock: Clock::system(), segment_len: Terms::SEGMENT_LEN, reserve: 0 }
}

fn item(partition: i32, number: u64, len: usize) -> Outgoing {
    let value = format!("{number}:{}", "x".repeat(len));
    let mut headers = Headers::default();
    headers.push_text("traceparent", format!("t{number}"));
    headers.push("empty", None);
    Outgoing { partition, key: Some(Bytes::from(format!("u{number}"))), value: Some(value.into()), headers }
}

async fn fill(log: &Log, count: u64, len: usize) -> Vec<Offset> {
    let topic = log.topic(topics::RAW).unwrap();
    let mut offsets = Vec::new();
    for batch in (0..count).collect::<Vec<_>>().chunks(10) {
        let items: Vec<Outgoing> =
            batch.iter().map(|number| item(i32::try_from(number % 3).unwrap(), *number, len)).collect();
        offsets.extend(topic.append(&items).await.unwrap());
    }
    offsets
}

/// Everything that is there, by partition.
async fn read(log: &Log) -> BTreeMap<i32, Vec<Record>> {
    let topic = log.topic(topics::RAW).unwrap();
    let from: Vec<i64> = topic.watermarks().iter().map(|held| held.low).collect();
    let mut cursor = Cursor::new(topic.clone(), &from);
    let mut found = BTreeMap::<i32, Vec<Record>>::new();
    while let Some(record) = cursor.take().await.unwrap() {
        found.entry(record.place.partition).or_default().push(record);
    }
    for records in found.values() {
        let offsets: Vec<i64> = records.iter().map(|record| record.offset.0).collect();
        let first = offsets[0];
        assert_eq!(offsets, (first..first + i64::try_from(offsets.len()).unwrap()).collect::<Vec<_>>());
    }
    found
}

fn count(found: &BTreeMap<i32, Vec<Record>>) -> usize {
    found.values().map(Vec::len).sum()
}

#[tokio::test]
async fn what_is_appended_is_read_in_order_and_again_after_a_start() {
    for durability in [Durability::Always, Durability::Soon, Durability::System] {
        let dir = Dir::new();
        let log = Log::open(&dir.0, &terms(durability)).unwrap();
        let offsets = fill(&log, 300, 10).await;
        assert_eq!(offsets[..4], [Offset(0), Offset(0), Offset(0), Offset(1)]);
        log.sync().await.unwrap();
        let found = read(&log).await;
        assert_eq!(count(&found), 300);
        let (record, sent) = (&found[&1][7], item(1, 22, 10));
        assert_eq!((&record.key, &record.value, &record.headers), (&sent.key, &sent.value, &sent.headers));
        assert!(matches!(record.timestamp, Timestamp::LogAppend(_)), "raw is stamped by the log");
        log.close().await;
        let log = Log::open(&dir.0, &terms(durability)).unwrap();
        assert_eq!(read(&log).await, found, "{durability}");
        assert_eq!(fill(&log, 3, 1).await, [Offset(100); 3], "it goes on where it was");
    }
}

#[tokio::test]
async fn a_partition_that_there_is_not_is_told_and_nothing_is_written() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &terms(Durability::System)).unwrap();
    for partition in [3, -1, 70_000] {
        let refused = log.topic("changes.raw.v1").unwrap().append(&[item(0, 1, 10), item(partition, 2, 10)]).await;
        assert!(matches!(refused, Err(Error::Partition { .. })), "{partition}: {refused:?}");
    }
    assert_eq!(count(&read(&log).await), 0);
}

#[tokio::test]
async fn a_crash_loses_nothing_that_was_acknowledged() {
    for durability in [Durability::Always, Durability::Soon, Durability::System] {
        let dir = Dir::new();
        let log = Log::open(&dir.0, &terms(durability)).unwrap();
        fill(&log, 100, 100).await;
        let copy = dir.after_a_crash();
        let log = Log::open(&copy.0, &terms(durability)).unwrap();
        assert_eq!(count(&read(&log).await), 100, "{durability}");
    }
}

#[tokio::test]
async fn an_end_that_was_never_whole_is_cut_off_wherever_it_is_torn() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &terms(Durability::System)).unwrap();
    fill(&log, 30, 5).await;
    let copy = dir.after_a_crash();
    let path = copy.files().pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let mut last = 30;
    for len in (Segment::open(path.parent().unwrap(), 0, 3).unwrap().unwrap().header_len()..whole.len() as u64).rev() {
        fs::write(&path, &whole[..usize::try_from(len).unwrap()]).unwrap();
        let log = Log::open(&copy.0, &terms(Durability::System)).unwrap();
        let found = count(&read(&log).await);
        assert!(found <= last && found + 1 >= last, "at {len}: {found} after {last}");
        last = found;
        log.close().await;
    }
    assert_eq!(last, 0);
}

#[tokio::test]
async fn a_torn_end_may_hold_anything_but_what_was_safe() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &terms(Durability::Always)).unwrap();
    fill(&log, 20, 5).await;
    let copy = dir.after_a_crash();
    let path = copy.files().pop().unwrap();
    // As the loss of power leaves blocks that were never written.
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    let len = file.metadata().unwrap().len();
    file.write_all_at(&[0; 5_000], len).unwrap();
    file.write_all_at(b"TWF1 and what looks like a frame", len + 5_000).unwrap();
    let log = Log::open(&copy.0, &terms(Durability::Always)).unwrap();
    assert_eq!(count(&read(&log).await), 20);
    assert_eq!(file.metadata().unwrap().len(), len, "it is cut off");
}

/// I23: wherever a byte is flipped, nothing is lost in silence.
#[tokio::test]
async fn a_flipped_byte_refuses_to_start_and_names_the_file() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &terms(Durability::Always)).unwrap();
    fill(&log, 40, 5).await;
    log.close().await;
    let path = dir.files().pop().unwrap();
    let whole = fs::read(&path).unwrap();
    let last_mark = whole.len() - frame::mark(0, 0).len();
    for at in (0..last_mark).step_by(7) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        fs::write(&path, &bytes).unwrap();
        let refused = Log::open(&dir.0, &terms(Durability::Always)).unwrap_err();
        assert!(matches!(&refused, Error::Damaged { file, .. } if *file == path), "at {at}: {refused}");
    }
}

/// The sabotage of I23: whoever cuts at the first bad frame without looking behind it loses what was acknowledged.
#[tokio::test]
async fn cutting_without_looking_ahead_would_lose_records() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &terms(Durability::Always)).unwrap();
    fill(&log, 40, 5).await;
    log.close().await;
    let path = dir.files().pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let segment = Segment::open(path.parent().unwrap(), 0, 3).unwrap().unwrap();
    let walk = segment.walk().unwrap();
    assert!(walk.next.iter().sum::<i64>() < 40, "a cut would leave fewer than were acknowledged");
    assert!(segment.synced_behind(&walk).unwrap() > walk.good_len, "and a mark behind it says that they were safe");
}

#[tokio::test]
async fn a_closed_file_is_gone_through_too_and_a_missing_one_is_missed() {
    let dir = Dir::new();
    let small = Terms { segment_len: 4_096, ..terms(Durability::Always) };
    let log = Log::open(&dir.0, &small).unwrap();
    fill(&log, 200, 100).await;
    log.close().await;
    let files = dir.files();
    assert!(files.len() > 4, "{files:?}");
    let log = Log::open(&dir.0, &small).unwrap();
    assert_eq!((count(&read(&log).await), log.unverified().len()), (200, 0));
    assert!(log.verify().unwrap() >= files.len());
    log.close().await;
    let whole = fs::read(&files[1]).unwrap();
    let mut bytes = whole.clone();
    bytes[2_000] ^= 4;
    fs::write(&files[1], &bytes).unwrap();
    assert!(matches!(Log::open(&dir.0, &small).unwrap_err(), Error::Damaged { file, .. } if file == files[1]));
    fs::write(&files[1], &whole[..1_000]).unwrap();
    assert!(matches!(Log::open(&dir.0, &small).unwrap_err(), Error::Damaged { file, .. } if file == files[1]));
    fs::remove_file(&files[1]).unwrap();
    assert!(matches!(Log::open(&dir.0, &small).unwrap_err(), Error::Damaged { file, .. } if file == files[1]));
}

#[tokio::test]
async fn a_file_that_was_being_made_is_made_again() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &terms(Durability::Always)).unwrap();
    fill(&log, 10, 5).await;
    log.close().await;
    fs::write(dir.0.join(topics::RAW).join("00000000000000000001.seg"), b"TWSEG1").unwrap();
    let log = Log::open(&dir.0, &terms(Durability::Always)).unwrap();
    assert_eq!(count(&read(&log).await), 10);
    assert_eq!(dir.files().len(), 1);
}

#[tokio::test]
async fn a_partition_that_is_not_taken_from_holds_nobody_up_and_misses_nothing() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &Terms { segment_len: 1 << 20, ..terms(Durability::System) }).unwrap();
    // Each partition has ten times what its queue holds.
    fill(&log, 3 * 5_000, 1_000).await;
    let topic = log.topic(topics::RAW).unwrap();
    let mut cursor = Cursor::new(topic.clone(), &[0; 3]);
    let stopped = HashSet::from([topic.place(1)]);
    let mut next = [0_i64; 3];
    for _ in 0..10_000 {
        let record = cursor.next(&stopped).await.unwrap();
        let next = &mut next[usize::try_from(record.place.partition).unwrap()];
        assert_eq!(record.offset.0, *next);
        *next += 1;
    }
    assert_eq!(next, [5_000, 0, 5_000], "the others are read to their ends");
    assert!(cursor.queued_bytes() < 3 << 20, "{}", cursor.queued_bytes());
    for offset in 0..5_000 {
        let record = cursor.next(&HashSet::new()).await.unwrap();
        assert_eq!((record.place.partition, record.offset.0), (1, offset));
    }
}

#[tokio::test]
async fn a_reader_waits_for_what_comes() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &terms(Durability::Soon)).unwrap();
    let topic = log.topic(topics::RAW).unwrap().clone();
    let mut cursor = Cursor::new(topic.clone(), &[0; 3]);
    let stopped = HashSet::new();
    for number in 0..20 {
        let items = [item(2, number, 3)];
        let later = async {
            tokio::time::sleep(Duration::from_millis(2)).await;
            topic.append(&items).await
        };
        let (record, appended) = tokio::join!(cursor.next(&stopped), later);
        assert_eq!(
            (record.unwrap().offset, appended.unwrap()),
            (Offset(number.cast_signed()), vec![Offset(number.cast_signed())])
        );
    }
}

#[tokio::test]
async fn what_is_shown_is_as_safe_as_it_was_promised() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &terms(Durability::Soon)).unwrap();
    let topic = log.topic(topics::RAW).unwrap();
    topic.append(&[item(0, 1, 3)]).await.unwrap();
    // Acknowledged at once, and shown when it is on disk.
    let mut growth = topic.growth();
    while topic.watermarks()[0].high == 0 {
        growth.changed().await.unwrap();
    }
    let path = dir.files().pop().unwrap();
    let walk = Segment::open(path.parent().unwrap(), 0, 3).unwrap().unwrap().walk().unwrap();
    assert!(walk.synced > 0, "a mark says that it was on disk before it was shown");
}

#[tokio::test]
async fn old_files_go_when_they_are_old_and_read_and_not_before() {
    let dir = Dir::new();
    let clock = Clock::fixed(1_000_000_000_000);
    let small = Terms { segment_len: 4_096, clock: clock.clone(), ..terms(Durability::Always) };
    let log = Log::open(&dir.0, &small).unwrap();
    fill(&log, 200, 100).await;
    let files = dir.files().len();
    let (now, eight_days) = (clock.now_ms(), 8 * 86_400_000);
    let (nothing, half, all) = (|_: &TopicPartition| Some(0), |_: &TopicPartition| Some(33), |_: &TopicPartition| None);
    assert_eq!(log.retain(now, all).unwrap(), 0, "not old");
    assert_eq!(log.retain(now + eight_days, nothing).unwrap(), 0, "not read");
    let removed = log.retain(now + eight_days, half).unwrap();
    let lows: Vec<i64> = log.topic(topics::RAW).unwrap().watermarks().iter().map(|held| held.low).collect();
    assert!(removed > 0 && lows.iter().all(|low| (1..=33).contains(low)), "{removed} {lows:?}");
    let left = read(&log).await;
    assert_eq!(count(&left), 200 - usize::try_from(lows.iter().sum::<i64>()).unwrap());
    log.retain(now + eight_days, all).unwrap();
    assert_eq!(dir.files().len(), 1, "the one that is written stays, of {files}");
    log.close().await;
    let log = Log::open(&dir.0, &small).unwrap();
    assert_eq!(fill(&log, 3, 1).await.len(), 3, "and offsets go on");
    assert!(log.topic(topics::RAW).unwrap().watermarks().iter().all(|held| held.high >= 66));
}

#[tokio::test]
async fn a_time_is_found_by_the_records_own_stamps() {
    let dir = Dir::new();
    let first = Clock::fixed(1_000_000);
    let log = Log::open(&dir.0, &Terms { clock: first, ..terms(Durability::Always) }).unwrap();
    fill(&log, 30, 3).await;
    log.close().await;
    let later = Clock::fixed(9_000_000);
    let log = Log::open(&dir.0, &Terms { clock: later, ..terms(Durability::Always) }).unwrap();
    fill(&log, 30, 3).await;
    let topic = log.topic(topics::RAW).unwrap();
    assert_eq!(topic.offsets_since(0).unwrap(), [0; 3]);
    assert_eq!(topic.offsets_since(5_000_000).unwrap(), [10; 3]);
    assert_eq!(topic.offsets_since(i64::MAX).unwrap(), [20; 3], "the end where there is none");
}

#[tokio::test]
async fn many_who_append_at_once_share_writes_and_keep_their_order() {
    let dir = Dir::new();
    let log = Log::open(&dir.0, &terms(Durability::Always)).unwrap();
    let topic = log.topic(topics::RAW).unwrap().clone();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8_u64 {
        let topic = topic.clone();
        writers.spawn(async move {
            let mut last = -1;
            for number in 0..50 {
                let offsets = topic.append(&[item(0, writer * 1_000 + number, 20)]).await.unwrap();
                assert!(offsets[0].0 > last);
                last = offsets[0].0;
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let found = read(&log).await;
    assert_eq!(found[&0].len(), 400);
    for writer in 0..8_u64 {
        let own = found[&0].iter().filter_map(|record| {
            let key = std::str::from_utf8(record.key.as_deref()?).ok()?.strip_prefix('u')?.parse::<u64>().ok()?;
            (key / 1_000 == writer).then_some(key % 1_000)
        });
        assert_eq!(own.collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
    }
}
