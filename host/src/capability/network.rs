//! The network as a task sees it: what is granted, and what names stand for.
//!
//! What is granted and known is one for all instances of a process; what is counted belongs to a thread's instances and
//! their connections. A refusal names the flag that would grant what was refused. HTTP goes through
//! `http/`; here are the sockets of a task's own, under the same policy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::ip_name_lookup;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, Network as Handle};
use wasmtime_wasi::p2::{DynPollable, SocketError};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView, WasiSocketsView};

use crate::capability::guest::Guest;
use crate::guest_text::cut;
use crate::metrics::NetworkCounts;
use crate::network::{Destination, Host, Policy, Protocol};
use crate::plan::HttpPlan;
use crate::resolve::{Addresses, Resolver};

/// A name of the domain name system has no more bytes (RFC 1035).
const MOST_NAME_BYTES: usize = 255;

/// What the instances of one thread reach the network through, and what they have counted.
#[derive(Debug)]
pub struct Network {
    /// What is granted.
    pub(super) policy: Arc<Policy>,
    /// What names stand for.
    pub(super) resolver: Arc<Resolver>,
    /// How HTTP is spoken.
    pub(super) http: Arc<HttpPlan>,
    /// Made when the first TLS connection is.
    pub(super) tls: Arc<OnceLock<Result<Arc<rustls::ClientConfig>, String>>>,
    /// What was counted and not yet taken. A lock, as wasmtime and tokio want what can be sent; only one thread takes
    /// it.
    counts: Mutex<NetworkCounts>,
}

impl Network {
    /// A network of `policy`, where names have `addresses` from the start.
    pub fn new(policy: Policy, http: HttpPlan, addresses: Addresses) -> Arc<Self> {
        let resolver = Resolver::new(addresses, http.dns_ttl_ns.map(Duration::from_nanos));
        Arc::new(Self {
            policy: Arc::new(policy),
            resolver: Arc::new(resolver),
            http: Arc::new(http),
            tls: Arc::default(),
            counts: Mutex::default(),
        })
    }

    /// The same network for another thread: what is granted and known is shared, what is counted is not.
    pub fn for_another_thread(&self) -> Arc<Self> {
        let Self { policy, resolver, http, tls, counts: _ } = self;
        Arc::new(Self {
            policy: policy.clone(),
            resolver: resolver.clone(),
            http: http.clone(),
            tls: tls.clone(),
            counts: Mutex::default(),
        })
    }

    /// What was counted since this was last asked.
    pub fn take_counts(&self) -> NetworkCounts {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts something.
    pub(super) fn count(&self, count: impl FnOnce(&mut NetworkCounts)) {
        count(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn refuse(&self, destination: &str) {
        self.count(|counts| counts.refuse(destination));
    }

    /// Whether `wanted` may be reached; a refusal is counted.
    pub(super) fn permits(&self, wanted: &Destination) -> bool {
        let permitted = self.policy.permits(wanted);
        if !permitted {
            self.refuse(&wanted.to_string());
        }
        permitted
    }

    async fn permits_socket(&self, address: SocketAddr, how: SocketAddrUse) -> bool {
        let protocol = match how {
            // What the system does by itself before a connection is made.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind if address.ip().is_unspecified() && address.port() == 0 => {
                return true;
            }
            SocketAddrUse::TcpConnect => Protocol::Tcp,
            SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => Protocol::Udp,
            // Nobody may come in but where everything is granted.
            _ => return self.policy.is_all(),
        };
        let (ip, port) = (address.ip(), address.port());
        // A name that could not be resolved at the start may be by now; one that still cannot stands for nothing.
        let mut addresses = Addresses::new();
        for name in self.policy.names_at(protocol, port) {
            addresses.insert(name.to_owned(), self.resolver.resolve(name).await.unwrap_or_default());
        }
        let addresses_of = |name: &str| addresses.get(name).cloned().unwrap_or_default();
        let permitted = self.policy.permits_address(protocol, ip, port, addresses_of);
        if !permitted {
            self.refuse(&Destination { protocol, host: Host::Address(ip.to_canonical()), port }.to_string());
        }
        permitted
    }
}

/// Gives an instance its sockets.
pub(super) fn configure(wasi: &mut WasiCtxBuilder, network: &Arc<Network>) {
    let network = network.clone();
    wasi.allow_tcp(true).allow_udp(true).allow_ip_name_lookup(true).socket_addr_check(move |address, how| {
        let network = network.clone();
        Box::pin(async move { network.permits_socket(address, how).await })
    });
}

/// Links name look-up anew, for granted names only: the name itself could carry what must not leave.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let linked = ip_name_lookup::add_to_linker::<Guest, Lookup<'static>>(linker, |guest| {
        let network = guest.network.clone();
        Lookup { network, sockets: guest.sockets() }
    });
    linker.allow_shadowing(false);
    linked
}

struct Lookup<'a> {
    network: Arc<Network>,
    sockets: WasiSocketsCtxView<'a>,
}

impl HasData for Lookup<'static> {
    type Data<'a> = Lookup<'a>;
}

impl ip_name_lookup::Host for Lookup<'_> {
    fn resolve_addresses(
        &mut self,
        handle: Resource<Handle>,
        name: String,
    ) -> Result<Resource<ip_name_lookup::ResolveAddressStream>, SocketError> {
        // No name is longer; of one that is, nothing more is copied.
        if name.len() > MOST_NAME_BYTES || !self.network.policy.permits_lookup(&name) {
            self.network.refuse(&format!("tcp://{}:PORT", Host::new(cut(&name))));
            return Err(ErrorCode::AccessDenied.into());
        }
        ip_name_lookup::Host::resolve_addresses(&mut self.sockets, handle, name)
    }
}

impl network::Host for Lookup<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.sockets, error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.sockets, error)
    }
}

impl network::HostNetwork for Lookup<'_> {
    fn drop(&mut self, handle: Resource<Handle>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.sockets, handle)
    }
}

impl ip_name_lookup::HostResolveAddressStream for Lookup<'_> {
    fn resolve_next_address(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> Result<Option<IpAddress>, SocketError> {
        ip_name_lookup::HostResolveAddressStream::resolve_next_address(&mut self.sockets, stream)
    }

    fn subscribe(
        &mut self,
        stream: Resource<ip_name_lookup::ResolveAddressStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        ip_name_lookup::HostResolveAddressStream::subscribe(&mut self.sockets, stream)
    }

    fn drop(&mut self, stream: Resource<ip_name_lookup::ResolveAddressStream>) -> wasmtime::Result<()> {
        ip_name_lookup::HostResolveAddressStream::drop(&mut self.sockets, stream)
    }
}
