//! The network as a task sees it: what is granted, and which addresses names have.
//!
//! All instances of a process share grants and known addresses; counts belong to the instances of one thread and to
//! their connections. Refused destinations are counted, so that the report can suggest the flag that would grant them.
//! HTTP goes through `http/`; this module handles sockets that tasks open themselves, under the same policy.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddress, IpAddressFamily, Network as Handle};
use wasmtime_wasi::p2::bindings::sockets::{ip_name_lookup, tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{DynPollable, SocketError, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView, WasiSocketsView};

use crate::capability::guest::Guest;
use crate::capability::http::{Recent, Routes, Tls};
use crate::guest_text::cut;
use crate::metrics::NetworkCounts;
use crate::network::{Destination, Host, Policy, Protocol, listening, socket};
use crate::plan::HttpPlan;
use crate::resolve::{Addresses, Resolver};

/// The longest name in the domain name system, in bytes (RFC 1035).
const MOST_NAME_BYTES: usize = 255;

/// Whether HTTP requests and responses are shown to a person who watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exchanges {
    /// Nobody sees them.
    #[default]
    Unseen,
    /// They are printed to stdout as they are sent and received.
    Shown,
}

/// The network access of the instances of one thread, and their counts.
#[derive(Debug)]
pub struct Network {
    /// What is granted.
    pub(super) policy: Arc<Policy>,
    /// The addresses of names.
    pub(super) resolver: Arc<Resolver>,
    /// How HTTP is spoken.
    pub(super) http: Arc<HttpPlan>,
    /// Made with the first TLS connection.
    pub(super) tls: Arc<OnceLock<Result<Arc<Tls>, String>>>,
    /// Where connections go.
    pub(super) routes: Arc<Routes>,
    /// Where this thread's last request went. One thread takes this lock too.
    recent: Mutex<Option<Recent>>,
    /// Whether a call that was cut gives up its requests at this moment.
    is_giving_up: AtomicBool,
    /// Whether requests and responses are shown.
    pub(super) exchanges: Exchanges,
    /// What was counted and not yet taken. It is behind a lock because wasmtime and tokio require `Send`; only one
    /// thread takes the lock.
    counts: Mutex<NetworkCounts>,
}

impl Network {
    /// A network under `policy`, which knows `addresses` from the start.
    pub fn new(policy: Policy, http: HttpPlan, addresses: Addresses) -> Arc<Self> {
        let resolver = Resolver::new(addresses, http.dns_ttl_ns.map(Duration::from_nanos));
        Arc::new(Self {
            policy: Arc::new(policy),
            resolver: Arc::new(resolver),
            routes: Arc::new(Routes::new(&http)),
            recent: Mutex::default(),
            is_giving_up: AtomicBool::default(),
            http: Arc::new(http),
            tls: Arc::default(),
            exchanges: Exchanges::default(),
            counts: Mutex::default(),
        })
    }

    /// The same network, which shows its exchanges or not. It must not be shared yet.
    #[must_use]
    pub fn with(mut self: Arc<Self>, exchanges: Exchanges) -> Arc<Self> {
        if let Some(network) = Arc::get_mut(&mut self) {
            network.exchanges = exchanges;
        }
        self
    }

    /// The same network for another thread: grants and addresses are shared, counts are not.
    pub fn for_another_thread(&self) -> Arc<Self> {
        let Self { policy, resolver, http, tls, routes, recent: _, is_giving_up: _, exchanges, counts: _ } = self;
        Arc::new(Self {
            policy: policy.clone(),
            resolver: resolver.clone(),
            http: http.clone(),
            tls: tls.clone(),
            routes: routes.clone(),
            recent: Mutex::default(),
            is_giving_up: AtomicBool::default(),
            exchanges: *exchanges,
            counts: Mutex::default(),
        })
    }

    /// What was counted since the last call.
    pub fn take_counts(&self) -> NetworkCounts {
        std::mem::take(&mut *self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where this thread's last request went.
    pub(super) fn recent(&self) -> MutexGuard<'_, Option<Recent>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does `give_up`, in which responses are dropped before they have ended because their call was cut.
    pub(super) fn giving_up(&self, give_up: impl FnOnce()) {
        self.is_giving_up.store(true, Ordering::Relaxed);
        give_up();
        self.is_giving_up.store(false, Ordering::Relaxed);
    }

    /// Whether responses are dropped because their call was cut.
    pub(super) fn is_giving_up(&self) -> bool {
        self.is_giving_up.load(Ordering::Relaxed)
    }

    /// Counts something.
    pub(super) fn count(&self, count: impl FnOnce(&mut NetworkCounts)) {
        count(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn refuse(&self, destination: &str) {
        self.count(|counts| counts.refuse(destination));
    }

    /// Whether `wanted` may be reached. Counts a refusal.
    pub(super) fn permits(&self, wanted: &Destination) -> bool {
        let permitted = self.policy.permits(wanted);
        if !permitted {
            self.refuse(&wanted.to_string());
        }
        permitted
    }

    fn refuse_listening(&self, protocol: Protocol, address: SocketAddr) -> bool {
        self.refuse(&listening(protocol, address));
        false
    }

    /// Whether the task may have sockets of `protocol` at all. Counts a refusal.
    fn permits_sockets(&self, protocol: Protocol) -> bool {
        let permitted = self.policy.permits_sockets(protocol);
        if !permitted {
            self.refuse(&socket(protocol));
        }
        permitted
    }

    async fn permits_socket(&self, address: SocketAddr, how: SocketAddrUse) -> bool {
        let protocol = match how {
            // The system does this by itself before it connects.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind if address.ip().is_unspecified() && address.port() == 0 => {
                return true;
            }
            SocketAddrUse::TcpConnect => Protocol::Tcp,
            SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => Protocol::Udp,
            // Incoming connections are allowed only if everything is granted.
            _ if self.policy.is_all() => return true,
            SocketAddrUse::UdpBind => return self.refuse_listening(Protocol::Udp, address),
            // The system may have chosen the port, and then it is another one each time.
            SocketAddrUse::TcpListen => return self.refuse_listening(Protocol::Tcp, SocketAddr::new(address.ip(), 0)),
            _ => return self.refuse_listening(Protocol::Tcp, address),
        };
        let (ip, port) = (address.ip(), address.port());
        // A name that could not be resolved at the start may be resolvable by now. If not, it has no addresses.
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

/// Replaces WASI's name look-up by one for granted names only, because the name itself could carry a secret; and its
/// making of sockets by one for protocols of which something is granted.
pub(super) fn link(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    fn of(guest: &mut Guest) -> Lookup<'_> {
        let network = guest.network.clone();
        Lookup { network, sockets: guest.sockets() }
    }
    linker.allow_shadowing(true);
    ip_name_lookup::add_to_linker::<Guest, Lookup<'static>>(linker, of)?;
    tcp_create_socket::add_to_linker::<Guest, Lookup<'static>>(linker, of)?;
    udp_create_socket::add_to_linker::<Guest, Lookup<'static>>(linker, of)?;
    linker.allow_shadowing(false);
    Ok(())
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
        // No real name is longer, so a longer one is refused, and only its beginning is copied.
        if name.len() > MOST_NAME_BYTES || !self.network.policy.permits_lookup(&name) {
            self.network.refuse(&format!("tcp://{}:PORT", Host::new(cut(&name))));
            return Err(ErrorCode::AccessDenied.into());
        }
        ip_name_lookup::Host::resolve_addresses(&mut self.sockets, handle, name)
    }
}

impl tcp_create_socket::Host for Lookup<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> Result<Resource<TcpSocket>, SocketError> {
        if !self.network.permits_sockets(Protocol::Tcp) {
            return Err(ErrorCode::AccessDenied.into());
        }
        tcp_create_socket::Host::create_tcp_socket(&mut self.sockets, family)
    }
}

impl udp_create_socket::Host for Lookup<'_> {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> Result<Resource<UdpSocket>, SocketError> {
        if !self.network.permits_sockets(Protocol::Udp) {
            return Err(ErrorCode::AccessDenied.into());
        }
        udp_create_socket::Host::create_udp_socket(&mut self.sockets, family).await
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
