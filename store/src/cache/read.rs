//! Looks entries up and fills them, so that no answer lacks a change that was settled before it.
//!
//! Whoever serves profiles asks here first, reads the row of Cassandra on everything but a hit, and fills with what it
//! read. That nothing goes wrong with Redis that a reader would notice is a matter of types: there is no error, only a
//! reason to read the row, and nobody fills who was not given a [`Lease`].

use super::config::Config;
use super::error::CacheError;
use super::fault::reason_of;
use super::key::Key;
use super::link::Link;
use super::lookup::{Answer, Bypass, Lease};
use super::protocol::{self, FILL_SCRIPT, Filled, Get, LEASE, LEASE_SCRIPT, Leased, Script};
use super::value::Value;
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};
use std::time::Duration;
use tokio::time::timeout;

/// Looks up and fills; shared by all requests of a process, over one connection that is made again when it breaks.
///
/// A request takes at most `connect_timeout` plus `request_timeout`, and after the first that fails there is no other.
#[derive(Debug)]
pub struct Reader {
    link: Link,
    connect_timeout: Duration,
}

/// What the server said to one command, if that was not a fault.
enum Reply {
    Data(redis::Value),
    WrongType,
    ScriptUnknown,
}

impl Reader {
    /// Connects at the first request, not here.
    pub fn new(config: &Config) -> Result<Self, CacheError> {
        Ok(Self { link: Link::new(config)?, connect_timeout: config.connect_timeout })
    }

    /// What the cache has to say about a user. Never waits for another reader's fill.
    pub async fn look_up(&self, key: &Key) -> Answer {
        match self.try_look_up(key).await {
            Ok(Answer::Bypass(Bypass::Garbage)) => {
                // If this fails, the next reader does it.
                self.ask(Cmd::new().arg("DEL").arg(key.as_str())).await.ok();
                Answer::Bypass(Bypass::Garbage)
            }
            Ok(answer) => answer,
            Err(error) => Answer::Bypass(Bypass::Fault(error)),
        }
    }

    /// Fills with what was read under `lease`. Whether it was accepted makes no difference to the reader's own answer.
    ///
    /// # Errors
    /// Nobody knows whether it is filled; either is right.
    pub async fn fill(&self, lease: Lease, value: &Value<'_>) -> Result<Filled, CacheError> {
        // Numbers that no entry can hold: such a profile is read from its row for ever.
        let Some(bytes) = value.encode() else { return Ok(Filled::Refused) };
        let keep_for_ms = millis(protocol::keep_for(value, lease.token()));
        match self.run(&FILL_SCRIPT, &lease, &[&bytes, keep_for_ms.to_string().as_bytes()]).await? {
            Reply::Data(redis::Value::Int(1)) => Ok(Filled::Accepted),
            Reply::Data(redis::Value::Int(0)) => Ok(Filled::Refused),
            Reply::Data(_) | Reply::WrongType | Reply::ScriptUnknown => Err(unexpected()),
        }
    }

    async fn try_look_up(&self, key: &Key) -> Result<Answer, CacheError> {
        let stored = match self.ask(Cmd::new().arg("GET").arg(key.as_str())).await? {
            Reply::Data(redis::Value::BulkString(bytes)) => Some(bytes),
            Reply::Data(redis::Value::Nil) => None,
            Reply::WrongType => return Ok(Answer::Bypass(Bypass::Garbage)),
            Reply::Data(_) | Reply::ScriptUnknown => return Err(unexpected()),
        };
        match protocol::get(stored.as_deref()) {
            Get::Hit(value) => return Ok(Answer::Hit(value.into())),
            Get::Garbage => return Ok(Answer::Bypass(Bypass::Garbage)),
            Get::Miss => {}
        }
        let lease = Lease::ask(key.clone());
        Ok(match self.lease(&lease).await? {
            Leased::Granted => Answer::Miss(lease),
            Leased::Busy => Answer::Bypass(Bypass::Busy),
            Leased::Found(stored) => match protocol::get(Some(&stored)) {
                Get::Hit(value) => Answer::Hit(value.into()),
                Get::Garbage | Get::Miss => Answer::Bypass(Bypass::Garbage),
            },
        })
    }

    async fn lease(&self, lease: &Lease) -> Result<Leased, CacheError> {
        let reply = self.run(&LEASE_SCRIPT, lease, &[millis(LEASE).to_string().as_bytes()]).await?;
        let Reply::Data(redis::Value::Array(parts)) = reply else { return Err(unexpected()) };
        match <[redis::Value; 1]>::try_from(parts) {
            Ok([redis::Value::Int(0)]) => Ok(Leased::Granted),
            Ok([redis::Value::Int(2)]) => Ok(Leased::Busy),
            Ok(_) => Err(unexpected()),
            Err(parts) => match <[redis::Value; 2]>::try_from(parts) {
                Ok([redis::Value::Int(1), redis::Value::BulkString(stored)]) => Ok(Leased::Found(stored)),
                Ok(_) | Err(_) => Err(unexpected()),
            },
        }
    }

    /// By its sum, and by its text if the server does not know it: a server that restarted has forgotten all.
    async fn run(&self, script: &Script, lease: &Lease, arguments: &[&[u8]]) -> Result<Reply, CacheError> {
        let command = |verb: &str, script: &str| {
            let mut command = Cmd::new();
            command.arg(verb).arg(script).arg(1).arg(lease.key().as_str()).arg(lease.token());
            for argument in arguments {
                command.arg(*argument);
            }
            command
        };
        // The sums are the scripts': `tests/it` counts how often the server has not known one.
        match self.ask(&command("EVALSHA", script.sha1)).await? {
            Reply::ScriptUnknown => self.ask(&command("EVAL", script.text)).await,
            reply @ (Reply::Data(_) | Reply::WrongType) => Ok(reply),
        }
    }

    async fn ask(&self, command: &Cmd) -> Result<Reply, CacheError> {
        let connecting = timeout(self.connect_timeout, self.link.connection()).await;
        let (mut connection, generation) =
            connecting.map_err(|_| CacheError::Ambiguous("no connection in time".into()))??;
        match command.query_async(&mut connection).await {
            Err(error) if is_complaint(&error, ServerErrorKind::NoScript) => Ok(Reply::ScriptUnknown),
            Err(error) if error.code() == Some("WRONGTYPE") => Ok(Reply::WrongType),
            outcome => Ok(Reply::Data(self.link.judge(outcome, generation).await?)),
        }
    }
}

fn is_complaint(error: &RedisError, kind: ServerErrorKind) -> bool {
    error.kind() == ErrorKind::Server(kind)
}

/// An answer that no Redis gives to our commands.
fn unexpected() -> CacheError {
    let error = RedisError::from((ErrorKind::UnexpectedReturnType, "not what this command answers"));
    CacheError::Ambiguous(reason_of(&error))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
