//! Takes entries out of the cache, after Cassandra has what they would lack.

use super::config::Config;
use super::error::{CacheError, Class};
use super::fault::{fault_of, reason_of};
use super::key::Key;
use super::link::Link;
use super::persistence::{self, Persistence};
use redis::{Pipeline, RedisError};

/// Deletes entries; shared by all lanes of a process, over one connection that is made again when it breaks.
#[derive(Debug)]
pub struct Invalidator {
    link: Link,
}

impl From<RedisError> for CacheError {
    fn from(error: RedisError) -> Self {
        let reason = reason_of(&error);
        match fault_of(&error) {
            Class::Ambiguous => Self::Ambiguous(reason),
            Class::Stop => Self::Stop(reason),
        }
    }
}

impl Invalidator {
    /// Connects at the first request, not here.
    pub fn new(config: &Config) -> Result<Self, CacheError> {
        Ok(Self { link: Link::new(config)? })
    }

    /// Deletes what is under `keys`, of whatever type; returns when the server has done all of it. One attempt.
    pub async fn delete(&self, keys: &[Key]) -> Result<(), CacheError> {
        if keys.is_empty() {
            return Ok(());
        }
        let mut pipeline = Pipeline::with_capacity(keys.len());
        for key in keys {
            pipeline.del(key.as_str()).ignore();
        }
        let (mut connection, generation) = self.link.connection().await?;
        let outcome: Result<(), RedisError> = pipeline.query_async(&mut connection).await;
        Ok(self.link.judge(outcome, generation).await?)
    }

    /// Whether the server could come back with entries of before; see [`Persistence`].
    pub async fn persistence(&self) -> Result<Persistence, CacheError> {
        let (mut connection, generation) = self.link.connection().await?;
        let outcome = persistence::check(&mut connection).await;
        Ok(self.link.judge(outcome, generation).await?)
    }
}
