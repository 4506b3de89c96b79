//! Every bound of a door in one place.

use crate::config::{ByteSize, Section};
use std::net::SocketAddr;
use std::time::Duration;

/// Where a door is, and what it lets through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorConfig {
    pub listen: SocketAddr,
    pub limits: DoorLimits,
}

/// What one client may take of a door. Memory is bounded by connections times heads, and by requests times what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorLimits {
    /// Connections at once; more wait in the system's queue.
    pub connections_max: usize,
    /// Requests that are worked on at once; one that finds no place for [`DoorLimits::PATIENCE`] is shed.
    pub requests_in_flight_max: usize,
    /// How long a head may take, and how long a connection may be idle before one.
    pub headers_within: Duration,
    /// How long a body may come to a halt, on its way in, and an answer on its way out.
    pub body_within: Duration,
    /// How long a request may take, its body and its answer with it.
    pub request_within: Duration,
    /// Request line and headers.
    pub header_bytes_max: usize,
    /// A body as it is sent.
    pub body_bytes_max: u64,
    /// A body behind its content encoding.
    pub decoded_bytes_max: u64,
    /// How many times its size an encoded body may become, beyond the first 64 KiB.
    pub decoded_ratio_max: u64,
}

impl Default for DoorLimits {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            requests_in_flight_max: 256,
            headers_within: Duration::from_secs(10),
            body_within: Duration::from_secs(10),
            request_within: Duration::from_secs(60),
            header_bytes_max: 16 << 10,
            body_bytes_max: 64 << 20,
            decoded_bytes_max: 256 << 20,
            decoded_ratio_max: 100,
        }
    }
}

impl DoorConfig {
    /// The options of a door in the section of its service.
    pub fn read(section: &mut Section<'_>, default_port: u16) -> Self {
        let about = "Where clients come in; port 0 takes a free one.";
        let listen = section.address("listen", about).default(SocketAddr::from(([127, 0, 0, 1], default_port)));
        Self { listen, limits: DoorLimits::read(section) }
    }
}

impl DoorLimits {
    /// How long a request waits for a place. Longer would make all late, and none of them sooner.
    pub const PATIENCE: Duration = Duration::from_millis(50);

    fn read(section: &mut Section<'_>) -> Self {
        let own = Self::default();
        let connections = "Connections at once; further ones wait to be accepted.";
        let in_flight = "Requests that are worked on at once; one that finds no place in 50 ms is answered 503.";
        let headers = "How long the head of a request may take, and a connection be idle before it.";
        let body = "How long a body may come to a halt, and an answer lie untaken.";
        let request = "How long a request may take, its body and its answer with it.";
        let head = "Largest head of a request: its line and its headers.";
        let wire = "Largest body as it is sent.";
        let decoded = "Largest body behind its content encoding.";
        let ratio = "How many times its size an encoded body may become.";
        let second = Duration::from_secs(1);
        let bytes = |size: u64| ByteSize::bytes(size);
        Self {
            connections_max: section
                .count("connections_max", connections)
                .between(1, 65_536)
                .default(own.connections_max),
            requests_in_flight_max: section
                .count("requests_in_flight_max", in_flight)
                .between(1, 65_536)
                .default(own.requests_in_flight_max),
            headers_within: section
                .duration("headers_within", headers)
                .between(second / 10, 300 * second)
                .default(own.headers_within),
            body_within: section
                .duration("body_within", body)
                .between(second / 10, 300 * second)
                .default(own.body_within),
            request_within: section
                .duration("request_within", request)
                .between(second / 10, 3_600 * second)
                .default(own.request_within),
            header_bytes_max: section
                .size("header_max", head)
                .at_least(bytes(8 << 10))
                .default(bytes(own.header_bytes_max as u64))
                .as_usize(),
            body_bytes_max: section
                .size("request_max", wire)
                .at_least(bytes(1 << 20))
                .default(bytes(own.body_bytes_max))
                .as_usize() as u64,
            decoded_bytes_max: section
                .size("decoded_max", decoded)
                .at_least(bytes(1 << 20))
                .default(bytes(own.decoded_bytes_max))
                .as_usize() as u64,
            decoded_ratio_max: section
                .count("decoded_ratio_max", ratio)
                .between(2, 100_000)
                .default(own.decoded_ratio_max),
        }
    }
}
