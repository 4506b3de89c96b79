//! A file that is there once it is whole.

use crate::Error;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Written beside its place and moved there by [`Atomic::keep`]; gone if that never comes.
#[derive(Debug)]
pub(super) struct Atomic {
    place: PathBuf,
    beside: PathBuf,
    file: BufWriter<File>,
    is_kept: bool,
}

impl Atomic {
    /// # Errors
    /// If there is no such folder, or nothing may be written there.
    pub(super) fn create(place: &Path) -> Result<Self, Error> {
        let mut name: OsString = place.file_name().map_or_else(OsString::new, OsString::from);
        name.push(".part");
        let beside = place.with_file_name(name);
        let file = File::create(&beside)
            .map_err(|error| Error::Usage(format!("{} cannot be written: {error}", beside.display())))?;
        Ok(Self { place: place.into(), beside, file: BufWriter::new(file), is_kept: false })
    }

    /// Puts the file into its place, where it survives the loss of power.
    ///
    /// # Errors
    /// Of the disk; what stood in the place before stands there still.
    pub(super) fn keep(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(&self.beside, &self.place)?;
        self.is_kept = true;
        let folder =
            self.place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Write for Atomic {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Atomic {
    fn drop(&mut self) {
        if !self.is_kept {
            let _gone = fs::remove_file(&self.beside);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_kept_leaves_what_was_there() {
        let folder = std::env::temp_dir().join(format!("tidewater-export-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let place = folder.join("users.ndjson");
        let listed = || fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        for (text, is_kept, found) in [("one", true, "one"), ("half of tw", false, "one"), ("two", true, "two")] {
            let mut file = Atomic::create(&place).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            if is_kept {
                file.keep().unwrap();
            } else {
                drop(file);
            }
            assert_eq!(fs::read_to_string(&place).unwrap(), found);
            assert_eq!(listed(), ["users.ndjson"]);
        }
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(Atomic::create(&place).unwrap_err().exit_code(), 64);
    }
}
