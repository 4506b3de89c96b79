//! Where the demo finds what it needs, and the directory it works in.

use crate::Error;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;
use uuid::Uuid;

/// Built beside `tidewater`.
const BINARIES: [&str; 3] = ["validate", "enrich", "sink"];
const STACK: &str = "deploy/local/stack";
const TABLES: &str = "schemas/reference";
/// What is run beside the servers, whose own needs `stack up` sees to: Java 17, Maven, Redis. Each with its package.
const PROGRAMS: [(&str, &str); 3] = [("bash", "bash"), ("python3", "python3"), ("setpriv", "util-linux")];

/// The project's sources and binaries.
#[derive(Debug)]
pub(super) struct Home {
    root: PathBuf,
    binaries: PathBuf,
}

impl Home {
    /// # Errors
    /// With everything that is missing.
    pub(super) async fn find(root: &Path) -> Result<Self, Error> {
        let own = std::env::current_exe().map_err(|error| Error::Failed(format!("who am I: {error}")))?;
        let binaries = own.parent().map(Path::to_owned).unwrap_or_default();
        let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
        let home = Self { root, binaries };
        let mut missing = Vec::new();
        for part in [STACK, TABLES] {
            if !home.root.join(part).exists() {
                missing.push(format!(
                    "{part} is not below {}: name the project's sources with --home",
                    home.root.display()
                ));
            }
        }
        for name in BINARIES {
            if !home.binary(name).is_file() {
                missing.push(format!("{name} is not beside this program: cargo build --bins"));
            }
        }
        for (program, package) in PROGRAMS {
            if !is_installed(program).await {
                missing.push(format!("{program} is missing: install it (Debian, Ubuntu: apt-get install {package})"));
            }
        }
        if missing.is_empty() { Ok(home) } else { Err(Error::Usage(missing.join("\n       "))) }
    }

    pub(super) fn binary(&self, name: &str) -> PathBuf {
        self.binaries.join(name)
    }

    pub(super) fn stack(&self) -> PathBuf {
        self.root.join(STACK)
    }

    pub(super) fn tables(&self) -> PathBuf {
        self.root.join(TABLES)
    }
}

/// Whether the shell finds it, as everything that runs programs here does.
async fn is_installed(program: &str) -> bool {
    let mut shell = Command::new("sh");
    shell.args(["-c", "command -v \"$1\"", "sh", program]).stdin(Stdio::null()).stdout(Stdio::null());
    shell.status().await.is_ok_and(|status| status.success())
}

/// One demo's own directory: data, logs and configuration. For nobody else's eyes, because the data is people's.
#[derive(Debug)]
pub(super) struct Ground {
    dir: PathBuf,
}

impl Ground {
    /// # Errors
    /// If it cannot be made.
    pub(super) fn make() -> Result<Self, Error> {
        let (name, ..) = Uuid::new_v4().as_fields();
        let dir = std::env::temp_dir().join(format!("tidewater-demo-{name:08x}"));
        let made = fs::DirBuilder::new().mode(0o700).create(&dir);
        made.map_err(|error| Error::Failed(format!("{} cannot be made: {error}", dir.display())))?;
        Ok(Self { dir })
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The servers' part of it, which they remove themselves.
    pub(super) fn servers(&self) -> PathBuf {
        self.dir.join("servers")
    }

    pub(super) fn config(&self) -> PathBuf {
        self.dir.join("tidewater.toml")
    }

    pub(super) fn log(&self, worker: &str) -> PathBuf {
        self.dir.join(format!("{worker}.log"))
    }

    /// # Errors
    /// If the file cannot be written.
    pub(super) fn write_config(&self, text: &str) -> Result<(), Error> {
        let path = self.config();
        fs::write(&path, text).map_err(|error| Error::Failed(format!("{} cannot be written: {error}", path.display())))
    }

    /// Removes it with all that is in it.
    pub(super) fn clear(&self) {
        // What cannot be removed is in nobody's way: the next demo has a directory of its own.
        let _removed: io::Result<()> = fs::remove_dir_all(&self.dir);
    }
}
