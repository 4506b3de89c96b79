//! The keeper of keys in a Redis of its own.

use super::error::KeysError;
use super::key::{BodyDigest, IdempotencyKey};
use super::protocol::{self, ABANDON_SCRIPT, BEGIN_SCRIPT, Began, FINISH_SCRIPT, Finished, Terms};
use super::retention::{self, Retention};
use super::turn::{Begun, Turn};
use super::{Config, Keys};
use crate::cache::link::Link;
use crate::cache::protocol::Script;
use crate::cache::{CacheError, Class};
use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use std::time::Duration;
use tokio::time::timeout;

/// Shared by all requests of a process, over one connection that is made again when it breaks.
///
/// A request takes at most `connect_timeout` plus `request_timeout`. Within that it is tried a second time if the first was
/// not confirmed, as on a connection that broke since it was used: with the same token twice is once.
#[derive(Debug)]
pub struct RedisKeys {
    link: Link,
    time_max: Duration,
    terms: Terms,
}

impl RedisKeys {
    /// Connects at the first request, not here.
    ///
    /// # Errors
    /// If no server could ever be reached so.
    pub fn new(config: &Config) -> Result<Self, KeysError> {
        Self::with_terms(config, Terms::default())
    }

    /// The same with other times, which whoever shares the server must have as well.
    ///
    /// # Errors
    /// If no server could ever be reached so.
    pub fn with_terms(config: &Config, terms: Terms) -> Result<Self, KeysError> {
        let link = Link::new(config).map_err(CacheError::from)?;
        Ok(Self { link, time_max: config.connect_timeout + config.request_timeout, terms })
    }

    /// Whether the server keeps what it has confirmed; see [`Retention`].
    ///
    /// # Errors
    /// If it does not say.
    pub async fn retention(&self) -> Result<Retention, KeysError> {
        let asked = async {
            let (mut connection, generation) = self.link.connection().await?;
            let outcome = retention::check(&mut connection).await;
            Ok(self.link.judge(outcome, generation).await?)
        };
        self.in_time(asked).await
    }

    /// Runs a script under the key of `turn`, and once more if nobody knows whether it ran.
    async fn run(&self, script: &Script, turn: &Turn, arguments: &[&[u8]]) -> Result<Value, KeysError> {
        let key = turn.key().in_redis();
        let command = |verb: &str, script: &str| {
            let mut command = Cmd::new();
            command.arg(verb).arg(script).arg(1).arg(&key).arg(turn.token());
            for argument in arguments {
                command.arg(*argument);
            }
            command
        };
        // By its sum, and by its text if the server does not know it: a server that restarted has forgotten all.
        let once = async || match self.ask(&command("EVALSHA", script.sha1)).await? {
            Some(reply) => Ok(reply),
            None => self.ask(&command("EVAL", script.text)).await?.ok_or_else(unexpected),
        };
        let twice = async {
            match once().await {
                Err(error) if error.class() == Class::Ambiguous => once().await,
                outcome => outcome,
            }
        };
        self.in_time(twice).await
    }

    /// What the server said; `None`: that it does not know the script.
    async fn ask(&self, command: &Cmd) -> Result<Option<Value>, CacheError> {
        let (mut connection, generation) = self.link.connection().await?;
        match command.query_async(&mut connection).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => Ok(None),
            outcome => Ok(Some(self.link.judge(outcome, generation).await?)),
        }
    }

    async fn in_time<T>(&self, asked: impl Future<Output = Result<T, CacheError>>) -> Result<T, KeysError> {
        let answered = timeout(self.time_max, asked).await;
        Ok(answered.unwrap_or_else(|_| Err(CacheError::Ambiguous("no answer in time".into())))?)
    }
}

impl Keys for RedisKeys {
    async fn begin(&self, key: &IdempotencyKey, body: &BodyDigest) -> Result<Begun, KeysError> {
        let turn = Turn::ask(key, body);
        let lease_ms = millis(self.terms.lease);
        let reply = self.run(&BEGIN_SCRIPT, &turn, &[&body.0, lease_ms.as_bytes()]).await?;
        Ok(turn.told(began(reply)?))
    }

    async fn finish(&self, turn: Turn, answer: &[u8]) -> Result<Finished, KeysError> {
        let keep_ms = millis(self.terms.keep_for);
        let (state, answer) = protocol::as_stored(answer);
        let arguments: [&[u8]; 4] = [&turn.body().0, &state, answer, keep_ms.as_bytes()];
        match number(&self.run(&FINISH_SCRIPT, &turn, &arguments).await?) {
            Some(1) => Ok(Finished::Kept),
            Some(0) => Ok(Finished::Lost),
            Some(2) => Err(KeysError::Foreign),
            Some(_) | None => Err(unexpected().into()),
        }
    }

    async fn abandon(&self, turn: Turn) -> Result<(), KeysError> {
        match number(&self.run(&ABANDON_SCRIPT, &turn, &[]).await?) {
            Some(0 | 1) => Ok(()),
            Some(2) => Err(KeysError::Foreign),
            Some(_) | None => Err(unexpected().into()),
        }
    }
}

fn number(reply: &Value) -> Option<i64> {
    if let Value::Int(number) = reply { Some(*number) } else { None }
}

fn began(reply: Value) -> Result<Began, KeysError> {
    let Value::Array(parts) = reply else { return Err(unexpected().into()) };
    Ok(match parts.as_slice() {
        [Value::Int(0)] => Began::Granted,
        [Value::Int(1), Value::BulkString(answer)] => Began::Answered(answer.clone()),
        [Value::Int(2), Value::Int(left_ms)] => {
            Began::InFlight { left: Duration::from_millis(u64::try_from(*left_ms).unwrap_or(0)) }
        }
        [Value::Int(3)] => Began::OtherBody,
        [Value::Int(4)] => Began::Done,
        [Value::Int(5)] => return Err(KeysError::Foreign),
        _ => return Err(unexpected().into()),
    })
}

/// An answer that no Redis gives to our commands.
fn unexpected() -> CacheError {
    RedisError::from((ErrorKind::UnexpectedReturnType, "not what this command answers")).into()
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}
