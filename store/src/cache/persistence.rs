//! Whether Redis forgets when it restarts. It must: a snapshot from before an invalidation brings a stale entry back.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use std::collections::HashMap;
use std::fmt;

/// What is known of the server's persistence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It restarts empty.
    Off,
    /// The account may not read `CONFIG`, as is usual with a hosted Redis. `INFO` shows no append-only file; snapshots
    /// it does not show. A warning, not a refusal: there is no other way to ask.
    Unproven,
    /// It may restart with old entries: exit 64.
    On { snapshots: bool, append_only: bool },
}

impl fmt::Display for Persistence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("redis keeps nothing across a restart"),
            Self::Unproven => f.write_str(
                "redis does not let us read its configuration: make sure that `save` is empty, or allow this account `+config|get`",
            ),
            Self::On { snapshots, append_only } => {
                f.write_str("redis would bring stale entries back after a restart: set")?;
                let remedies = [(*snapshots, " `save \"\"`"), (*append_only, " `appendonly no`")];
                remedies.iter().filter(|(is_on, _)| *is_on).try_for_each(|(_, remedy)| f.write_str(remedy))
            }
        }
    }
}

pub(super) async fn check(connection: &mut MultiplexedConnection) -> RedisResult<Persistence> {
    let save = setting(connection, "save").await;
    let append_only = setting(connection, "appendonly").await;
    match (save, append_only) {
        (Ok(save), Ok(append_only)) => Ok(of_settings(save.as_deref(), append_only.as_deref())),
        (Err(error), _) | (_, Err(error)) if !is_forbidden(&error) => Err(error),
        _ => {
            let info: RedisResult<String> = redis::cmd("INFO").arg("persistence").query_async(connection).await;
            match info {
                Ok(info) => Ok(of_info(&info)),
                Err(error) if is_forbidden(&error) => Ok(Persistence::Unproven),
                Err(error) => Err(error),
            }
        }
    }
}

async fn setting(connection: &mut MultiplexedConnection, name: &str) -> RedisResult<Option<String>> {
    let mut found: HashMap<String, String> = redis::cmd("CONFIG").arg("GET").arg(name).query_async(connection).await?;
    Ok(found.remove(name))
}

/// By ACL (`NOPERM`), or taken away by renaming the command (`ERR unknown command`).
fn is_forbidden(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError))
}

/// A setting that the server does not know of counts as unproven.
fn of_settings(save: Option<&str>, append_only: Option<&str>) -> Persistence {
    let (snapshots, append_only) = (save.map(|save| !save.trim().is_empty()), append_only.map(|value| value != "no"));
    match (snapshots, append_only) {
        (Some(false), Some(false)) => Persistence::Off,
        (Some(true), _) | (_, Some(true)) => {
            Persistence::On { snapshots: snapshots.unwrap_or(false), append_only: append_only.unwrap_or(false) }
        }
        _ => Persistence::Unproven,
    }
}

fn of_info(info: &str) -> Persistence {
    match info.lines().any(|line| line.trim() == "aof_enabled:1") {
        true => Persistence::On { snapshots: false, append_only: true },
        false => Persistence::Unproven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_or_an_append_only_file_is_persistence() {
        let on = |snapshots, append_only| Persistence::On { snapshots, append_only };
        assert_eq!(of_settings(Some(""), Some("no")), Persistence::Off);
        assert_eq!(of_settings(Some("3600 1 300 100"), Some("no")), on(true, false));
        assert_eq!(of_settings(Some(""), Some("yes")), on(false, true));
        assert_eq!(of_settings(Some("60 1"), Some("yes")), on(true, true));
        assert_eq!(of_settings(None, Some("no")), Persistence::Unproven);
        assert_eq!(
            on(true, true).to_string(),
            "redis would bring stale entries back after a restart: set `save \"\"` `appendonly no`"
        );
    }

    #[test]
    fn without_config_an_append_only_file_still_shows() {
        let info = "# Persistence\r\nloading:0\r\naof_enabled:1\r\n";
        assert_eq!(of_info(info), Persistence::On { snapshots: false, append_only: true });
        assert_eq!(of_info("# Persistence\r\naof_enabled:0\r\n"), Persistence::Unproven);
    }
}
