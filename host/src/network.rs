//! What a task may reach over the network: one policy for HTTP and for sockets.
//!
//! Whatever no rule allows is denied. Pure; does not know how names are resolved or connections are made.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::guest_text;

/// The protocol for a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS.
    Https,
    /// A TCP connection that the task opens itself.
    Tcp,
    /// UDP datagrams that the task sends itself.
    Udp,
}

impl Protocol {
    /// Those that a task's own sockets speak.
    const OF_SOCKETS: [Self; 2] = [Self::Tcp, Self::Udp];

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }

    fn default_port(self) -> Option<u16> {
        match self {
            Self::Http => Some(80),
            Self::Https => Some(443),
            Self::Tcp | Self::Udp => None,
        }
    }
}

/// A host in the form in which hosts are compared: names in lower case without a trailing dot, addresses in canonical
/// form.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Host {
    /// A name.
    Name(String),
    /// An address. An IPv4-mapped IPv6 address counts as the IPv4 address.
    Address(IpAddr),
}

impl Host {
    /// The host that `text` names; IPv6 addresses with or without brackets.
    pub fn new(text: &str) -> Self {
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        match bare.parse::<IpAddr>() {
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) => Self::Name(text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase()),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Something that a task wants to reach.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Destination {
    /// The protocol.
    pub protocol: Protocol,
    /// The host.
    pub host: Host,
    /// The port.
    pub port: u16,
}

impl Destination {
    /// An HTTP destination, with the scheme's default port if `port` is `None`. `None` for other schemes.
    pub fn of_http(scheme: &str, host: &str, port: Option<u16>) -> Option<Self> {
        let protocol = match scheme {
            "http" => Protocol::Http,
            "https" => Protocol::Https,
            _ => return None,
        };
        let port = port.or(protocol.default_port())?;
        Some(Self { protocol, host: Host::new(host), port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, host, port } = self;
        write!(f, "{}://{host}", protocol.name())?;
        if Some(*port) == protocol.default_port() { Ok(()) } else { write!(f, ":{port}") }
    }
}

/// One `--allow`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Allow {
    /// `all`: everything.
    All,
    /// Exactly this.
    Only(Destination),
    /// Every name under a suffix, at this port: `https://*.example.com`. The suffix itself is not allowed.
    Under {
        /// Http or Https.
        protocol: Protocol,
        /// What the names end with, from the dot on.
        suffix: String,
        /// The port.
        port: u16,
    },
}

/// What is wrong with an `--allow`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a destination: {problem}")]
pub struct AllowError {
    text: String,
    problem: &'static str,
}

impl FromStr for Allow {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let error = |problem| AllowError { text: text.to_owned(), problem };
        if text == "all" {
            return Ok(Self::All);
        }
        let form = "write http://HOST[:PORT], https://HOST[:PORT], tcp://HOST:PORT, udp://HOST:PORT or all";
        let (protocol, rest) = text.split_once("://").ok_or_else(|| error(form))?;
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "http" => Protocol::Http,
            "https" => Protocol::Https,
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(error(form)),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#', '@']) {
            return Err(error("a grant is a host and a port, without a path or a user"));
        }
        let (host, port) = split_port(rest).ok_or_else(|| error("its port is not a number up to 65535"))?;
        let port =
            port.or(protocol.default_port()).ok_or_else(|| error("tcp and udp need a port, such as tcp://db:5432"))?;
        if host.is_empty() {
            return Err(error(form));
        }
        let is_http = matches!(protocol, Protocol::Http | Protocol::Https);
        match (host.strip_prefix('*'), Host::new(host)) {
            (Some(suffix), _) if is_http && suffix.starts_with('.') && suffix.len() > 1 && !suffix.contains('*') => {
                let Host::Name(suffix) = Host::new(suffix) else { return Err(error(form)) };
                if !is_name(&suffix) {
                    return Err(error("a host has letters, digits, `-`, `_` and `.`"));
                }
                Ok(Self::Under { protocol, suffix, port })
            }
            _ if host.contains('*') => {
                Err(error("a star stands for the first part of an HTTP host, as in https://*.example.com"))
            }
            (_, Host::Name(name)) if !is_name(&name) => Err(error("a host has letters, digits, `-`, `_` and `.`")),
            (_, host) => Ok(Self::Only(Destination { protocol, host, port })),
        }
    }
}

/// What is refused to a task that may not listen at an address, which follows.
const LISTENING: &str = "listening at ";

/// What is refused to a task that wants to listen at `address`; port 0 is any port.
pub fn listening(protocol: Protocol, address: SocketAddr) -> String {
    let (protocol, host) = (protocol.name(), Host::Address(address.ip()));
    match address.port() {
        0 => format!("{LISTENING}{protocol}://{host}"),
        port => format!("{LISTENING}{protocol}://{host}:{port}"),
    }
}

/// What is refused to a task that wants a socket, and is granted none of this protocol.
pub fn socket(protocol: Protocol) -> String {
    format!("a {} socket", protocol.name().to_uppercase())
}

/// The flag that would grant `refused`, ready to be pasted; `None` if it is not exactly one host. A guest may ask for
/// anything: a star would grant more than what was refused, and if the text was cut, the rest is unknown.
pub fn suggestion(refused: &str) -> Option<String> {
    if refused.starts_with(LISTENING) {
        return Some("--allow all".into());
    }
    if let Some(protocol) = Protocol::OF_SOCKETS.into_iter().find(|&protocol| refused == socket(protocol)) {
        return Some(format!("--allow {}://HOST:PORT", protocol.name()));
    }
    /// A character has at most four bytes, so a text that was cut is at most three bytes shorter than the limit.
    const LONGEST: usize = guest_text::MAX_BYTES - 4;
    if refused.len() > LONGEST {
        return None;
    }
    // If a name was only looked up, the user has to fill in the port.
    let host = refused.strip_suffix(":PORT");
    let example = host.map_or_else(|| refused.to_owned(), |host| format!("{host}:1"));
    let Ok(Allow::Only(destination)) = example.parse() else { return None };
    let destination = destination.to_string();
    let shown = match host {
        Some(_) => format!("{}:PORT", destination.strip_suffix(":1")?),
        None => destination,
    };
    guest_text::command(["--allow", &shown])
}

/// Whether text has only characters that host names may have, letters of any script among them.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Splits `HOST`, `HOST:PORT`, `[V6]` or `[V6]:PORT`; `None` if the port is not a valid number.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Some((text, None));
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => port.parse().ok().map(|port| (host, Some(port))),
        _ => Some((text, None)),
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Only(destination) => destination.fmt(f),
            Self::Under { protocol, suffix, port } => {
                let host = Host::Name(format!("*{suffix}"));
                Destination { protocol: *protocol, host, port: *port }.fmt(f)
            }
        }
    }
}

/// Everything that is allowed; an empty policy allows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy(pub Vec<Allow>);

impl Policy {
    /// Whether everything is allowed.
    pub fn is_all(&self) -> bool {
        self.0.contains(&Allow::All)
    }

    /// Whether a destination may be reached, judged by its name.
    pub fn permits(&self, wanted: &Destination) -> bool {
        self.0.iter().any(|allow| match allow {
            Allow::All => true,
            Allow::Only(destination) => destination == wanted,
            Allow::Under { protocol, suffix, port } => {
                let is_under = matches!(&wanted.host, Host::Name(name) if name.len() > suffix.len() && name.ends_with(suffix.as_str()));
                is_under && (*protocol, *port) == (wanted.protocol, wanted.port)
            }
        })
    }

    /// What both policies allow.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let narrow = |these: &Self, those: &Self| {
            these.0.iter().filter(|allow| those.covers(allow)).cloned().collect::<Vec<_>>()
        };
        let mut both = narrow(self, other);
        both.extend(narrow(other, self).into_iter().filter(|allow| !self.0.contains(allow)));
        Self(both)
    }

    /// Whether one rule allows all that `narrow` does. Of two rules, either one covers the other, or they have nothing
    /// in common.
    fn covers(&self, narrow: &Allow) -> bool {
        self.0.iter().any(|wide| match (wide, narrow) {
            (Allow::All, _) => true,
            (_, Allow::Only(destination)) => Self(vec![wide.clone()]).permits(destination),
            (
                Allow::Under { protocol, suffix, port },
                Allow::Under { protocol: narrow_protocol, suffix: narrow_suffix, port: narrow_port },
            ) => (protocol, port) == (narrow_protocol, narrow_port) && narrow_suffix.ends_with(suffix.as_str()),
            (Allow::Only(_), _) | (Allow::Under { .. }, Allow::All) => false,
        })
    }

    /// Whether `name` may be looked up: only granted names may leave the machine.
    pub fn permits_lookup(&self, name: &str) -> bool {
        let wanted = Host::new(name);
        self.0.iter().any(|allow| match (allow, &wanted) {
            (Allow::All, _) => true,
            (Allow::Only(destination), wanted) => destination.host == *wanted,
            (Allow::Under { suffix, .. }, Host::Name(name)) => {
                name.len() > suffix.len() && name.ends_with(suffix.as_str())
            }
            (Allow::Under { .. }, Host::Address(_)) => false,
        })
    }

    /// Whether a socket that the task opens may reach an address. `addresses_of` gives the addresses of granted names.
    pub fn permits_address(
        &self,
        protocol: Protocol,
        address: IpAddr,
        port: u16,
        addresses_of: impl Fn(&str) -> Vec<IpAddr>,
    ) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|allow| match allow {
            Allow::All => true,
            Allow::Only(granted) if (granted.protocol, granted.port) == (protocol, port) => match &granted.host {
                Host::Address(granted) => *granted == address,
                Host::Name(name) => addresses_of(name).contains(&address),
            },
            _ => false,
        })
    }

    /// Whether a task may have sockets of `protocol` at all.
    pub fn permits_sockets(&self, protocol: Protocol) -> bool {
        self.0.iter().any(|allow| match allow {
            Allow::All => true,
            Allow::Only(destination) => destination.protocol == protocol,
            Allow::Under { .. } => false,
        })
    }

    /// The exact names (without stars) that are granted for a protocol and port.
    pub fn names_at(&self, protocol: Protocol, port: u16) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(move |allow| match allow {
            Allow::Only(Destination { protocol: p, host: Host::Name(name), port: q })
                if (*p, *q) == (protocol, port) =>
            {
                Some(name.as_str())
            }
            _ => None,
        })
    }

    /// The exact names (without stars) that are granted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|allow| match allow {
            Allow::Only(Destination { host: Host::Name(name), .. }) => Some(name.as_str()),
            _ => None,
        })
    }
}

#[cfg(test)]
mod tests;
