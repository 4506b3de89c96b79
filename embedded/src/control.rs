//! How others ask about a directory: through the socket of the process that has it, or by opening it themselves.
//!
//! Both ways are one: what a request is answered with is one function of the directory ([`answer`]), and an [`Access`]
//! calls it here or there. A message is JSON and bytes, each behind its length. The socket is in the directory,
//! so whoever may use it is decided by the directory's permissions.

mod access;
mod answer;
mod request;
mod server;
mod wire;

pub use access::{Access, Profile, Records};
pub use request::About;
pub use server::serve;

use crate::Error as HomeError;
use std::io;
use std::path::PathBuf;

/// Why a directory did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The process that has it says so.
    #[error("{text}")]
    Refused { text: String, is_usage: bool },
    /// The process that has it did not answer.
    #[error("{socket} does not answer: is the process that has the directory still there?", socket = socket.display())]
    Silent { socket: PathBuf, source: io::Error },
    /// What was answered is not what this release asks for.
    #[error("the process that has the directory answers in another way: use the `tidewater` that it was started with")]
    Foreign,
}

impl Error {
    /// Whether a person has to ask for something else.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Home(error) => error.is_usage(),
            Self::Refused { is_usage, .. } => *is_usage,
            Self::Foreign => true,
            Self::Silent { .. } => false,
        }
    }
}
