//! One directory, and the process that works on it.

use bytes::Bytes;
use ctl::verify::{Verdict, verify_directory};
use embedded::control::Access;
use embedded::{Durability, Options};
use runtime::record::{Headers, Outgoing};
use schemas::topics::{self, partition_for};
use schemas::{Profile, topics::PARTITION_COUNT_DEFAULT as PARTITIONS};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tests::process::{ANYWHERE, Worker, binary, dir_of};
use tests::until;

/// A start under load, and whatever else takes its time.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct House {
    pub(crate) dir: PathBuf,
    data: PathBuf,
    starts: usize,
}

impl House {
    pub(crate) fn new(name: &str) -> Self {
        let dir = dir_of(&format!("standalone-{name}"));
        std::fs::remove_dir_all(&dir).unwrap();
        std::fs::create_dir_all(&dir).unwrap();
        Self { data: dir.join("data"), dir, starts: 0 }
    }

    /// From now on it lies elsewhere.
    pub(crate) fn move_to(&mut self, data: PathBuf) {
        self.data = data;
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// Starts the process, with further arguments; it may not be ready yet.
    pub(crate) fn start(&mut self, sync: &str) -> Worker {
        self.starts += 1;
        let log = self.dir.join(format!("standalone-{}.log", self.starts));
        let data = self.data.to_str().unwrap();
        let arguments = ["standalone", "--data", data, "--sync", sync];
        let own = [("TIDEWATER__LIMITS__COMMIT_EVERY", "50ms"), ("TIDEWATER__VERSION__FLOOR", "2026-01-01T00:00:00Z")];
        Worker::start_as("standalone", "tidewater", &arguments, log, &[&own[..], &ANYWHERE].concat())
    }

    /// The same, once it answers.
    pub(crate) async fn up(&mut self, sync: &str) -> (Worker, Access) {
        let mut worker = self.start(sync);
        worker.ready().await;
        let access = until("the directory to answer", WITHIN, async || self.try_access().await).await;
        assert!(access.is_at_work());
        (worker, access)
    }

    async fn try_access(&self) -> Option<Access> {
        let options = Options::new(Arc::new(Profile::embedded().unwrap()), Durability::Always);
        Access::open(&self.data, &options).await.ok()
    }

    pub(crate) fn tidewater(&self, arguments: &[&str], input: &str) -> Output {
        let mut command = Command::new(binary("tidewater"));
        command.arg("--data").arg(&self.data).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// What a verb says that must go well.
    pub(crate) fn told(&self, arguments: &[&str], input: &str) -> String {
        let output = self.tidewater(arguments, input);
        let (said, words) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
        assert!(output.status.success(), "{arguments:?}: {said}{words}");
        said
    }

    /// Exit code and words of a verb that must not.
    pub(crate) fn refused(&self, arguments: &[&str], input: &str) -> (i32, String) {
        let output = self.tidewater(arguments, input);
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// The proof from the log alone, at rest or at work.
    pub(crate) async fn verdict(&self) -> Verdict {
        verify_directory(&self.data).await.unwrap()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            std::fs::remove_dir_all(&self.dir).ok();
        }
    }
}

/// A record of the raw topic.
pub(crate) fn raw(user: &str, rest: &str) -> Outgoing {
    let value = format!(r#"{{"user_id":"{user}",{rest}}}"#);
    let key = Bytes::copy_from_slice(user.as_bytes());
    let partition = partition_for(&key, PARTITIONS);
    Outgoing { partition, key: Some(key), value: Some(value.into()), headers: Headers::default() }
}

/// Waits until everything before the path has gone through it.
pub(crate) async fn settled(access: &Access) {
    access.sync().await.unwrap();
    until("everything to be settled", WITHIN, async || {
        for (group, topic) in [("validate", topics::RAW), ("validate", topics::PINNED), ("sink", topics::ENRICHED)] {
            let held = access.watermarks(topic).await.ok()?;
            let committed = access.committed(group, topic).await.ok()?;
            let next = committed.iter().map(|committed| committed.as_ref().map_or(0, |committed| committed.offset));
            if held.iter().zip(next).any(|(held, next)| held.high > next) {
                return None;
            }
        }
        Some(())
    })
    .await;
}
