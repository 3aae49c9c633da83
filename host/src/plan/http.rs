//! The part of a plan that says how HTTP is spoken: over which connections, to which addresses, trusting whom.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::PlanError;
use crate::network::Host;

/// More connections to one destination than this would be one for nearly every request.
pub const MAX_HTTP2_CONNECTIONS: u32 = 1_000;

/// How HTTP is spoken. Older reports lack some fields; their runs had no such flags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HttpPlan {
    /// Which certificates are accepted.
    pub trust: Trust,
    /// What a client shows to a server that asks for a certificate.
    #[serde(default)]
    pub identity: Option<Identity>,
    /// The name that TLS asks for and checks; null means the name in `Host`.
    #[serde(default)]
    pub server_name: Option<String>,
    /// What happens to a connection after a response.
    pub keep_alive: KeepAlive,
    /// Which version of HTTP is spoken.
    pub version: HttpVersion,
    /// So many connections to a destination that speaks HTTP/2 are opened by each thread, if it can use them.
    #[serde(default = "one")]
    pub http2_connections: NonZeroU32,
    /// How long the addresses of a name are used for new connections; null means for the whole run.
    #[serde(default)]
    pub dns_ttl_ns: Option<u64>,
    /// Which of a name's addresses a new connection goes to.
    #[serde(default = "first")]
    pub dns: AddressOrder,
    /// Where connections to some hosts go instead, as `HOST:PORT:ADDRESS:PORT`.
    #[serde(default)]
    pub connect_to: Vec<ConnectTo>,
    /// The proxies between.
    #[serde(default)]
    pub proxy: Option<Proxies>,
    /// The socket to which all connections go instead.
    #[serde(default)]
    pub unix_socket: Option<PathBuf>,
    /// The addresses of this machine from which connections come, in turn; empty means that the system chooses.
    #[serde(default)]
    pub local_addresses: Vec<IpAddr>,
    /// Whether requests say to which trace they belong, by the header `traceparent`.
    #[serde(default)]
    pub traceparent: bool,
}

fn one() -> NonZeroU32 {
    NonZeroU32::MIN
}

fn first() -> AddressOrder {
    AddressOrder::First
}

impl Default for HttpPlan {
    fn default() -> Self {
        Self {
            trust: Trust::default(),
            identity: None,
            server_name: None,
            keep_alive: KeepAlive::default(),
            version: HttpVersion::default(),
            http2_connections: one(),
            dns_ttl_ns: None,
            dns: AddressOrder::default(),
            connect_to: Vec::new(),
            proxy: None,
            unix_socket: None,
            local_addresses: Vec::new(),
            traceparent: false,
        }
    }
}

impl HttpPlan {
    /// The files that it needs.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        let trusted = if let Trust::RootsAnd(path) = &self.trust { Some(path.as_path()) } else { None };
        let own = self.identity.iter().flat_map(|identity| [identity.certificate.as_path(), identity.key.as_path()]);
        trusted.into_iter().chain(own).chain(self.unix_socket.as_deref())
    }

    /// The same without what must not be shown: the passwords of proxies.
    #[must_use]
    pub fn public(&self) -> Self {
        Self { proxy: self.proxy.as_ref().map(Proxies::public), ..self.clone() }
    }
}

/// Which certificates are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub enum Trust {
    /// Those signed by the system's or Mozilla's roots.
    #[default]
    Roots,
    /// Also those signed by the certificates in this PEM file.
    RootsAnd(PathBuf),
    /// Any certificate.
    Anyone,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Identity {
    /// The PEM file with the certificate, and with those that lead to its authority.
    pub certificate: PathBuf,
    /// The PEM file with its private key.
    pub key: PathBuf,
}

/// What happens to a connection after a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum KeepAlive {
    /// It is kept for the next request.
    #[default]
    Kept,
    /// It is closed.
    PerRequest,
}

/// Which HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum HttpVersion {
    /// HTTP/2 if TLS negotiates it, else HTTP/1.1.
    #[default]
    Negotiated,
    /// HTTP/2, also without TLS.
    Http2,
}

/// Which of a name's addresses a new connection goes to. If that one cannot be reached, the others are tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AddressOrder {
    /// The next one, of the kind (IPv4 or IPv6) that the system names first.
    #[default]
    Rotate,
    /// The first one.
    First,
}

impl FromStr for AddressOrder {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        match text {
            "rotate" => Ok(Self::Rotate),
            "first" => Ok(Self::First),
            _ => Err(PlanError::AddressOrder(text.to_owned())),
        }
    }
}

impl fmt::Display for AddressOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rotate => "rotate",
            Self::First => "first",
        })
    }
}

/// Another place for connections: what curl's `--connect-to` says, in the same form. A part that is left out in front
/// fits any host or port, and one behind means the request's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConnectTo {
    from: (Option<Host>, Option<u16>),
    to: (Option<Host>, Option<u16>),
}

impl ConnectTo {
    /// Where a connection to `host` and `port` goes; `None` if this is for others.
    pub fn instead_of(&self, host: &Host, port: u16) -> Option<(Host, u16)> {
        let (from_host, from_port) = &self.from;
        let fits = from_host.as_ref().is_none_or(|from| from == host) && from_port.is_none_or(|from| from == port);
        fits.then(|| (self.to.0.clone().unwrap_or_else(|| host.clone()), self.to.1.unwrap_or(port)))
    }
}

impl FromStr for ConnectTo {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let error = || PlanError::ConnectTo(text.to_owned());
        let mut left = text;
        // The next part, which ends at a colon that is not inside of brackets.
        let mut next = |is_last: bool| {
            let after = if left.starts_with('[') { left.find(']')? } else { 0 };
            let end = left[after..].find(':').map_or(left.len(), |end| after + end);
            let (part, rest) = left.split_at(end);
            left = rest.strip_prefix(':').unwrap_or_default();
            (rest.is_empty() == is_last).then_some(part)
        };
        let host = |part: &str| (!part.is_empty()).then(|| Host::new(part));
        let port = |part: &str| match part {
            "" => Ok(None),
            port => port.parse::<u16>().ok().filter(|&port| port > 0).map(Some).ok_or_else(error),
        };
        let parts = [next(false), next(false), next(false), next(true)];
        let [Some(from_host), Some(from_port), Some(to_host), Some(to_port)] = parts else { return Err(error()) };
        Ok(Self { from: (host(from_host), port(from_port)?), to: (host(to_host), port(to_port)?) })
    }
}

impl fmt::Display for ConnectTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = |host: &Option<Host>| host.as_ref().map(Host::to_string).unwrap_or_default();
        let port = |port: Option<u16>| port.map(|port| port.to_string()).unwrap_or_default();
        let Self { from, to } = self;
        write!(f, "{}:{}:{}:{}", host(&from.0), port(from.1), host(&to.0), port(to.1))
    }
}

impl TryFrom<String> for ConnectTo {
    type Error = PlanError;

    fn try_from(text: String) -> Result<Self, PlanError> {
        text.parse()
    }
}

impl From<ConnectTo> for String {
    fn from(place: ConnectTo) -> Self {
        place.to_string()
    }
}

#[cfg(test)]
impl schemars::JsonSchema for ConnectTo {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ConnectTo".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<String>()
    }
}

/// The proxies between, by the scheme of requests, as `http://[USER:PASSWORD@]HOST:PORT`. TLS goes through a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Proxies {
    /// The proxy of `http` requests; null means none.
    pub http: Option<String>,
    /// The proxy of `https` requests; null means none.
    pub https: Option<String>,
    /// Hosts that are reached without a proxy, as `NO_PROXY` lists them: names, suffixes, addresses, networks.
    pub no_proxy: String,
}

impl Proxies {
    /// The same without names and passwords.
    fn public(&self) -> Self {
        let public = |url: &String| match url
            .split_once("://")
            .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)))
        {
            Some((scheme, host)) => format!("{scheme}://{host}"),
            None => url.clone(),
        };
        Self {
            http: self.http.as_ref().map(public),
            https: self.https.as_ref().map(public),
            no_proxy: self.no_proxy.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_place_is_written_as_curl_has_it() {
        for (text, host, port, goes) in [
            ("example.com:443:127.0.0.1:8443", "example.com", 443, Some("127.0.0.1 8443")),
            ("Example.com.:443:127.0.0.1:8443", "example.com", 443, Some("127.0.0.1 8443")),
            ("example.com:443:127.0.0.1:8443", "example.com", 80, None),
            ("example.com:443:127.0.0.1:8443", "www.example.com", 443, None),
            ("example.com::127.0.0.1:", "example.com", 80, Some("127.0.0.1 80")),
            (":80:other:", "example.com", 80, Some("other 80")),
            ("::[::1]:8080", "example.com", 443, Some("[::1] 8080")),
            ("[::1]:80::8080", "::1", 80, Some("[::1] 8080")),
            (":::", "a", 1, Some("a 1")),
        ] {
            let place: ConnectTo = text.parse().unwrap();
            let to = place.instead_of(&Host::new(host), port).map(|(host, port)| format!("{host} {port}"));
            assert_eq!(to.as_deref(), goes, "{text}");
            assert_eq!(place.to_string().parse::<ConnectTo>(), Ok(place), "{text}");
        }
        for wrong in
            ["", "a", "a:1", "a:1:b", "a:1:b:2:3", "a:0:b:1", "a:65536:b:1", "a:x:b:1", "[::1:80:a:1", "::1:80:a:1"]
        {
            assert!(wrong.parse::<ConnectTo>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn passwords_of_proxies_are_not_shown() {
        let of = |url: &str| Some(url.to_owned());
        let proxies = Proxies { http: of("http://u:p@ss@proxy:1"), https: of("http://proxy:2"), no_proxy: "a".into() };
        let shown = Proxies { http: of("http://proxy:1"), ..proxies.clone() };
        assert_eq!(proxies.public(), shown);
    }
}
