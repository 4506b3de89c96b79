//! Whether Redis keeps what it has confirmed. It must: a key that it forgets is a request that may be done twice.

use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError, RedisResult, ServerErrorKind};
use std::collections::HashMap;
use std::fmt;

/// What is known of how the server keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retention {
    /// In an append-only file, and nothing is evicted. How often the file is synced is known where `CONFIG` may be read.
    Kept { fsync: Option<Fsync> },
    /// The account may not ask. A warning, not a refusal: there is no other way to know.
    Unproven,
    /// A restart or a full memory loses keys: exit 64.
    Forgets { restarts_empty: bool, evicts: bool },
}

/// How much of the append-only file the loss of power takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fsync {
    /// Nothing that was confirmed.
    Always,
    /// About the last second.
    EverySecond,
    /// Whatever the system had not written yet.
    No,
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept { fsync: Some(Fsync::Always) } => f.write_str("redis keeps every idempotency key it has confirmed"),
            Self::Kept { fsync: Some(Fsync::EverySecond) } => {
                f.write_str("redis keeps idempotency keys; the loss of power takes those of the last second")
            }
            Self::Kept { fsync: Some(Fsync::No) } => f.write_str(
                "redis keeps idempotency keys, but leaves it to the system when they are on disk: set `appendfsync everysec` or `always`",
            ),
            Self::Kept { fsync: None } => f.write_str("redis keeps idempotency keys; how often it syncs them it does not say"),
            Self::Unproven => f.write_str(
                "redis does not let us ask how it keeps idempotency keys: make sure of `appendonly yes` and `maxmemory-policy noeviction`, or allow this account `+info`",
            ),
            Self::Forgets { restarts_empty, evicts } => {
                f.write_str("redis would forget idempotency keys, and requests would be done twice: set")?;
                let remedies = [(*restarts_empty, " `appendonly yes`"), (*evicts, " `maxmemory-policy noeviction`")];
                remedies.iter().filter(|(is_on, _)| *is_on).try_for_each(|(_, remedy)| f.write_str(remedy))?;
                f.write_str("; this cannot be the Redis of the cache")
            }
        }
    }
}

pub(super) async fn check(connection: &mut MultiplexedConnection) -> RedisResult<Retention> {
    let mut info = String::new();
    for section in ["persistence", "memory"] {
        let found: RedisResult<String> = redis::cmd("INFO").arg(section).query_async(connection).await;
        match found {
            Ok(found) => info.push_str(&found),
            Err(error) if is_forbidden(&error) => return Ok(Retention::Unproven),
            Err(error) => return Err(error),
        }
    }
    let config: RedisResult<HashMap<String, String>> =
        redis::cmd("CONFIG").arg("GET").arg("appendfsync").query_async(connection).await;
    match config {
        Ok(found) => Ok(of_info(&info, found.get("appendfsync").map(String::as_str))),
        Err(error) if is_forbidden(&error) => Ok(of_info(&info, None)),
        Err(error) => Err(error),
    }
}

/// By ACL (`NOPERM`), or taken away by renaming the command (`ERR unknown command`).
fn is_forbidden(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError))
}

/// What the server does not say counts as unproven, unless the other half is wrong.
fn of_info(info: &str, fsync: Option<&str>) -> Retention {
    let said = |name: &str| info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    let restarts_empty = said("aof_enabled").map(|enabled| enabled != "1");
    let evicts = said("maxmemory_policy").map(|policy| policy != "noeviction");
    match (restarts_empty, evicts) {
        (Some(false), Some(false)) => Retention::Kept {
            fsync: match fsync {
                Some("always") => Some(Fsync::Always),
                Some("everysec") => Some(Fsync::EverySecond),
                Some("no") => Some(Fsync::No),
                Some(_) | None => None,
            },
        },
        (Some(true), _) | (_, Some(true)) => {
            Retention::Forgets { restarts_empty: restarts_empty.unwrap_or(false), evicts: evicts.unwrap_or(false) }
        }
        _ => Retention::Unproven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(aof: &str, policy: &str) -> String {
        format!("# Persistence\r\nloading:0\r\naof_enabled:{aof}\r\n# Memory\r\nmaxmemory_policy:{policy}\r\n")
    }

    #[test]
    fn an_append_only_file_without_eviction_keeps_and_nothing_else_does() {
        let forgets = |restarts_empty, evicts| Retention::Forgets { restarts_empty, evicts };
        let kept = |fsync| Retention::Kept { fsync };
        assert_eq!(of_info(&info("1", "noeviction"), Some("always")), kept(Some(Fsync::Always)));
        assert_eq!(of_info(&info("1", "noeviction"), Some("everysec")), kept(Some(Fsync::EverySecond)));
        assert_eq!(of_info(&info("1", "noeviction"), None), kept(None));
        assert_eq!(of_info(&info("0", "noeviction"), None), forgets(true, false));
        assert_eq!(of_info(&info("1", "volatile-ttl"), None), forgets(false, true));
        assert_eq!(of_info(&info("0", "allkeys-lru"), None), forgets(true, true));
        assert_eq!(of_info("# Memory\r\nmaxmemory_policy:allkeys-lru\r\n", None), forgets(false, true));
        assert_eq!(of_info("", Some("always")), Retention::Unproven);
    }

    #[test]
    fn what_is_wrong_comes_with_its_remedy() {
        assert_eq!(
            Retention::Forgets { restarts_empty: true, evicts: true }.to_string(),
            "redis would forget idempotency keys, and requests would be done twice: set `appendonly yes` \
             `maxmemory-policy noeviction`; this cannot be the Redis of the cache"
        );
    }
}
