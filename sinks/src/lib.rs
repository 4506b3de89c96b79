//! The cellar: enriched changes in, Cassandra and then Redis brought up to date.

#[cfg(feature = "servers")]
pub mod config;
mod decode;
#[cfg(feature = "servers")]
mod profile;
#[cfg(feature = "servers")]
mod service;

#[cfg(feature = "servers")]
pub use config::Config;
pub use decode::{Decode, Horizon};
#[cfg(feature = "servers")]
pub use profile::{Gates, Invalidate, ProfileSink, Profiles};
#[cfg(feature = "servers")]
pub use service::{SERVICE, run};
