//! The cellar: enriched changes in, Cassandra and then Redis brought up to date.

pub mod config;
mod decode;
mod profile;
mod service;

pub use config::Config;
pub use decode::{Decode, Horizon};
pub use profile::{Gates, Invalidate, ProfileSink, Profiles};
pub use service::{SERVICE, run};
