//! What a data directory stands on.

use super::{Finding, of_the_log};
use crate::Error;
use crate::world::{Log, Target};
use std::fs;
use std::path::Path;

pub(super) async fn look(target: &Target, dir: &Path) -> Result<Vec<Finding>, Error> {
    // One that does not open has nothing to be looked at: the error says what to do.
    let log = target.log().await?;
    let mut findings = Vec::new();
    #[allow(clippy::infallible_destructuring_match, reason = "with servers there are two")]
    let data = match &log {
        Log::Data(data) => data,
        #[cfg(feature = "servers")]
        Log::Servers(_) => return Ok(findings),
    };
    let about = data.access().about();
    let who = match data.access().is_at_work() {
        true => format!("process {} works on it, sync {}", about.pid, about.durability),
        false => "nobody works on it".to_owned(),
    };
    let (log_mib, table_mib) = (about.log_bytes >> 20, about.table_bytes >> 20);
    findings.push(Finding::ok("directory", format!("{who}; log {log_mib} MiB, profiles {table_mib} MiB")));
    findings.push(takes_writes(dir));
    findings.push(match data.access().verify().await {
        Ok(files) => Finding::ok("log", format!("every sum in {files} files is right")),
        Err(error) => Finding::wrong("log", Error::from(error).chain()),
    });
    findings.push(tables(dir));
    findings.extend(of_the_log(&log).await);
    Ok(findings)
}

/// Room and permission, tried.
fn takes_writes(dir: &Path) -> Finding {
    let path = dir.join("doctor.probe");
    let written = fs::write(&path, vec![0; 1 << 20]).and_then(|()| fs::File::open(&path)?.sync_all());
    fs::remove_file(&path).ok();
    match written {
        Ok(()) => Finding::ok("disk", "takes a mebibyte"),
        Err(error) => Finding::wrong("disk", format!("{} does not take a mebibyte: {error}", dir.display())),
    }
}

fn tables(dir: &Path) -> Finding {
    let folder = dir.join("reference");
    let count = fs::read_dir(&folder).map(|entries| entries.flatten().count());
    match count {
        Ok(count) => Finding::ok("reference", format!("{count} tables in {}", folder.display())),
        Err(_) => {
            Finding::mind("reference", "no tables yet: `tidewater standalone` provides them, or enrich.tables does")
        }
    }
}
