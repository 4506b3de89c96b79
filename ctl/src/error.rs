//! Why a verb could not do its work, and with which code the command ends.

use std::error::Error as _;
use std::io;
#[cfg(feature = "servers")]
use store::cql::{ConnectError, PrepareError, ReadError, TableError};

/// Asked or configured wrongly: doing the same again fails again.
pub(crate) const USAGE: u8 = 64;

/// Something that we depend on failed.
pub(crate) const FAILED: u8 = 70;

/// Everything could be asked, and the answer is that something is not as it must be.
pub(crate) const UNPROVEN: u8 = 1;

/// A verb that failed. Nothing in it is user data.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sentence says what to ask for instead.
    #[error("{0}")]
    Usage(String),
    /// The sentence says what to look at.
    #[error("{0}")]
    Failed(String),
    /// The sentence says what was to be proven.
    #[error("{0}")]
    Unproven(String),
    /// All was done but what the sentence tells of.
    #[error("{0}")]
    Incomplete(String),
    #[error(transparent)]
    Config(#[from] runtime::config::Error),
    #[error(transparent)]
    Profile(#[from] schemas::profile::LoadError),
    /// Of a data directory.
    #[error(transparent)]
    Data(#[from] embedded::control::Error),
    #[cfg(feature = "servers")]
    #[error(transparent)]
    Cassandra(#[from] ConnectError),
    #[cfg(feature = "servers")]
    #[error(transparent)]
    Table(#[from] TableError),
    #[cfg(feature = "servers")]
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    #[cfg(feature = "servers")]
    #[error(transparent)]
    Read(#[from] ReadError),
    #[cfg(feature = "servers")]
    #[error(transparent)]
    Kafka(#[from] runtime::kafka::Error),
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
    #[error("the threads that wait for servers cannot be started")]
    Threads(#[source] io::Error),
}

impl Error {
    /// The code of the process that ends with this.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let is_usage = match self {
            Self::Unproven(_) | Self::Incomplete(_) => return UNPROVEN,
            Self::Usage(_) | Self::Config(_) | Self::Profile(_) => true,
            Self::Data(error) => error.is_usage(),
            #[cfg(feature = "servers")]
            Self::Kafka(error) => error.is_usage(),
            #[cfg(feature = "servers")]
            Self::Cassandra(ConnectError::NoSuchDatacenter { .. }) => true,
            #[cfg(feature = "servers")]
            Self::Cassandra(ConnectError::Unreachable { .. } | ConnectError::Starting { .. }) => false,
            #[cfg(feature = "servers")]
            Self::Table(TableError::Drift { .. } | TableError::Refused(_)) => true,
            #[cfg(feature = "servers")]
            Self::Table(TableError::Unreachable(_)) => false,
            #[cfg(feature = "servers")]
            Self::Prepare(PrepareError::Drift(_)) => true,
            #[cfg(feature = "servers")]
            Self::Prepare(PrepareError::Unreachable(_)) | Self::Read(_) => false,
            Self::Failed(_) | Self::Output(_) | Self::Threads(_) => false,
        };
        if is_usage { USAGE } else { FAILED }
    }

    /// The error and what is behind it, in one line, with the command that helps if one does.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let told = error.to_string();
            // Some libraries tell their causes themselves.
            if !text.contains(&told) {
                text = format!("{text}: {told}");
            }
            cause = error.source();
        }
        #[cfg(feature = "servers")]
        if let Self::Kafka(runtime::kafka::Error::TopicMissing { .. }) = self {
            text.push_str(" with `tidewater topics apply`");
        }
        #[cfg(feature = "servers")]
        if let Self::Prepare(PrepareError::Drift(_)) = self {
            text.push_str("; run `tidewater migrate`");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(feature = "servers")]
    #[test]
    fn a_missing_topic_is_a_matter_of_configuration_and_names_the_command() {
        let error = Error::Kafka(runtime::kafka::Error::TopicMissing { topic: "tidewater.changes.raw.v1".into() });
        assert_eq!(error.exit_code(), 64);
        assert_eq!(
            error.chain(),
            "topic tidewater.changes.raw.v1 does not exist; create it first with `tidewater topics apply`"
        );
    }

    #[test]
    fn what_is_behind_an_error_is_told_too() {
        let error = Error::Output(io::Error::other("no space left on device"));
        assert_eq!(error.exit_code(), 70);
        assert_eq!(error.chain(), "the result cannot be written: no space left on device");
    }
}
