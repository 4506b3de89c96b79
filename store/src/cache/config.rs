//! How to reach Redis.

use crate::Credentials;
use std::time::Duration;

/// Settings of one connection to Redis.
#[derive(Clone, Debug)]
pub struct Config {
    pub host: String,
    pub port: u16,
    pub database: u16,
    /// A password without a user (`requirepass`) has the user `default`.
    pub credentials: Option<Credentials>,
    pub connect_timeout: Duration,
    /// How long one pipeline may take. After that its connection is given up, since nobody knows what came through.
    pub request_timeout: Duration,
}

impl Default for Config {
    /// A local server without a password.
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 6379,
            database: 0,
            credentials: None,
            connect_timeout: Duration::from_secs(2),
            request_timeout: Duration::from_secs(2),
        }
    }
}
