//! The rejects file: which lines were refused, and why, without what they hold.

use crate::Error;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

/// A line that will not be a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) line: u64,
    pub(super) code: &'static str,
    pub(super) field: Option<Box<str>>,
}

/// One JSON object a refused line: `line`, `code`, and `field` where one is to blame.
#[derive(Debug)]
pub(super) struct Rejects {
    file: File,
    bytes: u64,
}

impl Rejects {
    /// Opens `path` to be written from `bytes` on; what stands behind is forgotten.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        let open = || {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(|error: io::Error| {
            Error::Usage(format!("{} cannot be written ({error}); name another with --rejects", path.display()))
        })?;
        Ok(Self { file, bytes })
    }

    /// Writes them, to be found after a crash; the length of the file from then on.
    ///
    /// # Errors
    /// Of the disk.
    pub(super) fn write(&mut self, refused: &[Refused]) -> io::Result<u64> {
        if refused.is_empty() {
            return Ok(self.bytes);
        }
        let mut text = String::new();
        for Refused { line, code, field } in refused {
            let told = match field {
                Some(field) => json!({"line": line, "code": code, "field": field}),
                None => json!({"line": line, "code": code}),
            };
            text.push_str(&format!("{told}\n"));
        }
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        self.bytes += text.len() as u64;
        Ok(self.bytes)
    }
}
