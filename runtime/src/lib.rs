//! runtime

pub mod kafka;
