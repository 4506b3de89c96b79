//! HTTP as this process speaks it: the admin server, and the doors that outsiders come in by.
//!
//! Both are on our own accept loops: axum's has no limit on how long a client may take to send its headers, nor on how
//! many connections there are.

mod admin;
mod body;
mod door;
mod framing;
mod limits;
mod problem;
mod strict;

pub use admin::{Config, Server};
pub use body::{BodyFault, BodyWatch};
pub use door::{Door, DoorMetrics};
pub use limits::{DoorConfig, DoorLimits};
pub use problem::Problem;
