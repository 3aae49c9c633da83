//! Names and their addresses. Each name is resolved once, so that a run talks to the same hosts from start to end,
//! unless `--dns-ttl` tells it to follow changes. Does not know which names may be reached, or who connects.

use std::collections::HashMap;
use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Addresses by name, in lower case and without a trailing dot.
pub type Addresses = HashMap<String, Vec<IpAddr>>;

/// Looks up the addresses of `names`. A name that cannot be resolved now is left out, and looked up when it is needed.
pub fn ask<'a>(names: impl Iterator<Item = &'a str>) -> Addresses {
    names
        .filter_map(|name| {
            let addresses = (name, 0).to_socket_addrs().ok()?;
            Some((name.to_owned(), distinct(addresses.map(|address| address.ip()))))
        })
        .collect()
}

/// The names that one process knows: those that the run began with, and those looked up since.
#[derive(Debug, Default)]
pub struct Resolver {
    known: Mutex<HashMap<String, Known>>,
    /// How long an answer is valid; `None` means for the whole run.
    ttl: Option<Duration>,
}

#[derive(Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    since: Instant,
}

impl Resolver {
    /// A resolver that knows `addresses`, and looks a name up again after `ttl`.
    pub fn new(addresses: Addresses, ttl: Option<Duration>) -> Self {
        let since = Instant::now();
        let known = addresses.into_iter().map(|(name, addresses)| (name, Known { addresses, since }));
        Self { known: Mutex::new(known.collect()), ttl }
    }

    /// The addresses of `name`; at least one.
    pub async fn resolve(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        let begin = Instant::now();
        if let Some(known) = self.known().get(name).filter(|known| self.is_good(known, begin)) {
            return Ok(known.addresses.clone());
        }
        let addresses = distinct(tokio::net::lookup_host((name, 0)).await?.map(|address| address.ip()));
        if addresses.is_empty() {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        // If two asked at the same time, the first answer stays.
        let mut known = self.known();
        match known.get(name).filter(|known| self.is_good(known, begin)) {
            Some(known) => Ok(known.addresses.clone()),
            None => {
                known.insert(name.to_owned(), Known { addresses: addresses.clone(), since: Instant::now() });
                Ok(addresses)
            }
        }
    }

    /// Whether an answer was still valid at `now`.
    fn is_good(&self, known: &Known, now: Instant) -> bool {
        self.ttl.is_none_or(|ttl| now.saturating_duration_since(known.since) < ttl)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What a resolver answers for `localhost` if it was told beforehand that its address is 192.0.2.1.
    async fn said(ttl: Option<Duration>) -> Vec<IpAddr> {
        let told = Addresses::from([("localhost".into(), vec![[192, 0, 2, 1].into()])]);
        Resolver::new(told, ttl).resolve("localhost").await.unwrap()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_name_is_looked_up_again_when_its_ttl_is_over() {
        let told: IpAddr = [192, 0, 2, 1].into();
        assert_eq!(said(None).await, [told]);
        assert_eq!(said(Some(Duration::MAX)).await, [told]);
        let asked = said(Some(Duration::ZERO)).await;
        assert!(asked.iter().all(IpAddr::is_loopback) && !asked.is_empty(), "{asked:?}");
    }
}
