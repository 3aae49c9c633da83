//! Where connections go: addresses in turn, other places, sockets of the machine, proxies.
//!
//! None of these changes what a task may reach: a request is granted by its own host.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use wasmtime_wasi_http::Error;

use super::failure::{exhausted, of_connecting, told};
use super::stream::{CountedStream, Socket};
use crate::capability::network::Network;
use crate::network::{Destination, Host, Protocol};
use crate::plan::{AddressOrder, HttpPlan, HttpVersion, Proxies};

/// How long connecting to an address may take if there is another address to try.
const NEXT_ADDRESS: Duration = Duration::from_secs(3);

/// What the connections of a process have in common.
#[derive(Debug)]
pub(crate) struct Routes {
    proxies: Option<Matcher>,
    /// How many connections to each name were opened.
    opened: Mutex<HashMap<Host, usize>>,
    /// How many connections came from an address that was given.
    bound: Mutex<usize>,
    /// Processes begin with different addresses: their ids follow each other.
    begin: usize,
}

impl Routes {
    pub(crate) fn new(plan: &HttpPlan) -> Self {
        let is_excepted = |proxies: &&Proxies| proxies.no_proxy.split(',').any(|entry| entry.trim() == "*");
        let proxies = plan.proxy.as_ref().filter(|proxies| !is_excepted(proxies)).map(|proxies| {
            let of = |url: &Option<String>| url.clone().unwrap_or_default();
            Matcher::builder().http(of(&proxies.http)).https(of(&proxies.https)).no(proxies.no_proxy.as_str()).build()
        });
        Self { proxies, opened: Mutex::default(), bound: Mutex::default(), begin: std::process::id() as usize }
    }

    fn proxy(&self, to: &Destination) -> Option<Intercept> {
        self.proxies.as_ref()?.intercept(&to.to_string().parse::<Uri>().ok()?)
    }

    /// The addresses of `host`, the one to try first in front.
    fn in_turn(&self, host: &Host, addresses: Vec<IpAddr>) -> Vec<IpAddr> {
        let Some(first) = addresses.first().map(IpAddr::is_ipv4) else { return addresses };
        // The system puts the kind in front that the machine can use.
        let (mut first, others): (Vec<_>, Vec<_>) = addresses.iter().partition(|address| address.is_ipv4() == first);
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = opened.entry(host.clone()).or_default();
        let turn = self.begin.wrapping_add(*opened) % first.len();
        *opened += 1;
        first.rotate_left(turn);
        first.into_iter().chain(others).collect()
    }

    /// The address from which a connection to `to` comes; `None` if the system chooses.
    fn local(&self, given: &[IpAddr], to: IpAddr) -> Result<Option<IpAddr>, Error> {
        if given.is_empty() {
            return Ok(None);
        }
        let of_kind: Vec<_> = given.iter().filter(|local| local.is_ipv4() == to.is_ipv4()).collect();
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let turn = self.begin.wrapping_add(*bound) % of_kind.len().max(1);
        *bound += 1;
        let local = of_kind.get(turn).ok_or_else(|| told(format!("no --local-address can reach {to}")))?;
        Ok(Some(**local))
    }
}

/// A proxy that passes on requests over HTTP/1.1.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) authorization: Option<HeaderValue>,
}

/// Opens the stream over which `to` is spoken to, and tells whether requests on it are for a proxy.
pub(super) async fn reach(network: &Arc<Network>, to: &Destination) -> Result<(CountedStream, Option<Relay>), Error> {
    let plan = &*network.http;
    if let Some(path) = &plan.unix_socket {
        return Ok((CountedStream::new(socket(network, path).await?, network.clone()), None));
    }
    let instead = plan.connect_to.iter().find_map(|place| place.instead_of(&to.host, to.port));
    // As in curl, a proxy is asked for a tunnel to the other place.
    let is_tunnelled = to.protocol == Protocol::Https || plan.version == HttpVersion::Http2 || instead.is_some();
    let (host, port) = instead.unwrap_or_else(|| (to.host.clone(), to.port));
    let Some(proxy) = network.routes.proxy(to) else {
        let stream = address(network, &host, port).await?;
        return Ok((CountedStream::new(Socket::Tcp(stream), network.clone()), None));
    };
    let at = proxy.uri();
    let (proxy_host, proxy_port) = (Host::new(at.host().unwrap_or_default()), at.port_u16().unwrap_or(80));
    let stream = address(network, &proxy_host, proxy_port).await;
    let stream = stream.map_err(|error| match error {
        Error::DnsError { rcode: Some(problem), .. } | Error::InternalError(Some(problem)) => {
            told(format!("the proxy: {problem}"))
        }
        error => told(format!("the proxy {proxy_host}:{proxy_port}: {error}")),
    })?;
    let stream = CountedStream::new(Socket::Tcp(stream), network.clone());
    let authorization = proxy.basic_auth().cloned();
    if is_tunnelled {
        Ok((tunnel(stream, &format!("{host}:{port}"), authorization).await?, None))
    } else {
        Ok((stream, Some(Relay { authorization })))
    }
}

async fn socket(network: &Network, path: &Path) -> Result<Socket, Error> {
    let stream = UnixStream::connect(path).await.map_err(|error| match exhausted(&error) {
        Some(_) => lacking(network, error),
        None => told(format!("cannot connect to the socket {}: {error}", path.display())),
    })?;
    Ok(Socket::Unix(stream))
}

/// Connects to one of the addresses of `host`.
async fn address(network: &Network, host: &Host, port: u16) -> Result<TcpStream, Error> {
    let addresses = match host {
        Host::Address(address) => vec![*address],
        Host::Name(name) => {
            let addresses = network.resolver.resolve(name).await.map_err(|error| match exhausted(&error) {
                Some(_) => lacking(network, error),
                None => Error::DnsError { rcode: Some(format!("cannot resolve {name}: {error}")), info_code: None },
            })?;
            match network.http.dns {
                AddressOrder::Rotate => network.routes.in_turn(host, addresses),
                AddressOrder::First => addresses,
            }
        }
    };
    let mut last = Error::Connect(io::ErrorKind::NotFound.into());
    let mut left = addresses.len();
    for address in addresses {
        left -= 1;
        let from = match network.routes.local(&network.http.local_addresses, address) {
            Ok(from) => from,
            // Another one may be of the right kind.
            Err(error) => {
                last = error;
                continue;
            }
        };
        let connecting = connect(from, SocketAddr::new(address, port));
        // An address that does not answer, such as one behind broken IPv6, must not prevent trying the next one.
        let most = if left > 0 { NEXT_ADDRESS } else { Duration::MAX };
        match tokio::time::timeout(most, connecting).await {
            Ok(Ok(stream)) => {
                // Requests are written whole, so waiting for more bytes would only delay them.
                stream.set_nodelay(true).map_err(Error::Connect)?;
                return Ok(stream);
            }
            Ok(Err(error)) if exhausted(&error).is_some() => return Err(lacking(network, error)),
            Ok(Err(error)) => last = of_connecting(error),
            Err(_) => last = Error::ConnectionTimeout,
        }
    }
    Err(last)
}

/// The error for a connection that was not opened. Counts what this machine lacked.
fn lacking(network: &Network, error: io::Error) -> Error {
    if let Some(resource) = exhausted(&error) {
        network.count(|counts| counts.lacked(resource));
    }
    of_connecting(error)
}

async fn connect(from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let Some(from) = from else { return TcpStream::connect(to).await };
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Otherwise the system would choose a port that no other connection has, whatever the destination.
    crate::system::choose_port_late(&socket)?;
    socket.bind(SocketAddr::new(from, 0)).map_err(|error| match exhausted(&error) {
        Some(crate::metrics::Resource::Ports) => {
            io::Error::other(format!("{from} is not an address of this machine (--local-address)"))
        }
        _ => error,
    })?;
    socket.connect(to).await
}

/// Asks a proxy for a tunnel to `authority`.
async fn tunnel(
    stream: CountedStream,
    authority: &str,
    authorization: Option<HeaderValue>,
) -> Result<CountedStream, Error> {
    let failed = |problem: String| told(format!("the proxy gives no tunnel to {authority}: {problem}"));
    let (mut sender, connection) =
        http1::Builder::new().title_case_headers(true).handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move { drop(connection.with_upgrades().await) });
    let mut request =
        Request::connect(authority).body(Empty::<Bytes>::new()).map_err(|error| failed(error.to_string()))?;
    let host = HeaderValue::from_str(authority).map_err(|error| failed(error.to_string()))?;
    request.headers_mut().insert(HOST, host);
    request.headers_mut().extend(authorization.map(|authorization| (PROXY_AUTHORIZATION, authorization)));
    let response = sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
    if !response.status().is_success() {
        return Err(failed(format!("status {}", response.status())));
    }
    let upgraded = hyper::upgrade::on(response).await.map_err(|error| failed(error.to_string()))?;
    match upgraded.downcast::<TokioIo<CountedStream>>() {
        Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
        _ => Err(failed("it sent something before it was asked".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_the_first_kind_are_used_in_turn() {
        let routes = Routes { begin: 0, ..Routes::new(&HttpPlan::default()) };
        let of = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let (name, other) = (Host::new("name"), Host::new("other"));
        let all = of(&["10.0.0.1", "::1", "10.0.0.2", "10.0.0.3"]);
        let turns: Vec<_> = (0..4).map(|_| routes.in_turn(&name, all.clone())[0].to_string()).collect();
        assert_eq!(turns, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.1"]);
        assert_eq!(routes.in_turn(&name, all.clone()), of(&["10.0.0.2", "10.0.0.3", "10.0.0.1", "::1"]));
        assert_eq!(routes.in_turn(&other, all)[0], of(&["10.0.0.1"])[0], "each name has a turn of its own");
        assert!(routes.in_turn(&name, Vec::new()).is_empty());
    }

    #[test]
    fn local_addresses_are_used_in_turn_and_fit_the_kind() {
        let routes = Routes { begin: 0, ..Routes::new(&HttpPlan::default()) };
        let given = ["127.0.0.1", "::1", "127.0.0.2"].map(|text| text.parse().unwrap());
        let to = |text: &str| routes.local(&given, text.parse().unwrap()).unwrap().map(|local| local.to_string());
        assert_eq!([to("10.0.0.1"), to("10.0.0.1")], [Some("127.0.0.1".into()), Some("127.0.0.2".into())]);
        assert_eq!(to("fe80::1"), Some("::1".into()));
        assert!(routes.local(&given[..1], "::1".parse().unwrap()).is_err());
        assert!(routes.local(&[], "::1".parse().unwrap()).unwrap().is_none());
    }
}
