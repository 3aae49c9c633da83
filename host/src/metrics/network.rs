//! What is counted about the network, besides the operations.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::{Histogram, OTHER};
use crate::guest_text::{GuestText, cut};

/// How many distinct refused destinations are kept. A task that makes up names must not exhaust the memory.
const MAX_REFUSED: usize = 100;

/// Requests, connections, bytes, and refused destinations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NetworkCounts {
    /// HTTP requests that ended, with a response or without one.
    pub requests: u64,
    /// Of those, requests without a whole response of status 200 to 399.
    pub failed: u64,
    /// How often they were sent: a request that got no connection was not, and some were sent again.
    pub sent: u64,
    /// How often they were sent again, because the server had not processed them.
    pub repeated: u64,
    /// Connections that were opened for them.
    pub opened: u64,
    /// Requests that went over a connection that was already open.
    pub reused: u64,
    /// Bytes received over those connections, headers and TLS included.
    pub bytes_in: u64,
    /// Bytes sent over those connections.
    pub bytes_out: u64,
    /// How long it took to open a connection: TCP, and TLS if it is used.
    pub connect: Histogram,
    /// How long it took from sending a request to the first byte of its response.
    pub first_byte: Histogram,
    /// How long requests that were sent took, from sending to the end of the response.
    pub duration: Histogram,
    /// How long requests waited for a stream of HTTP/2, if all that the server allows were in use.
    pub stream_wait: Histogram,
    /// What this machine had none of any more when a connection was to be opened, and how often.
    pub lacked: BTreeMap<Resource, u64>,
    /// Destinations that were not granted, and how often the task tried to reach them.
    pub refused: BTreeMap<GuestText, u64>,
}

/// What a machine can run out of when it opens connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Resource {
    /// Files that a process may have open.
    Files,
    /// Files that the whole system may have open.
    SystemFiles,
    /// Ports of this machine for connections to one destination.
    Ports,
    /// Memory of the system.
    Memory,
}

impl NetworkCounts {
    /// Counts a connection that was not opened because this machine had none of `resource` any more.
    pub fn lacked(&mut self, resource: Resource) {
        *self.lacked.entry(resource).or_default() += 1;
    }

    /// Counts a destination that was not granted.
    pub fn refuse(&mut self, destination: &str) {
        self.refuse_times(destination, 1);
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.requests == 0 && self.opened == 0 && self.refused.is_empty()
    }

    fn refuse_times(&mut self, destination: &str, times: u64) {
        let destination = cut(destination);
        let known = self.refused.contains_key(destination) || self.refused.len() < MAX_REFUSED;
        *self.refused.entry(if known { destination } else { OTHER }.into()).or_default() += times;
    }
}

impl AddAssign<&NetworkCounts> for NetworkCounts {
    fn add_assign(&mut self, other: &NetworkCounts) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.sent += other.sent;
        self.repeated += other.repeated;
        self.duration += &other.duration;
        self.stream_wait += &other.stream_wait;
        other.lacked.iter().for_each(|(&resource, &times)| *self.lacked.entry(resource).or_default() += times);
        self.opened += other.opened;
        self.reused += other.reused;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.connect += &other.connect;
        self.first_byte += &other.first_byte;
        other.refused.iter().for_each(|(destination, &times)| self.refuse_times(destination.raw(), times));
    }
}
