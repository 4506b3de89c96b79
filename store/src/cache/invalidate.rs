//! Takes entries out of the cache, after Cassandra has what they would lack.

use super::config::Config;
use super::fault::{Class, fault_of, reason_of};
use super::key::Key;
use super::persistence::{self, Persistence};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError,
};
use tokio::sync::Mutex;

/// Deletes entries; shared by all lanes of a process, over one connection that is made again when it breaks.
#[derive(Debug)]
pub struct Invalidator {
    client: Client,
    connect: AsyncConnectionConfig,
    connection: Mutex<Connection>,
}

/// The current connection, and how many there were: who fails on one gives up that one, not its successor.
#[derive(Debug, Default)]
struct Connection {
    current: Option<MultiplexedConnection>,
    generation: u64,
}

/// Why entries may still be there. Never holds a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    /// Some, all or none are gone: do it again, for ever. Twice is once.
    #[error("redis did not confirm: {0}")]
    Ambiguous(Box<str>),
    /// No repetition helps: stop and tell somebody.
    #[error("redis will refuse every request until somebody sees to it: {0}")]
    Stop(Box<str>),
}

impl CacheError {
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Ambiguous(_) => Class::Ambiguous,
            Self::Stop(_) => Class::Stop,
        }
    }
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
        let mut settings = RedisConnectionInfo::default().set_db(config.database.into());
        if let Some(credentials) = &config.credentials {
            settings = settings.set_username(&credentials.user).set_password(&credentials.password);
        }
        let info = ConnectionAddr::Tcp(config.host.clone(), config.port)
            .into_connection_info()?
            .set_redis_settings(settings)
            // Off by default in this client, and a pipeline would wait for the answer to the one before.
            .set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let connect = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(Some(config.request_timeout));
        Ok(Self { client: Client::open(info)?, connect, connection: Mutex::default() })
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
        let (mut connection, generation) = self.connection().await?;
        let outcome: Result<(), RedisError> = pipeline.query_async(&mut connection).await;
        self.judge(outcome, generation).await
    }

    /// Whether the server could come back with entries of before; see [`Persistence`].
    pub async fn persistence(&self) -> Result<Persistence, CacheError> {
        let (mut connection, generation) = self.connection().await?;
        let outcome = persistence::check(&mut connection).await;
        self.judge(outcome, generation).await
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), CacheError> {
        // Held while connecting: the lanes that wait would only connect as well.
        let mut connection = self.connection.lock().await;
        if let Some(current) = &connection.current {
            return Ok((current.clone(), connection.generation));
        }
        let fresh = self.client.get_multiplexed_async_connection_with_config(&self.connect).await?;
        connection.current = Some(fresh.clone());
        connection.generation += 1;
        Ok((fresh, connection.generation))
    }

    /// After an error the connection is not used again: answers may be missing, or be of a server that was replaced.
    async fn judge<T>(&self, outcome: Result<T, RedisError>, generation: u64) -> Result<T, CacheError> {
        if outcome.is_err() {
            let mut connection = self.connection.lock().await;
            if connection.generation == generation {
                connection.current = None;
            }
        }
        Ok(outcome?)
    }
}
