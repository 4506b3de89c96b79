//! One connection to Redis for a whole process: made at the first request, and made again when it breaks.

use super::config::Config;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisResult};
use tokio::sync::Mutex;

#[derive(Debug)]
pub(crate) struct Link {
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

impl Link {
    /// Connects at the first request, not here.
    pub(crate) fn new(config: &Config) -> RedisResult<Self> {
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

    /// The connection and its generation, for [`Link::judge`].
    pub(crate) async fn connection(&self) -> RedisResult<(MultiplexedConnection, u64)> {
        // Held while connecting: others that wait would only connect as well.
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
    pub(crate) async fn judge<T>(&self, outcome: RedisResult<T>, generation: u64) -> RedisResult<T> {
        if outcome.is_err() {
            let mut connection = self.connection.lock().await;
            if connection.generation == generation {
                connection.current = None;
            }
        }
        outcome
    }
}
