//! Names and their addresses: each asked for once, so that a run talks to one place from its start to its end.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Mutex, PoisonError};

/// Addresses by name, in lower case and without a trailing dot.
pub type Addresses = HashMap<String, Vec<IpAddr>>;

/// Asks for the addresses of `names`; one that has none, or cannot be asked for now, is left out, to be asked for when
/// it is needed.
pub fn ask<'a>(names: impl Iterator<Item = &'a str>) -> Addresses {
    names
        .filter_map(|name| {
            let addresses = (name, 0).to_socket_addrs().ok()?;
            Some((name.to_owned(), distinct(addresses.map(|address| address.ip()))))
        })
        .collect()
}

/// The names of one process: what the run began with, and what was asked for since.
#[derive(Debug, Default)]
pub struct Resolver {
    known: Mutex<Addresses>,
}

impl Resolver {
    /// A resolver that knows `addresses`.
    pub fn new(addresses: Addresses) -> Self {
        Self { known: Mutex::new(addresses) }
    }

    /// The addresses of `name`, where it was asked for before.
    pub fn known(&self, name: &str) -> Vec<IpAddr> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned().unwrap_or_default()
    }

    /// The addresses of `name`; at least one.
    pub async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let known = self.known(name);
        if !known.is_empty() {
            return Ok(known);
        }
        let asked = distinct(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()));
        if asked.is_empty() {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        // Where two asked at once, the first answer stays.
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(known.entry(name.to_owned()).or_insert(asked).clone())
    }
}

fn distinct(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut distinct = Vec::new();
    for address in addresses.map(|address| address.to_canonical()) {
        if !distinct.contains(&address) {
            distinct.push(address);
        }
    }
    distinct
}
